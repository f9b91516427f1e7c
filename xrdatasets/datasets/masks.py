"""Datasets, on request: boxes of findings become masks of the shape of the image that comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import LabelNotFoundError, TableError
from xrdatasets.images.frame import Frame
from xrdatasets.labels.codes import Floats
from xrdatasets.labels.findings import finding

__all__ = ["BOX_COLUMNS", "BoxTable", "box_masks", "check_boxes"]

BOX_COLUMNS = ("image_id", "finding", "x", "y", "w", "h", "width", "height")
"""A box: its image and finding, left, top, width and height in pixels of an image of width x height."""

Mask = npt.NDArray[np.uint8]


class BoxTable:
    """The boxes of a release, by image.

    Args:
        boxes: rows with `BOX_COLUMNS`, None if the release has none.
    """

    def __init__(self, boxes: pd.DataFrame | None) -> None:
        self.boxes = pd.DataFrame(columns=list(BOX_COLUMNS)) if boxes is None else boxes
        self._rows = self.boxes.groupby("image_id").indices

    def masks(
        self, image_id: str, labels: Sequence[str], codes: Floats, shape: tuple[int, int], frame: Frame
    ) -> dict[str, npt.NDArray[Any]]:
        """The masks of one image.

        Args:
            image_id: the image.
            labels: the L findings.
            codes: (L,) its codes: where one is 0, an empty mask is the truth.
            shape: (H, W) of the image on disk.
            frame: where its pixels went.

        Returns:
            ``mask`` (L, out_height, out_width) uint8 and ``mask_known`` (L,) bool: whether the mask says
            where the finding is, because it was boxed or is not there.
        """
        own = self.boxes.iloc[self._rows.get(image_id, np.empty(0, dtype=np.intp))]
        boxed = np.isin(np.array(labels), own["finding"].to_numpy(dtype=object).astype(str))
        return {"mask": box_masks(own, labels, shape, frame), "mask_known": (codes == 0) | boxed}


def check_boxes(boxes: pd.DataFrame, *, path: Path, dataset: str) -> pd.DataFrame:
    """Boxes with canonical findings.

    Args:
        boxes: rows with `BOX_COLUMNS`, as read.
        path: their file, for messages.
        dataset: their dataset.

    Raises:
        TableError: a box that is no box, lies outside the image, or has an unknown finding: its row.
    """
    numbers = boxes[list(BOX_COLUMNS[2:])].apply(pd.to_numeric, errors="coerce")
    x, y, w, h, width, height = (numbers[name] for name in BOX_COLUMNS[2:])
    inside = (x < width) & (y < height) & (x + w > 0) & (y + h > 0)
    good = np.isfinite(numbers).all(axis=1) & (w > 0) & (h > 0) & inside
    if not good.all():
        row = int(good.to_numpy().argmin())
        got = boxes.iloc[row][list(BOX_COLUMNS[2:6])].tolist()
        msg = (
            f"{dataset}: {str(path)!r}, row {row + 1}: expected x, y, w, h of a box in the image, got {got}."
        )
        raise TableError(msg)
    names = {}
    for word in boxes["finding"].unique():
        try:
            names[word] = str(finding(str(word)))
        except LabelNotFoundError as error:
            row = int((boxes["finding"].isna() | (boxes["finding"] == word)).to_numpy().argmax())
            msg = f"{dataset}: {str(path)!r}, row {row + 1}: {error}"
            raise TableError(msg) from error
    return boxes.assign(finding=boxes["finding"].map(names), **dict(numbers.items()))


def box_masks(boxes: pd.DataFrame, labels: Sequence[str], shape: tuple[int, int], frame: Frame) -> Mask:
    """Draw the boxes of one image.

    A pixel belongs to a box if its centre lies in it; a box so small that it holds no centre keeps the
    pixel in its middle, so that no finding disappears.

    Args:
        boxes: rows with `BOX_COLUMNS` of one image, findings canonical.
        labels: the L findings of the label space; boxes of other findings are left out.
        shape: (H, W) of the image on disk, which may be smaller than the one the boxes were drawn on.
        frame: where its pixels went.

    Returns:
        (L, out_height, out_width) uint8, 1 inside a box.
    """
    mask = np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8)
    for box in boxes.itertuples():
        if box.finding not in labels:
            continue
        across, down = shape[1] / box.width, shape[0] / box.height
        native = (box.x * across, box.y * down, (box.x + box.w) * across, (box.y + box.h) * down)
        left, top, right, bottom = frame.boxes(native)
        if right > left and bottom > top:
            mask[labels.index(box.finding), _pixels(top, bottom), _pixels(left, right)] = 1
    return mask


def _pixels(start: float, stop: float) -> slice:
    """The pixels whose centre lies in [start, stop), at least the one in the middle."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return slice(first, last) if last > first else slice(int((start + stop) / 2), int((start + stop) / 2) + 1)
