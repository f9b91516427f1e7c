"""Phantom, step 10: the arteries and veins of the lungs, which branch from the hila."""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.grid import Field, bump, strokes
from xrdatasets.phantom.thorax import Thorax

__all__ = ["draw_vessels", "hilum"]

ORDERS = 5  # of branching; the last is left out where it would be far thinner than a pixel
TRUNKS = 12  # branches of the first order on each side
WIDEST = 0.025  # width of these, 5 mm
TAPER = 0.66  # of a branch's width is left in each of its two twigs
DENSITY = 3.4  # chosen: vessels stand out as they do on a radiograph
FORK = np.array([[1.0], [-1.0]])  # the two twigs turn to either side


def hilum(thorax: Thorax, side: int) -> tuple[float, float]:
    """Distance from the midline and y of a lung's root; the left one is the higher."""
    a = thorax.anatomy
    return 0.155 + 0.25 * (a.band - 0.125), a.apex + 0.66 - 0.035 * (side > 0)


def draw_vessels(thorax: Thorax) -> Field:
    """(size, size) float32 thickness of all vessels, as they would lie in two full lungs."""
    draws, a, grid = thorax.case.of_patient("vessels"), thorax.anatomy, thorax.grid
    count = 2 * TRUNKS
    side = np.repeat([-1.0, 1.0], TRUNKS)
    (right_x, right_y), (left_x, left_y) = hilum(thorax, -1), hilum(thorax, 1)
    x = np.where(side < 0, right_x, left_x) + draws.uniforms(-0.02, 0.02, count)
    y = np.where(side < 0, right_y, left_y) + draws.uniforms(-0.09, 0.11, count)
    # angles from outwards, down is positive; all of the fan is filled
    angle = np.tile(np.linspace(-1.35, 1.5, TRUNKS), 2) + draws.uniforms(-0.12, 0.12, count)
    length = draws.uniforms(0.17, 0.30, count) * (1 + 0.25 * np.abs(np.sin(angle)))
    width = WIDEST * a.vessels
    out = _hila(thorax)
    for _ in range(ORDERS if width * TAPER ** (ORDERS - 1) > 0.6 * grid.pixel else ORDERS - 1):
        t = np.linspace(0, 1, max(4, round(float(length.max()) / grid.pixel)))
        bend = angle[:, np.newaxis] + draws.uniforms(-0.6, 0.6, count)[:, np.newaxis] * t
        step = length[:, np.newaxis] * (1 / (len(t) - 1))
        xs = x[:, np.newaxis] + np.cumsum(np.cos(bend) * step, axis=1)
        ys = y[:, np.newaxis] + np.cumsum(np.sin(bend) * step, axis=1)
        out += strokes(grid, side[:, np.newaxis] * xs + a.midline, ys, width, DENSITY)
        fork = (draws.uniforms(0.25, 0.75, 2 * count).reshape(2, count) * FORK).ravel()
        side, x, y = np.tile(side, 2), np.tile(xs[:, -1], 2), np.tile(ys[:, -1], 2)
        angle = np.tile(bend[:, -1], 2) + fork
        length = np.tile(length * 0.68, 2) * draws.uniforms(0.7, 1.2, 2 * count)
        width, count = width * TAPER, 2 * count
    return out


def _hila(thorax: Thorax) -> Field:
    out = thorax.grid.empty()
    draws = thorax.case.of_patient("hila")
    a = thorax.anatomy
    for side in (-1, 1):
        x, y = hilum(thorax, side)
        for _ in range(4):
            rx, ry = draws.uniform(0.035, 0.06), draws.uniform(0.05, 0.09)
            cx = side * (x + draws.uniform(-0.03, 0.03)) + a.midline
            box, dx, dy = thorax.grid.around(cx, y + draws.uniform(-0.06, 0.08), rx, ry)
            out[box] += draws.uniform(0.02, 0.05) * bump((dx / rx) ** 2 + (dy / ry) ** 2)
    return out * a.vessels
