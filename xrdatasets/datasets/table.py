"""Your own hospital's data: a CSV table and a mapping file of your own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths
from xrdatasets.datasets.files import IMAGE_SUFFIXES, user_path
from xrdatasets.datasets.options import check_flag
from xrdatasets.datasets.tables import CANONICAL
from xrdatasets.errors import DatasetNotFoundError, TableError
from xrdatasets.facts import Absent, Facts
from xrdatasets.labels.findings import near
from xrdatasets.labels.rules import LIST
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingColumns, FindingList, TermReader

__all__ = ["TableDataset"]

SUFFIX = rf"(?i)\.({'|'.join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))})$"


class TableDataset(CXRDataset):
    """Images with a CSV table of labels, and a mapping file that says what the labels mean.

    Args:
        root: the folder of the images.
        table: the CSV table, one row per image; a name below the root, or a path.
        mapping: the mapping file (``column, source, target, relation, note, reference``); a name below the
            root, or a path.
        columns: source column of each canonical one, ``{"image_id": "file", "patient_id": "pid"}``; those
            that carry the canonical name already need not be named. ``image_id`` is the image's file name or
            its path below the root, with or without extension.
        absent: what a blank means: ``unmentioned`` (a policy may fill it), ``negative`` (the table lists all
            that was seen) or ``unknown``.
        list_column: the column whose cells list the findings, if the mapping file speaks of ``*``.
        separator: what stands between two findings of a list.
        name: a name for messages and the column ``dataset``.
        frontal_only: all images are frontal, so a view that is not stated passes.
        image_family: a word shared by datasets of the same images and patients; the root if None.
        options: of `CXRDataset`.

    Raises:
        DatasetNotFoundError: root, table, mapping file or images are missing.
        TableError: the table lacks a column, or a cell holds what no code is.
        MappingError: the mapping file is wrong, or the table has a term that it lacks.
        ValueError: an argument is none of the above.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.TableDataset(OWN_ROOT, table="labels.csv", mapping="mapping.csv",
        ...                      columns={"image_id": "file"}, space="native")
        >>> ds.pathologies
        ('Effusion', 'Cardiomegaly')
    """

    def __init__(
        self,
        root: str | Path,
        *,
        table: str | Path,
        mapping: str | Path,
        columns: Mapping[str, str] | None = None,
        absent: Absent = "unmentioned",
        list_column: str | None = None,
        separator: str = "|",
        name: str = "table",
        frontal_only: bool = True,
        image_family: str | None = None,
        **options: Any,
    ) -> None:
        self._table_path = self._path(root, table, name, "table")
        self._mapping_path = self._path(root, mapping, name, "mapping file")
        self._columns = _checked_columns(columns)
        check_flag("frontal_only", frontal_only)
        family = image_family or str(user_path(root).absolute())
        self._facts = Facts(name, name, "", "", "", absent, frontal_only, family, None, None, "your own data")
        self._list_column, self._separator = list_column, separator
        super().__init__(root, **options)

    @property
    def columns(self) -> Mapping[str, str]:  # type: ignore[override]
        """Source column of each canonical one."""
        return self._columns

    @property
    def facts(self) -> Facts:
        """Facts of the data: its name, and what a blank means."""
        return self._facts

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules of the mapping file."""
        return LabelTable.read(self._mapping_path, dataset=self.facts.key, absent=self.facts.absent)

    @cached_property
    def findings(self) -> TermReader:  # type: ignore[override]
        """A list in one column, or a column for each term: what the mapping file speaks of."""
        if all(term.column != LIST for term in self.label_table.terms):
            if self._list_column is not None:
                msg = f"list_column: the mapping file has no row for a list ({LIST!r}). Expected None."
                raise ValueError(msg)
            return FindingColumns()
        if self._list_column is None:
            msg = (
                f"list_column: the mapping file speaks of a list ({LIST!r}). Expected the name of its column."
            )
            raise ValueError(msg)
        return FindingList(self._list_column, self._separator)

    def read_table(self) -> pd.DataFrame:
        """The table, image ids as paths without their extension."""
        column = self._columns.get("image_id", "image_id")
        self.table_name = self._table_path.name
        frame = self.read_csv(self._table_path, [column, *self._columns.values()])
        check_paths(frame[column], path=self._table_path, dataset=self.facts.key)
        ids = frame[column].str.replace("\\", "/").str.removeprefix("./").str.replace(SUFFIX, "", regex=True)
        if ids.isna().any():
            return frame  # `canonical` names the row
        depth = ids.str.count("/").min()
        self.levels = 1 + (0 if pd.isna(depth) else int(depth))
        keys = self.files.keys(ids)
        if not ids.is_unique:
            twice = ids[ids.duplicated()]
            msg = (
                f"{self.facts.key}: image {twice.iloc[0]!r} stands in more than one row ({len(twice):,} such "
                "rows). Expected one row per image; join several readers with xr.join."
            )
            raise TableError(msg)
        if not keys.is_unique:
            twice = ids[keys.duplicated(keep=False)]
            msg = (
                f"{self.facts.key}: {twice.iloc[0]!r} and {twice.iloc[1]!r} could be the same file. "
                "Expected image ids of one depth: all file names, or all paths below the root."
            )
            raise TableError(msg)
        return frame.assign(**{column: ids})

    @staticmethod
    def _path(root: str | Path, name: str | Path, dataset: str, what: str) -> Path:
        for path in (user_path(root) / user_path(name, name=what), user_path(name)):
            if os.path.isfile(path):  # noqa: PTH113 (False, not an error, where a name is too long)
                return path
        msg = f"{dataset}: no {what} {str(name)!r} in {str(root)!r} or here. Expected a CSV file."
        raise DatasetNotFoundError(msg)


def _checked_columns(columns: object) -> dict[str, str]:
    """Source column of each canonical one.

    Raises:
        ValueError: no mapping, or a key that is no canonical column.
    """
    if not isinstance(columns, Mapping | None):
        msg = f"columns: expected a dict of canonical and source columns, got {columns!r}."
        raise ValueError(msg)
    given = dict(columns or {})
    for name in given:
        if name not in CANONICAL:
            msg = f"columns: expected {', '.join(CANONICAL)}, got {name!r}. {near(str(name), CANONICAL)}"
            raise ValueError(msg.rstrip())
    return given
