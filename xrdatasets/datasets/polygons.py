"""Datasets, on request: an outline of straight lines becomes the pixels inside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fill_polygon"]

Mask = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
STEP = 0.5  # pixels between two places of an outline: no pixel that it crosses by more is left out


def fill_polygon(points: Points, shape: tuple[int, int]) -> Mask:
    """Draw one outline, closed from its last corner to the first.

    A pixel belongs to it if its centre lies inside by the even-odd rule, which is how the tools fill that
    such outlines are drawn with. As for boxes, a centre on the left or upper side counts, one on the right
    or lower side does not. An outline so thin that it holds no centre keeps the pixel in the middle of its
    line, so that no finding disappears; one that lies outside leaves nothing.

    Args:
        points: (P, 2) x and y of the corners, in pixels of the mask; they may lie outside it.
        shape: (H, W) of the mask.

    Returns:
        (H, W) uint8, 1 inside.

    Example:
        >>> import numpy as np
        >>> fill_polygon(np.array([[0, 0], [4, 0], [0, 4]]), (3, 4))
        array([[1, 1, 1, 0],
               [1, 1, 0, 0],
               [1, 0, 0, 0]], dtype=uint8)
    """
    corners = np.asarray(points, dtype=np.float64)
    rows, columns = _crossings(corners, np.roll(corners, -1, axis=0), shape)
    mask: Mask = np.zeros(shape, dtype=np.uint8)
    if len(rows):  # fill between the sides, within the box around them
        top, left, width = rows.min(), columns.min(), columns.max() - columns.min()
        sides = np.zeros((rows.max() - top + 1, width + 1), dtype=np.uint8)
        np.add.at(sides, (rows - top, columns - left), 1)
        # parity alone counts, and it survives the overflow of a byte
        inside = np.cumsum(sides, axis=1, dtype=np.uint8)[:, :-1] & 1
        mask[top : top + len(sides), left : left + width] = inside
    if not mask.any():
        _keep_one(corners, mask)
    return mask


def _crossings(start: Points, stop: Points, shape: tuple[int, int]) -> tuple[npt.NDArray[Any], ...]:
    """Row and first column to the right of each place where a side crosses the centres of a row."""
    upper, lower = np.minimum(start[:, 1], stop[:, 1]), np.maximum(start[:, 1], stop[:, 1])
    first, last = (_pixel(edge, shape[0]) for edge in (upper, lower))
    counts = last - first
    side = np.repeat(np.arange(len(start)), counts)
    rows = np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts, counts) + first[side]
    across = (stop - start)[side]
    # divided last: a crossing that lies on a centre comes out exactly there
    x = start[side, 0] + (rows + 0.5 - start[side, 1]) * across[:, 0] / across[:, 1]
    return rows, _pixel(x, shape[1])


def _pixel(place: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """The first of `count` pixels whose centre does not lie before a place."""
    found: npt.NDArray[np.intp] = np.ceil(np.clip(place, 0, count) - 0.5).astype(np.intp)
    return found


def _keep_one(corners: Points, mask: Mask) -> None:
    """Set the pixel in the middle of the part of an outline that lies in the mask."""
    size = np.array(mask.shape[::-1])
    start, stop = _cut(corners, np.roll(corners, -1, axis=0), size)
    if not len(start) or not (corners.max(axis=0) > 0).all():  # at most its side touches the border
        return
    steps = int(np.ceil(np.abs(stop - start).max() / STEP)) + 1
    share = np.linspace(0, 1, steps)[:, np.newaxis, np.newaxis]
    line = (start + share * (stop - start)).reshape(-1, 2)
    line = line[(line < size).all(axis=1)]
    if len(line):
        middle = (line.min(axis=0) + line.max(axis=0)) / 2
        x, y = line[np.square(line - middle).sum(axis=1).argmin()].astype(np.intp)
        mask[y, x] = 1


def _cut(start: Points, stop: Points, size: npt.NDArray[np.intp]) -> tuple[Points, Points]:
    """The parts of the sides that lie in the mask, by where they enter and leave it (Liang and Barsky)."""
    step = stop - start
    with np.errstate(divide="ignore", invalid="ignore"):
        borders = np.sort(np.stack([-start / step, (size - start) / step]), axis=0)
    within = (start >= 0) & (start <= size)
    borders = np.where(step == 0, np.where(within, [[[-np.inf]], [[np.inf]]], np.nan), borders)
    enter, leave = borders[0].max(axis=1).clip(0, 1), borders[1].min(axis=1).clip(0, 1)
    kept = (borders[0].max(axis=1) <= 1) & (borders[1].min(axis=1) >= 0) & (enter <= leave)
    first, last = (start + share[:, np.newaxis] * step for share in (enter, leave))
    return first[kept].clip(0, size), last[kept].clip(0, size)
