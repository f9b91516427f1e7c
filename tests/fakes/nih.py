"""NIH ChestX-ray14: five images of three patients."""

from pathlib import Path

from tests import fakes

HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = (
    "00000001_000.png,Effusion|Hernia,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,AP,2500,2048,0.168,0.168",
    "00000002_000.png,Cardiomegaly,0,2,80,F,PA,2500,2048,0.171,0.171",
    "00000003_000.png,Nodule|Pleural_Thickening,0,3,74,F,PA,2500,2048,0.168,0.168",
    "00000003_001.png,Infiltration,1,3,75,F,AP,2500,2048,0.168,0.168",
)
BOXES = (
    "Image Index,Finding Label,Bbox [x,y,w,h],,,",
    "00000002_000.png,Cardiomegaly,256.0,512.0,512.0,256.0,,,",
    "00000003_001.png,Infiltrate,0.0,0.0,128.0,128.0,,,",
)
IMAGES = len(ROWS)


def write(root: Path) -> Path:
    fakes.write_table(root / "Data_Entry_2017_v2020.csv", HEAD, *ROWS)
    fakes.write_table(root / "BBox_List_2017.csv", *BOXES)
    fakes.write_table(root / "train_val_list.txt", "00000001_000.png", "00000001_001.png", "00000002_000.png")
    fakes.write_table(root / "test_list.txt", "00000003_000.png", "00000003_001.png")
    for number, row in enumerate(ROWS):
        fakes.write_image(root / "images" / row.split(",")[0], seed=number)
    return root
