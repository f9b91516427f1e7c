"""CheXpert Plus: seven images of four patients, PNG, with what a broken download leaves behind."""

import json
from pathlib import Path

from tests import fakes
from tests.fakes.chexpert import LABELS

HEAD = (
    "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,"
    "section_narrative,section_findings,section_impression,age,sex,race,ethnicity,interpreter_needed,"
    "insurance_type,recent_bmi,deceased,split"
)
ROWS = (  # folder, patient, study, view, frontal and AP or PA, impression, age, sex, codes
    ("train", 1, 1, "view1_frontal", "Frontal,AP", "Normal.", "68", "Female", {"No Finding": 1}),
    ("valid", 64541, 1, "view1_frontal", "Frontal,AP", "Rib fracture.", "73", "Male", {"Fracture": 1}),
    ("train", 2, 1, "view1_frontal", "Frontal,PA", "Effusion?", "0", "Male", {"Pleural Effusion": -1}),
    ("train", 2, 2, "view1_frontal", "Frontal,AP", "1. Edema.\n2. Lines, tubes.", "83", "Male", {"Edema": 1}),
    ("train", 2, 2, "view2_lateral", "Lateral,", "1. Edema.\n2. Lines, tubes.", "83", "Male", {"Edema": 1}),
    ("train", 3, 1, "view1_frontal", "Frontal,AP", "", "41", "Unknown", None),  # no line of labels
    ("train", 3, 2, "view1_frontal", "Frontal,", "Stable.", "41", "Unknown", {}),
)
IMAGES = sum(row[4].endswith(("AP", "PA")) for row in ROWS)


def path(row: tuple) -> str:
    folder, patient, study, view, *_ = row
    return f"{folder}/patient{patient:05d}/study{study}/{view}"


def line(row: tuple) -> str:
    folder, patient, study, _, view, text, age, sex, _ = row
    report = f'"NARRATIVE: chest, {view[:7]}\nIMPRESSION: {text}"'
    facts = f"{age},{sex},White,Non-Hispanic,No,Medicare,24.5,No,{folder}"
    return (
        f"{path(row)}.jpg,{path(row)}.dcm,{view},patient{patient:05d},{study},{report},chest,,"
        f'"{text}",{facts}'
    )


def labels(codes: dict, row: tuple) -> str:
    return json.dumps({"path_to_image": f"{path(row)}.jpg"} | {name: codes.get(name) for name in LABELS})


def write(root: Path) -> Path:
    fakes.write_table(root / "df_chexpert_plus_240401.csv", HEAD, *map(line, ROWS))
    lines = [labels(row[-1], row) for row in ROWS[::-1] if row[-1] is not None]
    for part in ("report", "impression"):
        fakes.write_table(root / "chexbert_labels" / f"{part}_fixed.json", *lines)
    empty = [labels({"No Finding": 1.0}, row) for row in ROWS]  # no report has a findings section
    fakes.write_table(root / "chexbert_labels" / "findings_fixed.json", *empty)
    for number, row in enumerate(ROWS):
        fakes.write_image(root / "PNG" / f"{path(row)}.png", size=(40, 50), seed=number)
    for name in (".azDownload-5f2e-view1_frontal.png", "view1_frontal.png.azDownload-5f2e"):
        (root / "PNG" / "train" / "patient00001" / "study1" / name).write_bytes(b"half an image")
    return root
