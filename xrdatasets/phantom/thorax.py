"""Phantom, step 5: soft tissue and air along each ray: body, mediastinum, heart, lungs.

One unit of attenuation is that of the thickest soft tissue of an average trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xrdatasets.phantom.anatomy import Anatomy, Case
from xrdatasets.phantom.grid import Box, Field, Grid, bump, chord, cloud, ramp

__all__ = ["Thorax"]


@dataclass(eq=False)
class Thorax:
    """Maps of a thorax, each computed when it is first asked for.

    What depends on x or y alone is a line, (1, size) or (size, 1); all else is (size, size). All is float32.

    Attributes:
        grid: the pixels.
        anatomy: sizes and places.
        case: what is to be drawn.
    """

    grid: Grid
    anatomy: Anatomy
    case: Case

    @cached_property
    def x(self) -> Field:
        """(1, size): distance from the midline, negative on the patient's right (left in the image)."""
        return self.grid.x - self.anatomy.midline

    @cached_property
    def out(self) -> Field:
        """(1, size): distance from the midline, without sign."""
        return np.abs(self.x)

    @cached_property
    def left(self) -> Field:
        """(1, size): 0 on the patient's right, 1 on the left."""
        return ramp(self.x, -0.02, 0.02)

    @cached_property
    def box(self) -> Box:
        """The part of the detector that the lungs and the ribs around them take."""
        a = self.anatomy
        half = a.chest * (1 + 0.04 * abs(a.rotation)) + 0.02
        low = max(a.dome) + a.bow + 0.36
        return self.grid.box(a.midline - half, a.apex - 0.04, a.midline + half, low)

    @cached_property
    def height(self) -> Field:
        """(size, 1): half-width of an unturned rib cage; 0 above the apex."""
        a, y = self.anatomy, self.grid.y.astype(np.float64)
        up = np.clip((a.widest - y) / (a.widest - a.apex), 0, 1)
        low = np.clip((y - a.widest) / 0.6, 0, None)
        line = a.chest * np.maximum(1 - up**2.6, 0) ** 0.58 * (1 - 0.10 * low**2)
        return line.astype(np.float32)

    @cached_property
    def wall(self) -> Field:
        """Half-width of the rib cage, turned sides apart."""
        wall: Field = self.height * (1 + (self.left - 0.5) * (0.07 * self.anatomy.rotation))
        return wall

    @cached_property
    def across(self) -> Field:
        """From -1 at the mediastinal to 1 at the outer edge of a lung."""
        inner = 0.04
        half = (self.wall - inner) * 0.5
        across: Field = (self.out - (half + inner)) / np.maximum(half, 1e-3)
        return across

    @cached_property
    def floor(self) -> Field:
        """(1, size): y of the diaphragm."""
        a = self.anatomy
        right, left = a.dome
        top = right + (left - right) * self.left
        t = (self.out - 0.36) * (1 / (a.chest - 0.36))
        floor: Field = top + a.bow * t * t * np.maximum(0.55 + 0.75 * t, 0.5)
        return floor

    @cached_property
    def air(self) -> Field:
        """Air of healthy lungs along the ray."""
        a, box = self.anatomy, self.box
        y, floor, across = self.grid.y[box[0]], self.floor[:, box[1]], self.across[box]
        section = np.sqrt(np.maximum(1 - across * across * np.abs(across), 0))
        height = np.clip((y - a.apex) / (a.widest - a.apex), 0, 1)
        rise = a.depth * (0.45 * np.sqrt(np.clip(height * 3, 0, 1)) + 0.55 * np.sqrt(1 - (1 - height) ** 2))
        full = section * rise
        # behind the dome the lung goes on, ever thinner
        low = slice(int(np.searchsorted(y[:, 0], float(floor.min()) - 0.02)), None)
        below = floor - y[low]
        recess = 0.30 * ramp(below, -0.28, 0.0) * ramp(across[low], 1.0, 0.55)
        full[low] *= np.maximum(ramp(below, -0.012, 0.016), recess)
        full *= 1 + (self.left[:, box[1]] - 0.5) * (0.06 * a.rotation)
        whole = self.grid.empty()
        whole[box] = np.maximum(full - self.mediastinum[box], 0)
        return whole

    @cached_property
    def mediastinum(self) -> Field:
        """Thickness of what lies between the lungs, in place of which there is no air."""
        whole = self.grid.empty()
        for box, part in (self.great_vessels(), self.heart()):
            np.maximum(whole[box], part, out=whole[box])
        return whole

    def heart(self) -> tuple[Box, Field]:
        """Thickness of the heart, and the box that holds it."""
        a = self.anatomy
        cx = a.heart_x + 0.04 * a.rotation
        # a little more than its parts reach: the ventricle down and left, the trunk up, the atrium right
        reach, reach_y = 0.37 * a.heart + 0.02, 0.44 * a.heart + 0.02
        box, x, y = self.grid.around(a.midline + cx, a.heart_y, reach, reach_y)
        c, s, size = 0.80, 0.60, a.heart  # the ventricle's axis falls by 37 degrees
        along = x * (c / (0.36 * size)) + (y - 0.02) * (s / (0.36 * size))
        beside = (y - 0.02) * (c / (0.255 * size)) - x * (s / (0.255 * size))
        ventricle = along * along + beside * beside
        atrium = ((x + 0.145) / (0.165 * size)) ** 2 + ((y - 0.02) / (0.25 * size)) ** 2
        trunk = ((x - 0.015) / (0.17 * size)) ** 2 + ((y + 0.20) / (0.20 * size)) ** 2
        return box, 0.62 * chord(np.minimum(np.minimum(ventricle, atrium), trunk))

    def great_vessels(self) -> tuple[Box, Field]:
        """Thickness of the upper mediastinum, the aortic arch and the descending aorta, and their box."""
        a = self.anatomy
        turn = a.midline + 0.035 * a.rotation
        far = 0.09 + 0.45 * a.band + a.arch + a.band
        rows, columns = self.grid.box(turn - far, -1.1, turn + far, 1.1)
        x, y = self.grid.x[:, columns] - turn, self.grid.y
        band = (x - 0.005) / (a.band * (0.82 + 0.30 * ramp(y, -0.75, -0.15)))
        arch_y = a.apex + 0.40
        arch = ((x - 0.065 - 0.45 * a.band) / a.arch) ** 2 + ((y - arch_y) / (a.arch * 1.15)) ** 2
        descending = (
            0.36 * np.maximum(1 - ((x - 0.095) / 0.065) ** 2, 0) * ramp(y, arch_y - 0.02, arch_y + 0.08)
        )
        return (rows, columns), 0.52 * chord(np.minimum(np.minimum(band * band, arch), 1 - descending))

    def airways(self) -> tuple[Box, Field]:
        """Air in the trachea and the main bronchi, and the box that holds it."""
        a = self.anatomy
        turn = 0.02 * a.rotation
        fork = a.apex + 0.53
        rows, columns = self.grid.box(a.midline - 0.28, -1.1, a.midline + 0.28, fork + 0.18)
        x, y = self.x[:, columns], self.grid.y[rows]
        trachea = chord(((x - turn - 0.01) / 0.048) ** 2) * ramp(y, fork + 0.03, fork - 0.03)
        drop = y - fork
        b = (np.abs(x) - 0.012 - drop * (0.75 + 0.30 * self.left[:, columns])) / 0.042
        bronchi = chord(b * b) * (ramp(drop, -0.02, 0.02) * ramp(drop, 0.17, 0.06))
        return (rows, columns), 0.22 * trachea + 0.12 * bronchi

    def body(self) -> Field:
        """All soft tissue, lungs taken for solid."""
        a, y, out = self.anatomy, self.grid.y, self.out
        flesh = 0.085 * a.fat
        trunk = np.maximum(self.height + flesh, (a.chest + flesh) * ramp(y, -0.95, -0.30))
        t = out / trunk
        t *= t
        whole = chord(t * t) * ((0.80 + 0.16 * a.fat) * (0.72 + 0.28 * ramp(y, -0.9, -0.1)))
        for box, part in (self._shoulders(), self._neck(), self._arms()):
            np.maximum(whole[box], part, out=whole[box])
        whole *= 1 + 0.022 * cloud(self.case.of_patient("flesh"), whole.shape, 7)
        low = self.grid.box(-1, min(a.dome), 1, 1)[0]
        whole[low] += 0.16 * a.fat * ramp(y[low] - self.floor, 0.0, 0.35) * ramp(out, float(trunk.max()), 0.2)
        box, breasts = self._breasts()
        whole[box] += breasts
        return whole

    def _shoulders(self) -> tuple[Box, Field]:
        a = self.anatomy
        rows = self.grid.box(-1, -1, 1, 0.5)[0]
        y, out = self.grid.y[rows], self.out
        slope = a.apex - 0.30 + 0.40 * np.maximum(out - 0.20, 0) - 0.06 * (a.fat - 1)
        part = np.sqrt(ramp(y - slope, 0, 0.34)) * (0.66 * ramp(out, 1.25, 0.75))
        return (rows, slice(None)), part * ramp(y + 1.6 * (out - 0.85), 0.22, -0.30)

    def _neck(self) -> tuple[Box, Field]:
        a = self.anatomy
        half = 0.235 * (0.9 + 0.1 * a.fat)
        rows, columns = self.grid.box(a.midline - half, -1, a.midline + half, -0.2)
        n = self.x[:, columns] * (1 / half)
        return (rows, columns), 0.50 * chord(n * n) * ramp(self.grid.y[rows], -0.2, -0.75)

    def _arms(self) -> tuple[Box, Field]:
        a = self.anatomy
        rows = self.grid.box(-1, -0.75, 1, 1)[0]
        y = self.grid.y[rows]
        arm = (self.out - 1.04 - 0.06 * (a.fat - 1) - 0.05 * y) * (1 / (0.13 + 0.03 * a.fat))
        return (rows, slice(None)), 0.40 * chord(arm * arm) * ramp(y, -0.75, -0.35)

    def _breasts(self) -> tuple[Box, Field]:
        a = self.anatomy
        rows = self.grid.box(-1, -0.12, 1, 0.54)[0]
        y = self.grid.y[rows] - 0.30
        down, across = np.maximum(y / 0.24, y / -0.42) ** 2, ((self.out - 0.40) / 0.30) ** 2
        return (rows, slice(None)), a.breast * chord(down + across)

    def bowel(self) -> list[tuple[Box, Field]]:
        """Gas below the left dome, and elsewhere in the abdomen."""
        draws, a = self.case.draws("bowel"), self.anatomy
        found = []
        for number in range(1 + draws.below(3)):
            x = draws.uniform(0.25, 0.50) if number == 0 else draws.uniform(-0.5, 0.6)
            y = a.dome[1] + (0.11 if number == 0 else draws.uniform(0.2, 0.4))
            rx, ry = draws.uniform(0.06, 0.15), draws.uniform(0.03, 0.06)
            box, dx, dy = self.grid.around(x + a.midline, y, rx, ry)
            found.append((box, draws.uniform(0.08, 0.26) * bump((dx / rx) ** 2 + (dy / ry) ** 2)))
        return found
