"""Datasets, step 4: what all releases have in common; a release only states its facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.files import FileIndex, check_root, find_table, user_path
from xrdatasets.datasets.masks import box_masks
from xrdatasets.datasets.rows import first_per_patient, keep_present, keep_split, keep_views
from xrdatasets.datasets.tables import canonical, read_csv, read_csv_blocks, require, view_words
from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.facts import Facts
from xrdatasets.images import Engine, Frame, Intensity, prepare, read_image
from xrdatasets.labels.codes import Floats
from xrdatasets.labels.findings import finding
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.policies import U_IGNORE, Policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.rules import CONSTANT, LIST
from xrdatasets.labels.spaces import LabelSpace, SpaceLike
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingColumns, TermReader

if TYPE_CHECKING:
    from xrdatasets.typing import Missing, Transform

__all__ = ["CXRDataset"]


class CXRDataset(Collection):
    """A release, opened on the folder as it was downloaded.

    A subclass is a data card: its docstring tells layout, label origin, exclusions, licence and
    citation; its attributes state facts; `read_table` gives one row per image.

    Args:
        root: the folder of the download.
        views: which views to keep, a word or several (``PA AP AP_SUPINE LATERAL UNKNOWN``), ``"*"`` for
            all. Where a release says nothing of views and is all frontal, its images pass.
        split: ``train``, ``val`` or ``test`` of the release, None for all.
        space: the label space, its name, ``native``, or findings in order.
        policy: what uncertain and unmentioned mean.
        closure: a hierarchy that adds what it implies (``irvin2019``, ``luo2020``), None for none.
        size: height and width of the images in pixels; None keeps the native size, without a crop.
        crop: cut to the centre square before resizing (if not, the image is squeezed).
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].
        engine: how images are made smaller: ``area`` (fast) or ``gaussian`` (as torchxrayvision).
        masks: whether samples carry ``mask`` and ``mask_known``.
        missing: what to do with rows whose image is not on disk: ``error``, ``drop`` them, or ``keep``
            them to work with labels and tables before one has the images.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.

    Attributes:
        name: key of the release.
        columns: source column of each canonical one.
        findings: how the table writes its labels.
        levels: how many last parts of an image's path make its key (`FileIndex`).
        table_name: name of the table that was read.
        split_needs: what has to be there for `split`, as words for a message.

    Raises:
        DatasetNotFoundError: root, table or images are missing.
        TableError: the table is not what the release has.
        MappingError: the table has a label term that the mapping file lacks.
        SplitNotFoundError: the release has no such split.
        EmptyDatasetError: no row is left.
    """

    name: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, str]] = {}
    findings: TermReader = FindingColumns()
    levels: int = 1
    split_needs: ClassVar[str] = ""
    table_name: str = ""

    def __init__(
        self,
        root: str | Path,
        *,
        views: str | Sequence[str] | None = ("PA", "AP"),
        split: str | None = None,
        space: SpaceLike = "xrv18",
        policy: Policy = U_IGNORE,
        closure: str | None = None,
        size: int | None = None,
        crop: bool = True,
        intensity: Intensity = "xrv",
        engine: Engine = "area",
        masks: bool = False,
        missing: Missing = "error",
        one_per_patient: bool = False,
        transform: Transform | None = None,
    ) -> None:
        self.root = user_path(root)
        self.policy, self.split = policy, split
        self.tree = None if closure is None else Tree.load(closure)
        self.size, self.crop, self.intensity, self.engine = size, crop, intensity, engine
        self.masks, self.transform = masks, transform
        wanted = view_words(views)
        check_root(self.root, self.facts)
        table = canonical(self.read_table(), self.columns, dataset=self.facts.key)
        table = keep_split(keep_views(table, wanted, self.facts), split, self.facts, needs=self.split_needs)
        if one_per_patient:
            table = first_per_patient(table)
        table = keep_present(table, self.file_keys, self.files, missing, self.facts)
        self._boxes = self.read_boxes() if masks else None
        self._terms = self.label_table.read_terms(table, reader=self.findings)
        self.table = table.drop(
            columns=[term.column for term in self._terms.terms if not term.source], errors="ignore"
        )
        matrix = self.label_table.apply(self._terms, keys=self.table["image_id"].to_numpy(dtype=object))
        self.matrix = (matrix.close(self.tree) if self.tree else matrix).relabel(space)

    # -- what a release states ---------------------------------------------------------------------

    @cached_property
    def facts(self) -> Facts:
        """Facts of the release: licence, url, what a blank means."""
        return Facts.load(self.name)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules by which its terms become findings."""
        return LabelTable.load(self.name)

    def read_table(self) -> pd.DataFrame:
        """The release's table, one row per image, with the columns that `columns` names."""
        raise NotImplementedError

    def read_boxes(self) -> pd.DataFrame | None:
        """Boxes of findings (`xrdatasets.datasets.masks.BOX_COLUMNS`), None if the release has none."""
        return None

    def image_source(self, row: pd.Series) -> Path | bytes:
        """File (or bytes) of the image of one row.

        Raises:
            DatasetNotFoundError: it is not on disk.
        """
        path = self.files.get(row["image_id"])
        if path is None:
            msg = f"{self.facts.key}: no image file {row['image_id']!r} below {str(self.root)!r}."
            raise DatasetNotFoundError(msg)
        return path

    def table_of(self, row: int) -> str:
        """Name of the table in which a row stands."""
        return self.table_name

    def file_keys(self, image_ids: pd.Series) -> pd.Series:
        """Keys of the images' files in `files`."""
        return image_ids

    # -- what every release can do -----------------------------------------------------------------

    @cached_property
    def files(self) -> FileIndex:
        """The image files below the root."""
        return FileIndex(self.root, levels=self.levels)

    @property
    def terms(self) -> pd.DataFrame:
        """(N, T) float32: what the source says, term by term: 1, 0, -1, NaN blank."""
        names = [term.name for term in self._terms.terms]
        return pd.DataFrame(self._terms.codes, columns=names, index=self.table.index)

    @property
    def parts(self) -> tuple[CXRDataset, ...]:
        """This dataset alone."""
        return (self,)

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """(1, N) int32: the rows as they are."""
        return np.arange(len(self), dtype=np.int32)[np.newaxis]

    def with_policy(self, policy: Policy) -> Self:
        """The same images with targets under another policy."""
        return self._with(policy=policy)

    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Returns:
            The cell of the release's table, the mapping row that applies, code, policy and target.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """
        row = self._row(index)
        found = self.label_table.explain(self._terms.select(np.array([row])), label, tree=self.tree)
        target = self.matrix.select([row]).relabel([label]).targets(self.policy)[0, 0]
        column = getattr(self.findings, "column", found.column) if found.column == LIST else found.column
        value = self.table[column].iloc[row] if column in self.table else found.value
        file = "" if not found.column or found.column == CONSTANT else self.table_of(row)
        return dataclasses.replace(
            found, file=file, column=column, value=value, policy=str(self.policy), target=float(target)
        )

    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels (and masks) of one row.

        Returns:
            ``img`` (1, H, W) float32; with ``masks=True`` also ``mask`` (L, H, W) uint8 and
            ``mask_known`` (L,) bool.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it is damaged or no image.
        """
        entry = self.table.iloc[row]
        raw = read_image(self.image_source(entry), dataset=self.facts.key)
        image = prepare(raw, size=self.size, crop=self.crop, engine=self.engine, intensity=self.intensity)
        return {"img": image} | (self._read_masks(row, space, raw.pixels.shape) if self.masks else {})

    def find_table(self, *names: str) -> Path:
        """The first of these tables below the root, plain or gzipped.

        Raises:
            DatasetNotFoundError: none is there.
        """
        return find_table(self.root, names, facts=self.facts)

    def read_csv(self, path: Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
        """A table of the release that must have these columns.

        Raises:
            TableError: it is no table, or lacks a column.
        """
        self.table_name = path.name
        return require(
            read_csv(path, dataset=self.facts.key, **options), columns, path=path, dataset=self.facts.key
        )

    def read_csv_blocks(
        self, path: Path, columns: Sequence[str] = (), *, rows: int, **options: Any
    ) -> Iterator[pd.DataFrame]:
        """The same table in blocks of rows, for tables of millions.

        Raises:
            TableError: it is no table, or lacks a column.
        """
        self.table_name = path.name
        for block in read_csv_blocks(path, dataset=self.facts.key, rows=rows, **options):
            yield require(block, columns, path=path, dataset=self.facts.key)

    def _read_masks(self, row: int, space: LabelSpace, shape: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
        """Masks of one row, and for which findings they say where it is: boxed, or not there at all."""
        labels = space.labels
        frame = Frame.of(shape, size=self.size, crop=self.crop)
        known = self.matrix.select([row]).relabel(space).codes[0] == 0
        if self._boxes is None:
            return {
                "mask": np.zeros((len(labels), frame.out_height, frame.out_width), dtype=np.uint8),
                "mask_known": known,
            }
        own = self._boxes[self._boxes["image_id"] == self.table["image_id"].iloc[row]]
        boxed = np.isin(np.array(labels), [finding(name) for name in own["finding"].unique()])
        return {"mask": box_masks(own, labels, shape, frame), "mask_known": known | boxed}

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        return {"_terms": self._terms.select(numbers)}

    def _origin(self, row: int) -> tuple[CXRDataset, int]:
        return self, row

    def _families(self) -> pd.Series:
        return pd.Series(self.facts.image_family, index=self.table.index, dtype="category")

    def _targets(self) -> Floats:
        return self.matrix.targets(self.policy)

    def __repr__(self) -> str:
        patients = self.table["patient_id"].nunique()
        people = f" of {patients:,} patients" if patients else ""
        return (
            f"<{type(self).__name__}: {len(self):,} images{people}, space {self.space.name} "
            f"({len(self.space)} findings), policy {self.policy}, root {str(self.root)!r}>"
        )
