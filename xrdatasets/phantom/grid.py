"""Phantom's tools: the detector's pixels, and the few shapes that everything is drawn with.

Lengths are in half-widths of the detector: x runs from -1 (the patient's right) to 1, y from -1 (the neck)
to 1. A detector of 40 cm makes one unit 20 cm.

Maps are float32 and made of what IEEE 754 rounds alike on every machine: sums, products, quotients, roots
and tables. What it does not (powers, sines, exponentials, matrix products, filters) runs in float64 and is
rounded after.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from xrdatasets.phantom.draws import Draws

__all__ = ["Box", "Field", "Grid", "Points", "bump", "chord", "cloud", "ramp", "strokes", "tube"]

# float32; a type checker takes float32 times a number of Python for float64, so the alias says less
Field = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.float64]
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Grid:
    """The centres of the pixels.

    Attributes:
        size: rows and columns.
        x: (1, size) float32.
        y: (size, 1) float32.
        pixel: side of a pixel.
    """

    size: int
    x: Field
    y: Field
    pixel: float

    def empty(self) -> Field:
        """(size, size) zeros."""
        return np.zeros((self.size, self.size), dtype=np.float32)

    @staticmethod
    @cache
    def of(size: int) -> Grid:
        """The grid of size x size pixels."""
        line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
        return Grid(size, line[np.newaxis], line[:, np.newaxis], 2 / size)

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Rows and columns of a rectangle, as far as it lies on the detector."""
        rows, columns = (
            slice(
                max(0, int((low + 1) / self.pixel)), max(0, min(self.size, int((high + 1) / self.pixel) + 1))
            )
            for low, high in ((top, bottom), (left, right))
        )
        return rows, columns

    def around(
        self, x: float, y: float, reach: float, reach_y: float | None = None
    ) -> tuple[Box, Field, Field]:
        """The box around a point, and its pixels' x and y measured from there."""
        down = reach if reach_y is None else reach_y
        box = self.box(x - reach, y - down, x + reach, y + down)
        return box, self.x[:, box[1]] - x, self.y[box[0]] - y


def ramp(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between (a cubic); the other way round if `low` > `high`."""
    t = (values - low) * (1 / (high - low))
    np.minimum(np.maximum(t, 0, out=t), 1, out=t)  # np.clip takes three times as long to begin
    rise: Field = t * t * (3 - 2 * t)
    return rise


def bump(squares: Field) -> Field:
    """From squared distances: 1 in the middle, 0 from distance 1 on, smooth."""
    t = 1 - squares
    np.maximum(t, 0, out=t)
    return t * t


def chord(squares: Field) -> Field:
    """From squared distances: the path through a ball or a cylinder of radius 1, 1 in the middle."""
    t = 1 - squares
    np.maximum(t, 0, out=t)
    path: Field = np.sqrt(t, out=t)
    return path


def tube(distance: Field, radius: float, shell: float) -> Field:
    """Path through a bone of round section, at most about 1: a marrow that is thin, a cortex that is bright.

    Args:
        distance: from its axis.
        radius: of the bone.
        shell: how much of it is cortex, 0 to 1.
    """
    t = np.abs(distance) * (1 / radius)
    rim = bump(((t - 0.78) * (1 / 0.3)) ** 2)
    np.minimum(t, 1, out=t)
    return (1 - shell) * np.sqrt(1 - t * t) + shell * rim


def cloud(draws: Draws, shape: tuple[int, int], cells: int) -> Field:
    """Smooth noise of mean 0 and deviation 0.74: `cells` bumps from side to side, at any size.

    Args:
        draws: the stream; a branch of it is used, so that what is drawn from it later stays the same.
        shape: (height, width) of the result.
        cells: bumps along each side that is more than a pixel.
    """
    rows, columns = (_mesh(length, cells + 1 if length > 1 else 1) for length in shape)
    lattice = draws.branch(f"cloud {cells}").noise(rows.shape[1], columns.shape[1]).astype(np.float64)
    return (rows @ lattice @ columns.T).astype(np.float32)


@cache
def _mesh(length: int, knots: int) -> Points:
    """(length, knots) float64 weights that draw a smooth line through `knots` values."""
    place = (np.arange(length) + 0.5) * ((knots - 1) / max(length, 1))
    t = 1 - np.abs(place[:, np.newaxis] - np.arange(knots)[np.newaxis])
    np.maximum(t, 0, out=t)
    weights: Points = t * t * (3 - 2 * t)
    return weights


def strokes(grid: Grid, x: Points, y: Points, width: float, weight: float = 1.0) -> Field:
    """Paths through round cords, drawn as dots along them and blurred to their width.

    Args:
        grid: the pixels.
        x: (M, K) of M cords at K points each.
        y: (M, K).
        width: of all cords; one of width w adds about w * weight on its axis.
        weight: attenuation of the cords' material.

    Returns:
        (size, size) float32.
    """
    across, down = np.diff(x, axis=1), np.diff(y, axis=1)
    step = np.sqrt(across * across + down * down)
    length = np.concatenate(
        [step[:, :1] * 0.5, (step[:, 1:] + step[:, :-1]) * 0.5, step[:, -1:] * 0.5], axis=1
    )
    # a round cord of width w has the section pi w^2 / 4 across its axis
    mass = length * (width * width * (np.pi / 4) / grid.pixel**2 * weight)
    dots = _splat(grid, x.ravel(), y.ravel(), mass.ravel())
    # a dot that is shared among four pixels is 0.4 pixels wide already
    sigma = np.sqrt(max((width / grid.pixel * 0.32) ** 2 - 0.4**2, 0))
    return _blurred(dots, float(sigma)) if sigma > 0.45 else dots


def _splat(grid: Grid, x: Points, y: Points, mass: Points) -> Field:
    """Dots, each shared among the four pixels around it."""
    column, row = (x + 1) * (1 / grid.pixel) - 0.5, (y + 1) * (1 / grid.pixel) - 0.5
    inside = (column >= 0) & (column < grid.size - 1) & (row >= 0) & (row < grid.size - 1)
    column, row, mass = column[inside], row[inside], mass[inside]
    left, top = column.astype(np.intp), row.astype(np.intp)
    right_part, low_part = (column - left) * mass, row - top
    left_part = mass - right_part
    first = top * grid.size + left
    flat = np.concatenate([first, first + 1, first + grid.size, first + grid.size + 1])
    low_left, low_right = left_part * low_part, right_part * low_part
    share = np.concatenate([left_part - low_left, right_part - low_right, low_left, low_right])
    dots = np.bincount(flat, share, minlength=grid.size**2)
    return dots.astype(np.float32).reshape(grid.size, grid.size)


def _blurred(field: Field, sigma: float) -> Field:
    from scipy.ndimage import gaussian_filter1d

    once = gaussian_filter1d(field, sigma, axis=0, mode="constant", truncate=2.5)
    twice: Field = gaussian_filter1d(once, sigma, axis=1, mode="constant", truncate=2.5)
    return twice
