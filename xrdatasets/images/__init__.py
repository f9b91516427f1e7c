"""Pixels: from a file as it was downloaded to float32 (1, H, W)."""

from __future__ import annotations

from xrdatasets.images.frame import Frame
from xrdatasets.images.geometry import Engine, center_crop, resize
from xrdatasets.images.intensity import Intensity, normalize
from xrdatasets.images.pipeline import load_image, prepare
from xrdatasets.images.pixels import RawImage
from xrdatasets.images.reader import read_image

__all__ = [
    "Engine",
    "Frame",
    "Intensity",
    "RawImage",
    "center_crop",
    "load_image",
    "normalize",
    "prepare",
    "read_image",
    "resize",
]
