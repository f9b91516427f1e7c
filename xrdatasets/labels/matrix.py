"""Labels, step 4: the labels of N images over all findings, seen through a label space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.labels.codes import (
    ABSENT,
    CODES,
    DERIVED_NEGATIVE,
    DERIVED_POSITIVE,
    NEGATED,
    NEGATIVE,
    NOTHING,
    POSITIVE,
    SHARE,
    SHARES,
    UNCERTAIN,
    UNKNOWN,
    UNMENTIONED,
    Floats,
    States,
    frozen,
)
from xrdatasets.labels.draws import hash_keys
from xrdatasets.labels.findings import all_findings, finding
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.spaces import NATIVE, LabelSpace, SpaceLike, native_space

if TYPE_CHECKING:
    from xrdatasets.labels.policies import Policy

__all__ = ["LabelMatrix"]

COUNTED = {
    "positive": (POSITIVE, DERIVED_POSITIVE),
    "negative": (NEGATIVE, ABSENT, NEGATED, DERIVED_NEGATIVE),
    "uncertain": (UNCERTAIN, *range(SHARE + 1, SHARE + SHARES)),
    "unmentioned": (UNMENTIONED,),
    "unlabelled": (UNKNOWN,),
}


@dataclass(frozen=True, eq=False)
class LabelMatrix:
    """Labels of N images over **all** findings; the space chooses the columns one sees.

    Only findings that the source can speak of are stored (one byte a cell); all others are unknown.
    So any matrix can be seen in any space, now or later, and nothing is lost on the way there and
    back. Made by `LabelTable.apply`; all arrays are read-only.

    Attributes:
        states: (S, N) uint8, states of `xrdatasets.labels.codes`.
        stored: the S findings that have states.
        covered: the findings that the dataset labels.
        keys: N names of the images, on which random targets depend.
        space: the L columns one sees.

    Example:
        >>> import pandas as pd
        >>> from xrdatasets.labels import LabelTable
        >>> matrix = LabelTable.load("chexpert").apply(CHEXPERT_ROWS)
        >>> matrix.relabel(["Nodule", "Effusion", "Support Devices"]).codes
        array([[nan,  0., nan],
               [nan, -1., nan]], dtype=float32)
        >>> matrix.relabel(["Nodule", "Effusion", "Support Devices"]).unmentioned
        array([[False, False,  True],
               [False, False,  True]])
    """

    states: States
    stored: tuple[str, ...]
    covered: tuple[str, ...]
    keys: Sequence[str] | npt.NDArray[np.str_]
    space: LabelSpace

    def __post_init__(self) -> None:
        if isinstance(self.keys, np.ndarray):
            object.__setattr__(self, "keys", frozen(self.keys.view()))

    def __len__(self) -> int:
        return int(self.states.shape[1])

    def column(self, label: str) -> States:
        """(N,) uint8 states of one finding, in the space or not, by canonical name or synonym.

        Raises:
            LabelNotFoundError: there is no such finding.
        """
        name = finding(label)
        if name in self.stored:
            states: States = self.states[self.stored.index(name)]
            return states
        return frozen(np.zeros(len(self), dtype=np.uint8))

    @cached_property
    def codes(self) -> Floats:
        """(N, L) float32: 1 positive, 0 negative, -1 uncertain, NaN unknown."""
        out = np.empty((len(self), len(self.space)), dtype=np.float32)
        for column, label in enumerate(self.space.labels):
            out[:, column] = CODES[self.column(label)]
        return frozen(out)

    @cached_property
    def unmentioned(self) -> npt.NDArray[np.bool_]:
        """(N, L) bool: where the dataset labels the finding and this image's report is silent."""
        columns = [self.column(label) == UNMENTIONED for label in self.space.labels]
        return frozen(np.column_stack(columns) if columns else np.empty((len(self), 0), dtype=bool))

    @cached_property
    def key_hashes(self) -> npt.NDArray[np.uint64]:
        """(N,) uint64 hashes of the keys, the same on every machine."""
        return frozen(hash_keys(self.keys))

    def relabel(self, space: SpaceLike) -> LabelMatrix:
        """The same labels seen through another space; nothing is lost, nothing is copied.

        Args:
            space: a space, its name (``native``: what the dataset covers), or findings in order.
        """
        if isinstance(space, str) and space == NATIVE:
            return replace(self, space=native_space(self.covered))
        return replace(self, space=LabelSpace.of(space))

    def select(self, rows: npt.ArrayLike) -> LabelMatrix:
        """The chosen images, by numbers (in the order given) or by a mask of N booleans."""
        numbers = as_rows(rows, len(self))
        keys = frozen(np.asarray(self.keys)[numbers])
        return replace(self, states=frozen(self.states[:, numbers]), keys=keys)

    @staticmethod
    def concat(parts: Sequence[LabelMatrix]) -> LabelMatrix:
        """The images of several matrices, one after the other.

        The space is that of all parts, joined in first-seen order; what one part does not label is
        unknown there.
        """
        if not parts:
            raise ValueError("concat: expected at least one matrix, got none.")
        stored = _union(part.stored for part in parts)
        states = np.concatenate([part._states_of(stored) for part in parts], axis=1)
        keys = np.concatenate([np.asarray(part.keys, dtype=object) for part in parts])
        covered = _union(part.covered for part in parts)
        return LabelMatrix(frozen(states), stored, covered, keys, join_spaces([part.space for part in parts]))

    def close(self, tree: Tree) -> LabelMatrix:
        """Add what a hierarchy implies, only where the source says nothing.

        A positive finding makes its ancestors positive; a negative that the source states makes the
        descendants negative, down to the next one that has a code. Negatives that only follow ("No
        Finding", absence from a list) pass nothing on, and no code of the source is ever changed.

        Args:
            tree: the hierarchy (Irvin 2019; Luo 2020).
        """
        stored = _union([self.stored, tree.members])
        given = self._states_of(stored)
        states = given.copy()
        by_name = dict(zip(stored, given, strict=True))
        for name, out in zip(stored, states, strict=True):
            silent = np.isin(out, NOTHING)
            undecided = silent.copy()  # no ancestor so far has a code
            for above in (by_name[other] for other in tree.ancestors(name)):
                out[undecided & np.isin(above, (NEGATIVE, DERIVED_NEGATIVE))] = DERIVED_NEGATIVE
                undecided &= np.isin(above, NOTHING)
            for below in (by_name[other] for other in tree.descendants(name)):
                out[silent & np.isin(below, (POSITIVE, DERIVED_POSITIVE))] = DERIVED_POSITIVE
        return replace(self, states=frozen(states), stored=stored)

    def targets(self, policy: Policy, *, epoch: int = 0) -> Floats:
        """(N, L) float32 targets in [0, 1], NaN unknown: the codes under a policy."""
        return policy(self, epoch=epoch)

    def counts(self) -> pd.DataFrame:
        """How often each finding of the space is positive, negative, uncertain, unmentioned, unlabelled.

        Returns:
            (L, 5) integers, one row per finding; a row adds up to N.
        """
        found = [np.bincount(self.column(label), minlength=len(CODES)) for label in self.space.labels]
        cells = {name: [int(sum(n[s] for s in states)) for n in found] for name, states in COUNTED.items()}
        return pd.DataFrame(cells, index=pd.Index(self.space.labels, name="finding", dtype="str"))

    def _states_of(self, labels: Sequence[str]) -> States:
        """(len(labels), N) states, unknown where a finding is not stored."""
        if tuple(labels) == self.stored:
            return self.states
        return np.stack([self.column(label) for label in labels])


