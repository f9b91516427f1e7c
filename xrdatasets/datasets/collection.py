"""Datasets, step 4: images and their labels, row by row, in one object that never changes."""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.splits import patient_parts, strata_labels
from xrdatasets.labels.codes import Floats, frozen
from xrdatasets.labels.matrix import LabelMatrix, as_rows
from xrdatasets.labels.policies import Policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.spaces import LabelSpace, SpaceLike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xrdatasets.datasets.single import Single
    from xrdatasets.typing import Sample

__all__ = ["Collection", "check_datasets"]

CACHED = ("labels", "truth", "severity")  # what depends on space, policy or rows


class Collection(ABC):
    """Images with harmonised labels; the base of a single dataset and of several joined.

    It behaves as a torch map-style dataset. Every method that changes something returns a new object
    that shares the data; arrays are read-only. Torch is imported by the first ``ds[i]``.

    Attributes:
        matrix: labels over all findings.
    """

    _table: pd.DataFrame
    matrix: LabelMatrix

    @property
    def table(self) -> pd.DataFrame:
        """One row per image, canonical columns first; a copy (on write), so that it is yours to change."""
        return self._table.copy(deep=False)

    @property
    def space(self) -> LabelSpace:
        """The label space of `labels` and `codes`."""
        return self.matrix.space

    @property
    def pathologies(self) -> tuple[str, ...]:
        """Names of the L label columns."""
        return self.space.labels

    @property
    def codes(self) -> Floats:
        """(N, L) float32, read-only: 1, 0, -1 uncertain, NaN unknown."""
        return self.matrix.codes

    @property
    def unmentioned(self) -> npt.NDArray[np.bool_]:
        """(N, L) bool: blanks that a policy may fill."""
        return self.matrix.unmentioned

    @cached_property
    def labels(self) -> Floats:
        """(N, L) float32 targets in [0, 1] under the policy, NaN unknown; read-only."""
        return frozen(self._targets())

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Sample:
        """One image with its targets.

        Raises:
            IndexError: there is no such image.
            DatasetNotFoundError: its file is missing.
            ImageReadError: it is damaged or no image.
        """
        import torch

        row = self._row(index)
        part, inner = self._origin(row)
        sample: dict[str, Any] = {
            name: torch.from_numpy(array) for name, array in part.read(inner, self.space).items()
        }
        sample |= {"lab": torch.from_numpy(self.labels[row].copy()), "idx": row, **self._extras(row)}
        transform = part.options.transform
        return transform(sample) if transform else sample  # type: ignore[arg-type, return-value]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several images at once, as torch's DataLoader asks for them."""
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def totals(self) -> pd.DataFrame:
        """Counts of each finding: positive, negative, uncertain, unmentioned, unlabelled.

        Returns:
            (L, 5) integers, one row per finding of the space; a row adds up to the number of images.
        """
        return self.matrix.counts()

    def relabel(self, space: SpaceLike) -> Self:
        """The same images with the labels of another space.

        Args:
            space: a space, its name, ``native`` (what the dataset labels), or findings in order.

        Raises:
            LabelNotFoundError: there is no such space or finding.
        """
        return self._with(matrix=self.matrix.relabel(space))

    def select(self, rows: npt.ArrayLike) -> Self:
        """The chosen images, by numbers (in the order given) or by a mask of N booleans.

        Raises:
            ValueError: neither row numbers nor a mask of N booleans.
            IndexError: a number is out of range.
        """
        numbers = as_rows(rows, len(self))
        table = self._table.iloc[numbers].reset_index(drop=True)
        return self._with(_table=table, matrix=self.matrix.select(numbers), **self._chosen(numbers))

    def split_by_patient(
        self, fractions: Sequence[float], *, seed: int = 0, stratify: bool | str | Sequence[str] | None = None
    ) -> tuple[Self, ...]:
        """Split so that no patient stands on two sides.

        Patients are put in an order that depends on the seed and their ids alone, then cut at the
        fractions; datasets of one image family (NIH and its relabels) share their patients. An image
        without a patient id counts as its own patient, and an image that two datasets have belongs to the
        patient that either of them knows.

        With `stratify` each part gets its share of the images with each finding, as nearly as whole patients
        allow (of NIH, within one image of each), and so the sizes of the parts may differ by a patient or
        two. Patients are dealt to the parts in turn, those with the rarest finding first; then single ones
        move where that brings the counts nearer. Iterative stratification (Sechidis, Tsoumakas & Vlahavas,
        "On the stratification of multi-label data", ECML PKDD 2011), from which it has that the rarest
        finding goes first, places patient after patient instead.

        Args:
            fractions: shares of the patients, adding up to 1, for example ``(.8, .1, .1)``.
            seed: of the order.
            stratify: findings to balance: one, several, True for all of the space, None for none.

        Returns:
            One dataset for each fraction, rows in their old order.

        Raises:
            ValueError: fractions that do not add up to 1, too few patients for them, or `stratify` is
                none of these.
            LabelNotFoundError: there is no such finding.

        Example:
            >>> train, test = DATASET.split_by_patient((0.5, 0.5), seed=1)
            >>> set(train.table.patient_id) & set(test.table.patient_id)
            set()
        """
        positive = None
        if stratify is not None:
            labels = strata_labels(stratify, self.pathologies)
            positive = self.matrix.relabel(labels).codes == 1
        part = patient_parts(self._table, self._families(), fractions, seed=seed, positive=positive)
        return tuple(self.select(np.flatnonzero(part == number)) for number in range(len(fractions)))

    @property
    @abstractmethod
    def parts(self) -> tuple[Single, ...]:
        """The P single datasets that the images come from."""

    @property
    @abstractmethod
    def rows(self) -> npt.NDArray[np.int32]:
        """(P, N) int32: row of each image in each part, -1 where the part does not have it."""

    @abstractmethod
    def with_policy(self, policy: Policy) -> Self:
        """The same images with targets under another policy."""

    @abstractmethod
    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """

    @abstractmethod
    def _targets(self) -> Floats:
        """(N, L) float32 targets."""

    @abstractmethod
    def _origin(self, row: int) -> tuple[Single, int]:
        """The dataset that has the image of a row, and its row there."""

    @abstractmethod
    def _families(self) -> pd.Series:
        """(N,) image family of each row."""

    def _extras(self, row: int) -> dict[str, Any]:
        """What a sample carries besides image, labels and index."""
        return {}

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        """What else of the object goes by row, for the chosen rows."""
        return {}

    def _row(self, index: int) -> int:
        """A row number that is not negative.

        Raises:
            TypeError: the index is no whole number.
            IndexError: there is no such row.
        """
        row = operator.index(index)
        if not -len(self) <= row < len(self):
            msg = f"expected an index from {-len(self):,} to {len(self) - 1:,}, got {row}."
            raise IndexError(msg)
        return row + len(self) if row < 0 else row

    def _with(self, **changes: Any) -> Self:
        """A copy that shares the data, with other attributes."""
        new = copy.copy(self)
        for name in CACHED:
            new.__dict__.pop(name, None)
        new.__dict__.update(changes)
        return new


def check_datasets(name: str, datasets: object) -> tuple[Collection, ...]:
    """Datasets from a sequence of them.

    Raises:
        ValueError: it is none, is empty, or holds something else.
    """
    if isinstance(datasets, Collection) or not isinstance(datasets, Iterable):
        msg = f"{name}: expected a list of datasets, got {datasets!r}."
        raise ValueError(msg)
    several = tuple(datasets)
    for item in several:
        if not isinstance(item, Collection):
            msg = f"{name}: expected datasets, got {item!r} among them."
            raise ValueError(msg)
    if not several:
        msg = f"{name}: expected at least one dataset, got none."
        raise ValueError(msg)
    return several
