"""MIMIC-CXR-JPG: seven images of six studies, one of which nobody labelled."""

import gzip
from pathlib import Path

from tests import fakes

LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture",
    "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia",
    "Pneumothorax", "Support Devices",
)  # fmt: skip
HEAD = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,"
    "StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
)
IMAGES_OF = (  # dicom, subject, study, view, date, view in words, split
    ("0000000a-00000001", 19000001, 59000001, "PA", 21800506, "postero-anterior", "train"),
    ("0000000a-00000002", 19000001, 59000001, "LATERAL", 21800506, "lateral", "train"),
    ("0000000a-00000003", 19000001, 59000002, "AP", 21800626, "antero-posterior", "train"),
    ("0000000b-00000004", 19000002, 59000003, "AP", 21810101, "antero-posterior", "train"),
    ("0000000c-00000005", 19000003, 59000004, "PA", 21420228, "postero-anterior", "validate"),
    ("0000000d-00000006", 19000004, 59000005, "", 21991231, "antero-posterior", "test"),
    ("0000000d-00000007", 19000004, 59000006, "AP", 22000101, "antero-posterior", "test"),
)
CODES = {
    59000001: {"No Finding": 1, "Support Devices": 1},
    59000002: {"Pleural Effusion": -1, "Edema": 0},
    59000004: {"Lung Opacity": 1, "Pneumonia": -1},
    59000005: {},
    59000006: {"No Finding": 1},
}  # 59000003 has no row
EXPERT = {59000006: {"Lung Opacity": 1, "Edema": 0}}
IMAGES = sum(row[3] in ("PA", "AP") for row in IMAGES_OF)


def codes(found: dict) -> str:
    return ",".join(f"{found[label]:.1f}" if label in found else "" for label in LABELS)


def write_gzip(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def write(root: Path) -> Path:
    meta = [
        f'{dicom},{subject},{study},"CHEST (PA AND LAT)",{view},60,50,{date},213014.531,,{words},Erect'
        for dicom, subject, study, view, date, words, _ in IMAGES_OF
    ]
    write_gzip(root / "mimic-cxr-2.0.0-metadata.csv.gz", HEAD, *meta)
    split = [f"{dicom},{study},{subject},{word}" for dicom, subject, study, *_, word in IMAGES_OF]
    write_gzip(root / "mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", *split)
    subjects = {study: subject for _, subject, study, *_ in IMAGES_OF}
    rows = [f"{subjects[study]},{study},{codes(found)}" for study, found in CODES.items()]
    for name in ("chexpert", "negbio"):
        write_gzip(
            root / f"mimic-cxr-2.0.0-{name}.csv.gz", "subject_id,study_id," + ",".join(LABELS), *rows[::-1]
        )
    head = "study_id," + ",".join(LABELS).replace("Lung Opacity", "Airspace Opacity")
    expert = [f"{study},{codes(found)}" for study, found in EXPERT.items()]
    fakes.write_table(root / "mimic-cxr-2.1.0-test-set-labeled.csv", head, *expert)
    for number, (dicom, subject, study, *_) in enumerate(IMAGES_OF):
        folder = root / "files" / f"p{subject}"[:3] / f"p{subject}" / f"s{study}"
        fakes.write_image(folder / f"{dicom}.jpg", size=(60, 50), seed=number)
    return root
