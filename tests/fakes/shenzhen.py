"""Shenzhen: six images of as many patients, whose readings begin in as many ways; masks beside them."""

from pathlib import Path

from tests import fakes

READINGS = {
    "CHNCXR_0001_0": "male 45yrs\nnormal",
    "CHNCXR_0044_0": "femal 32yrs\nnormal",
    "CHNCXR_0115_0": "male 16month\nnormal",
    "CHNCXR_0202_0": "female 64days\nnormal",
    "CHNCXR_0327_1": "male , 29yrs  \t\nbilateral secondary PTB\nATB",
    "CHNCXR_0400_1": "female24yrs\n\nPTB in the left upper field",
}
IMAGES = len(READINGS)


def write(root: Path) -> Path:
    folder = root / "ChinaSet_AllFiles"
    for number, (name, reading) in enumerate(READINGS.items()):
        fakes.write_image(folder / "CXR_png" / f"{name}.png", size=(60, 58), seed=number)
        fakes.write_table(folder / "ClinicalReadings" / f"{name}.txt", reading)
    masks = folder / "Annotations-2"
    fakes.write_image(masks / "masks" / "CHNCXR_0327_1_Pleural_Effusion_2.png", size=(60, 58), seed=99)
    fakes.write_table(
        masks / "Statistics_ShenzhenDataset_US.csv", "imagename,Pleural_Effusion", "CHNCXR_0327_1.png,1"
    )
    return root
