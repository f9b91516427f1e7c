"""Datasets, on request: boxes, outlines and run lengths become masks of the image that comes out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.polygons import fill_polygon
from xrdatasets.datasets.runs import decode_runs, sample_mask
from xrdatasets.errors import LabelNotFoundError, TableError
from xrdatasets.images.frame import Frame
from xrdatasets.images.pixels import MAX_PIXELS
from xrdatasets.labels.codes import Floats
from xrdatasets.labels.findings import finding

__all__ = [
    "BOX_COLUMNS",
    "CORNERS",
    "POLYGON_COLUMNS",
    "RUN_COLUMNS",
    "MaskTable",
    "as_numbers",
    "box_masks",
    "check_boxes",
    "check_known",
    "check_polygons",
    "check_runs",
    "polygon_masks",
    "run_masks",
]

BOX_COLUMNS = ("image_id", "finding", "x", "y", "w", "h", "width", "height")
"""A box: its image and finding, left, top, width and height in pixels of an image of width x height.

Here and below, a blank width and height mean the pixels of the image as it lies on disk.
"""

POLYGON_COLUMNS = ("image_id", "finding", "points", "width", "height")
"""An outline: its image and finding, (P, 2) x and y of its corners in pixels of an image of width x height.
"""

RUN_COLUMNS = ("image_id", "finding", "counts", "width", "height")
"""Marked pixels of an image of width x height: lengths of alternating runs of 0 and 1, beginning with 0,
column after column (COCO's uncompressed form)."""

CORNERS = 3
"""The fewest corners of an outline that has an inside."""

Mask = npt.NDArray[np.uint8]
logger = logging.getLogger(__name__)


class MaskTable:
    """The boxes, outlines and run lengths of a release, by image.

    Args:
        boxes: rows with `BOX_COLUMNS`, None if the release has none.
        polygons: rows with `POLYGON_COLUMNS`, None likewise.
        runs: rows with `RUN_COLUMNS`, None likewise.
    """

    def __init__(
        self,
        boxes: pd.DataFrame | None = None,
        polygons: pd.DataFrame | None = None,
        runs: pd.DataFrame | None = None,
    ) -> None:
        given = ((boxes, box_masks), (polygons, polygon_masks), (runs, run_masks))
        # rows are looked up by image once, not searched for every image
        self._parts = [
            (frame, frame.groupby("image_id").indices, draw) for frame, draw in given if frame is not None
        ]

    def masks(
        self, image_id: str, labels: Sequence[str], codes: Floats, shape: tuple[int, int], frame: Frame
    ) -> dict[str, npt.NDArray[Any]]:
        """The masks of one image: all that is drawn of a finding, united.

        Args:
            image_id: the image.
            labels: the L findings.
            codes: (L,) its codes: where one is 0, an empty mask is the truth.
            shape: (H, W) of the image on disk.
            frame: where its pixels went.

        Returns:
            ``mask`` (L, out_height, out_width) uint8 and ``mask_known`` (L,) bool: whether the mask says
            where the finding is, because it was drawn or is not there.
        """
        mask = np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8)
        known = codes == 0
        for table, rows, draw in self._parts:
            if image_id in rows:
                own = table.iloc[rows[image_id]]
                mask |= draw(own, labels, shape, frame)
                known = known | np.isin(np.array(labels), own["finding"].to_numpy(dtype=object).astype(str))
        return {"mask": mask, "mask_known": known}


def check_boxes(boxes: pd.DataFrame, *, path: Path, dataset: str) -> pd.DataFrame:
    """Boxes with canonical findings.

    Args:
        boxes: rows with `BOX_COLUMNS`, as read.
        path: their file, for messages.
        dataset: their dataset.

    Raises:
        TableError: a box that is no box, lies outside the image, or has an unknown finding: its row.
    """
    numbers = boxes[list(BOX_COLUMNS[2:6])].apply(as_numbers).astype(float)
    x, y, w, h = (numbers[name] for name in numbers)
    width, height, sized = _sizes(boxes)
    inside = ~(x >= width) & ~(y >= height) & (x + w > 0) & (y + h > 0)
    good = np.isfinite(numbers).all(axis=1) & (w > 0) & (h > 0) & inside & sized
    if not good.all():
        raise _bad(boxes, good, "x, y, w, h of a box in the image", list(BOX_COLUMNS[2:]), path, dataset)
    return _canonical(boxes, path, dataset).assign(**dict(numbers.items()), width=width, height=height)


