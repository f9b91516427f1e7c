"""NIH with Google's readings: three NIH images, two of them read anew."""

from pathlib import Path

from tests import fakes
from tests.fakes import nih

ROWS = (
    f"{nih.ROWS[0]},NO,NO,YES,NO,test",
    f"{nih.ROWS[2]},YES,NO,NO,YES,val",
)
IMAGES = len(ROWS)


def write(root: Path) -> Path:
    fakes.write_table(root / "Data_Entry_2017_v2020.csv", nih.HEAD, *nih.ROWS[:3])
    head = f"{nih.HEAD},Fracture,Pneumothorax,Airspace opacity,Nodule or mass,Set Id"
    fakes.write_table(root / "google2019_nih-chest-xray-labels.csv", head, *ROWS)
    for number, row in enumerate(nih.ROWS[:3]):
        fakes.write_image(root / "images" / row.split(",")[0], seed=number)
    return root
