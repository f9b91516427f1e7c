"""Datasets: images and labels meet, one class per release (``releases``).

``files``, ``archives`` and ``headers`` find and read a release's files, ``tables`` makes canonical columns,
``rows`` and ``exclusions`` keep what was asked for, ``readers`` and ``masks`` know several readers and
outlines, ``single`` and ``base`` join labels and images, ``combine``, ``overlaps``, ``splits`` and
``covariates`` make one of several and several of one.
"""

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.combine import Combined, concat, join
from xrdatasets.datasets.covariates import covariate
from xrdatasets.datasets.loading import loader
from xrdatasets.datasets.overlaps import overlap
from xrdatasets.datasets.phantom import Phantom
from xrdatasets.datasets.registry import CLASSES, class_of, table_keys
from xrdatasets.datasets.releases import (
    BRAX,
    COVID19,
    JSRT,
    MIMICCXR,
    NIH,
    RSNA,
    SIIM,
    TBX11K,
    ChestXDet,
    CheXlocalize,
    CheXpert,
    CheXpertPlus,
    Hannover,
    Kermany,
    Montgomery,
    NIHGoogle,
    ObjectCXR,
    OpenI,
    PadChest,
    Shenzhen,
    StonyBrookCOVID,
    VinDr,
)
from xrdatasets.datasets.table import TableDataset

__all__ = [
    "BRAX",
    "CLASSES",
    "COVID19",
    "JSRT",
    "MIMICCXR",
    "NIH",
    "RSNA",
    "SIIM",
    "TBX11K",
    "CXRDataset",
    "CheXlocalize",
    "CheXpert",
    "CheXpertPlus",
    "ChestXDet",
    "Collection",
    "Combined",
    "Hannover",
    "Kermany",
    "Montgomery",
    "NIHGoogle",
    "ObjectCXR",
    "OpenI",
    "PadChest",
    "Phantom",
    "Shenzhen",
    "StonyBrookCOVID",
    "TableDataset",
    "VinDr",
    "class_of",
    "concat",
    "covariate",
    "join",
    "loader",
    "overlap",
    "table_keys",
]
