"""Phantom, step 11: everything that lies on a ray is summed, and the detector makes a radiograph of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from xrdatasets.phantom.anatomy import FAINT, TRACES, Anatomy, Case
from xrdatasets.phantom.bones import draw_bones
from xrdatasets.phantom.detector import Detector, develop
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.layers import Layers, Mask
from xrdatasets.phantom.mimics import draw_mimics
from xrdatasets.phantom.signs import DEVICES, DRAWN
from xrdatasets.phantom.thorax import Thorax
from xrdatasets.phantom.vessels import draw_vessels

__all__ = ["radiograph"]

FULL = 2.2  # where this times the air is 1, vessels stand out in full


def radiograph(
    case: Case, detector: Detector, size: int, masks: Iterable[str] = ()
) -> tuple[npt.NDArray[np.uint8], dict[str, Mask]]:
    """Draw one frontal radiograph.

    The thorax is drawn in units of length, not of pixels: another `size` shows the same patient, finer or
    coarser; noise belongs to pixels and differs.

    Args:
        case: the patient, the shot, and how severe each sign is.
        detector: the hospital's.
        size: rows and columns.
        masks: signs whose place is wanted.

    Returns:
        (size, size) uint8, dense is bright; and for each sign that was wanted (size, size) bool, True where
        it shows, False everywhere if it is not there.

    Raises:
        ValueError: a sign or a device that is never drawn, or a size below 2.

    Example:
        >>> from xrdatasets.phantom import HOSPITALS, Case, radiograph
        >>> case = Case(key=1, patient_key=1, female=True, age=60.0, supine=False, grades={"Effusion": 0.8})
        >>> pixels, masks = radiograph(case, HOSPITALS["A"].detector, 64, masks=["Effusion", "Mass"])
        >>> pixels.shape, masks["Effusion"].any(), masks["Mass"].any()
        ((64, 64), np.True_, np.False_)
    """
    masks = tuple(masks)
    _check(case, size, masks)
    grid = Grid.of(size)
    thorax = Thorax(grid, Anatomy.of(case), case)
    layers = Layers(thorax, masks)
    for sign, draw in DRAWN.items():
        grade = case.grades.get(sign, FAINT)
        if grade > (FAINT if sign in TRACES else 0):
            draw(layers, grade)
    draw_mimics(layers)
    air = thorax.air * layers.open
    whole = thorax.body()
    whole += draw_bones(thorax, layers.breaks)
    whole -= air
    for box, gas in (thorax.airways(), *thorax.bowel()):
        whole[box] -= gas
    # vessels show where there is air for them to stand out from
    air *= FULL
    np.minimum(air, 1, out=air)
    air *= layers.vessels
    air *= draw_vessels(thorax)
    whole += air
    whole += layers.added
    np.maximum(whole, 0, out=whole)
    return develop(whole, case, detector, grid), layers.masks


def _check(case: Case, size: int, masks: Sequence[str]) -> None:
    for name, words, known in (
        ("grades", case.grades, DRAWN), ("devices", case.devices, DEVICES), ("masks", masks, DRAWN),
    ):  # fmt: skip
        if unknown := [word for word in words if word not in known]:
            msg = f"{name}: expected some of {', '.join(known)}; got {unknown[0]!r}."
            raise ValueError(msg)
    if size < 2:
        msg = f"size: expected at least 2 pixels, got {size!r}."
        raise ValueError(msg)
    if not case.devices:
        raise ValueError("devices: expected at least one kind, got none.")
