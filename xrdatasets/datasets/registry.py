"""Datasets: which there are, by key and by class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.labels.findings import near, plain

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["CLASSES", "class_of"]

CLASSES = {
    "chexpert": "CheXpert",
    "hannover": "Hannover",
    "kermany": "Kermany",
    "nih": "NIH",
    "nih_google": "NIHGoogle",
}
"""Class of each key; module, mapping file and docs page have the key's name."""


def class_of(key: str) -> type[Single]:
    """The class of a dataset, by key or class name in any case.

    Raises:
        DatasetNotFoundError: there is no such dataset; the message lists those there are.

    Example:
        >>> class_of("nih_google").__name__
        'NIHGoogle'
    """
    names = {plain(name): known for known, cls in CLASSES.items() for name in (known, cls)}
    if plain(key) not in names:
        msg = f"no dataset is called {key!r}. Expected one of: {', '.join(CLASSES)}. {near(key, CLASSES)}"
        raise DatasetNotFoundError(msg.rstrip())
    known = names[plain(key)]
    module = importlib.import_module(f"xrdatasets.datasets.{known}")
    found: type[Single] = getattr(module, CLASSES[known])
    return found