def as_rows(rows: npt.ArrayLike, count: int) -> npt.NDArray[np.intp]:
    """Row numbers from numbers or from a mask.

    Raises:
        ValueError: neither whole numbers nor a mask of `count` booleans.
        IndexError: a number outside [-count, count).
    """
    chosen = np.asarray(rows)
    if chosen.dtype == bool:
        if chosen.shape != (count,):
            msg = f"rows: expected a mask of shape ({count},), got {chosen.shape}."
            raise ValueError(msg)
        return np.flatnonzero(chosen)
    if chosen.size == 0:
        return np.empty(0, dtype=np.intp)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        msg = f"rows: expected row numbers or a mask of booleans, got {chosen.dtype} of shape {chosen.shape}."
        raise ValueError(msg)
    if chosen.min() < -count or chosen.max() >= count:
        msg = f"rows: expected numbers below {count}, got {chosen.min()} to {chosen.max()}."
        raise IndexError(msg)
    return np.where(chosen < 0, chosen + count, chosen).astype(np.intp)


def join_spaces(spaces: Sequence[LabelSpace]) -> LabelSpace:
    """All labels of several spaces, in first-seen order; one space if they are all alike."""
    if all(space.labels == spaces[0].labels for space in spaces):
        return spaces[0]
    return LabelSpace("joined", tuple(dict.fromkeys(name for space in spaces for name in space.labels)))


def _union(groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All names of the groups, in the order of ``findings.csv``."""
    named = {name for group in groups for name in group}
    return tuple(name for name in all_findings() if name in named)
