"""Legacy: our datasets with their tables in another place than their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets import (
    BRAX,
    COVID19,
    MIMICCXR,
    NIH,
    RSNA,
    SIIM,
    TBX11K,
    CheXlocalize,
    CheXpert,
    CXRDataset,
    Montgomery,
    NIHGoogle,
    ObjectCXR,
    OpenI,
    PadChest,
    Shenzhen,
    StonyBrookCOVID,
    VinDr,
)
from xrdatasets.datasets.archives import ZipImages
from xrdatasets.datasets.files import FileIndex, find_table, user_path
from xrdatasets.datasets.releases.chexlocalize import ROOTS
from xrdatasets.datasets.releases.chexpert import FOLDERS
from xrdatasets.datasets.releases.labelled import LABELLED
from xrdatasets.datasets.releases.openi import NAME
from xrdatasets.datasets.rows import first_per_patient
from xrdatasets.errors import DatasetNotFoundError

__all__ = [
    "ApartBRAX",
    "ApartCOVID19",
    "ApartCheXlocalize",
    "ApartCheXpert",
    "ApartDataset",
    "ApartMIMICCXR",
    "ApartMontgomery",
    "ApartNIH",
    "ApartNIHGoogle",
    "ApartObjectCXR",
    "ApartOpenI",
    "ApartPadChest",
    "ApartRSNA",
    "ApartSIIM",
    "ApartShenzhen",
    "ApartStonyBrookCOVID",
    "ApartTBX11K",
    "ApartVinDr",
]

UP = 2  # how many folders above the images a table is looked for

Tables = Mapping[str, str | Path | None]


class ApartDataset(CXRDataset):
    """A release whose tables are given one by one, or lie near the folder of its images.

    Args:
        root: the folder of the images.
        given: a file for the name of a table; what is None, or not named, is looked for in the folder of the
            images and the two above it.
        nrows: how many rows of each table are read, None for all.
        options: of the dataset.

    Raises:
        DatasetNotFoundError: a table is not where it is said to be, or nowhere.
    """

    def __init__(
        self, root: str | Path, *, given: Tables | None = None, nrows: int | None = None, **options: Any
    ) -> None:
        self._given = {name: user_path(path, name=name) for name, path in (given or {}).items() if path}
        self._nrows = nrows
        super().__init__(root, missing="keep", compat="xrv", **options)

    def find_table(self, *names: str) -> Path:
        """The file that was given for one of these tables, else one of them near the images.

        Raises:
            DatasetNotFoundError: it is not there.
        """
        for path in (self._given[name] for name in names if name in self._given):
            if path.is_file():
                return path
            msg = f"{self.facts.key}: no file {str(path)!r}. Expected {names[0]}. Check the path."
            raise DatasetNotFoundError(msg)
        for folder in (self.root, *self.root.absolute().parents[:UP]):
            try:
                return find_table(folder, names, facts=self.facts)
            except DatasetNotFoundError:
                continue
        return super().find_table(*names)

    def find_maybe(self, *names: str) -> Path | None:
        """The same file, or None where there is none."""
        try:
            return self.find_table(*names)
        except DatasetNotFoundError:
            if not self._given.keys().isdisjoint(names):
                raise
            return None

    def read_csv(self, path: Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
        """A table, of which the first `nrows` rows alone are read."""
        return super().read_csv(path, columns, nrows=self._nrows, **options)


class ApartNIH(ApartDataset, NIH):
    """NIH ChestX-ray14."""


class ApartNIHGoogle(ApartDataset, NIHGoogle):
    """Google's readings of NIH."""


class ApartRSNA(ApartDataset, RSNA):
    """RSNA Pneumonia, from the files of one extension."""

    def __init__(self, root: str | Path, *, extension: str, **options: Any) -> None:
        self._suffix = extension.lower()
        super().__init__(root, **options)

    @cached_property
    def files(self) -> FileIndex:
        """The image files with the extension."""
        return FileIndex(self.root, folders=self.image_folders, suffixes=frozenset({self._suffix}))


class ApartSIIM(ApartDataset, SIIM):
    """SIIM-ACR Pneumothorax."""

    @property
    def annotated(self) -> pd.Series:
        """Image of each row of the table, which has a row for each outline."""
        return self._read_runs()[1]["ImageId"]


class ApartVinDr(ApartDataset, VinDr):
    """VinDr-CXR, from Kaggle's table if that is given."""

    def _tables(self, names: Mapping[str, str]) -> dict[str, Path]:
        return {} if "train.csv" in self._given else super()._tables(names)


