"""Legacy: where a column of torchxrayvision's labels comes from in one of our datasets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from xrdatasets.labels.codes import Floats

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["Cells", "Column", "Number", "Said", "Source", "Terms", "findings", "in_order"]


class Source:
    """One of our datasets, whose terms are put in a table once for all columns.

    Args:
        dataset: it.
    """

    def __init__(self, dataset: Single) -> None:
        self.dataset = dataset

    @cached_property
    def terms(self) -> pd.DataFrame:
        """(N, T) what the source says, term by term."""
        return self.dataset.terms


class Column(Protocol):
    """A column of labels."""

    @property
    def name(self) -> str:
        """What torchxrayvision calls it."""
        ...

    def read(self, source: Source) -> Floats:
        """(N,) float32: 1, 0, NaN."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A finding, under the rules of ``compat="xrv"``; uncertain is NaN.

    Attributes:
        name: of the column.
        finding: the canonical finding; the same name if empty.
    """

    name: str
    finding: str = ""

    def read(self, source: Source) -> Floats:
        """(N,) float32."""
        codes = source.dataset.matrix.relabel([self.finding or self.name]).codes[:, 0]
        labels: Floats = np.where(codes == -1, np.float32(np.nan), codes)
        return labels


@dataclass(frozen=True, slots=True)
class Terms:
    """Source terms that are no findings here: 1 where one of them is 1, else 0.

    Attributes:
        name: of the column.
        pattern: what is searched for in the names of the terms, a regular expression; the name in lower case
            if empty.
    """

    name: str
    pattern: str = ""

    def read(self, source: Source) -> Floats:
        """(N,) float32."""
        found = [name for name in source.terms if re.search(self.pattern or self.name.lower(), name.lower())]
        # of several readers a term is their mean: one who says so is enough
        said: Floats = (source.terms[found] > 0).any(axis=1).to_numpy(dtype=np.float32)
        return said


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of words: 1 where one of these stands, else 0.

    Attributes:
        name: of the column of labels.
        column: of the dataset's table.
        words: those that count.
    """

    name: str
    column: str
    words: tuple[object, ...]

    def read(self, source: Source) -> Floats:
        """(N,) float32."""
        there: Floats = source.dataset.table[self.column].isin(list(self.words)).to_numpy(dtype=np.float32)
        return there


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers, as it is.

    Attributes:
        name: of the column of labels.
        column: of the dataset's table.
    """

    name: str
    column: str

    def read(self, source: Source) -> Floats:
        """(N,) float32."""
        numbers = pd.to_numeric(source.dataset.table[self.column], errors="coerce")
        values: Floats = numbers.to_numpy(dtype=np.float32, na_value=np.nan)
        return values


def findings(*names: str) -> tuple[Column, ...]:
    """Columns that are called as the findings, in alphabetical order."""
    return in_order(Said(name) for name in names)


def in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns by name, capitals first, as torchxrayvision sorts them."""
    return tuple(sorted(columns, key=lambda column: column.name))
