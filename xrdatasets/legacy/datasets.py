"""Legacy: the datasets, transforms and tools of ``torchxrayvision.datasets``, by its names.

``seed`` is taken everywhere; no global generator is seeded. A table that is not given is looked for in the
folder of the images and the two above it.
"""

from __future__ import annotations

from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.legacy.base import Dataset, apply_transforms
from xrdatasets.legacy.chexpert_like import BRAX_Dataset, CheX_Dataset, CheXlocalize_Dataset, MIMIC_Dataset
from xrdatasets.legacy.covariate import CovariateDataset
from xrdatasets.legacy.detection import (
    ObjectCXR_Dataset,
    RSNA_Pneumonia_Dataset,
    SIIM_Pneumothorax_Dataset,
    TBX11K_Dataset,
    VinDr_Dataset,
)
from xrdatasets.legacy.listed import COVID19_Dataset, Openi_Dataset, PC_Dataset
from xrdatasets.legacy.merging import FilterDataset, MergeDataset, SubsetDataset, relabel_dataset
from xrdatasets.legacy.nih_like import NIH_Dataset, NIH_Google_Dataset
from xrdatasets.legacy.small import NLMTB_Dataset, StonyBrookCOVID_Dataset
from xrdatasets.legacy.transforms import ToPILImage, XRayCenterCrop, XRayResizer
from xrdatasets.legacy.utils import normalize

__all__ = [
    "BRAX_Dataset",
    "COVID19_Dataset",
    "CheX_Dataset",
    "CheXlocalize_Dataset",
    "CovariateDataset",
    "Dataset",
    "FilterDataset",
    "MIMIC_Dataset",
    "MergeDataset",
    "Merge_Dataset",
    "NIH_Dataset",
    "NIH_Google_Dataset",
    "NLMTB_Dataset",
    "ObjectCXR_Dataset",
    "Openi_Dataset",
    "PC_Dataset",
    "PadChest_Dataset",
    "RSNA_Pneumonia_Dataset",
    "SIIM_Pneumothorax_Dataset",
    "StonyBrookCOVID_Dataset",
    "SubsetDataset",
    "TBX11K_Dataset",
    "ToPILImage",
    "VinBrain_Dataset",
    "VinDr_Dataset",
    "XRayCenterCrop",
    "XRayResizer",
    "apply_transforms",
    "default_pathologies",
    "normalize",
    "relabel_dataset",
]

default_pathologies = list(LabelSpace.load("xrv18").labels)
"""The 18 findings of torchxrayvision, in its order."""

# older names of the same
Merge_Dataset = MergeDataset
PadChest_Dataset = PC_Dataset
VinBrain_Dataset = VinDr_Dataset