class ApartStonyBrookCOVID(ApartDataset, StonyBrookCOVID):
    """Stony Brook (RALO)."""


class ApartMontgomery(ApartDataset, Montgomery):
    """Montgomery County."""


class ApartShenzhen(ApartDataset, Shenzhen):
    """Shenzhen."""


class ApartOpenI(ApartDataset, OpenI):
    """Open-i, from its archive alone, with the views of one table.

    Args:
        root: the folder of the images.
        derived: take the views that were told from the pictures, not those of the headers.
        options: of `ApartDataset`.
    """

    folders: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: str | Path, *, derived: bool = False, **options: Any) -> None:
        self._views_of = (self.clusters, "tsne-view") if derived else (self.headers, "View Position")
        super().__init__(root, **options)

    def _views(self, frame: pd.DataFrame) -> pd.Series:
        tables, column = self._views_of
        path = self.find_maybe(*tables)
        if path is None:
            return super()._views(frame)
        return self._read_views(path, column, frame["image_id"].str.extract(NAME, expand=False))


class ApartPadChest(ApartDataset, PadChest):
    """PadChest without the rows that have no list of labels."""

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        table = super()._usable(table)
        return table[table["Labels"].notna()].reset_index(drop=True)


class ApartMIMICCXR(ApartDataset, MIMICCXR):
    """MIMIC-CXR without the images of studies that have no labels."""

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        table = super()._usable(table)
        return table[table[LABELLED]].reset_index(drop=True)


class ApartCOVID19(ApartDataset, COVID19):
    """COVID-19 image data collection without the rows that nobody has looked at yet."""

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        table = super()._usable(table)
        return table[~table["finding"].isin(["todo", "Unknown"])].reset_index(drop=True)


class ApartBRAX(ApartDataset, BRAX):
    """BRAX without images that are strips.

    Args:
        root: the folder of the images.
        longest: how many times as long as wide an image may be, None for any.
        first: keep the first row of each patient, whole.
        options: of `ApartDataset`.
    """

    def __init__(
        self, root: str | Path, *, longest: float | None = None, first: bool = False, **options: Any
    ) -> None:
        self._longest, self._first = longest, first
        super().__init__(root, **options)

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        table = super()._usable(table)
        if self._longest is not None:
            sides = table[["Rows", "Columns"]]
            table = table[sides.max(axis=1) <= self._longest * sides.min(axis=1)].reset_index(drop=True)
        return first_per_patient(table) if self._first else table


class ApartTBX11K(ApartDataset, TBX11K):
    """TBX11K with the boxes of each image."""

    def read_table(self) -> pd.DataFrame:
        """The listed images that are not the test set's, with ``bbox``: lists of x, y, width and height."""
        table = super().read_table()
        boxes = self._listed[1].groupby("image_id")["bbox"].agg(list)
        found = table["image_id"].map(boxes)
        empty = pd.Series([[] for _ in found], index=found.index, dtype=object)
        table = table.assign(bbox=found.where(found.notna(), empty))
        return table[table["split"] != "test"].reset_index(drop=True)


class ApartCheXpert(ApartDataset, CheXpert):
    """One table of CheXpert."""

    def _find(self, name: str) -> Path | None:
        return self.find_maybe(*(folder + name for folder in FOLDERS))

    @cached_property
    def files(self) -> FileIndex:
        """The images below the folder, wherever the table lies."""
        return FileIndex(self.root, levels=self.levels)


class ApartCheXlocalize(ApartDataset, CheXlocalize):
    """One table of CheXlocalize."""

    def _find(self, name: str) -> Path | None:
        return self.find_maybe(*(folder + name for folder in ROOTS))

    @cached_property
    def files(self) -> FileIndex:
        """The images below the folder, wherever the table lies."""
        return FileIndex(self.root, levels=self.levels)


class ApartObjectCXR(ApartDataset, ObjectCXR):
    """The images of Object-CXR's train, in an archive.

    Args:
        archive: the archive.
        options: of `ApartDataset`.
    """

    def __init__(self, archive: str | Path, **options: Any) -> None:
        self._archive = user_path(archive, name="imgzippath")
        super().__init__(self._archive.parent, **options)

    @cached_property
    def files(self) -> ZipImages:
        """The images of the archive."""
        there = [self._archive] if self._archive.is_file() else []
        return ZipImages(self.root, there, dataset=self.name, levels=self.levels, folders=self.image_folders)

    def read_table(self) -> pd.DataFrame:
        """The rows of train.csv."""
        return self._read_part(self.find_table("train.csv"), "train")
