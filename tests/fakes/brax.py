"""BRAX: six images of five studies, PNG, one of them as DICOM's name too."""

from pathlib import Path

from tests import fakes

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
)  # fmt: skip
HEAD = (
    "DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate," + ",".join(LABELS)
) + ",ViewPosition,Rows,Columns,Manufacturer"
ROWS = (  # patient, sex, age, study, series, codes, view
    ("aa01", "F", "45", 1, 1, {"No Finding": 1, "Support Devices": 1}, "PA"),
    ("aa01", "F", "45", 1, 2, {"No Finding": 1, "Support Devices": 1}, "L"),
    ("bb02", "M", "85 or more", 2, 3, {"Pleural Effusion": -1, "Edema": 0}, "AP"),
    ("bb02", "M", "85 or more", 3, 4, {}, ""),
    ("cc03", "O", "60", 4, 5, {"Lung Opacity": 1}, "PA"),
    ("dd04", "M", "", 5, 6, {"Fracture": 1}, "RL"),
)
IMAGES = sum(row[6] in ("PA", "AP") for row in ROWS)


def folder(row: tuple) -> str:
    return f"id_{row[0]}/Study_{row[3]}.8/Series_{row[4]}.8"


def line(row: tuple) -> str:
    patient, sex, age, study, series, codes, view = row
    name = f"{folder(row)}/image-{series}-9"
    cells = [f"{codes[label]:.1f}" if label in codes else "" for label in LABELS]
    paths = f"Anonymized_DICOMs/{name}.dcm,images/{name}.png"
    return ",".join([paths, patient, sex, age, f"00{study}", "20150101", *cells, view, "60", "50", "1"])


def write(root: Path) -> Path:
    fakes.write_table(root / "master_spreadsheet_update.csv", HEAD, *map(line, ROWS))
    for number, row in enumerate(ROWS):
        fakes.write_image(root / "images" / folder(row) / f"image-{row[4]}-9.png", size=(60, 50), seed=number)
    return root
