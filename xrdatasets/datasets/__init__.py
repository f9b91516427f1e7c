"""Datasets: images and labels meet, one class per release.

``files`` finds a release's files, ``tables`` makes canonical columns, ``rows`` keeps what was asked for,
``single`` and ``base`` join labels and images, ``combine`` and ``splits`` make one of several and several
of one.
"""

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.brax import BRAX
from xrdatasets.datasets.chestx_det import ChestXDet
from xrdatasets.datasets.chexlocalize import CheXlocalize
from xrdatasets.datasets.chexpert import CheXpert
from xrdatasets.datasets.chexpert_plus import CheXpertPlus
from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.combine import Combined, concat, join
from xrdatasets.datasets.covariates import covariate
from xrdatasets.datasets.covid19 import COVID19
from xrdatasets.datasets.hannover import Hannover
from xrdatasets.datasets.jsrt import JSRT
from xrdatasets.datasets.kermany import Kermany
from xrdatasets.datasets.loading import loader
from xrdatasets.datasets.mimic_cxr import MIMICCXR
from xrdatasets.datasets.montgomery import Montgomery
from xrdatasets.datasets.nih import NIH
from xrdatasets.datasets.nih_google import NIHGoogle
from xrdatasets.datasets.object_cxr import ObjectCXR
from xrdatasets.datasets.openi import OpenI
from xrdatasets.datasets.overlaps import overlap
from xrdatasets.datasets.padchest import PadChest
from xrdatasets.datasets.phantom import Phantom
from xrdatasets.datasets.registry import CLASSES, class_of, table_keys
from xrdatasets.datasets.rsna import RSNA
from xrdatasets.datasets.shenzhen import Shenzhen
from xrdatasets.datasets.siim import SIIM
from xrdatasets.datasets.stonybrook_covid import StonyBrookCOVID
from xrdatasets.datasets.table import TableDataset
from xrdatasets.datasets.tbx11k import TBX11K
from xrdatasets.datasets.vindr import VinDr

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
