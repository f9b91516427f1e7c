"""Legacy: torchxrayvision's classes for releases with CheXpert's thirteen labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.legacy.base import Change
from xrdatasets.legacy.columns import Column, Said
from xrdatasets.legacy.releases import (
    ApartBRAX,
    ApartCheXlocalize,
    ApartCheXpert,
    ApartDataset,
    ApartMIMICCXR,
)
from xrdatasets.legacy.wrapped import PEOPLE, File, Views, Wrapped, days, split_of

__all__ = ["BRAX_Dataset", "CheX_Dataset", "CheXlocalize_Dataset", "MIMIC_Dataset"]

# alphabetical as "Pleural Effusion", its name in the tables
THIRTEEN: tuple[Column, ...] = tuple(
    map(
        Said,
        (
            "Atelectasis",
            "Cardiomegaly",
            "Consolidation",
            "Edema",
            "Enlarged Cardiomediastinum",
            "Fracture",
            "Lung Lesion",
            "Lung Opacity",
            "Effusion",
            "Pleural Other",
            "Pneumonia",
            "Pneumothorax",
            "Support Devices",
        ),
    )
)


class CheX_Dataset(Wrapped):
    """CheXpert, train.csv or valid.csv; `xrdatasets.CheXpert` tells the rest."""

    labelled = THIRTEEN
    facts = PEOPLE
    names = ("Path", ".jpg")

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        flat_dir: bool = True,
        seed: int = 0,
        unique_patients: bool = True,
    ) -> None:
        self.csvpath, self.flat_dir = csvpath, flat_dir
        split = split_of(csvpath, {"valid": "val"}, default="train")
        self._wrap(
            ApartCheXpert, imgpath, given={ApartCheXpert.tables[split]: csvpath}, split=split, views=views,
            transform=transform, data_aug=data_aug, unique=unique_patients,
        )  # fmt: skip


class CheXlocalize_Dataset(Wrapped):
    """CheXlocalize, one of its two tables; `xrdatasets.CheXlocalize` tells the rest."""

    labelled = THIRTEEN
    facts = PEOPLE
    names = ("Path", ".jpg")

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: str | Path,
        views: Views = ("PA", "AP", "Unknown"),
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        unique_patients: bool = True,
        pathology_masks: bool = True,
        segmentation_jsonpath: File = None,
    ) -> None:
        if pathology_masks and segmentation_jsonpath is None:
            msg = (
                "segmentation_jsonpath: expected gt_segmentations_val.json or gt_segmentations_test.json for "
            )
            raise ValueError(msg + "pathology_masks=True, got None. Pass it, or pathology_masks=False.")
        self.csvpath, self.segmentation_jsonpath = csvpath, segmentation_jsonpath
        split = split_of(csvpath, {"test": "test"}, default="val")
        given = {
            f"CheXpert/{split}_labels.csv": csvpath,
            f"CheXlocalize/gt_segmentations_{split}.json": segmentation_jsonpath,
        }
        self._wrap(
            ApartCheXlocalize, imgpath, given=given, split=split, views=views, transform=transform,
            data_aug=data_aug, unique=unique_patients, masks=pathology_masks,
        )  # fmt: skip


class MIMIC_Dataset(Wrapped):
    """MIMIC-CXR-JPG, whose No Finding makes Support Devices 0 too; `xrdatasets.MIMICCXR` tells the rest."""

    labelled = THIRTEEN
    facts = frozenset({"patientid"})

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: str | Path,
        metacsvpath: str | Path,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        unique_patients: bool = True,
    ) -> None:
        self.csvpath, self.metacsvpath = csvpath, metacsvpath
        given = {"mimic-cxr-2.0.0-chexpert.csv": csvpath, "mimic-cxr-2.0.0-metadata.csv": metacsvpath}
        self._wrap(
            ApartMIMICCXR, imgpath, given=given, views=views, transform=transform, data_aug=data_aug,
            unique=unique_patients,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        """By patient and study, as the table of labels is."""
        table = opened.table
        ids = [table[name].astype("int64").to_numpy() for name in ("study_id", "patient_id")]
        return np.lexsort(ids)

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(offset_day_int=days(table["study_date"]))


class BRAX_Dataset(Wrapped):
    """BRAX; a patient's first row is kept whole; `xrdatasets.BRAX` tells the rest."""

    labelled = THIRTEEN
    facts = PEOPLE

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: str | Path,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        unique_patients: bool = True,
        max_aspect_ratio: float | None = 10,
    ) -> None:
        self.csvpath, self.max_aspect_ratio = csvpath, max_aspect_ratio
        self._wrap(
            ApartBRAX, imgpath, given={ApartBRAX.tables[0]: csvpath}, longest=max_aspect_ratio,
            first=unique_patients, views=views, transform=transform, data_aug=data_aug,
        )  # fmt: skip