def check_polygons(polygons: pd.DataFrame, *, path: Path, dataset: str) -> pd.DataFrame:
    """Outlines with canonical findings and (P, 2) float64 points.

    Args:
        polygons: rows with `POLYGON_COLUMNS`, as read.
        path: their file, for messages.
        dataset: their dataset.

    Raises:
        TableError: an outline of fewer than three corners, of corners that are no pairs of numbers, or of an
            unknown finding: its row.
    """
    points = polygons["points"].map(_as_points)
    width, height, sized = _sizes(polygons)
    good = points.notna() & sized
    if not good.all():
        expected = "three or more corners, x and y each"
        raise _bad(polygons, good, expected, list(POLYGON_COLUMNS[2:]), path, dataset)
    return _canonical(polygons, path, dataset).assign(points=points, width=width, height=height)


def check_runs(runs: pd.DataFrame, *, path: Path, dataset: str) -> pd.DataFrame:
    """Run lengths with canonical findings and int64 counts.

    Args:
        runs: rows with `RUN_COLUMNS`, as read.
        path: their file, for messages.
        dataset: their dataset.

    Raises:
        TableError: lengths that are no whole numbers from 0, that are more than the image's pixels, or of an
            unknown finding: its row.
    """
    counts = runs["counts"].map(_as_counts)
    width, height, sized = _sizes(runs)
    good = counts.notna() & sized
    good &= ~(counts.map(np.sum, na_action="ignore").astype(float) > width * height)
    good &= ~(width * height > MAX_PIXELS)
    if not good.all():
        expected = f"whole numbers from 0 that add up to at most width * height, at most {MAX_PIXELS:,}"
        raise _bad(runs, good, expected, list(RUN_COLUMNS[2:]), path, dataset)
    return _canonical(runs, path, dataset).assign(counts=counts, width=width, height=height)


def check_known(rows: pd.DataFrame, image_ids: pd.Series, *, path: Path, dataset: str) -> pd.DataFrame:
    """The same rows; how many of them are of images that the dataset does not have is logged.

    Args:
        rows: with ``image_id``.
        image_ids: all images of the dataset, whatever its views and split.
        path: the file of the rows, for messages.
        dataset: their dataset.

    Raises:
        TableError: all of them are.
    """
    lost = ~rows["image_id"].isin(image_ids)
    if not lost.any():
        return rows
    first = rows["image_id"][lost].iloc[0]
    what = f"{int(lost.sum()):,} of {len(rows):,} rows are of images that the table of labels does not have"
    if lost.all():
        msg = (
            f"{dataset}: {str(path)!r}: {what}, the first is {first!r}. Expected the same image ids in both. "
            "Take both files from one release."
        )
        raise TableError(msg)
    logger.warning("%s: %s: %s, the first is %r", dataset, path, what, first)
    return rows


def as_numbers(cells: pd.Series) -> pd.Series:
    """(N,) float64; NaN where a cell is no number."""
    try:
        return pd.to_numeric(cells, errors="coerce").astype(float)
    except OverflowError:  # whole numbers of JSON may have any length
        return pd.to_numeric(cells.astype("str"), errors="coerce").astype(float)


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
    for box in boxes[boxes["finding"].isin(list(labels))].itertuples():
        down, across = _scale(box, shape)
        native = (box.x * across, box.y * down, (box.x + box.w) * across, (box.y + box.h) * down)
        left, top, right, bottom = frame.boxes(native)
        if right > left and bottom > top:
            mask[labels.index(box.finding), _pixels(top, bottom), _pixels(left, right)] = 1
    return mask


def polygon_masks(
    polygons: pd.DataFrame, labels: Sequence[str], shape: tuple[int, int], frame: Frame
) -> Mask:
    """Fill the outlines of one image (`fill_polygon`).

    Args:
        polygons: rows with `POLYGON_COLUMNS` of one image, findings canonical.
        labels: the L findings of the label space; outlines of other findings are left out.
        shape: (H, W) of the image on disk, which may be smaller than the one they were drawn on.
        frame: where its pixels went.

    Returns:
        (L, out_height, out_width) uint8, 1 inside an outline.
    """
    mask = np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8)
    for row in polygons[polygons["finding"].isin(list(labels))].itertuples():
        points = frame.points(row.points * _scale(row, shape)[::-1])
        mask[labels.index(row.finding)] |= fill_polygon(points, mask.shape[1:])
    return mask


