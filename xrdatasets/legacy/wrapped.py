"""Legacy: one of our datasets behind the attributes of torchxrayvision's."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.labels.codes import Floats
from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.legacy.base import Change, Dataset, apply_transforms
from xrdatasets.legacy.columns import Column, Said, Source
from xrdatasets.legacy.releases import ApartDataset

__all__ = ["PEOPLE", "VIEWS", "File", "Views", "Wrapped", "days"]

logger = logging.getLogger(__name__)

Views = str | Sequence[str] | None
File = str | Path | None

VIEWS = {"PA": "PA", "AP": "AP", "LATERAL": "L", "AP_SUPINE": "AP Supine", "UNKNOWN": "UNKNOWN"}
"""What torchxrayvision calls our views."""

PEOPLE = frozenset({"patientid", "age_years", "sex_male", "sex_female"})
"""What it adds to the tables that know it."""

ABSENCE = "No Finding"


class Wrapped(Dataset):
    """One of our datasets with ``compat="xrv"``, behind the attributes of torchxrayvision's.

    A subclass gives a constructor and states what differs: `labelled` (where each column of labels comes
    from), `facts` (which columns are added to `csv`), `names`
    (column and extension of its image names), `always_masks` (masks of nothing too), `shown` (in `string`).

    Attributes:
        dataset: ours, with one row for each of `csv`.
        imgpath, csvpath: as they were given.
        views: the views, as a list.
        transform, data_aug: called with the image, one after the other.
    """

    labelled: ClassVar[tuple[Column, ...]] = ()
    facts: ClassVar[frozenset[str]] = frozenset()
    names: ClassVar[tuple[str, str] | None] = None
    always_masks: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("views", "data_aug")

    def _wrap(
        self,
        release: Callable[..., ApartDataset],
        imgpath: File,
        *,
        views: Views = "*",
        transform: Change | None = None,
        data_aug: Change | None = None,
        unique: bool = False,
        masks: bool = False,
        **options: Any,
    ) -> None:
        self.imgpath, self.transform, self.data_aug = imgpath, transform, data_aug
        self.views = [views] if isinstance(views, str) else views and list(views)
        self.pathology_masks = masks
        options = {"exclusions": False, "views": views, "masks": masks} | options
        opened = release(imgpath, one_per_patient=unique, **options)
        opened = opened.select(self._order(opened, unique=unique))
        self._labelled = self._columns(opened)
        drawn = {column.finding or column.name for column in self._labelled if isinstance(column, Said)}
        self.dataset = opened.relabel(sorted(drawn) or [ABSENCE])
        self.pathologies = [column.name for column in self._labelled]
        self.labels = self._labels()
        self.csv = self._frame(self.dataset.table)

    def _order(self, opened: ApartDataset, *, unique: bool) -> npt.NDArray[np.intp]:
        """The rows that stay, in torchxrayvision's order."""
        return np.arange(len(opened))

    def _columns(self, opened: ApartDataset) -> tuple[Column, ...]:
        """Where each column of labels comes from."""
        return self.labelled

    def _labels(self) -> Floats:
        source = Source(self.dataset)
        columns = [column.read(source) for column in self._labelled]
        labels = np.stack(columns, axis=1) if columns else np.empty((len(self.dataset), 0), np.float32)
        return np.ascontiguousarray(labels, dtype=np.float32)

    def _frame(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with torchxrayvision's columns beside ours."""
        columns: dict[str, Any] = {}
        for ours, theirs in self.dataset.columns.items():
            if theirs not in table:
                columns[theirs] = table[ours]
        if self.names:
            columns[self.names[0]] = table["image_id"] + self.names[1]
        male, female = ((table["sex"] == word).to_numpy(dtype=bool, na_value=False) for word in "MF")
        made = {
            "patientid": table["patient_id"],
            "age_years": table["age"].astype("float64"),
            "sex_male": male,
            "sex_female": female,
        }
        columns |= {name: made[name] for name in made if name in self.facts}
        columns["view"] = table["view"].astype("str").map(VIEWS)
        if self.pathology_masks or "has_masks" in self.facts:
            columns |= self._has_masks(table["image_id"])
        return table.assign(**columns)

    def _has_masks(self, images: pd.Series) -> dict[str, pd.Series]:
        """Whether something is drawn on each image; nothing where no table says so, and none needs it."""
        reads = (self.dataset.read_boxes, self.dataset.read_polygons, self.dataset.read_runs)
        try:
            drawn = {name for read in reads if (frame := read()) is not None for name in frame["image_id"]}
        except DatasetNotFoundError as error:
            if self.pathology_masks:
                raise
            logger.info("csv has no column has_masks: %s", error)
            return {}
        return {"has_masks": images.isin(drawn)}

    def string(self) -> str:
        """The dataset in a line, as torchxrayvision writes it."""
        return " ".join([super().string(), *(f"{name}={getattr(self, name)}" for name in self.shown)])

    def __getitem__(self, idx: int) -> dict[str, Any]:
        """One image: ``idx``, ``lab`` (L,) float32 and ``img`` (1, H, W) float32, masks if asked for.

        Raises:
            IndexError: there is no such image.
            DatasetNotFoundError: its file is missing.
            ImageReadError: it is damaged or no image.
        """
        row = as_row(idx, len(self))
        read = self.dataset.read(row, self.dataset.space)
        sample: dict[str, Any] = {"idx": row, "lab": self.labels[row].copy(), "img": read["img"]}
        if self.pathology_masks:
            sample["pathology_masks"] = self._mask_dict(read["mask"], self.dataset.space)
        sample |= self._extras(row)
        for change in (self.transform, self.data_aug):
            apply_transforms(sample, change)
        return sample

    def _extras(self, row: int) -> dict[str, Any]:
        """What else a sample carries."""
        return {}

    def _mask_dict(self, masks: npt.NDArray[np.uint8], space: LabelSpace) -> dict[int, npt.NDArray[Any]]:
        """(1, H, W) masks of what is drawn, by number of the column of labels."""
        found = {}
        for column in self._labelled:
            if not isinstance(column, Said) or column.name not in self.pathologies:
                continue
            mask = masks[space.labels.index(column.finding or column.name)]
            if mask.any() or self.always_masks:
                found[self.pathologies.index(column.name)] = mask[np.newaxis].astype(np.float64)
        return found


def as_row(idx: int, count: int) -> int:
    """A row number that is not negative.

    Raises:
        IndexError: there is no such row.
    """
    row = operator.index(idx)
    if not -count <= row < count:
        msg = f"expected an index from {-count:,} to {count - 1:,}, got {row}."
        raise IndexError(msg)
    return row + count if row < 0 else row


def days(dates: pd.Series) -> pd.Series:
    """Days since 1970 began, NA where a date is not known."""
    return ((dates - pd.Timestamp(0)) // pd.Timedelta(days=1)).astype("Int64")


def split_of(path: File, words: Mapping[str, str], *, default: str) -> str:
    """The split that a table's file name speaks of.

    Args:
        path: the file, None if it was not given.
        words: the split for a word in the name.
        default: where none of the words is in it.
    """
    name = Path(path).name if path else ""
    return next((split for word, split in words.items() if word in name), default)
