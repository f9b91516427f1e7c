"""Montgomery: five images of four patients, one without a reading, lung masks beside them."""

from pathlib import Path

from tests import fakes

READINGS = {
    "MCUCXR_0001_0": "Patient's Sex: F\nPatient's Age: 027Y\nnormal",
    "MCUCXR_0080_0": "Patient's Sex: O\nPatient's Age: 005Y\nnormal",
    "MCUCXR_0113_1": "Patient's Sex: M\nPatient's Age: 084Y\nfibrosis of both apices;\ncavity on the left",
    "MCUCXR_0117_1": "Patient's Sex: M\nPatient's Age: 085Y\nstable (same pt as MCUCXR_0113_1)",
    "MCUCXR_0251_1": None,
}
IMAGES = len(READINGS)


def write(root: Path) -> Path:
    folder = root / "MontgomerySet"
    for number, (name, reading) in enumerate(READINGS.items()):
        fakes.write_image(folder / "CXR_png" / f"{name}.png", size=(48, 60), seed=number)
        for side in ("leftMask", "rightMask"):
            fakes.write_image(folder / "ManualMask" / side / f"{name}.png", size=(48, 60), seed=99)
        if reading:
            fakes.write_table(folder / "ClinicalReadings" / f"{name}.txt", reading)
    return root
