"""Phantom: radiographs that are drawn, not downloaded, of three hospitals whose reports are not the truth."""

from xrdatasets.phantom.anatomy import Case
from xrdatasets.phantom.beam import radiograph
from xrdatasets.phantom.detector import Detector
from xrdatasets.phantom.hospitals import HOSPITALS, Hospital, Reader
from xrdatasets.phantom.population import SIGNS, Population, made_of, severities
from xrdatasets.phantom.readers import report
from xrdatasets.phantom.signs import DEVICES

__all__ = [
    "DEVICES",
    "HOSPITALS",
    "SIGNS",
    "Case",
    "Detector",
    "Hospital",
    "Population",
    "Reader",
    "made_of",
    "radiograph",
    "report",
    "severities",
]
