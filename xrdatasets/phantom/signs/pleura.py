"""Phantom's signs of the pleura: fluid, air, thickening, plaques."""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.anatomy import FAINT
from xrdatasets.phantom.grid import Box, Field, bump, cloud, ramp
from xrdatasets.phantom.layers import Layers
from xrdatasets.phantom.thorax import Thorax

__all__ = ["effusion", "plaques", "pneumothorax", "thickening"]


def effusion(layers: Layers, grade: float) -> None:
    """Fluid that fills the costophrenic angle and climbs the wall; lying down, a veil over the whole lung.

    A grade from `FAINT` to 0 is a trace of fluid that does not count.
    """
    draws = layers.case.draws("effusion")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    first = draws.side()
    sides = (first, -first) if draws.chance(0.35) else (first,)
    for number, side in enumerate(sides):
        amount = max(grade - 0.25 * number, FAINT + 0.05)
        base = a.dome[(side + 1) // 2] + a.bow
        # from the angle alone to the middle of the lung
        level = base + 0.04 - 0.12 * (amount - FAINT) - 0.32 * max(amount, 0) ** 2
        rise = 0.10 + 0.10 * max(amount, 0)
        box = _half(thorax, side, level - (0.80 if layers.case.supine else rise + 0.02))
        y, u = grid.y[box[0]], thorax.across[box]
        fluid = ramp(y - (level + 0.05 - rise * u * u * u * np.abs(u)), -0.015, 0.015)
        share = (0.5 + 0.4 * max(amount, 0)) * fluid
        if layers.case.supine:
            veil = (0.03 + 0.34 * max(amount, 0)) * ramp(y, level - 0.75, level + 0.05)
            share = np.maximum(0.75 * share, veil)
        layers.fill("Effusion", box, share)
        layers.thin(box, 1 - 0.8 * fluid)


def pneumothorax(layers: Layers, grade: float) -> None:
    """The edge of the lung as a fine line, and beyond it air without vessels; widest at the top."""
    draws = layers.case.draws("pneumothorax")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    side = draws.side()
    box = _half(thorax, side)
    y, air = grid.y[box[0]], layers.lung(box)
    high = ramp(y, a.dome[0] + 0.05, a.apex)
    if layers.case.supine and draws.chance(0.5):
        high = 0.45 + 0.55 * high  # lying down, the air spreads to the base
    gap = (0.02 + 0.26 * grade) * (0.12 + 0.88 * high) + 0.012 * cloud(draws, (len(y), 1), 5)
    beyond_edge = _from_wall(thorax, box) - gap
    beyond = ramp(beyond_edge, 0.006, -0.006) * air
    line = bump((beyond_edge * (1 / max(0.011, 1.1 * grid.pixel))) ** 2) * air
    layers.thin(box, 1 - beyond)
    # no lung tissue in these rays
    layers.added[box] += (0.025 + 0.035 * grade) * line - (0.012 + 0.035 * grade) * beyond
    layers.open[box] *= 1 - np.float32(0.03 + 0.20 * grade) * (air & (beyond_edge > 0))
    layers.mark("Pneumothorax", box, beyond > 0.5)


def thickening(layers: Layers, grade: float) -> None:
    """A band of soft tissue along the wall, or a cap on the apex."""
    draws = layers.case.of_patient("thickening")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    side = draws.side()
    box = _half(thorax, side)
    y = grid.y[box[0]]
    wide = (0.038 + 0.072 * grade) * (1 + 0.20 * cloud(draws, (len(y), 1), 7))
    if draws.chance(0.35):
        here = ramp(y, a.apex + 0.34, a.apex + 0.20)
        wide = wide * 1.3
    else:
        middle, half = draws.uniform(0.0, 0.30), draws.uniform(0.24, 0.36)
        here = np.sqrt(bump(((y - middle) / half) ** 2))
    band = ramp(_from_wall(thorax, box) - wide * here, 0.008, -0.008) * here
    layers.fill("Pleural_Thickening", box, (0.52 + 0.42 * grade) * band)
    layers.added[box] += 0.05 * grade * band * layers.lung(box)


def plaques(layers: Layers, grade: float) -> None:
    """Calcium on the pleura: sharp, uneven patches over the lungs and a line on the diaphragm."""
    draws = layers.case.of_patient("plaques")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    for number in range(3 + round(4 * grade)):
        one = draws.branch(number)
        side, y = one.side(), one.uniform(-0.20, a.dome[0] - 0.08)
        out = one.uniform(0.45, 0.90) * a.wall(y)
        reach = one.uniform(0.05, 0.09) * (0.8 + 0.4 * grade)
        box, dx, dy = grid.around(side * out + a.midline, y, reach * 1.5)
        shape = (dy.shape[0], dx.shape[1])
        r = np.sqrt((dx / reach) ** 2 + (dy / (0.75 * reach)) ** 2) + 0.45 * cloud(one, shape, 6)
        patch = ramp(r, 1.0, 0.85) * (0.55 + 0.45 * np.abs(cloud(one, shape, 12)))
        rim = bump(((r - 0.92) / 0.16) ** 2)
        layers.add("Pleural Other", box, (0.065 + 0.055 * grade) * (patch + 0.7 * rim))
    box = _half(thorax, draws.side(), min(a.dome) - 0.05)
    on_dome = bump(
        ((thorax.floor[:, box[1]] - grid.y[box[0]] - 0.004) * (1 / max(0.014, 1.2 * grid.pixel))) ** 2
    )
    on_dome *= bump(((thorax.out[:, box[1]] - draws.uniform(0.3, 0.5)) / 0.16) ** 2)
    layers.add("Pleural Other", box, (0.14 + 0.10 * grade) * on_dome)


def _half(thorax: Thorax, side: int, top: float = -1.0) -> Box:
    """The box of one lung, from a height down."""
    rows, columns = thorax.box
    middle = thorax.grid.box(0, top, thorax.anatomy.midline, 1)
    start = max(rows.start, middle[0].start)
    if side < 0:
        return slice(start, rows.stop), slice(columns.start, middle[1].stop)
    return slice(start, rows.stop), slice(middle[1].stop, columns.stop)


def _from_wall(thorax: Thorax, box: Box) -> Field:
    """About the distance of a pixel from the nearest outer edge of its lung, the top among them."""
    a = thorax.anatomy
    sideways = thorax.wall[box] - thorax.out[:, box[1]]
    # near the top the wall runs inwards: the distance to it is shorter than the one sideways
    tall = np.maximum(thorax.grid.y[box[0]] - a.apex, 0)
    nearest: Field = np.minimum(sideways * 0.9, 0.25 * sideways + 0.75 * tall)
    return nearest
