"""Legacy: torchxrayvision's classes for releases that list terms, in which it searches for words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.legacy.base import Change
from xrdatasets.legacy.columns import Column, Said, Terms, in_order
from xrdatasets.legacy.releases import ApartCOVID19, ApartDataset, ApartOpenI, ApartPadChest
from xrdatasets.legacy.wrapped import PEOPLE, File, Views, Wrapped, days

__all__ = ["COVID19_Dataset", "Openi_Dataset", "PC_Dataset"]

NEWEST_BIRTH = 2008  # "2019 - PatientBirth > 10" (torchxrayvision 1.5.7, PC_Dataset)
YEAR = 2017  # the year that it takes for every study of PadChest


class PC_Dataset(Wrapped):
    """PadChest, 28 labels by words within its terms; `xrdatasets.PadChest` tells the rest."""

    labelled = in_order(
        [
            *map(Said, LabelSpace.load("nih14").labels),
            *map(Said, ("Fracture", "Tuberculosis", "Support Devices")),
            *map(
                Terms,
                (
                    "Air Trapping",
                    "Aortic Atheromatosis",
                    "Aortic Elongation",
                    "Bronchiectasis",
                    "Costophrenic Angle Blunting",
                    "Flattened Diaphragm",
                    "Granuloma",
                    "Hemidiaphragm Elevation",
                    "Scoliosis",
                ),
            ),
            Terms("Hilar Enlargement", "hilar enlargement|adenopathy|pulmonary artery enlargement"),
            Terms("Tube", "(tube|stent)$"),
        ]
    )
    facts = PEOPLE
    names = ("ImageID", ".png")

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
        given = {"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": csvpath}
        self._wrap(
            ApartPadChest, imgpath, given=given, views=views, transform=transform, data_aug=data_aug,
            unique=unique_patients, exclusions=True,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        """Those born in a known year up to 2008, by the name of the file."""
        table = opened.table
        order = np.argsort((table["image_id"] + ".png").to_numpy(dtype=object), kind="stable")
        born = table["PatientBirth"].to_numpy(dtype=np.float64, na_value=np.nan)[order]
        rows: npt.NDArray[np.intp] = order[born <= NEWEST_BIRTH]
        return rows

    def _labels(self) -> npt.NDArray[np.float32]:
        return np.nan_to_num(super()._labels())  # whatever the list, what it does not name is 0

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        dates = pd.to_datetime(table["StudyDate_DICOM"].astype("str"), format="%Y%m%d", errors="coerce")
        return (
            super()._frame(table).assign(age_years=YEAR - table["PatientBirth"], offset_day_int=days(dates))
        )


class Openi_Dataset(Wrapped):
    """Open-i, 18 labels by words within the automatic terms; `xrdatasets.OpenI` tells the rest."""

    labelled: ClassVar[tuple[Column, ...]] = (
        Said("Atelectasis"),
        Terms("Calcified Granuloma"),
        *map(Said, ("Cardiomegaly", "Edema", "Effusion", "Emphysema", "Fibrosis", "Fracture")),
        Terms("Granuloma"),
        *map(Said, ("Hernia", "Infiltration", "Lung Lesion", "Mass", "Nodule", "Lung Opacity")),
        *map(Said, ("Pleural_Thickening", "Pneumonia", "Pneumothorax")),
    )
    facts = frozenset({"patientid"})
    names = ("imageid", "")
    shown = ()

    def __init__(
        self,
        imgpath: str | Path,
        xmlpath: File = None,
        dicomcsv_path: File = None,
        tsnepacsv_path: File = None,
        use_tsne_derived_view: bool = False,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        nrows: int | None = None,
        seed: int = 0,
        unique_patients: bool = True,
    ) -> None:
        self.xmlpath, self.dicomcsv_path, self.tsnepacsv_path = xmlpath, dicomcsv_path, tsnepacsv_path
        given = {
            "NLMCXR_reports.tgz": xmlpath,
            "nlmcxr_dicom_metadata.csv": dicomcsv_path,
            "nlmcxr_tsne_pa.csv": tsnepacsv_path,
        }
        self._wrap(
            ApartOpenI, imgpath, given=given, views=views, transform=transform, data_aug=data_aug,
            unique=unique_patients, derived=use_tsne_derived_view,
        )  # fmt: skip


class COVID19_Dataset(Wrapped):
    """COVID-19 image data collection, a label for each word; `xrdatasets.COVID19` tells the rest."""

    facts = frozenset({"patientid"})

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: str | Path,
        views: Views = ("PA", "AP"),
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        semantic_masks: bool = False,
    ) -> None:
        if semantic_masks:
            msg = "semantic_masks: expected False, got True: the lung masks of V7 Labs do not come with this."
            raise ValueError(msg)
        self.csvpath, self.semantic_masks = csvpath, semantic_masks
        self._wrap(
            ApartCOVID19, imgpath, given={"metadata.csv": csvpath}, views=views, transform=transform,
            data_aug=data_aug,
        )  # fmt: skip

    def _columns(self, opened: ApartDataset) -> tuple[Column, ...]:
        """The words that there are."""
        terms = opened.terms
        return in_order(Terms(name, re.escape(name.lower())) for name in terms if (terms[name] == 1).any())

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(offset_day_int=table["offset"])
