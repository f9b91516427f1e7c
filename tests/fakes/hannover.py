"""Hannover: three images of two patients."""

from pathlib import Path

from tests import fakes

HEAD = (
    "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,icu_release_offset,"
    "death_offset,modality,projection,crp_offset,crp_val"
)
ROWS = (
    "024e7871,fff13f3a,f,,,,0,,,,CR,pa,0.0,3.0",
    "042f06a9,b343e657,m,62,175.0,80.0,0,0.0,4.0,,CR,ap,0.0,5.0",
    "042f06a9,c9280a30,m,62,175.0,80.0,2,0.0,4.0,,DX,AP,0.0,7.0",
)
IMAGES = len(ROWS)


def write(root: Path) -> Path:
    fakes.write_table(root / "data.csv", HEAD, *ROWS)
    for number, row in enumerate(ROWS):
        fakes.write_image(root / "png" / f"{row.split(',')[1]}.png", size=(50, 60), seed=number)
    return root
