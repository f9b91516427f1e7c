"""Legacy: torchxrayvision's classes for releases in which findings are outlined."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.legacy.base import Change
from xrdatasets.legacy.columns import Cells, Column, Said, Terms, findings, in_order
from xrdatasets.legacy.releases import (
    ApartDataset,
    ApartObjectCXR,
    ApartRSNA,
    ApartSIIM,
    ApartTBX11K,
    ApartVinDr,
)
from xrdatasets.legacy.wrapped import File, Views, Wrapped, split_of

__all__ = [
    "ObjectCXR_Dataset",
    "RSNA_Pneumonia_Dataset",
    "SIIM_Pneumothorax_Dataset",
    "TBX11K_Dataset",
    "VinDr_Dataset",
]

MASKED = frozenset({"has_masks"})
TBX_SPLITS = {"train": "train", "val": "val", "trainval": None}


class RSNA_Pneumonia_Dataset(Wrapped):
    """RSNA Pneumonia, Lung Opacity and Pneumonia both as Target; `xrdatasets.RSNA` tells the rest."""

    labelled: ClassVar[tuple[Column, ...]] = (Said("Lung Opacity"), Said("Pneumonia", "Lung Opacity"))
    facts = MASKED | {"patientid"}
    names = ("patientId", "")
    always_masks = True

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        dicomcsvpath: File = None,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        nrows: int | None = None,
        seed: int = 0,
        pathology_masks: bool = False,
        extension: str = ".jpg",
    ) -> None:
        self.csvpath, self.dicomcsvpath, self.extension = csvpath, dicomcsvpath, extension
        given = {
            "stage_2_train_labels.csv": csvpath,
            "kaggle_stage_2_train_images_dicom_headers.csv": dicomcsvpath,
        }
        self._wrap(
            ApartRSNA, imgpath, given=given, nrows=nrows, extension=extension, views=views,
            transform=transform, data_aug=data_aug, masks=pathology_masks,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        return by_image(opened)

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(patientid=table["image_id"])


class SIIM_Pneumothorax_Dataset(Wrapped):
    """SIIM-ACR Pneumothorax, a row for each outline; `xrdatasets.SIIM` tells the rest."""

    labelled = findings("Pneumothorax")
    facts = MASKED
    names = ("ImageId", "")
    shown = ("data_aug",)

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        unique_patients: bool = True,
        pathology_masks: bool = False,
    ) -> None:
        self.csvpath = csvpath
        self._wrap(
            ApartSIIM, imgpath, given={"train-rle.csv": csvpath}, transform=transform, data_aug=data_aug,
            masks=pathology_masks,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        """The image of each row of the table, so that some come several times."""
        assert isinstance(opened, ApartSIIM)
        rows: npt.NDArray[np.intp] = pd.Index(opened.table["image_id"]).get_indexer(opened.annotated)
        return rows


class VinDr_Dataset(Wrapped):
    """VinDr-CXR, positive if any reader says so; `xrdatasets.VinDr` tells the rest."""

    labelled = in_order(
        [
            *map(Said, ("Atelectasis", "Cardiomegaly", "Consolidation", "Effusion", "Infiltration")),
            *map(Said, ("Lung Opacity", "Pleural_Thickening", "Pneumothorax")),
            *map(Terms, ("Aortic enlargement", "Calcification", "ILD", "Nodule/Mass", "Other Lesion")),
            Terms("Pulmonary Fibrosis"),
        ]
    )

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        views: Views = None,
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        pathology_masks: bool = False,
    ) -> None:
        self.csvpath = csvpath
        # PhysioNet's tables are called so; their labels stand in a table beside them
        split = split_of(csvpath, {"annotations_test": "test"}, default="train")
        of_physionet = csvpath is not None and Path(csvpath).name.startswith("annotations_")
        name = f"annotations/annotations_{split}.csv" if of_physionet else "train.csv"
        self._wrap(
            ApartVinDr, imgpath, given={name: csvpath}, split=split, consensus="any", views=views,
            transform=transform, data_aug=data_aug, masks=pathology_masks,
        )  # fmt: skip

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(has_masks=(self.labels == 1).any(axis=1))

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        return by_image(opened)


class ObjectCXR_Dataset(Wrapped):
    """Object-CXR's train, from its archive; `xrdatasets.ObjectCXR` tells the rest."""

    labelled: ClassVar[tuple[Column, ...]] = (Cells("Foreign Object", "foreign_object", (1,)),)

    def __init__(
        self,
        imgzippath: str | Path,
        csvpath: str | Path,
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
    ) -> None:
        self.imgzippath, self.csvpath = imgzippath, csvpath
        self._wrap(
            ApartObjectCXR, imgzippath, given={"train.csv": csvpath}, transform=transform, data_aug=data_aug
        )
        self.views = []

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        names = table["image_id"].str.removeprefix("train/") + ".jpg"
        return super()._frame(table).assign(image_name=names, has_masks=table["foreign_object"] == 1)


class TBX11K_Dataset(Wrapped):
    """TBX11K, four labels of its boxes; `xrdatasets.TBX11K` tells the rest."""

    labelled: ClassVar[tuple[Column, ...]] = (
        Cells("ActiveTuberculosis", "categories", ("active", "both")),
        Cells("ObsoletePulmonaryTuberculosis", "categories", ("latent", "both")),
        Cells("PulmonaryTuberculosis", "categories", ("uncertain",)),
        Cells("Tuberculosis", "categories", ("active", "latent", "both", "uncertain")),
    )
    names = ("file_name", ".png")
    shown = ("data_aug",)

    def __init__(
        self,
        imgpath: str | Path,
        split: str = "train",
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
    ) -> None:
        if split not in TBX_SPLITS:
            msg = f"split: expected {', '.join(TBX_SPLITS)}, got {split!r}."
            raise ValueError(msg)
        self._wrap(ApartTBX11K, imgpath, split=TBX_SPLITS[split], transform=transform, data_aug=data_aug)

    def _extras(self, row: int) -> dict[str, Any]:
        return {"bbox": self.csv["bbox"].iloc[row]}


def by_image(opened: ApartDataset) -> npt.NDArray[np.intp]:
    """Rows in the order of the images' names."""
    return np.argsort(opened.table["image_id"].to_numpy(dtype=object), kind="stable")
