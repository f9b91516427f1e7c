"""SIIM-ACR: four images of three patients, one with two outlines, one of the test set without a label."""

from pathlib import Path

from tests import fakes

NAMES = tuple(f"1.2.276.0.7230010.3.1.4.8323329.{number}" for number in (301, 302, 303, 304, 305))
# start and length, each start counted from the end of the run before it, down the columns of 1024 pixels
ROWS = (
    (NAMES[0], "-1"),
    (NAMES[1], "0 48 976 48"),
    (NAMES[1], "524288 1024 15360 1024"),
    (NAMES[2], "-1"),
    (NAMES[3], "1047552 1024"),
)
HEADERS = (
    ("a-7", "PA", "M", "62"),
    ("b-8", "AP", "F", "33"),
    ("b-8", "PA", "F", "34"),
    ("c-9", "PA", "F", "9"),
)
IMAGES = 4


def write(root: Path) -> Path:
    fakes.write_table(
        root / "train-rle.csv", "ImageId, EncodedPixels", *(f"{image},{runs}" for image, runs in ROWS)
    )
    for number, (name, (patient, view, sex, age)) in enumerate(zip(NAMES[:4], HEADERS, strict=True)):
        folder = root / "dicom-images-train" / f"1.2.{number}" / f"1.3.{number}"
        facts = {"PatientID": patient, "ViewPosition": view, "PatientSex": sex, "PatientAge": age}
        fakes.write_dicom(folder / f"{name}.dcm", seed=number, **facts)
    fakes.write_dicom(root / "dicom-images-test" / "1.2.9" / "1.3.9" / f"{NAMES[4]}.dcm", ViewPosition="AP")
    return root
