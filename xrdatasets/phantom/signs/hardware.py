"""Phantom's signs of bone and metal: broken ribs, and devices in or on the patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from xrdatasets.phantom.bones import Break, rib_y
from xrdatasets.phantom.draws import Draws
from xrdatasets.phantom.grid import Points, bump, ramp, strokes
from xrdatasets.phantom.layers import Layers

__all__ = ["DEVICES", "devices", "fracture"]


REACH = 0.055  # half-widths: a broken end of a rib and its callus


def fracture(layers: Layers, grade: float) -> None:
    """Three to five ribs with a gap and a step; old ones with callus, fresh ones with blood at the wall."""
    draws = layers.case.draws("fracture")
    a, grid = layers.thorax.anatomy, layers.grid
    side = draws.side()
    first = 3 + draws.below(3)
    old = draws.chance(0.5)
    place = draws.uniform(0.52, 0.82)
    for rib in range(first, first + 3 + round(2 * grade)):
        out = place * a.chest + draws.normal(0, 0.03)
        shift = (0.040 + 0.030 * grade) * (1 if draws.chance(0.7) else -1)
        layers.breaks.append(Break(side, rib, out, shift, 0.014 if old else 0.026))
        x, y = side * out + a.midline, rib_y(a, out, rib)
        fall = (rib_y(a, out + REACH, rib) - y) / REACH
        box, dx, dy = grid.around(x, y, REACH)
        if old:
            # callus: thickest at the break, along the rib
            along = (dx * (1 / REACH)) ** 2 + ((dy - fall * side * dx) * (1.9 / REACH)) ** 2
            layers.added[box] += (0.24 + 0.24 * grade) * bump(along)
        else:
            _blood(layers, side, y + 0.02, grade)
        layers.mark("Fracture", box, dx * dx + dy * dy < REACH * REACH)


def _blood(layers: Layers, side: int, y: float, grade: float) -> None:
    """A lens of blood between the ribs and the lung."""
    a = layers.thorax.anatomy
    wide = 0.07 + 0.12 * grade
    box, dx, dy = layers.grid.around(side * a.wall(y) + a.midline, y, wide, 0.13)
    lens = bump((dx * (1 / wide)) ** 2 + (dy * (1 / 0.13)) ** 2)
    layers.open[box] *= 1 - (0.45 + 0.40 * grade) * lens


def devices(layers: Layers, grade: float) -> None:
    """What the hospital's patients carry: a pacemaker, lines and tubes, electrodes, wires of a sternotomy."""
    draws = layers.case.draws("devices")
    kinds = layers.case.devices
    first = draws.below(len(kinds))
    more = round(2 * grade) if layers.case.supine else int(grade > 0.6)
    for number in range(min(1 + more, len(kinds))):
        DEVICES[kinds[(first + number) % len(kinds)]](layers, draws)


def _dense(layers: Layers) -> float:
    """What is left of a device's density: the fainter, the less there is of devices."""
    return 0.18 + 0.75 * layers.case.grade("Support Devices")


def _path(layers: Layers, xs: list[float], ys: list[float], width: float, weight: float) -> None:
    """A smooth line through points."""
    weight *= _dense(layers)
    knots = np.arange(len(xs))
    t = np.linspace(0, len(xs) - 1, max(40, round(2.2 / layers.grid.pixel)))
    x, y = (_smooth(np.interp(t, knots, np.array(points))) for points in (xs, ys))
    x = x + layers.thorax.anatomy.midline
    drawn = strokes(layers.grid, x[np.newaxis], y[np.newaxis], width, weight)
    layers.added += drawn
    if "Support Devices" in layers.masks:
        layers.masks["Support Devices"] |= drawn > 0.3 * max(float(drawn.max()), 1e-6)


