"""Phantom, step 8: what looks like a finding and is none, in any patient.

Nipples pass for nodules, a fold of skin for the edge of a pneumothorax, crowded vessels for an infiltrate,
a pad of fat for an effusion, the shadow beside the second rib for pleural thickening. How often each shows
is chosen.
"""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.grid import bump, cloud, ramp
from xrdatasets.phantom.layers import Layers

__all__ = ["draw_mimics"]


def draw_mimics(layers: Layers) -> None:
    """Draw whatever of these the patient or the shot has."""
    body, shot = layers.case.of_patient("mimics"), layers.case.draws("mimics")
    if body.chance(0.18):
        _nipples(layers)
    if body.chance(0.15):
        _fat(layers)
    if body.chance(0.15):
        _companions(layers)
    if shot.chance(0.20):
        _crowding(layers)
    if shot.chance(0.14 if layers.case.supine else 0.04):
        _fold(layers)


def _nipples(layers: Layers) -> None:
    """A faint round shadow over each base, at the same height."""
    draws, a = layers.case.of_patient("nipples"), layers.thorax.anatomy
    out, y = draws.uniform(0.36, 0.50), draws.uniform(0.16, 0.30)
    radius, dense = draws.uniform(0.022, 0.034), draws.uniform(0.03, 0.07)
    for side in (-1, 1):
        x = side * out * draws.uniform(0.92, 1.08) + a.midline
        box, dx, dy = layers.grid.around(x, y + draws.uniform(-0.02, 0.02), radius)
        layers.added[box] += dense * bump((dx * dx + dy * dy) * (1 / radius**2))


def _fat(layers: Layers) -> None:
    """A pad beside the heart, in the angle above the diaphragm."""
    draws, a = layers.case.of_patient("fat"), layers.thorax.anatomy
    side = draws.side()
    wide, dense = draws.uniform(0.10, 0.17), draws.uniform(0.20, 0.50)
    edge = a.heart_x + 0.36 * a.heart if side > 0 else 0.24 * a.heart - a.heart_x
    x, y = side * (edge + 0.03) + a.midline, a.dome[(side + 1) // 2] + 0.01
    box, dx, dy = layers.grid.around(x, y, wide)
    layers.open[box] *= 1 - dense * bump((dx * dx + dy * dy) * (1 / wide**2))


def _companions(layers: Layers) -> None:
    """Soft tissue along the uppermost ribs, as a thin cap on both tops."""
    draws, a, box = layers.case.of_patient("companions"), layers.thorax.anatomy, layers.thorax.box
    wide, dense = draws.uniform(0.015, 0.035), draws.uniform(0.15, 0.40)
    y = layers.grid.y[box[0]]
    depth = layers.thorax.wall[box] - layers.thorax.out[:, box[1]]
    layers.open[box] *= 1 - dense * ramp(depth, wide, wide * 0.5) * ramp(y, a.apex + 0.42, a.apex + 0.25)


def _crowding(layers: Layers) -> None:
    """Haze over a base after a shallow breath."""
    draws, a, box = layers.case.draws("crowding"), layers.thorax.anatomy, layers.thorax.box
    both, side = draws.chance(0.6), draws.side()
    y, left = layers.grid.y[box[0]], layers.thorax.left[:, box[1]]
    here = ramp(y, a.dome[0] - 0.42, a.dome[0] + 0.05)
    one = np.ones_like(left) if both else (left if side > 0 else 1 - left)
    rough = 1 + 0.4 * cloud(draws, (here.shape[0], left.shape[1]), 7)
    layers.open[box] *= 1 - np.clip(draws.uniform(0.05, 0.16) * (here * one) * rough, 0, 0.5)


def _fold(layers: Layers) -> None:
    """Skin that is folded behind the patient: a long edge, dense on one side, vessels beyond it."""
    draws, a, grid = layers.case.draws("fold"), layers.thorax.anatomy, layers.grid
    side = draws.side()
    x, tilt, bend = (
        side * draws.uniform(0.38, 0.62) + a.midline,
        draws.uniform(-0.25, 0.25),
        draws.uniform(-0.2, 0.2),
    )
    top, bottom = draws.uniform(-0.6, -0.3), draws.uniform(0.1, 0.6)
    rows, columns = grid.box(x - 0.4, top, x + 0.4, bottom)
    y = grid.y[rows]
    across = (grid.x[:, columns] - x - tilt * y - bend * y * y) * side
    ends = ramp(y, top, top + 0.15) * ramp(y, bottom, bottom - 0.15)
    layers.added[rows, columns] += (
        draws.uniform(0.02, 0.05) * ramp(across, 0.004, -0.006) * ramp(across, -0.16, -0.02) * ends
    )
