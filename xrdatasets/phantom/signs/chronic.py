"""Phantom's signs of lungs that have changed for good: emphysema and fibrosis."""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.grid import bump, cloud, ramp
from xrdatasets.phantom.layers import EVERYWHERE, Layers

__all__ = ["emphysema", "fibrosis"]


def emphysema(layers: Layers, grade: float) -> None:
    """Bullae: round places without vessels, with thin walls; deep lungs and flat domes are anatomy."""
    draws = layers.case.of_patient("emphysema")
    a, grid = layers.thorax.anatomy, layers.grid
    for number in range(round(4 * grade)):
        one = draws.branch(number)
        side, y = one.side(), one.uniform(-0.45, 0.25)
        radius = one.uniform(0.08, 0.15)
        x = side * one.uniform(0.40, 0.85) * a.wall(y) + a.midline
        box, dx, dy = grid.around(x, y, radius * 1.2)
        r = np.sqrt(dx * dx + dy * dy) * (1 / radius)
        layers.thin(box, 1 - 0.9 * ramp(r, 1, 0.8))
        layers.added[box] += 0.028 * bump(((r - 1) / 0.10) ** 2) * layers.lung(box)
        layers.added[box] -= 0.03 * ramp(r, 1, 0.8) * layers.lung(box)
    if "Emphysema" in layers.masks:
        layers.mark("Emphysema", EVERYWHERE, layers.lung(EVERYWHERE))


def fibrosis(layers: Layers, grade: float) -> None:
    """A net of lines, densest at the bases and near the wall, in smaller lungs."""
    draws = layers.case.of_patient("fibrosis")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    box = thorax.box
    across = thorax.across[box]
    net = bump((cloud(draws, across.shape, 26) * 4.5) ** 2) + bump(
        (cloud(draws, across.shape, 37) * 4.5) ** 2
    )
    low = ramp(grid.y[box[0]], a.apex + 0.35, a.dome[0] + 0.05)
    weight = low * (0.35 + 0.65 * ramp(across, 0.0, 0.9)) * (1 + 0.4 * cloud(draws, across.shape, 5))
    share = (0.07 + 0.30 * grade) * np.clip(weight, 0, 1.4) * (0.35 + 0.75 * net)
    layers.open[box] *= 1 - np.clip(share, 0, 0.85, out=share)
    # the place is that of the net, not of its lines
    layers.mark("Fibrosis", box, (weight > 0.35) & layers.lung(box))
