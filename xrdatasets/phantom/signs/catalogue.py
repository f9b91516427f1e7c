"""Phantom's signs, by finding: which function draws which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from xrdatasets.phantom.layers import Layers
from xrdatasets.phantom.signs.airspace import atelectasis, consolidation, edema, infiltration, pneumonia
from xrdatasets.phantom.signs.chronic import emphysema, fibrosis
from xrdatasets.phantom.signs.focal import hernia, mass, nodule, tuberculosis
from xrdatasets.phantom.signs.hardware import devices, fracture
from xrdatasets.phantom.signs.organs import cardiomegaly, mediastinum
from xrdatasets.phantom.signs.pleura import effusion, plaques, pneumothorax, thickening

__all__ = ["DRAWN"]

DRAWN: Mapping[str, Callable[[Layers, float], None]] = MappingProxyType(
    {
        "Cardiomegaly": cardiomegaly,
        "Enlarged Cardiomediastinum": mediastinum,
        "Emphysema": emphysema,
        "Fibrosis": fibrosis,
        "Edema": edema,
        "Infiltration": infiltration,
        "Pneumonia": pneumonia,
        "Consolidation": consolidation,
        "Atelectasis": atelectasis,
        "Nodule": nodule,
        "Mass": mass,
        "Tuberculosis": tuberculosis,
        "Pleural_Thickening": thickening,
        "Pleural Other": plaques,
        "Hernia": hernia,
        "Effusion": effusion,
        "Pneumothorax": pneumothorax,
        "Fracture": fracture,
        "Support Devices": devices,
    }
)
"""What draws each sign, in the order of drawing: what fills air before what hides it."""