def _smooth(line: Points) -> Points:
    """A line with its corners rounded."""
    wide = max(3, len(line) // 12) | 1
    padded = np.concatenate([np.full(wide // 2, line[0]), line, np.full(wide // 2, line[-1])])
    total = np.concatenate([[0.0], np.cumsum(padded)])
    rounded: Points = (total[wide:] - total[:-wide]) / wide
    return rounded


def _tube(layers: Layers, draws: Draws) -> None:
    """A tube in the trachea and one through the gullet into the stomach."""
    a = layers.thorax.anatomy
    tip = a.apex + draws.uniform(0.30, 0.48)
    _path(layers, [0.02, 0.01, 0.015], [-1.1, a.apex, tip], 0.024, 12.0)
    if draws.chance(0.5):
        _path(
            layers,
            [0.0, 0.03, 0.05, 0.16, 0.24],
            [-1.1, -0.3, 0.2, a.dome[1] + 0.05, a.dome[1] + 0.2],
            0.016,
            14.0,
        )


def _line(layers: Layers, draws: Draws) -> None:
    """A catheter from the neck or below a clavicle into the upper vena cava."""
    a = layers.thorax.anatomy
    tip = a.apex + draws.uniform(0.52, 0.72)
    if draws.chance(0.5):
        _path(layers, [-0.24, -0.16, -0.12, -0.11], [-1.0, a.apex - 0.02, a.apex + 0.3, tip], 0.016, 17.0)
    else:
        _path(
            layers,
            [-0.75, -0.48, -0.2, -0.11, -0.11],
            [-0.32, a.apex + 0.2, a.apex + 0.2, a.apex + 0.34, tip],
            0.016,
            17.0,
        )


def _electrodes(layers: Layers, draws: Draws) -> None:
    a, grid = layers.thorax.anatomy, layers.grid
    for x, y in ((-0.55, -0.42), (0.58, -0.40), (0.55, 0.32)):
        cx, cy = x + draws.uniform(-0.08, 0.08), y + draws.uniform(-0.08, 0.08)
        box, dx, dy = grid.around(cx + a.midline, cy, 0.03)
        layers.add("Support Devices", box, 0.55 * ramp(dx * dx + dy * dy, 0.025**2, 0.018**2))
        end = cx + draws.uniform(-0.3, 0.3)
        _path(layers, [cx, (cx + end) / 2 + 0.1, end], [cy, cy + 0.4, 1.1], 0.011, 13.0)


def _drain(layers: Layers, draws: Draws) -> None:
    a = layers.thorax.anatomy
    side = draws.side()
    y = draws.uniform(0.05, 0.30)
    top = a.apex + draws.uniform(0.22, 0.40)
    xs = [side * out for out in (1.1, 0.86, 0.70, 0.62, 0.54, 0.42)]
    _path(layers, xs, [y + 0.20, y + 0.10, y, 0.7 * y + 0.3 * top, 0.35 * y + 0.65 * top, top], 0.028, 9.0)


def _pacemaker(layers: Layers, draws: Draws) -> None:
    a, grid = layers.thorax.anatomy, layers.grid
    side = 1 if draws.chance(0.85) else -1
    x, y = side * draws.uniform(0.46, 0.58), a.apex + draws.uniform(0.28, 0.42)
    rx, ry = 0.105, 0.085
    box, dx, dy = grid.around(x + a.midline, y, rx * 1.1, ry * 1.1)
    r = np.sqrt(np.square((dx / rx) ** 2) + np.square((dy / ry) ** 2))
    can = ramp(r, 1.0, 0.9) * (0.85 + 0.5 * bump(((dx - 0.02) / 0.05) ** 2 + ((dy - 0.015) / 0.03) ** 2))
    layers.add("Support Devices", box, _dense(layers) * can)
    heart = a.heart_y
    _path(
        layers,
        [x, side * 0.25, -0.10, -0.12, 0.02, 0.22],
        [y - 0.06, a.apex + 0.2, a.apex + 0.32, heart - 0.1, heart + 0.17, heart + 0.12],
        0.016,
        20.0,
    )


def _wires(layers: Layers, draws: Draws) -> None:
    """Loops of wire that hold a breastbone together."""
    a = layers.thorax.anatomy
    top = a.apex + 0.36
    for number in range(5):
        y = top + 0.125 * number + draws.uniform(-0.01, 0.01)
        tilt = draws.uniform(-0.02, 0.02)
        _path(
            layers,
            [-0.055, -0.03, 0.0, 0.03, 0.055, 0.03, 0.0, -0.03, -0.055],
            [y, y - 0.035, y - 0.04 + tilt, y - 0.03, y, y + 0.03, y + 0.035, y + 0.03, y],
            0.015,
            18.0,
        )


def _port(layers: Layers, draws: Draws) -> None:
    """A chamber under the skin with a catheter."""
    a, grid = layers.thorax.anatomy, layers.grid
    x, y = -draws.uniform(0.42, 0.55), a.apex + draws.uniform(0.32, 0.45)
    box, dx, dy = grid.around(x + a.midline, y, 0.06)
    r = np.sqrt(dx * dx + dy * dy) * (1 / 0.052)
    chamber = 0.35 * ramp(r, 1, 0.85) + 0.3 * bump(((r - 0.85) / 0.2) ** 2)
    layers.add("Support Devices", box, _dense(layers) * chamber)
    _path(
        layers,
        [x, x + 0.1, -0.22, -0.12, -0.11],
        [y - 0.03, a.apex + 0.15, a.apex + 0.14, a.apex + 0.3, a.apex + 0.62],
        0.015,
        17.0,
    )


DEVICES: Mapping[str, Callable[[Layers, Draws], None]] = MappingProxyType(
    {
        "tube": _tube,
        "line": _line,
        "electrodes": _electrodes,
        "drain": _drain,
        "pacemaker": _pacemaker,
        "wires": _wires,
        "port": _port,
    }
)
"""What draws each kind of device."""
