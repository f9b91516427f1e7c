"""Legacy: torchxrayvision's classes for the images of NIH ChestX-ray14 and Google's readings of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.legacy.base import Change
from xrdatasets.legacy.columns import Column, Said, Terms, findings
from xrdatasets.legacy.releases import ApartDataset, ApartNIH, ApartNIHGoogle
from xrdatasets.legacy.wrapped import PEOPLE, File, Views, Wrapped

__all__ = ["NIH_Dataset", "NIH_Google_Dataset"]


class NIH_Dataset(Wrapped):
    """NIH ChestX-ray14, 14 labels; `xrdatasets.NIH` tells the rest."""

    labelled = findings(*LabelSpace.load("nih14").labels)
    facts = PEOPLE | {"has_masks"}
    names = ("Image Index", ".png")

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        bbox_list_path: File = None,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        unique_patients: bool = True,
        pathology_masks: bool = False,
    ) -> None:
        self.csvpath, self.bbox_list_path = csvpath, bbox_list_path
        given = dict.fromkeys(ApartNIH.tables, csvpath) | {"BBox_List_2017.csv": bbox_list_path}
        self._wrap(
            ApartNIH, imgpath, given=given, views=views, transform=transform, data_aug=data_aug,
            unique=unique_patients, masks=pathology_masks,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        return by_number(opened) if unique else super()._order(opened, unique=unique)


class NIH_Google_Dataset(Wrapped):
    """NIH with Google's readings, 4 labels; `xrdatasets.NIHGoogle` tells the rest."""

    # in the order of the release's names, of which torchxrayvision changes two afterwards
    labelled: ClassVar[tuple[Column, ...]] = (
        Said("Lung Opacity"),
        Said("Fracture"),
        Terms("Nodule/Mass", "^nodule or mass=yes$"),
        Said("Pneumothorax"),
    )
    names = ("Image Index", ".png")

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: File = None,
        views: Views = ("PA",),
        transform: Change | None = None,
        data_aug: Change | None = None,
        nrows: int | None = None,
        seed: int = 0,
        unique_patients: bool = True,
    ) -> None:
        self.csvpath = csvpath
        given = {ApartNIHGoogle.tables[0]: csvpath}
        self._wrap(
            ApartNIHGoogle, imgpath, given=given, views=views, transform=transform, data_aug=data_aug,
            unique=unique_patients, nrows=nrows,
        )  # fmt: skip

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        return by_number(opened) if unique else super()._order(opened, unique=unique)


def by_number(opened: ApartDataset) -> npt.NDArray[np.intp]:
    """Rows in the order of their patients' numbers, of which the table has made words."""
    return np.argsort(opened.table["patient_id"].astype("int64").to_numpy(), kind="stable")
