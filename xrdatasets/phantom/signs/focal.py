"""Phantom's signs of one place: nodules, masses, tuberculosis, hernia."""

from __future__ import annotations

import numpy as np

from xrdatasets.phantom.draws import Draws
from xrdatasets.phantom.grid import Field, bump, cloud, ramp, strokes
from xrdatasets.phantom.layers import Layers

__all__ = ["hernia", "mass", "nodule", "tuberculosis"]

CENTIMETRE = 0.05  # of half-widths: the detector is 40 cm wide


def nodule(layers: Layers, grade: float) -> None:
    """One to three round opacities of 1.5 to 3 cm."""
    draws = layers.case.of_patient("nodule")
    for number in range(1 + draws.below(1 + round(2 * grade))):
        one = draws.branch(number)
        x, y, _ = _spot(layers, one, -0.30, 0.42)
        radius = CENTIMETRE * (0.75 + 0.60 * grade) * one.uniform(0.9, 1.15)
        _ball(layers, "Nodule", one, x, y, min(radius, 1.5 * CENTIMETRE), rough=0.08, weight=4.4)


def mass(layers: Layers, grade: float) -> None:
    """A round or lobulated opacity of more than 3 cm, with spicules."""
    draws = layers.case.of_patient("mass")
    x, y, _ = _spot(layers, draws, -0.32, 0.36)
    radius = CENTIMETRE * (1.65 + 1.6 * grade) * draws.uniform(0.95, 1.1)
    _ball(layers, "Mass", draws, x, y, radius, rough=0.11, weight=1.15 + 1.5 * grade)
    count = 9
    angle = draws.uniforms(0, 6.283, count)[:, np.newaxis]
    far = radius * draws.uniforms(1.15, 1.7, count)[:, np.newaxis]
    t = np.linspace(0.5, 1, max(8, round(0.3 / layers.grid.pixel)))
    spicules = strokes(
        layers.grid, x + np.cos(angle) * far * t, y + np.sin(angle) * far * t, 0.012, 0.8 + 1.7 * grade
    )
    layers.added += spicules * (layers.thorax.air > 0.05)


def tuberculosis(layers: Layers, grade: float) -> None:
    """In an upper lobe: small nodules and streaks around a cavity with a wall."""
    draws = layers.case.of_patient("tuberculosis")
    a, grid = layers.thorax.anatomy, layers.grid
    x, y, side = _spot(layers, draws, -0.46, -0.30)
    for number in range(6 + round(18 * grade)):
        one = draws.branch(number)
        nx, ny = x + one.normal(0, 0.085), y + one.normal(0, 0.10)
        if abs(nx - a.midline) < a.wall(ny) - 0.02:
            radius = one.uniform(0.014, 0.030)
            box, dx, dy = grid.around(nx, ny, radius * 1.5)
            share = (0.17 + 0.36 * grade) * bump((dx * dx + dy * dy) * (1 / (1.5 * radius) ** 2))
            layers.fill("Tuberculosis", box, share)
    count = 7
    t = np.linspace(0, 1, max(8, round(0.4 / grid.pixel)))
    sx = x + draws.uniforms(-0.10, 0.06, count)[:, np.newaxis] * side
    sy = y + draws.uniforms(-0.08, 0.08, count)[:, np.newaxis]
    lines = strokes(
        grid,
        sx + (side * 0.16 + a.midline - sx) * 0.7 * t,
        sy + (a.apex + 0.6 - sy) * 0.7 * t,
        0.013,
        1.0 + 2.5 * grade,
    )
    layers.added += lines * (layers.thorax.air > 0.05)
    if grade > 0.3:
        _cavity(layers, draws, x, y, 0.045 + 0.05 * grade)


def hernia(layers: Layers, grade: float) -> None:
    """Stomach above the diaphragm: behind the heart, a round shadow with air over a level of fluid."""
    draws = layers.case.of_patient("hernia")
    a, grid = layers.thorax.anatomy, layers.grid
    rx = 0.12 + 0.12 * grade
    ry = rx * draws.uniform(0.8, 1.0)
    x, y = a.midline + draws.uniform(-0.04, 0.12), a.dome[1] - 0.60 * ry
    box, dx, dy = grid.around(x, y, rx * 1.2, ry * 1.2)
    r = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
    inside = ramp(r, 1.0, 0.90)
    level = draws.uniform(-0.15, 0.25) * ry
    above = ramp(dy, level + 0.010, level - 0.010)
    wall = bump(((r - 0.94) / 0.12) ** 2)
    layers.added[box] += 0.06 * grade * wall + (0.03 + 0.11 * grade) * inside * (1 - above)
    # a small one is full of fluid and food
    layers.added[box] -= 0.34 * max(grade - 0.24, 0.0) * inside * above * ramp(r, 0.95, 0.6)
    layers.open[box] *= 1 - (0.3 + 0.6 * grade) * inside
    layers.mark("Hernia", box, r < 1)


def _spot(layers: Layers, draws: Draws, high: float, low: float) -> tuple[float, float, int]:
    """A place in a lung, not behind the heart: x, y, and the side."""
    a = layers.thorax.anatomy
    side = draws.side()
    y = draws.uniform(high, min(low, a.dome[0] - 0.10))
    inner = 0.28 + (0.16 if side > 0 and y > 0 else 0.0)
    return side * draws.uniform(inner, max(inner + 0.05, 0.90 * a.wall(y) - 0.03)) + a.midline, y, side


def _ball(
    layers: Layers, sign: str, draws: Draws, x: float, y: float, radius: float, *, rough: float, weight: float
) -> None:
    """A solid ball in place of air: its path is the chord."""
    box, dx, dy = layers.grid.around(x, y, radius * 1.3)
    uneven = rough * cloud(draws, (dy.shape[0], dx.shape[1]), 5)
    squares = (dx * dx + dy * dy) * (1 / radius**2) * (1 + uneven) ** 2
    chord: Field = weight * radius * np.sqrt(np.maximum(1 - squares, 0))
    air = np.maximum(layers.thorax.air[box], 0.05)
    layers.fill(sign, box, np.minimum(chord / air, 0.92))


def _cavity(layers: Layers, draws: Draws, x: float, y: float, radius: float) -> None:
    box, dx, dy = layers.grid.around(x, y, radius * 1.5)
    r = np.sqrt(dx * dx + dy * dy) * (1 / radius)
    r *= 1 + 0.14 * cloud(draws, r.shape, 4)
    wall = bump(((r - 1.0) / 0.42) ** 2)
    inside = ramp(r, 0.95, 0.75)
    layers.open[box] = layers.open[box] * (1 - inside) + inside
    layers.thin(box, 1 - inside)
    layers.fill("Tuberculosis", box, 0.42 * wall)
    layers.mark("Tuberculosis", box, r < 1.2)
