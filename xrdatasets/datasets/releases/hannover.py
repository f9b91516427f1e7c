"""Hannover Medical School: 243 radiographs of 71 patients with COVID-19."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset

__all__ = ["Hannover"]


class Hannover(CXRDataset):
    """COVID-19 Image Repository of the Hannover Medical School.

    Layout: ``data.csv`` and ``png/<image_id>.png`` (8 bit grey; other image formats are found too).

    Labels: every patient had COVID-19, so each image is positive and there are no negatives: joined
    with another dataset, the hospital predicts the label unless that is guarded against. No other
    finding is labelled. The table also holds laboratory values with their day offsets, ICU admission
    and death; they stand in `table`.

    Views: ``projection``, ``pa`` or ``ap``, in any case.

    Splits: none.

    Traps: several images of one patient, days apart; sex, age and laboratory values are often blank.

    Licence: CC BY 3.0.

    Citation: Winther HB, Laser H, Gerbel S, et al. COVID-19 Image Repository. 2020.
    doi 10.6084/m9.figshare.12275009

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.Hannover(HANNOVER_ROOT, space="native")
        >>> ds.pathologies, float(ds.labels.min())
        (('COVID-19',), 1.0)
    """

    name = "hannover"
    columns: ClassVar[Mapping[str, str]] = {"view": "projection"}
    image_folders = ("png",)

    def read_table(self) -> pd.DataFrame:
        """The table ``data.csv``."""
        path = self.find_table("data.csv")
        self.table_name = path.name
        return self.read_csv(path, ["patient_id", "image_id", "sex", "age", "projection"])
