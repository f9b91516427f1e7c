"""Phantom: radiographs that are drawn, not downloaded, of three hospitals whose reports are not the truth.

``hospitals`` and ``population`` say who is ill, ``readers`` what the reports say of it; ``anatomy``,
``thorax``, ``layers``, ``signs``, ``mimics``, ``bones`` and ``vessels`` make an image of it, ``beam`` sums
it, ``detector`` develops it. A number of the drawing that names no source was chosen by eye, beside real
radiographs.
"""

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
