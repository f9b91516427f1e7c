"""Object-CXR: three images of train, one of dev, unpacked; `pack` makes the archives of the release."""

import zipfile
from pathlib import Path

from tests import fakes

ROWS = {
    "train": (
        "00001.jpg,0 10 20 30 40;1 5 5 25 15",
        "00002.jpg,",
        "00003.jpg,2 1 1 9 1 9 9 1 9;0 2 2 4 4",
    ),
    "dev": ("08001.jpg,",),
}
IMAGES = 4


def write(root: Path) -> Path:
    for folder, rows in ROWS.items():
        fakes.write_table(root / f"{folder}.csv", "image_name,annotation", *rows)
        for row in rows:
            fakes.write_image(root / folder / row.split(",")[0], size=(48, 56), seed=int(row[:5]))
    return root


def pack(root: Path, *folders: str) -> Path:
    """Put folders of images into archives, as they are downloaded."""
    for folder in folders:
        with zipfile.ZipFile(root / f"{folder}.zip", "w") as archive:
            for path in sorted((root / folder).iterdir()):
                archive.write(path, f"{folder}/{path.name}")
                path.unlink()
        (root / folder).rmdir()
    return root
