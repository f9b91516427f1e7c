"""Datasets, on request: boxes of findings become masks of the shape of the image that comes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.images.frame import Frame
from xrdatasets.labels.findings import finding

__all__ = ["BOX_COLUMNS", "box_masks"]

BOX_COLUMNS = ("image_id", "finding", "x", "y", "w", "h", "width", "height")
"""A box: its image and finding, left, top, width and height in pixels of an image of width x height."""

Mask = npt.NDArray[np.uint8]


def box_masks(boxes: pd.DataFrame, labels: Sequence[str], shape: tuple[int, int], frame: Frame) -> Mask:
    """Draw the boxes of one image.

    A pixel belongs to a box if its centre lies in it; a box so small that it holds no centre keeps the
    pixel in its middle, so that no finding disappears.

    Args:
        boxes: rows with `BOX_COLUMNS` of one image.
        labels: the L findings of the label space; boxes of other findings are left out.
        shape: (H, W) of the image on disk, which may be smaller than the one the boxes were drawn on.
        frame: where its pixels went.

    Returns:
        (L, out_height, out_width) uint8, 1 inside a box.
    """
    mask = np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8)
    for box in boxes.itertuples():
        label = finding(str(box.finding))
        if label not in labels:
            continue
        across, down = shape[1] / box.width, shape[0] / box.height
        native = (box.x * across, box.y * down, (box.x + box.w) * across, (box.y + box.h) * down)
        left, top, right, bottom = frame.boxes(native)
        if right > left and bottom > top:
            mask[labels.index(label), _pixels(top, bottom), _pixels(left, right)] = 1
    return mask


def _pixels(start: float, stop: float) -> slice:
    """The pixels whose centre lies in [start, stop), at least the one in the middle."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return slice(first, last) if last > first else slice(int((start + stop) / 2), int((start + stop) / 2) + 1)
