"""Datasets, step 4: the images of one source, whose labels stand in one table, on disk or not."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.options import ImageOptions, check_flag
from xrdatasets.datasets.readers import READER, by_image, one_per_image
from xrdatasets.datasets.release import Card
from xrdatasets.datasets.rows import check_split, first_per_patient, keep_split, keep_views, mixed_per_patient
from xrdatasets.datasets.tables import canonical, view_words
from xrdatasets.images import Engine, Intensity
from xrdatasets.labels.codes import CODES, Floats
from xrdatasets.labels.consensus import Readings, agree
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import Policy, check_policy
from xrdatasets.labels.provenance import Provenance, joint
from xrdatasets.labels.rules import CONSTANT, LIST
from xrdatasets.labels.spaces import NATIVE, LabelSpace, SpaceLike

if TYPE_CHECKING:
    from xrdatasets.typing import Transform

__all__ = ["Single"]


class Single(Card, Collection):
    """The images of one source, with one table of labels.

    A subclass states facts (`Card`), gives the table (`read_table`), and the pixels of a row (`read`). The
    constructor checks every option before it reads anything; what `read_table` needs of the subclass's own
    has to be set before.

    Args:
        views: which views to keep, a word or several, ``"*"`` for all.
        split: ``train``, ``val`` or ``test`` of the source, None for all.
        space: the label space, its name, ``native``, or findings in order.
        policy: what uncertain and unmentioned mean.
        closure: a hierarchy that adds what it implies, None for none.
        size: height and width of the images in pixels, None for the native size.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].
        masks: whether samples carry ``mask`` and ``mask_known``.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.
        crop: cut to the centre square before resizing.
        engine: how images are made smaller.
        reduced: decode JPEG 2000 at the resolution level that `size` needs.

    Attributes:
        policy: what uncertain and unmentioned mean.
        split: the split that was asked for.
        options: how images come out.
        tree: the hierarchy that closed the labels, None for none.

    Raises:
        TableError: the table is not what it should be.
        MappingError: the table has a label term that the mapping file lacks.
        SplitNotFoundError: the source has no such split.
        EmptyDatasetError: no row is left.
        ValueError: an argument is none of the above.
    """

    in_memory: ClassVar[bool] = False
    """Whether images are read as from memory, so that many at once take no longer than each alone."""

    def __init__(
        self,
        *,
        views: str | Sequence[str] | None,
        split: str | None,
        space: SpaceLike,
        policy: Policy,
        closure: str | None,
        size: int | None,
        intensity: Intensity,
        masks: bool,
        one_per_patient: bool,
        transform: Transform | None,
        crop: bool = True,
        engine: Engine = "area",
        reduced: bool = True,
    ) -> None:
        self.policy, self.split = check_policy(policy), check_split(split)
        self.options = ImageOptions(size, crop, intensity, engine, masks, transform, reduced)
        self.tree = None if closure is None else Tree.load(closure)
        space = _checked_space(space)
        wanted = view_words(views)
        check_flag("one_per_patient", one_per_patient)
        self._check_source()
        readings = canonical(self.read_table(), self.columns, dataset=self.facts.key)
        table = one_per_image(readings) if self.consensus else readings
        table = keep_split(keep_views(table, wanted, self.facts), split, self.facts, needs=self.split_needs)
        table = self._usable(table)
        if one_per_patient:
            table = mixed_per_patient(table) if self.compat else first_per_patient(table)
        table = self._take_images(table)
        codes = [term.column for term in self.label_table.terms if not term.source]
        self._table = table.drop(columns=[*codes, READER], errors="ignore")
        matrix = self._label(readings if self.consensus else table)
        self.matrix = (matrix.close(self.tree) if self.tree else matrix).relabel(space)

    @classmethod
    @abstractmethod
    def at(cls, root: str | Path, **options: Any) -> Self:
        """The dataset at its root: what ``NAME=ROOT`` on the command line and `xrdatasets.open` mean.

        Args:
            root: the folder of the download, or what else the dataset calls its root.
            options: of the class.
        """

    @classmethod
    def place(cls, root: str) -> Hashable:
        """What a root means: two roots with one place are one dataset; the word itself, unless overridden."""
        return root

    @property
    def traced(self) -> bool:
        """Whether the labels are what the rules make of the terms, so that `explain` can follow them."""
        return True

    @property
    def terms(self) -> pd.DataFrame:
        """(N, T) float32: what the source says, term by term: 1, 0, -1, NaN blank."""
        names = [term.name for term in self._terms.terms]
        return pd.DataFrame(self._terms.codes, columns=names)

    @property
    def parts(self) -> tuple[Single, ...]:
        """This dataset alone."""
        return (self,)

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """(1, N) int32: the rows as they are."""
        return np.arange(len(self), dtype=np.int32)[np.newaxis]

    def with_policy(self, policy: Policy) -> Self:
        """The same images with targets under another policy.

        Raises:
            ValueError: it is no policy.
        """
        return self._with(policy=check_policy(policy))

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
        found = self._found(row, label)
        target = self.matrix.select([row]).relabel([label]).targets(self.policy)[0, 0]
        column = getattr(self.findings, "column", found.column) if found.column == LIST else found.column
        value = self._table[column].iloc[row] if column in self._table else found.value
        file = "" if not found.column or found.column == CONSTANT else self.table_of(row)
        return dataclasses.replace(
            found, file=file, column=column, value=value, policy=str(self.policy), target=float(target)
        )

    def _found(self, row: int, label: str) -> Provenance:
        """Where a label comes from, as the terms alone tell."""
        if not isinstance(self._terms, Readings):
            return self.label_table.explain(self._terms.select(np.array([row])), label, tree=self.tree)
        readers = self._terms.image(row)
        found = [
            self.label_table.explain(readers.select(np.array([reader])), label, tree=self.tree)
            for reader in range(len(readers))
        ]
        return joint(found, state=int(self.matrix.column(label)[row]), how=str(self.consensus))

    @abstractmethod
    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels (and masks) of one row.

        Args:
            row: number of the row, from 0.
            space: the L findings of the masks.

        Returns:
            ``img`` (1, H, W) float32; with ``masks=True`` also ``mask`` (L, H, W) uint8 and
            ``mask_known`` (L,) bool.
        """

    def read_many(self, rows: npt.NDArray[np.integer[Any]], *, raw: bool = False) -> npt.NDArray[Any]:
        """(n, 1, S, S) images of many rows at once; only of a dataset that is `in_memory`.

        Args:
            rows: (n,) numbers from 0, in any order.
            raw: pixels as they are stored, in place of float32 in the dataset's range.
        """
        raise NotImplementedError

    def alone(self, rows: npt.NDArray[np.integer[Any]]) -> Self:
        """The chosen images, with nothing that others need: small enough to be sent to another process."""
        return self.select(rows)

    def warm_up(self) -> None:
        """Make now what every worker of a loader would otherwise make for itself; here nothing."""

    def _label(self, table: pd.DataFrame) -> LabelMatrix:
        """Labels of the images of `_table`; their terms are kept for `explain`.

        Args:
            table: with the labels: a row for each image, or for each image and reader.
        """
        keys = self._table["image_id"].to_numpy(dtype=object)
        starts = None
        if self.consensus:
            table, starts = by_image(table, self._table["image_id"])
        # by image, so that a message names the image: rows were left out, and there may be two files
        terms = self.label_table.read_terms(table.set_index("image_id"), reader=self.findings)
        self._terms = terms if starts is None else Readings(terms, starts)
        if self.consensus is None or starts is None:
            return self.label_table.apply(terms, keys=keys)
        return agree(self.label_table.apply(terms), starts, self.consensus, keys=keys)

    def _check_source(self) -> None:
        """Refuse a source that is not there, before its table is read; here nothing."""

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows that are of any use; here all."""
        return table

    def _take_images(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows whose image is there; whatever else `read` needs of them is kept here.

        Args:
            table: the rows that were asked for, with canonical columns first, then the source's own.

        Returns:
            The rows that stay, numbered from 0; columns that are left out do not stand in `table`.
        """
        return table

    @abstractmethod
    def _where(self) -> str:
        """Where the images come from, as the last words of the repr."""

    def _codes_of(self, row: int, space: LabelSpace) -> Floats:
        """(L,) float32 codes of one row in a space."""
        codes: Floats = np.array([CODES[self.matrix.column(label)[row]] for label in space.labels])
        return codes

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        return super()._chosen(numbers) | {"_terms": self._terms.select(numbers)}

    def _origin(self, row: int) -> tuple[Single, int]:
        return self, row

    def _families(self) -> pd.Series:
        return pd.Series(self.facts.image_family, index=self._table.index, dtype="category")

    def _targets(self) -> Floats:
        return self.matrix.targets(self.policy)

    def __repr__(self) -> str:
        patients = self._table["patient_id"].nunique()
        people = f" of {patients:,} patients" if patients else ""
        return (
            f"<{type(self).__name__}: {len(self):,} images{people}, space {self.space.name} "
            f"({len(self.space)} findings), policy {self.policy}, {self._where()}>"
        )


def _checked_space(space: SpaceLike) -> SpaceLike:
    """A space that exists and has a finding, or the word ``native``.

    Raises:
        LabelNotFoundError: there is no such space or finding.
        ValueError: it is something else, or empty.
    """
    if isinstance(space, str) and space == NATIVE:
        return space
    found = LabelSpace.of(space)
    if not found.labels:
        raise ValueError("space: expected at least one finding, got none.")
    return found
