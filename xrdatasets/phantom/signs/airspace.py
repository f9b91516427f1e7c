"""Phantom's signs of the airspaces: air gives way to fluid, cells or collapse."""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.anatomy import COLLAPSE
from xrdatasets.phantom.draws import Draws
from xrdatasets.phantom.grid import Field, bump, cloud, ramp, strokes
from xrdatasets.phantom.layers import Layers
from xrdatasets.phantom.vessels import hilum

__all__ = ["atelectasis", "consolidation", "edema", "infiltration", "pneumonia"]


def consolidation(layers: Layers, grade: float) -> None:
    """Part of a lobe without air: hides vessels and the borders it touches, with bronchi that are open."""
    draws = layers.case.draws("consolidation")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    side = draws.side()
    reach = 0.15 + 0.16 * grade
    y = draws.uniform(-0.30, 0.30) + (a.dome[0] - 0.45)
    out = draws.uniform(0.42, 0.62) * a.wall(y)
    box, dx, dy = grid.around(side * out + a.midline, y, reach * 1.35, reach * 1.25)
    rough = cloud(draws, (dy.shape[0], dx.shape[1]), 6)
    r = np.sqrt((dx / reach) ** 2 + (dy / (reach * 0.85)) ** 2) + 0.30 * rough
    lobe = ramp(r, 1.05, 0.45)
    # one border is the fissure: straight and sharp
    tilt = draws.uniform(-0.35, 0.35)
    edge = dy - tilt * dx * side + 0.25 * dx * dx / reach + reach * draws.uniform(0.35, 0.7)
    lobe = lobe * ramp(edge, -0.02, 0.02)
    share = (0.13 + 0.52 * grade) * lobe * (1 + 0.08 * rough)
    # bronchi that still hold air
    hx, hy = hilum(thorax, side)
    count, t = 5, np.linspace(0.15, 1.15, max(12, round(0.5 / grid.pixel)))
    fan = draws.uniforms(-0.5, 0.5, count)[:, np.newaxis]
    ends_x, ends_y = side * (out + reach * 0.6 * np.sin(fan * 2)), y + reach * 0.8 * fan * 2
    xs = side * hx + (ends_x - side * hx) * t + a.midline
    ys = hy + (ends_y - hy) * t
    bronchi = strokes(grid, xs, ys, 0.016, 22.0)[box]
    share *= 1 - np.minimum(bronchi, 0.5)
    layers.fill("Consolidation", box, np.clip(share, 0, 0.95))
    layers.thin(box, 1 - (0.4 + 0.5 * grade) * lobe)


def pneumonia(layers: Layers, grade: float) -> None:
    """Several patches with soft borders, unevenly dense, that run into each other."""
    draws = layers.case.draws("pneumonia")
    a, grid = layers.thorax.anatomy, layers.grid
    side = draws.side()
    y0 = draws.uniform(-0.22, 0.22) + (a.dome[0] - 0.38)
    both = draws.chance(0.35)
    for number in range(3 + round(7 * grade)):
        one = draws.branch(number)
        here = -side if both and number % 3 == 2 else side
        y = y0 + one.normal(0, 0.13)
        out = one.uniform(0.35, 0.85) * a.wall(y)
        reach = one.uniform(0.07, 0.13)
        box, dx, dy = grid.around(here * out + a.midline, y, reach * 1.4)
        rough = cloud(one, (dy.shape[0], dx.shape[1]), 5)
        patch = bump(((dx / reach) ** 2 + (dy / reach) ** 2) * np.maximum(1 + 0.5 * rough, 0.1) * 0.6)
        share = (0.10 + 0.40 * grade) * patch * (1 + 0.45 * rough)
        layers.fill("Pneumonia", box, np.clip(share, 0, 0.9))
        layers.thin(box, 1 - 0.5 * patch)


