"""Datasets, step 1 and 2: where a release lies and how it is read; a release only states its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets.csvtables import read_csv, read_csv_blocks, require
from xrdatasets.datasets.files import FileIndex, find_table
from xrdatasets.datasets.rows import refuse_double
from xrdatasets.datasets.tables import ID_COLUMNS
from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.facts import Facts
from xrdatasets.labels.consensus import Consensus
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingColumns, TermReader
from xrdatasets.typing import Compat

__all__ = ["Card", "Release"]


class Card:
    """What a dataset states of itself: its facts, its table, and how that is to be read.

    Attributes:
        name: key of the dataset.
        columns: source column of each canonical one.
        findings: how the table writes its labels.
        table_name: name of the table that `read_table` read.
        split_needs: what has to be there for a split, as words for a message.
        consensus: how the readers of an image become one label; then the table has a row for each image and
            reader, with the column ``reader_id``. None: a row for each image.
        compat: ``xrv`` to reproduce torchxrayvision's numbers where they differ, None for the right ones.
    """

    name: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, str]] = {}
    findings: TermReader = FindingColumns()
    split_needs: ClassVar[str] = ""
    table_name: str = ""
    consensus: Consensus | None = None
    compat: Compat | None = None

    @cached_property
    def facts(self) -> Facts:
        """Facts of the release: licence, url, what a blank means."""
        return Facts.load(self.name)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules by which its terms become findings."""
        return LabelTable.load(self.facts.key, compat=self.compat)

    def read_table(self) -> pd.DataFrame:
        """The release's table, one row per image, with the columns that `columns` names."""
        raise NotImplementedError

    def table_of(self, row: int) -> str:
        """Name of the table in which a row stands."""
        return self.table_name


class Release(Card):
    """A release on disk: its tables, its boxes, its image files.

    Attributes:
        root: the folder of the download.
        image_folders: where the release keeps its images, as patterns; they beat copies elsewhere.
        levels: how many last parts of an image's path make its key (`FileIndex`).
    """

    root: Path
    image_folders: ClassVar[Sequence[str]] = ()
    levels: int = 1

    def read_boxes(self) -> pd.DataFrame | None:
        """Boxes of findings (`xrdatasets.datasets.masks.BOX_COLUMNS`), None if the release has none."""
        return None

    def read_polygons(self) -> pd.DataFrame | None:
        """Outlines of findings (`xrdatasets.datasets.masks.POLYGON_COLUMNS`), None if there are none."""
        return None

    def read_runs(self) -> pd.DataFrame | None:
        """Run lengths of findings (`xrdatasets.datasets.masks.RUN_COLUMNS`), None if there are none."""
        return None

    def image_source(self, row: Mapping[str, Any]) -> Path | bytes:
        """File (or bytes) of the image of one row.

        Raises:
            DatasetNotFoundError: it is not on disk, or two files could be meant.
        """
        path = self.files.get(row["image_id"])
        if path is None:
            msg = (
                f"{self.facts.key}: no image file {row['image_id']!r} below {str(self.root)!r}. Download it, "
                "or open the dataset with missing='drop'."
            )
            raise DatasetNotFoundError(msg)
        refuse_double(row["image_id"], self.files, self.facts)
        return path

    @cached_property
    def files(self) -> FileIndex:
        """The image files below the root."""
        return FileIndex(self.root, levels=self.levels, folders=self.image_folders)

    def find_table(self, *names: str) -> Path:
        """The first of these tables below the root, plain or gzipped.

        Raises:
            DatasetNotFoundError: none is there.
        """
        return find_table(self.root, names, facts=self.facts)

    def read_csv(self, path: Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
        """A table of the release that must have these columns; ids are read as text.

        Raises:
            TableError: it is no table, or lacks a column.
        """
        ids = {self.columns.get(name, name): "str" for name in ID_COLUMNS}
        frame = read_csv(path, dataset=self.facts.key, dtype=ids, **options)
        frame = frame.assign(**{name: frame[name].astype("str").str.strip() for name in ids if name in frame})
        return require(frame, columns, path=path, dataset=self.facts.key)

    def read_csv_blocks(
        self, path: Path, columns: Sequence[str] = (), *, rows: int, **options: Any
    ) -> Iterator[pd.DataFrame]:
        """The same table in blocks of rows, for tables of millions.

        Raises:
            TableError: it is no table, or lacks a column.
        """
        for block in read_csv_blocks(path, dataset=self.facts.key, rows=rows, **options):
            yield require(block, columns, path=path, dataset=self.facts.key)
