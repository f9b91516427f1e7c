"""RSNA: five images, one with two boxes, one of the test set without a label."""

from pathlib import Path

from tests import fakes

HEAD = "patientId,x,y,width,height,Target"
ROWS = (
    "0004cfab-14fd,264.0,152.0,213.0,379.0,1",
    "0004cfab-14fd,562.0,152.0,256.0,453.0,1",
    "00313ee0-9eaa,,,,,0",
    "00322d4d-1c29,,,,,0",
    "00436515-870c,0.0,0.0,512.0,1024.0,1",
    "005d3cc4-3c3d,,,,,0",
)
CLASSES = (
    "patientId,class",
    "0004cfab-14fd,Lung Opacity",
    "0004cfab-14fd,Lung Opacity",
    "00313ee0-9eaa,No Lung Opacity / Not Normal",
    "00322d4d-1c29,Normal",
    "00436515-870c,Lung Opacity",
    "005d3cc4-3c3d,Normal",
)
IMAGES = 5
HEADERS = (("AP", "F", "51"), ("PA", "F", "48"), ("PA", "M", "19"), ("AP", "M", "32"), ("PA", "F", ""))


def write(root: Path) -> Path:
    fakes.write_table(root / "stage_2_train_labels.csv", HEAD, *ROWS)
    fakes.write_table(root / "stage_2_detailed_class_info.csv", *CLASSES)
    names = dict.fromkeys(row.split(",")[0] for row in ROWS)
    for number, (name, (view, sex, age)) in enumerate(zip(names, HEADERS, strict=True)):
        facts = {"PatientID": name, "ViewPosition": view, "PatientSex": sex, "PatientAge": age}
        fakes.write_dicom(root / "stage_2_train_images" / f"{name}.dcm", seed=number, **facts)
    fakes.write_dicom(root / "stage_2_test_images" / "0000a175-0e68.dcm", seed=9, ViewPosition="PA")
    return root
