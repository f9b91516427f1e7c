"""Tiny downloads: each module writes one release in its official layout, with real file formats.

``write(root)`` makes the folder and returns it; nothing of a real dataset is kept here.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from PIL import Image

KEYS = ("chexpert", "hannover", "kermany", "nih", "nih_google", "table")


def write(key: str, root: Path) -> Path:
    """Write the fake of a dataset below a folder."""
    return importlib.import_module(f"tests.fakes.{key}").write(Path(root))


def write_image(path: Path, *, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    """Write a grey image of (height, width) in the format of its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_table(path: Path, *lines: str) -> Path:
    """Write a text table, line by line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
