"""Stony Brook (RALO): four images of three patients; the experts do not agree on one."""

from pathlib import Path

from tests import fakes

SIDES = "Right GEOGRAPHIC,Right OPACITY,Left GEOGRAPHIC,Left OPACITY,Total GEOGRAPHIC,Total OPACITY"
HEAD = f"Subject_ID,Exam_DateTime,{SIDES},Notes,{SIDES},Notes,Delta Geo-total,Delta Opa total"
ROWS = (
    "A001,20200323_101500,2,2,3,2,5,4,,2,2,3,3,5,5,,0,1",
    "A001,20200325_073000,0,0,0,0,0,0,,0,0,0,0,0,0,,0,0",
    "A002,20200401_120000,0,0,0,0,0,0,,0,1,1,0,1,1,faint,1,1",
    "A003,20200402_080000,4,3,4,4,8,7,,,,,,,,,,",
)
IMAGES = len(ROWS)


def write(root: Path) -> Path:
    fakes.write_table(root / "ralo-dataset-metadata.csv", f"RALO Dataset{',' * HEAD.count(',')}", HEAD, *ROWS)
    for number in range(len(ROWS)):
        fakes.write_image(root / "CXR_images_scored" / f"{number}.jpg", size=(50, 40), seed=number)
    return root
