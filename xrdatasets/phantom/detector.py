"""Phantom, step 12: from what the body takes away of the beam to the grey values of a hospital's files.

Scatter lays a veil over the image, the detector blurs it, photons are counted (noise), the exposure curve
makes grey values of it, and the technician's letters and the collimator are part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from xrdatasets.phantom.anatomy import Case
from xrdatasets.phantom.grid import Field, Grid, Points, ramp

__all__ = ["Detector", "develop"]

COARSE = 28  # rows and columns on which scatter is computed
HARDNESS = 2.0  # an average trunk lets exp(-2) of the beam through
OPEN_FIELD = 0.55  # more light than this, beside the body, makes no more scatter
CURVE = 1 << 13  # steps of the exposure curve from no light to the open beam
# letters of 5 x 7 dots, row by row
LETTERS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "P": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
    "O": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "T": ("11111", "00100", "00100", "00100", "00100", "00100", "00100"),
    "B": ("11110", "10001", "10001", "11110", "10001", "10001", "11110"),
    "E": ("11111", "10000", "10000", "11110", "10000", "10000", "11111"),
    " ": ("00000",) * 7,
}


@dataclass(frozen=True, slots=True)
class Detector:
    """How a hospital's images look.

    Attributes:
        half: attenuation that comes out half-way between black and white.
        contrast: steepness of the exposure curve.
        scatter: scattered light, as a part of the mean.
        blur: standard deviation of the detector's blur, in half-widths.
        noise: standard deviation of the open beam's light, at 224 pixels; behind a body it is that times the
            root of the light.
        grain: blur of the noise, in pixels at 224.
        exposure: spread of the exposure from image to image.
        letter: the side marker: its letter.
        letter_size: height of a letter, in half-widths.
        tag: whether the letter stands dark in a bright tag.
        words: what else is written on AP images.
        collimation: how far the collimator may cut into the image, in half-widths.
    """

    half: float
    contrast: float
    scatter: float
    blur: float
    noise: float
    grain: float
    exposure: float
    letter: str
    letter_size: float
    tag: bool
    words: str
    collimation: float


def develop(attenuation: Field, case: Case, detector: Detector, grid: Grid) -> npt.NDArray[np.uint8]:
    """(size, size) uint8 grey values, dense is bright."""
    from scipy.ndimage import gaussian_filter

    light = np.exp(attenuation.astype(np.float64) * -HARDNESS).astype(np.float32)
    light += detector.scatter * _veil(light)
    light *= 1 / (1 + detector.scatter * OPEN_FIELD)
    sigma = detector.blur / grid.pixel
    if sigma > 0.3:
        light = gaussian_filter(light, sigma, mode="nearest", truncate=2.5)
    light += np.sqrt(light) * _noise(case, detector, grid)
    place = light * CURVE
    np.clip(place, 0, 1.2 * CURVE - 1, out=place)
    grey = _curve(case, detector)[place.astype(np.int32)]
    _mark(grey, case, detector, grid)
    _collimate(grey, case, detector, grid)
    np.clip(grey, 0, 1, out=grey)
    return (grey * 255 + 0.5).astype(np.uint8)


def _curve(case: Case, detector: Detector) -> Field:
    """(1.2 * CURVE,) grey value of each amount of light.

    A Hill curve of the attenuation: toe, straight part and shoulder, as films have (Hurter and Driffield
    1890).
    """
    shot = case.draws("exposure")
    half = detector.half * (1 + shot.normal(0, detector.exposure))
    steep = detector.contrast * (1 + shot.normal(0, detector.exposure * 0.5))
    seen = np.maximum(np.log((np.arange(int(1.2 * CURVE)) + 0.5) * (1 / CURVE)) * (-1 / HARDNESS), 0)
    power = seen**steep
    grey: Field = (power / (power + half**steep) * 1.12 - 0.01).astype(np.float32)
    return grey


def _veil(light: Field) -> Field:
    """Scattered light: a blurred image of the light behind the body."""
    from scipy.ndimage import gaussian_filter

    size = light.shape[0]
    side = min(COARSE, size)
    mesh, spread = _blocks(size, side), _tents(size, side)
    coarse = np.minimum(mesh @ light.astype(np.float64) @ mesh.T, OPEN_FIELD)
    coarse = gaussian_filter(coarse, side / 7, mode="nearest", truncate=2.5)
    return (spread @ coarse @ spread.T).astype(np.float32)


@cache
def _blocks(size: int, side: int) -> Points:
    edges = np.arange(size) * side // size
    weights = (edges[np.newaxis] == np.arange(side)[:, np.newaxis]).astype(np.float64)
    means: Points = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return means


@cache
def _tents(size: int, side: int) -> Points:
    place = np.clip((np.arange(size) + 0.5) * (side / size) - 0.5, 0, side - 1)
    weights: Points = np.maximum(1 - np.abs(place[:, np.newaxis] - np.arange(side)), 0)
    return weights


def _noise(case: Case, detector: Detector, grid: Grid) -> Field:
    """(size, size) float32 noise of the unattenuated beam."""
    from scipy.ndimage import gaussian_filter

    noise = case.draws("noise").noise(grid.size, grid.size)
    # a smaller pixel counts fewer photons
    scale = min(grid.size / 224, 1.5)
    sigma = detector.grain * grid.size / 224
    if sigma > 0.3:
        # a blur leaves 1 / (2 sqrt(pi) sigma) of the deviation; it is given back
        noise = gaussian_filter(noise, sigma, mode="wrap", truncate=2.5) * np.float32(
            2 * np.sqrt(np.pi) * sigma
        )
    return noise * np.float32(detector.noise * scale)


def _mark(grey: Field, case: Case, detector: Detector, grid: Grid) -> None:
    draws = case.draws("marker")
    letter, height = detector.letter, detector.letter_size
    side = -1 if letter == "R" else 1
    x, y = side * draws.uniform(0.80, 0.88), draws.uniform(-0.92, -0.72)
    if detector.tag:
        box = grid.box(x - 0.055, y - 0.02, x + height * 0.9 + 0.01, y + height + 0.02)
        grey[box] = np.maximum(grey[box], 0.92)
        _write(grey, letter, x - 0.01, y, height, grid, value=0.25)
    else:
        _write(grey, letter, x, y, height, grid, value=1.0)
    if case.supine and detector.words:
        wide = len(detector.words) * 6 * height / 7 * 0.7
        _write(
            grey, detector.words, side * 0.70 - wide / 2, y + height + 0.05, height * 0.7, grid, value=0.95
        )


def _write(grey: Field, text: str, x: float, y: float, height: float, grid: Grid, *, value: float) -> None:
    lines = ["0".join(LETTERS[letter][row] for letter in text) for row in range(7)]
    dots = np.array([[dot == "1" for dot in line] for line in lines])
    dot = height / 7
    across, down = (grid.x[0] - x) * (1 / dot), (grid.y[:, 0] - y) * (1 / dot)
    columns, rows = (
        np.flatnonzero((place >= 0) & (place < count))
        for place, count in ((across, dots.shape[1]), (down, dots.shape[0]))
    )
    lit = dots[down[rows].astype(np.intp)[:, np.newaxis], across[columns].astype(np.intp)]
    part = grey[rows[:, np.newaxis], columns]
    grey[rows[:, np.newaxis], columns] = np.where(lit, np.float32(value), part)


def _collimate(grey: Field, case: Case, detector: Detector, grid: Grid) -> None:
    if not detector.collimation:
        return
    draws = case.draws("collimator")
    cut = [draws.uniform(-0.6, 1) * detector.collimation for _ in range(4)]
    tilt = draws.normal(0, 0.02)
    x, y = grid.x, grid.y
    soft = 1.5 * grid.pixel
    inside = ramp(x - tilt * y, -1 + cut[0] - soft, -1 + cut[0]) * ramp(
        x - tilt * y, 1 - cut[1] + soft, 1 - cut[1]
    )
    inside = inside * ramp(y + tilt * x, -1 + cut[2] - soft, -1 + cut[2])
    inside = inside * ramp(y + tilt * x, 1 - cut[3] + soft, 1 - cut[3])
    grey *= inside
