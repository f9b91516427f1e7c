"""Phantom, step 7: the radiographic sign of each finding."""

from xrdatasets.phantom.signs.catalogue import DRAWN
from xrdatasets.phantom.signs.hardware import DEVICES

__all__ = ["DEVICES", "DRAWN"]
