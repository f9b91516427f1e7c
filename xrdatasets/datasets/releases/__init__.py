"""Datasets, one module for each release: its facts, its data card, and how its tables are read.

Beside them stands what some of them share: ``paths`` and ``labelled`` (CheXpert and its kin), ``rle`` (run
lengths), ``readings`` (the tuberculosis sets), ``reports_xml`` (Open-i).
"""

from xrdatasets.datasets.releases.brax import BRAX
from xrdatasets.datasets.releases.chestx_det import ChestXDet
from xrdatasets.datasets.releases.chexlocalize import CheXlocalize
from xrdatasets.datasets.releases.chexpert import CheXpert
from xrdatasets.datasets.releases.chexpert_plus import CheXpertPlus
from xrdatasets.datasets.releases.covid19 import COVID19
from xrdatasets.datasets.releases.hannover import Hannover
from xrdatasets.datasets.releases.jsrt import JSRT
from xrdatasets.datasets.releases.kermany import Kermany
from xrdatasets.datasets.releases.mimic_cxr import MIMICCXR
from xrdatasets.datasets.releases.montgomery import Montgomery
from xrdatasets.datasets.releases.nih import NIH
from xrdatasets.datasets.releases.nih_google import NIHGoogle
from xrdatasets.datasets.releases.object_cxr import ObjectCXR
from xrdatasets.datasets.releases.openi import OpenI
from xrdatasets.datasets.releases.padchest import PadChest
from xrdatasets.datasets.releases.rsna import RSNA
from xrdatasets.datasets.releases.shenzhen import Shenzhen
from xrdatasets.datasets.releases.siim import SIIM
from xrdatasets.datasets.releases.stonybrook_covid import StonyBrookCOVID
from xrdatasets.datasets.releases.tbx11k import TBX11K
from xrdatasets.datasets.releases.vindr import VinDr

__all__ = [
    "BRAX",
    "COVID19",
    "JSRT",
    "MIMICCXR",
    "NIH",
    "RSNA",
    "SIIM",
    "TBX11K",
    "CheXlocalize",
    "CheXpert",
    "CheXpertPlus",
    "ChestXDet",
    "Hannover",
    "Kermany",
    "Montgomery",
    "NIHGoogle",
    "ObjectCXR",
    "OpenI",
    "PadChest",
    "Shenzhen",
    "StonyBrookCOVID",
    "VinDr",
]
