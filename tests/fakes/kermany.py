"""Kermany: two images of each class in train, one each in val and test."""

from pathlib import Path

from tests import fakes

FILES = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0501-0001-0002.jpeg",
    "train/PNEUMONIA/person1000_bacteria_2931.jpeg",
    "train/PNEUMONIA/person1000_virus_1681.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "test/PNEUMONIA/person100_bacteria_475.jpeg",
)
IMAGES = len(FILES)


def write(root: Path) -> Path:
    for number, name in enumerate(FILES):
        fakes.write_image(root / "chest_xray" / name, size=(48 + number, 64), seed=number)
    (root / "__MACOSX" / "chest_xray").mkdir(parents=True)
    (root / "chest_xray" / "train" / "NORMAL" / "._IM-0115-0001.jpeg").write_bytes(b"Mac OS X")
    return root
