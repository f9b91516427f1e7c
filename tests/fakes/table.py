"""A hospital's own table: codes in columns, file names in folders, a mapping file beside it."""

from pathlib import Path

from tests import fakes

OPTIONS = {
    "table": "labels.csv",
    "mapping": "mapping.csv",
    "columns": {"image_id": "file", "patient_id": "pid", "view": "position"},
}
IMAGES = 3


def write(root: Path) -> Path:
    fakes.write_table(
        root / "labels.csv",
        "file,pid,position,sex,age,fluid,big heart,unused",
        "a/1.png,7,PA,F,33,1,0,x",
        "a/2.png,7,AP,F,34,,-1,x",
        "b/1.png,8,PA,M,,0,,x",
    )
    fakes.write_table(
        root / "mapping.csv",
        "column,source,target,relation,note,reference",
        "fluid,,Effusion,exact,,our own reading guide",
        "big heart,,Cardiomegaly,exact,,our own reading guide",
    )
    for number, name in enumerate(("a/1.png", "a/2.png", "b/1.png")):
        fakes.write_image(root / name, seed=number)
    return root
