"""Stony Brook COVID-19 (RALO): portable radiographs scored by two experts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.errors import TableError

__all__ = ["StonyBrookCOVID"]

# pandas tells the heads of the second expert by `.1`
SCORES: Final = {
    "geographic_extent": ("Total GEOGRAPHIC", "Total GEOGRAPHIC.1"),
    "opacity": ("Total OPACITY", "Total OPACITY.1"),
}
HIGHEST = 8  # 0 to 4 for each lung (readme of github.com/mlmed/covid-severity)


class StonyBrookCOVID(CXRDataset):
    """Radiographic Assessment of Lung Opacity (RALO) scores of Stony Brook Medicine.

    Layout: ``ralo-dataset-metadata.csv``, whose first line is a title, and ``CXR_images_scored/<row>.jpg``:
    an image is named by the number of its row in the whole table, from 0. 2,373 images.

    Labels: scores, not findings. Two experts scored each lung from 0 to 4, so that totals go from 0 to 8:
    the extent of opacity over the lung, and its degree. `table` has the means of the experts as
    ``geographic_extent`` and ``opacity`` (targets of a regression), and each expert's totals beside them
    (``geographic_extent_expert1`` and so on). Lung Opacity is 1 where the mean degree is above 0, that is
    where either expert saw any, and 0 where both saw none. Every patient had COVID-19, so that each image
    is positive and there are no negatives.

    Views: all AP, portable, as torchxrayvision reads them; the table has no column for it.

    Splits: none.

    Traps: filtering must not renumber the rows; both experts' columns have the same heads; ``Exam_DateTime``
    begins with the date as YYYYMMDD (`exam_date` in `table`); several images of one patient; a row without
    scores stays, with Lung Opacity unknown.

    Licence: CC BY-NC 4.0. From memory, as is who wrote the release: look at its record before you use it.

    Citation: Cohen JP, Shen B, Abbasi A, et al. Radiographic Assessment of Lung Opacity Score Dataset. Zenodo
    2021. doi 10.5281/zenodo.4633999

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.StonyBrookCOVID(STONYBROOK_COVID_ROOT, space=["Lung Opacity", "COVID-19"])
        >>> ds.codes[0].tolist(), float(ds.table["opacity"][0])
        ([1.0, 1.0], 4.5)
    """

    name = "stonybrook_covid"
    columns: ClassVar[Mapping[str, str]] = {"patient_id": "Subject_ID"}
    image_folders = ("CXR_images_scored", "*/CXR_images_scored")

    def read_table(self) -> pd.DataFrame:
        """The table, with the number of each row as ``image_id``, and the scores of both experts.

        Raises:
            TableError: a score is no number from 0 to 8, or a date is none.
        """
        path = self.find_table("ralo-dataset-metadata.csv", "*/ralo-dataset-metadata.csv")
        self.table_name = path.name
        heads = [head for pair in SCORES.values() for head in pair]
        frame = self.read_csv(path, ["Subject_ID", "Exam_DateTime", *heads], skiprows=1)
        totals = pd.DataFrame({head: self._scores(frame[head], path) for head in heads})
        exams = frame["Exam_DateTime"].astype("str").str.strip()
        means = {name: totals[list(pair)].mean(axis=1) for name, pair in SCORES.items()}
        experts = {
            f"{name}_expert{number}": totals[head]
            for name, pair in SCORES.items()
            for number, head in enumerate(pair, start=1)
        }
        opacity = means["opacity"]
        return frame.drop(columns=heads).assign(
            image_id=frame.index.astype("str"),
            study_id=frame["Subject_ID"] + "_" + exams,
            view="AP",
            exam_date=self._dates(exams, path),
            **means,
            **experts,
            **{"Lung Opacity": (opacity > 0).astype("float32").where(opacity.notna())},
        )

    def _scores(self, column: pd.Series, path: Path) -> pd.Series:
        """One expert's totals; NaN where blank."""
        numbers = pd.to_numeric(column, errors="coerce")
        good = numbers.between(0, HIGHEST) | column.isna()
        self._check(column, good, f"a score from 0 to {HIGHEST}", path)
        return numbers

    def _dates(self, exams: pd.Series, path: Path) -> pd.Series:
        """Days of the exams; blank where there is none."""
        days = pd.to_datetime(exams.str[:8], format="%Y%m%d", errors="coerce")
        self._check(exams, days.notna() | exams.isna(), "a date and time like 20200323_101500", path)
        return days

    def _check(self, column: pd.Series, good: pd.Series, expected: str, path: Path) -> None:
        if not good.all():
            row = int(good.to_numpy().argmin())
            msg = (
                f"{self.name}: {str(path)!r}, column {column.name!r}: expected {expected}, got "
                f"{column.iloc[row]!r} in row {row} of the data ({int((~good).sum()):,} such cells). "
                "Download the table again."
            )
            raise TableError(msg)