def run_masks(runs: pd.DataFrame, labels: Sequence[str], shape: tuple[int, int], frame: Frame) -> Mask:
    """Mark the pixels that run lengths of one image name (`decode_runs`, `sample_mask`).

    Args:
        runs: rows with `RUN_COLUMNS` of one image, findings canonical.
        labels: the L findings of the label space; runs of other findings are left out.
        shape: (H, W) of the image on disk, which may be smaller than the one they were drawn on.
        frame: where its pixels went.

    Returns:
        (L, out_height, out_width) uint8, 1 where a finding is marked.

    Raises:
        TableError: there are more pixels in the runs than in the image on disk, if it has to be that one.
    """
    mask = np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8)
    for row in runs[runs["finding"].isin(list(labels))].itertuples():
        size = shape if np.isnan(row.width) else (int(row.height), int(row.width))
        try:
            drawn = decode_runs(row.counts, size)
        except ValueError as error:
            msg = (
                f"run lengths of {row.finding} on image {row.image_id!r}: {error} They count the pixels of "
                "the image as it was released: use the image in its first size."
            )
            raise TableError(msg) from error
        mask[labels.index(row.finding)] |= sample_mask(drawn, shape, frame)
    return mask


def _scale(row: Any, shape: tuple[int, int]) -> tuple[float, float]:
    """Pixels on disk per pixel of the image that was drawn on, (vertical, horizontal)."""
    if np.isnan(row.width):
        return 1.0, 1.0
    return shape[0] / row.height, shape[1] / row.width


def _pixels(start: float, stop: float) -> slice:
    """The pixels whose centre lies in [start, stop), at least the one in the middle."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(stop - 0.5))
    return slice(first, last) if last > first else slice(int((start + stop) / 2), int((start + stop) / 2) + 1)


def _sizes(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Width and height as numbers, and where they are ones: both above 0, or both blank."""
    width, height = (as_numbers(rows[name]) for name in ("width", "height"))
    numbers = np.isfinite(width) & np.isfinite(height) & (width > 0) & (height > 0)
    return width, height, numbers | (rows["width"].isna() & rows["height"].isna())


def _as_points(cell: object) -> npt.NDArray[np.float64] | None:
    """(P, 2) corners, None if it is anything else."""
    try:
        points = np.array(cell, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        return None
    good = points.ndim == 2 and points.shape[1] == 2 and len(points) >= CORNERS and np.isfinite(points).all()
    return points if good else None


def _as_counts(cell: object) -> npt.NDArray[np.int64] | None:
    """(C,) lengths, None if it is anything else."""
    try:
        counts = np.array(cell, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        return None
    good = counts.ndim == 1 and ((counts >= 0) & (counts <= MAX_PIXELS)).all() and (counts % 1 == 0).all()
    return counts.astype(np.int64) if good else None


def _bad(
    rows: pd.DataFrame, good: pd.Series, expected: str, columns: list[str], path: Path, dataset: str
) -> TableError:
    row = int(good.to_numpy().argmin())
    got = ", ".join(f"{name}={str(rows[name].iloc[row])[:60]}" for name in columns)
    where = f"{dataset}: {str(path)!r}, row {row + 1}"
    return TableError(f"{where}: expected {expected}, got {got} (image {rows['image_id'].iloc[row]!r}).")


def _canonical(rows: pd.DataFrame, path: Path, dataset: str) -> pd.DataFrame:
    """The same rows, findings by their canonical names.

    Raises:
        TableError: an unknown finding: its row.
    """
    names = {}
    for word in rows["finding"].unique():
        try:
            names[word] = str(finding(str(word)))
        except LabelNotFoundError as error:
            row = int((rows["finding"].isna() | (rows["finding"] == word)).to_numpy().argmax())
            msg = f"{dataset}: {str(path)!r}, row {row + 1}: {error}"
            raise TableError(msg) from error
    return rows.assign(finding=rows["finding"].map(names))
