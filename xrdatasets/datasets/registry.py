"""Datasets: which there are, by key and by class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels.findings import near, plain

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["CLASSES", "class_of", "table_keys"]

CLASSES = {
    "brax": "BRAX",
    "chestx_det": "ChestXDet",
    "chexlocalize": "CheXlocalize",
    "chexpert": "CheXpert",
    "chexpert_plus": "CheXpertPlus",
    "covid19": "COVID19",
    "hannover": "Hannover",
    "jsrt": "JSRT",
    "kermany": "Kermany",
    "mimic_cxr": "MIMICCXR",
    "montgomery": "Montgomery",
    "nih": "NIH",
    "nih_google": "NIHGoogle",
    "object_cxr": "ObjectCXR",
    "openi": "OpenI",
    "padchest": "PadChest",
    "phantom": "Phantom",
    "rsna": "RSNA",
    "shenzhen": "Shenzhen",
    "siim": "SIIM",
    "stonybrook_covid": "StonyBrookCOVID",
    "tbx11k": "TBX11K",
    "vindr": "VinDr",
}
"""Class of each key; module and docs page have the key's name, and so have the files of `table_keys`."""


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
        owner = next((name for name in CLASSES if key in table_keys(name)), None)
        hint = f"Its hospital is {owner}={key[-1].upper()}." if owner else near(key, CLASSES)
        msg = f"no dataset is called {key!r}. Expected one of: {', '.join(CLASSES)}. {hint}"
        raise DatasetNotFoundError(msg.rstrip())
    known = names[plain(key)]
    found: type[Single] = getattr(importlib.import_module("xrdatasets.datasets"), CLASSES[known])
    return found


def table_keys(key: str) -> tuple[str, ...]:
    """Keys of a dataset's label tables: its own, or one for each hospital of the Phantom.

    Example:
        >>> table_keys("nih"), table_keys("phantom")
        (('nih',), ('phantom_a', 'phantom_b', 'phantom_c'))
    """
    if key in dataset_keys():
        return (key,)
    return tuple(known for known in dataset_keys() if known.rpartition("_")[0] == key)
