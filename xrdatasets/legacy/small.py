"""Legacy: torchxrayvision's classes for the tuberculosis sets of the NLM and for Stony Brook."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from xrdatasets.legacy.base import Change
from xrdatasets.legacy.columns import Column, Number, findings
from xrdatasets.legacy.releases import ApartMontgomery, ApartShenzhen, ApartStonyBrookCOVID
from xrdatasets.legacy.wrapped import Views, Wrapped, days

__all__ = ["NLMTB_Dataset", "StonyBrookCOVID_Dataset"]


class NLMTB_Dataset(Wrapped):
    """Montgomery or Shenzhen, Tuberculosis alone; `xrdatasets.Montgomery` and `Shenzhen` tell the rest."""

    labelled = findings("Tuberculosis")
    names = ("fname", ".png")

    def __init__(
        self,
        imgpath: str | Path,
        transform: Change | None = None,
        data_aug: Change | None = None,
        seed: int = 0,
        views: Views = ("PA",),
    ) -> None:
        there = any(Path(imgpath).glob("CXR_png/CHNCXR_*"))
        self._wrap(
            ApartShenzhen if there else ApartMontgomery, imgpath, views=views, transform=transform,
            data_aug=data_aug,
        )  # fmt: skip

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(view="PA")  # by the article; the release says nothing


class StonyBrookCOVID_Dataset(Wrapped):
    """Stony Brook (RALO), two scores from 0 to 8; `xrdatasets.StonyBrookCOVID` tells the rest."""

    labelled: ClassVar[tuple[Column, ...]] = (
        Number("Geographic Extent", "geographic_extent"),
        Number("Lung Opacity", "opacity"),
    )
    facts = frozenset({"patientid"})
    shown = ()

    def __init__(
        self,
        imgpath: str | Path,
        csvpath: str | Path,
        transform: Change | None = None,
        data_aug: Change | None = None,
        views: Views = ("AP",),
        seed: int = 0,
    ) -> None:
        self.csvpath = csvpath
        self._wrap(
            ApartStonyBrookCOVID, imgpath, given={"ralo-dataset-metadata.csv": csvpath}, views=views,
            transform=transform, data_aug=data_aug,
        )  # fmt: skip

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        return super()._frame(table).assign(offset_day_int=days(table["exam_date"]))
