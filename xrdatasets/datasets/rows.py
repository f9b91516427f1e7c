"""Datasets, step 3: which rows of a release's table the user asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from xrdatasets.datasets.files import FileIndex
from xrdatasets.errors import DatasetNotFoundError, EmptyDatasetError, SplitNotFoundError
from xrdatasets.facts import Facts
from xrdatasets.typing import Missing

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "TableRow",
    "check_split",
    "first_per_patient",
    "keep_present",
    "keep_split",
    "keep_views",
    "mixed_per_patient",
    "refuse_double",
]

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


class TableRow(Mapping[str, Any]):
    """One row of a table, of which a cell is looked up when it is asked for.

    A row that pandas makes (``iloc``) has all cells, in a series of objects: that takes a twentieth of the
    time of reading and shrinking a radiograph, and here one cell is wanted.

    Example:
        >>> import pandas as pd
        >>> TableRow(pd.DataFrame({"image_id": ["a", "b"], "age": [40, 50]}), 1)["image_id"]
        'b'
    """

    def __init__(self, table: pd.DataFrame, row: int) -> None:
        self._table, self._row = table, row

    def __getitem__(self, column: str) -> Any:
        return self._table[column].array[self._row]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.columns)

    def __len__(self) -> int:
        return len(self._table.columns)


def keep_views(table: pd.DataFrame, views: Sequence[str], facts: Facts) -> pd.DataFrame:
    """The rows of these views; where all images are frontal, an unknown view passes too.

    Raises:
        EmptyDatasetError: no row is left; the message says which views the table has.
    """
    if table.empty:
        msg = f"{facts.key}: the table has no rows. Expected one per image."
        raise EmptyDatasetError(msg)
    frontal = facts.frontal_only and bool({"PA", "AP"} & set(views))
    wanted = [*views, "UNKNOWN"] if frontal else list(views)
    kept = _rows(table, table["view"].isin(wanted).to_numpy())
    if kept.empty:
        counts = ", ".join(f"{view} {n:,}" for view, n in table["view"].value_counts().items() if n)
        msg = f"{facts.key}: views={tuple(views)} leave no row. The table has: {counts}."
        raise EmptyDatasetError(msg)
    return kept


def keep_split(table: pd.DataFrame, split: str | None, facts: Facts, *, needs: str) -> pd.DataFrame:
    """The rows of an official split, all rows for None.

    Args:
        table: with the column ``split``.
        split: ``train``, ``val`` or ``test``, or a word of the column in a table of one's own.
        facts: the release.
        needs: what has to be on disk for the split to be known, as words.

    Raises:
        SplitNotFoundError: the release, or what of it is on disk, has no such split.
    """
    if split is None:
        return table
    words = set(table["split"].dropna().unique())
    there = [*(name for name in SPLITS if name in words), *sorted(words.difference(SPLITS))]
    if split not in there:
        has = f"It has: {', '.join(there)}." if there else "It has none."
        hint = f" Needed for a split: {needs}." if needs else ""
        msg = f"{facts.key}: no split {split!r}. {has}{hint} Else use split_by_patient()."
        raise SplitNotFoundError(msg)
    return _rows(table, (table["split"] == split).to_numpy(dtype=bool, na_value=False))


def check_split(split: object) -> str | None:
    """A split's name, or None.

    Raises:
        ValueError: it is something else.
    """
    if split is None or isinstance(split, str):
        return split
    msg = f"split: expected 'train', 'val', 'test' or None, got {split!r}."
    raise ValueError(msg)


def first_per_patient(table: pd.DataFrame) -> pd.DataFrame:
    """The first row of each patient, whole; a row without a patient stays."""
    patients = table["patient_id"]
    return _rows(table, (~patients.duplicated() | patients.isna()).to_numpy())


def mixed_per_patient(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each patient as torchxrayvision makes it: in each column the first cell that is not empty.

    So a row may carry the labels of several images (its datasets, ``unique_patients=True``). It is here to
    reproduce published numbers alone; patients are sorted by id, and rows without one are lost, as there.
    """
    return table.groupby("patient_id", sort=True, observed=True).first().reset_index()[list(table)]


def keep_present(table: pd.DataFrame, files: FileIndex, missing: Missing, facts: Facts) -> pd.DataFrame:
    """The rows whose image is on disk.

    Args:
        table: one row per image.
        files: the files.
        missing: ``error``, ``drop`` or ``keep``.
        facts: the release.

    Raises:
        DatasetNotFoundError: ``error`` and a file is missing (counted, the first one named), or
            ``drop`` and all are; or two files could be the same image.
    """
    if missing not in get_args(Missing):
        msg = f"missing: expected {', '.join(get_args(Missing))}, got {missing!r}."
        raise ValueError(msg)
    if missing == "keep":
        return table
    keys = files.keys(table["image_id"])
    present = keys.isin(files.paths.keys()).to_numpy()
    for image_id in table["image_id"][keys.isin(files.doubles.keys())]:
        refuse_double(image_id, files, facts)
    lost = int((~present).sum())
    if not lost:
        return table
    first = table["image_id"].iloc[int(present.argmin())]
    what = f"{lost:,} of {len(table):,} images are not below {str(files.root)!r}, the first is {first!r}"
    if missing == "error" or not present.any():
        msg = (
            f"{facts.key}: {what} ({len(files.paths):,} image files were found). Download the rest, or pass "
            "missing='drop' to go without, missing='keep' for labels and tables alone."
        )
        raise DatasetNotFoundError(msg)
    logger.warning("%s: %s; they are dropped", facts.key, what)
    return _rows(table, present)


def refuse_double(image_id: str, files: FileIndex, facts: Facts) -> None:
    """Refuse to guess which of two files an image is.

    Raises:
        DatasetNotFoundError: two files could be meant; both are named.
    """
    key = files.key(image_id)
    if key in files.paths and key in files.doubles:
        msg = (
            f"{facts.key}: image {image_id!r} may be {files.paths[key]!r} or {files.doubles[key]!r}. "
            "Expected one file for each image: pass the folder of one copy as root, or move the other away."
        )
        raise DatasetNotFoundError(msg)


def _rows(table: pd.DataFrame, mask: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The rows of a mask, numbered anew; the same table if that is all of them."""
    return table if mask.all() else table[mask].reset_index(drop=True)
