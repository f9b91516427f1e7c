"""Datasets: images and labels meet, one class per release.

``files`` finds a release's files, ``tables`` makes canonical columns, ``rows`` keeps what was asked for,
``single`` and ``base`` join labels and images, ``combine`` and ``splits`` make one of several and several
of one.
"""

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.chexpert import CheXpert
from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.combine import Combined, concat, join
from xrdatasets.datasets.hannover import Hannover
from xrdatasets.datasets.kermany import Kermany
from xrdatasets.datasets.loading import loader
from xrdatasets.datasets.nih import NIH
from xrdatasets.datasets.nih_google import NIHGoogle
from xrdatasets.datasets.phantom import Phantom
from xrdatasets.datasets.registry import CLASSES, class_of, table_keys
from xrdatasets.datasets.table import TableDataset

__all__ = [
    "CLASSES",
    "NIH",
    "CXRDataset",
    "CheXpert",
    "Collection",
    "Combined",
    "Hannover",
    "Kermany",
    "NIHGoogle",
    "Phantom",
    "TableDataset",
    "class_of",
    "concat",
    "join",
    "loader",
    "table_keys",
]
