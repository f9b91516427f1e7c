"""Phantom, step 9: bones along each ray: spine, ribs, broken ones among them, clavicles, shoulder blades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from xrdatasets.phantom.anatomy import Anatomy
from xrdatasets.phantom.grid import Box, Field, bump, ramp, tube
from xrdatasets.phantom.thorax import Thorax

__all__ = ["Break", "draw_bones", "rib_y"]

STEPS = 1024  # of the profile from one rib to the next
FARTHEST = 1.1  # of the distance from midline to wall: no rib is beyond


@dataclass(frozen=True, slots=True)
class Break:
    """Where a rib is broken.

    Attributes:
        side: -1 the patient's right, 1 left.
        rib: number of the posterior rib, from the top.
        out: distance from the midline.
        shift: how far the outer end has slipped down.
        gap: half-width of the gap.
    """

    side: int
    rib: int
    out: float
    shift: float
    gap: float


def draw_bones(thorax: Thorax, breaks: Sequence[Break] = ()) -> Field:
    """(size, size) float32 attenuation of all bones."""
    whole = thorax.grid.empty()
    parts = [_posterior(thorax, breaks), _anterior(thorax), _spine(thorax), _clavicles(thorax)]
    for box, part in (*parts, *_blades(thorax)):
        whole[box] += part
    whole *= thorax.anatomy.bone
    return whole


def rib_y(anatomy: Anatomy, out: float, rib: int) -> float:
    """Height (y) of the axis of a posterior rib at a distance from the midline."""
    return anatomy.rib_start + rib * anatomy.ribs + float(_fall(anatomy, np.array(out)))


def _fall(anatomy: Anatomy, out: Field) -> Field:
    """How far a posterior rib has come down: from the spine a little up, then along the wall."""
    t = out.astype(np.float64) / anatomy.chest
    return (0.30 * t * t * t - 0.05 * np.sin(np.minimum(t, 1.0) * np.pi)).astype(np.float32)


@cache
def _profile(radius: float, shell: float) -> Field:
    """(STEPS,) what a rib weighs at each place between one and the next."""
    distance = np.abs((np.arange(STEPS) + 0.5) / STEPS - 0.5)
    return tube(distance.astype(np.float32), radius, shell)


def _repeated(q: Field, profile: Field) -> Field:
    """The profile at each place; whole numbers of q are half-way between two ribs."""
    found: Field = profile[((q - np.floor(q)) * STEPS).astype(np.int32)]
    return found


@cache
def _turn() -> Field:
    """(STEPS,) weight of a rib by its distance from the wall: along the ray it is longest where it turns."""
    t = np.linspace(0, FARTHEST, STEPS)
    return (0.8 + 0.9 * t**8).astype(np.float32) * ramp(t.astype(np.float32), 1.06, 1.0)


def _looked_up(t: Field, table: Field) -> Field:
    """Values of a table at places from 0 to FARTHEST."""
    place = t * ((STEPS - 1) / FARTHEST)
    np.minimum(place, STEPS - 1, out=place)
    found: Field = table[place.astype(np.int32)]
    return found


def _posterior(thorax: Thorax, breaks: Sequence[Break]) -> tuple[Box, Field]:
    a, box = thorax.anatomy, thorax.box
    y, out = thorax.grid.y[box[0]], thorax.out[:, box[1]]
    q = (y - (a.rib_start + _fall(a, out))) * (1 / a.ribs) + 0.5
    strength = np.ones_like(q)
    for broken in breaks:
        _break(thorax, broken, q, strength)
    strength *= _looked_up(out / np.maximum(thorax.wall[box], 0.05), _turn())
    strength *= (0.125 * ramp(out, 0.06, 0.12)) * ramp(
        y, a.rib_start + 11.2 * a.ribs, a.rib_start + 9.7 * a.ribs
    )
    strength *= _repeated(q, _profile(0.21, 0.5))
    return box, strength


def _anterior(thorax: Thorax) -> tuple[Box, Field]:
    a, box = thorax.anatomy, thorax.box
    y, out = thorax.grid.y[box[0]], thorax.out[:, box[1]]
    t = out / a.chest
    start = a.rib_start + 0.42
    q = (y - (start - 0.42 * t * t)) * (1 / (a.ribs * 1.08)) + 0.5
    weight = _repeated(q, _profile(0.24, 0.4))
    weight *= out < thorax.wall[box]
    # the cartilage near the breastbone is not seen
    weight *= (0.065 * ramp(t, 0.28, 0.55)) * ramp(y, start + 6.5 * a.ribs, start + 5.0 * a.ribs)
    return box, weight


def _break(thorax: Thorax, broken: Break, q: Field, strength: Field) -> None:
    """Slip the outer end of one rib, and leave a gap; in place, in the lungs' box."""
    a, grid, (rows, columns) = thorax.anatomy, thorax.grid, thorax.box
    x = broken.side * broken.out + a.midline
    y = rib_y(a, broken.out, broken.rib) + broken.shift / 2
    (high, wide), dx, dy = grid.around(x, y, 0.16, a.ribs * 0.55)
    top, bottom = (min(max(row, rows.start), rows.stop) for row in (high.start, high.stop))
    left, right = (min(max(column, columns.start), columns.stop) for column in (wide.start, wide.stop))
    dx, dy = dx[:, left - wide.start : right - wide.start], dy[top - high.start : bottom - high.start]
    box = slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start)
    beyond = ramp(dx * broken.side, -0.008, 0.008) * ramp(dx * broken.side, 0.15, 0.09)
    here = ramp(np.abs(dy), a.ribs * 0.55, a.ribs * 0.40)
    q[box] -= (broken.shift / a.ribs) * beyond * here
    strength[box] *= 1 - 0.95 * bump((dx / broken.gap) ** 2) * here


