"""TBX11K: seven images of train, two of val and one of test; two more in extra, listed apart."""

import json
from pathlib import Path

from tests import fakes

CATEGORIES = ("ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis")
FILES = {
    "train": ("tb/tb0005", "tb/tb0007", "tb/tb0135", "tb/tb0300", "tb/tb1199", "health/h0001", "sick/s0001"),
    "val": ("health/h0004", "sick/s0004"),
    "test": ("test/test_0001",),
}
EXTRA = ("extra/mc+shenzhen/train/MCUCXR_0001_0", "extra/da+db/train/p002")
BOXES = (  # image, category, box
    ("tb/tb0005", 1, [256.5, 128.0, 64.0, 32.0]),
    ("tb/tb0007", 2, [300.0, 60.0, 130.0, 140.0]),
    ("tb/tb0135", 1, [0.0, 0.0, 128.0, 128.0]),
    ("tb/tb0135", 2, [256.0, 256.0, 64.0, 64.0]),
    ("tb/tb0300", 3, [256.0, 256.0, 64.0, 64.0]),
)
IMAGES = sum(map(len, FILES.values()))


def write_json(path: Path, names: tuple[str, ...]) -> Path:
    numbers = {name: number for number, name in enumerate(names, start=1)}
    content = {
        "categories": [
            {"id": number, "name": name, "supercategory": "Tuberculosis"}
            for number, name in enumerate(CATEGORIES, start=1)
        ],
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 512, "height": 512}
            for name, number in numbers.items()
        ],
        "annotations": [
            {"id": number, "image_id": numbers[name], "category_id": kind, "bbox": box, "iscrowd": 0,
             "width": 512, "height": 512}
            for number, (name, kind, box) in enumerate(BOXES, start=1) if name in numbers
        ],
    }  # fmt: skip
    return fakes.write_table(path, json.dumps(content))


def write(root: Path) -> Path:
    folder = root / "TBX11K"
    for split in ("train", "val"):
        write_json(folder / "annotations" / "json" / f"TBX11K_{split}.json", FILES[split])
    write_json(folder / "annotations" / "json" / "all_train.json", (*FILES["train"], *EXTRA))
    write_json(folder / "annotations" / "json" / "all_val.json", FILES["val"])
    fakes.write_table(folder / "lists" / "all_test.txt", *(f"{name}.png" for name in FILES["test"]))
    for number, name in enumerate((*sum(FILES.values(), ()), *EXTRA)):
        fakes.write_image(folder / "imgs" / f"{name}.png", size=(64, 64), seed=number)
    return root
