"""Phantom, step 6: what the findings change in a healthy thorax, collected before the rays are summed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from xrdatasets.phantom.anatomy import Case
from xrdatasets.phantom.bones import Break
from xrdatasets.phantom.grid import Box, Field, Grid
from xrdatasets.phantom.thorax import Thorax

__all__ = ["EVERYWHERE", "Layers", "Mask"]

EVERYWHERE: Box = (slice(None), slice(None))
SEEN = 0.25  # of a sign's greatest effect belongs to its mask

Mask = npt.NDArray[np.bool_]


class Layers:
    """Changes to a thorax, and where each finding is.

    Args:
        thorax: the healthy thorax.
        masks: findings whose place is wanted.

    Attributes:
        open: part of the air that is left, (size, size) float32.
        added: attenuation that comes on top: calcium, metal, fluid outside the lung.
        vessels: part of the vessels that still shows.
        breaks: broken ribs.
        masks: (size, size) bool of each finding that was wanted and drawn.
    """

    def __init__(self, thorax: Thorax, masks: Iterable[str] = ()) -> None:
        self.thorax = thorax
        size = thorax.grid.size
        self.open: Field = np.ones((size, size), dtype=np.float32)
        self.added: Field = thorax.grid.empty()
        self.vessels: Field = np.ones((size, size), dtype=np.float32)
        self.breaks: list[Break] = []
        self.masks: dict[str, Mask] = {name: np.zeros((size, size), dtype=bool) for name in masks}

    @property
    def case(self) -> Case:
        """What is to be drawn."""
        return self.thorax.case

    @property
    def grid(self) -> Grid:
        """The pixels."""
        return self.thorax.grid

    def fill(self, sign: str, box: Box, share: Field) -> None:
        """Replace a share (0 to 1) of the air in a box by tissue or fluid."""
        self.open[box] *= 1 - share
        if self._wanted(sign):
            self.mark(sign, box, (share > SEEN * max(float(share.max(initial=0)), 1e-6)) & self.lung(box))

    def add(self, sign: str, box: Box, attenuation: Field) -> None:
        """Put something dense into the rays of a box."""
        self.added[box] += attenuation
        if self._wanted(sign):
            self.mark(sign, box, attenuation > SEEN * max(float(attenuation.max(initial=0)), 1e-6))

    def thin(self, box: Box, share: Field) -> None:
        """Leave only a share (0 to 1) of the vessels in a box."""
        self.vessels[box] *= share

    def mark(self, sign: str, box: Box, here: Mask) -> None:
        """Say that a finding is at these pixels of a box."""
        if self._wanted(sign):
            self.masks[sign][box] |= here

    def lung(self, box: Box) -> Mask:
        """Pixels of a box with air behind them in a healthy thorax."""
        inside: Mask = self.thorax.air[box] > 0.02
        return inside

    def _wanted(self, sign: str) -> bool:
        """Whether a sign's place is asked for; a trace of a sign is no finding and has no place."""
        return sign in self.masks and self.case.grade(sign) > 0