def _spine(thorax: Thorax) -> tuple[Box, Field]:
    a = thorax.anatomy
    rows, columns = thorax.grid.box(a.midline - 0.10, -1, a.midline + 0.10, 1)
    x, out, y = thorax.x[:, columns], thorax.out[:, columns], thorax.grid.y
    t = x / (0.078 + 0.012 * ramp(y, -0.6, 0.6))
    t *= t
    column = np.sqrt(np.maximum(1 - t * t, 0))
    q = (y - a.rib_start) * (1 / (a.ribs * 0.80))
    phase = q - np.floor(q)
    disc = 1 - 0.45 * bump(((phase - 0.5) / 0.22) ** 2)
    plate = 1 + 0.25 * bump(((np.abs(phase - 0.5) - 0.26) / 0.07) ** 2)
    pedicles = 0.07 * bump(((out - 0.055) / 0.022) ** 2 + ((phase - 0.88) / 0.16) ** 2)
    thorn = 0.08 * bump((x / 0.020) ** 2 + ((phase - 0.25) / 0.22) ** 2)
    return (rows, columns), column * (0.17 * disc * plate) + pedicles + thorn


def _clavicles(thorax: Thorax) -> tuple[Box, Field]:
    a = thorax.anatomy
    high = 0.05 if thorax.case.supine else 0.0
    rows = thorax.grid.box(0, a.apex - 0.10, 0, a.apex + 0.34)[0]
    d = np.abs(thorax.x - 0.035 * a.rotation)
    start = a.apex + 0.235 - high
    t = np.clip((d - 0.07) / 0.84, 0, 1)
    wave = (0.022 * np.sin(t.astype(np.float64) * 6.0)).astype(np.float32)
    axis = start - (0.19 - 0.6 * high) * t * np.sqrt(2 - t) + wave
    radius = 0.030 + 0.012 * bump(((d - 0.10) / 0.12) ** 2)
    bone = tube((thorax.grid.y[rows] - axis) / radius, 1.0, 0.5)
    return (rows, slice(None)), bone * (0.20 * ramp(d, 0.065, 0.085) * ramp(d, 0.90, 0.86))


def _blades(thorax: Thorax) -> list[tuple[Box, Field]]:
    """Shoulder blades and upper arms, on both sides."""
    a, grid = thorax.anatomy, thorax.grid
    inward = 0.09 if thorax.case.supine else 0.0
    found: list[tuple[Box, Field]] = []
    for left, right in ((-1.1, a.midline - 0.5), (a.midline + 0.5, 1.1)):
        rows, columns = grid.box(left, a.apex, right, a.apex + 0.9)
        y, out = grid.y[rows], thorax.out[:, columns]
        border = 0.77 - inward + 0.20 * (y - a.apex - 0.45) ** 2 - 0.10 * (y - a.apex - 0.25)
        inside = out - border
        tall = ramp(y, a.apex + 0.08, a.apex + 0.16) * ramp(y, a.apex + 0.86, a.apex + 0.66)
        blade = 0.045 * ramp(inside, 0, 0.02) + 0.07 * bump(((inside - 0.012) / 0.02) ** 2)
        found.append(((rows, columns), blade * ramp(inside, 0.26, 0.16) * tall))
    for left, right in ((-1.1, a.midline - 0.8), (a.midline + 0.8, 1.1)):
        rows, columns = grid.box(left, a.apex, right, 1.1)
        y, out = grid.y[rows], thorax.out[:, columns]
        r = np.sqrt(((out - 0.97) / 0.115) ** 2 + ((y - a.apex - 0.145) / 0.12) ** 2)
        shaft = tube((out - 1.05 - 0.05 * y) / 0.05, 1.0, 0.6) * ramp(y, a.apex + 0.15, a.apex + 0.22)
        found.append(((rows, columns), np.maximum(0.22 * tube(r, 1.0, 0.35), 0.20 * shaft)))
    return found