def infiltration(layers: Layers, grade: float) -> None:
    """A faint, streaky haze without borders, through which vessels still show."""
    draws = layers.case.draws("infiltration")
    a, grid = layers.thorax.anatomy, layers.grid
    first = draws.side()
    for side in (first, -first) if draws.chance(0.4) else (first,):
        y = draws.uniform(-0.30, 0.28) + (a.dome[0] - 0.42)
        out = draws.uniform(0.40, 0.65) * a.wall(y)
        reach = draws.uniform(0.24, 0.34)
        box, dx, dy = grid.around(side * out + a.midline, y, reach)
        shape = (dy.shape[0], dx.shape[1])
        haze = bump((dx / reach) ** 2 + (dy / reach) ** 2)
        one = draws.branch(side)
        streaks = np.abs(cloud(one, shape, 11)) + 0.4 * cloud(one, shape, 5)
        share = haze * (0.08 + 0.23 * grade) * (1 + 0.55 * streaks)
        layers.fill("Infiltration", box, np.clip(share, 0, 0.7))


def edema(layers: Layers, grade: float) -> None:
    """Haze around both hila in the form of wings, blurred vessels, short septal lines at the bases."""
    draws = layers.case.draws("edema")
    thorax, a, grid = layers.thorax, layers.thorax.anatomy, layers.grid
    box = thorax.box
    x, y = hilum(thorax, 1)
    dx, dy = (thorax.out[:, box[1]] - x - 0.15) * (1 / 0.33), (grid.y[box[0]] - y - 0.14) * (1 / 0.48)
    wings = bump((dx * dx + dy * dy) * 0.55)
    low = 0.12 * grade * ramp(grid.y[box[0]], y - 0.25, a.dome[0])
    share = wings * (1 + 0.35 * cloud(draws, wings.shape, 9))
    share *= 0.32 * grade
    share += low
    layers.fill("Edema", box, np.clip(share, 0, 0.85, out=share))
    _septa(layers, draws, grade)


def _septa(layers: Layers, draws: Draws, grade: float) -> None:
    """Kerley's B lines: short, horizontal, at the outer edge of the bases."""
    a, grid = layers.thorax.anatomy, layers.grid
    count = 1 + round(10 * grade)
    side = np.where(draws.uniforms(0, 1, count) < 0.5, -1.0, 1.0)[:, np.newaxis]
    y = a.dome[0] + 0.12 - draws.uniforms(0, 0.34, count)[:, np.newaxis]
    end = 0.985 * a.chest
    start = end - draws.uniforms(0.05, 0.10, count)[:, np.newaxis]
    t = np.linspace(0, 1, max(6, round(0.2 / grid.pixel)))
    xs = side * (start + (end - start) * t) + a.midline
    layers.added += strokes(grid, xs, y + 0.01 * t, 0.008, 2.5) * (layers.thorax.air > 0.05)


def atelectasis(layers: Layers, grade: float) -> None:
    """Plates at a base, and with more of it a collapsed wedge beside the spine, over a raised diaphragm."""
    draws = layers.case.draws("atelectasis")
    a, grid = layers.thorax.anatomy, layers.grid
    side = draws.side()
    dome = a.dome[(side + 1) // 2]
    for number in range(1 + round(3 * grade)):
        y = dome - 0.05 - 0.085 * number - draws.uniform(0.0, 0.05)
        out = draws.uniform(0.30, 0.52)
        long, thick = draws.uniform(0.13, 0.22), draws.uniform(0.012, 0.020) + 0.010 * grade
        tilt = draws.uniform(-0.35, 0.25) * side
        box, dx, dy = grid.around(side * out + a.midline, y, long * 1.1, long * 0.5 + 3 * thick)
        across = dy - tilt * dx - 0.4 * dx * dx
        plate = np.sqrt(bump((dx / long) ** 2)) * bump((across / (1.6 * thick)) ** 2)
        layers.fill("Atelectasis", box, (0.11 + 0.49 * grade) * plate)
    if grade > COLLAPSE:
        _wedge(layers, side, dome, grade)


def _wedge(layers: Layers, side: int, dome: float, grade: float) -> None:
    """The lower lobe, collapsed towards the spine: a triangle."""
    a, grid = layers.thorax.anatomy, layers.grid
    top, wide = dome - 0.42, 0.20 + 0.16 * grade
    box, dx, dy = grid.around(a.midline, dome - 0.15, wide + 0.1, 0.36)
    y: Field = dy + dome - 0.15
    border = wide * ramp(y, top, dome + 0.1)
    share = (0.2 + 0.4 * grade) * ramp(dx * side - 0.06, 0, 0.02) * ramp(dx * side - border, 0.012, -0.012)
    layers.fill("Atelectasis", box, share)
    layers.thin(box, 1 - share)
