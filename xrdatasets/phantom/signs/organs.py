"""Phantom's signs of the heart and the mediastinum: their shape is anatomy, here is where they are."""

from __future__ import annotations

from xrdatasets.phantom.layers import Layers

__all__ = ["cardiomegaly", "mediastinum"]


def cardiomegaly(layers: Layers, grade: float) -> None:
    """A heart wider than half the chest (`Anatomy.change`); a trace of it is no finding and has no mask."""
    if grade > 0 and "Cardiomegaly" in layers.masks:
        box, heart = layers.thorax.heart()
        layers.mark("Cardiomegaly", box, heart > 0)


def mediastinum(layers: Layers, grade: float) -> None:
    """A wide upper mediastinum and aortic arch (`Anatomy.change`)."""
    if grade > 0 and "Enlarged Cardiomediastinum" in layers.masks:
        box, vessels = layers.thorax.great_vessels()
        a, y = layers.thorax.anatomy, layers.grid.y[box[0]]
        layers.mark("Enlarged Cardiomediastinum", box, (vessels > 0) & (y > a.apex) & (y < max(a.dome)))
