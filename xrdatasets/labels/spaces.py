"""Labels, step 4: label spaces, the ordered choices of findings that a label vector has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels.codes import frozen
from xrdatasets.labels.findings import finding, near, read_finding
from xrdatasets.resources import mappings, read_rows

__all__ = ["NATIVE", "LabelSpace", "SpaceLike", "native_space", "space_names"]

NATIVE = "native"


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """An ordered choice of findings: the columns of a label matrix.

    Attributes:
        name: its name, ``custom`` for a choice of one's own.
        labels: canonical findings, each once.

    Example:
        >>> space = LabelSpace.load("xrv18")
        >>> len(space), space.index("pleural effusion")
        (18, 7)
        >>> LabelSpace.of(["Pleural Effusion", "Nodule"]).labels
        ('Effusion', 'Nodule')
    """

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        labels = tuple(finding(label) for label in self.labels)
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            msg = f"label space {self.name!r}: expected each finding once, got {', '.join(repeated)} again."
            raise ValueError(msg)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        try:
            return finding(label) in self.labels  # type: ignore[arg-type]
        except LabelNotFoundError:
            return False

    @classmethod
    def load(cls, name: str) -> LabelSpace:
        """The published space with this name (``mappings/spaces/<name>.csv``).

        Raises:
            LabelNotFoundError: there is no such space; the message lists those there are.
        """
        if name not in space_names():
            hint = near(name, space_names())
            msg = f"no label space is called {name!r}. Expected one of: {', '.join(space_names())}. {hint}"
            raise LabelNotFoundError(msg.rstrip())
        return _load(name)

    @classmethod
    def of(cls, space: SpaceLike) -> LabelSpace:
        """A space from itself, its name, or a sequence of findings.

        Raises:
            LabelNotFoundError: there is no such space or finding.
            ValueError: it is something else.
        """
        if isinstance(space, LabelSpace):
            return space
        if isinstance(space, str):
            return cls.load(space)
        return cls("custom", _labels(space))

    def index(self, label: str) -> int:
        """Column of a finding, by canonical name or synonym.

        Raises:
            LabelNotFoundError: the finding is not in this space, or there is no such finding.
        """
        name = finding(label)
        if name not in self.labels:
            msg = f"{name!r} is not in the space {self.name!r}. It has: {', '.join(self.labels)}."
            raise LabelNotFoundError(msg)
        return self.labels.index(name)

    def positions(self, other: LabelSpace) -> npt.NDArray[np.intp]:
        """Column in this space of each label of another one.

        Returns:
            (len(other),) int array, -1 where this space lacks the label.

        Example:
            >>> nih, few = LabelSpace.load("nih14"), LabelSpace.of(["Effusion", "Fracture"])
            >>> nih.positions(few)
            array([ 2, -1])
        """
        where = {label: column for column, label in enumerate(self.labels)}
        return frozen(np.array([where.get(label, -1) for label in other.labels], dtype=np.intp))


def native_space(covered: Sequence[str]) -> LabelSpace:
    """The space of what a dataset labels; "No Finding" is neither a finding nor a device."""
    return LabelSpace(NATIVE, tuple(label for label in covered if finding(label).kind != "absence"))


def _labels(space: object) -> tuple[str, ...]:
    if not isinstance(space, Iterable):
        msg = f"space: expected a label space, its name, or findings in order, got {space!r}."
        raise ValueError(msg)
    return tuple(space)


SpaceLike = LabelSpace | str | Sequence[str]
"""A space, its name, or findings in order."""


@cache
def space_names() -> tuple[str, ...]:
    """Names of the published spaces, in alphabetical order."""
    files = (mappings() / "spaces").iterdir()
    return tuple(sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv")))


@cache
def _load(name: str) -> LabelSpace:
    rows = read_rows(mappings() / "spaces" / f"{name}.csv", ("finding",))
    labels: list[str] = []
    for row in rows:
        label = read_finding(row, "finding")
        if label in labels:
            raise row.error("each finding once", row.cells["finding"])
        labels.append(label)
    return LabelSpace(name, tuple(labels))
