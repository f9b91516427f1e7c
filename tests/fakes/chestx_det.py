"""ChestX-Det: three images of train, two of test; one without findings, one instance without an outline."""

import json
from pathlib import Path

from tests import fakes

SQUARE = [[256, 256], [448, 256], [448, 448], [256, 448]]
TRIANGLE = [[600, 200], [700, 200], [600, 300]]
LISTS = {
    "train": (
        ("36200", [], [], []),
        ("36201", ["Nodule", "Diffuse Nodule"], [[256, 256, 448, 448], [300, 300, 320, 320]], [SQUARE, []]),
        ("36204", ["Consolidation", "Consolidation", "Effusion"], [[600, 200, 700, 300]] * 3, [TRIANGLE] * 3),
    ),
    "test": (
        ("36199", ["Calcification"], [[10, 10, 30, 30]], [[[10, 10], [30, 10], [30, 30]]]),
        ("36302", ["Pleural Thickening"], [[799, 666, 937, 761]], [[[799, 666], [937, 666], [937, 761]]]),
    ),
}
IMAGES = 5


def write(root: Path) -> Path:
    for split, rows in LISTS.items():
        images = [
            {"file_name": f"{name}.png", "syms": syms, "boxes": boxes, "polygons": polygons}
            for name, syms, boxes, polygons in rows
        ]
        fakes.write_table(root / f"ChestX_Det_{split}.json", json.dumps(images))
        for name, *_ in rows:
            fakes.write_image(root / f"{split}_data" / split / f"{name}.png", seed=int(name))
    return root
