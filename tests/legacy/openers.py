"""How each class of torchxrayvision is called on a tiny download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xrdatasets.legacy as xrv
from tests import fakes
from xrdatasets.legacy.base import Dataset

__all__ = ["KEYS", "open_fake"]

ALL = {"views": "*", "unique_patients": False}


def _object_cxr(root: Path, **options: Any) -> Dataset:
    if not (root / "train.zip").exists():
        fakes.load("object_cxr").pack(root, "train")
    return xrv.datasets.ObjectCXR_Dataset(root / "train.zip", root / "train.csv", **options)


def _mimic(root: Path, **options: Any) -> Dataset:
    tables = (root / f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("chexpert", "metadata"))
    return xrv.datasets.MIMIC_Dataset(root / "files", *tables, **{**ALL, **options})


def _chexlocalize(root: Path, **options: Any) -> Dataset:
    table = root / "CheXpert" / "val_labels.csv"
    return xrv.datasets.CheXlocalize_Dataset(
        root / "CheXpert", table, **{**ALL, "pathology_masks": False, **options}
    )


OPENERS: dict[str, Callable[..., Dataset]] = {
    "brax": lambda root, **options: xrv.datasets.BRAX_Dataset(
        root / "images", root / "master_spreadsheet_update.csv", **{**ALL, **options}
    ),
    "chexlocalize": _chexlocalize,
    "chexpert": lambda root, **options: xrv.datasets.CheX_Dataset(
        root / "CheXpert-v1.0-small", **{**ALL, **options}
    ),
    "covid19": lambda root, **options: xrv.datasets.COVID19_Dataset(
        root / "images", root / "metadata.csv", **options
    ),
    "mimic_cxr": _mimic,
    "montgomery": lambda root, **options: xrv.datasets.NLMTB_Dataset(
        root / "MontgomerySet", **{"views": "*", **options}
    ),
    "nih": lambda root, **options: xrv.datasets.NIH_Dataset(root / "images", **options),
    "nih_google": lambda root, **options: xrv.datasets.NIH_Google_Dataset(root / "images", **options),
    "object_cxr": _object_cxr,
    "openi": lambda root, **options: xrv.datasets.Openi_Dataset(root / "images", **{**ALL, **options}),
    "padchest": lambda root, **options: xrv.datasets.PC_Dataset(root / "images", **{**ALL, **options}),
    "rsna": lambda root, **options: xrv.datasets.RSNA_Pneumonia_Dataset(
        root, **{"extension": ".dcm", **options}
    ),
    "shenzhen": lambda root, **options: xrv.datasets.NLMTB_Dataset(
        root / "ChinaSet_AllFiles", **{"views": "*", **options}
    ),
    "siim": lambda root, **options: xrv.datasets.SIIM_Pneumothorax_Dataset(root, **options),
    "stonybrook_covid": lambda root, **options: xrv.datasets.StonyBrookCOVID_Dataset(
        root / "CXR_images_scored", root / "ralo-dataset-metadata.csv", **options
    ),
    "tbx11k": lambda root, **options: xrv.datasets.TBX11K_Dataset(root / "TBX11K", **options),
    "vindr": lambda root, **options: xrv.datasets.VinDr_Dataset(root / "train", **options),
}
KEYS = tuple(OPENERS)


def open_fake(key: str, root: Path, **options: Any) -> Dataset:
    """The class of a dataset on its fake, all views unless told."""
    return OPENERS[key](root, **options)
