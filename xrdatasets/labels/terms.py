"""Labels, step 3: what the source says, term by term, before any finding is spoken of.

A release writes its labels as a column of codes for each term (CheXpert), as a column of categories
(Google's ``YES`` and ``NO``), as a list in one cell (NIH's ``Effusion|Hernia``), or not at all
because every image has the same label (Hannover). The readers here turn each of them into the same
`TermMatrix`. They work on distinct values, never row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import MappingError, TableError
from xrdatasets.facts import Absent
from xrdatasets.labels.codes import (
    ABSENT,
    CODES,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    UNKNOWN,
    UNMENTIONED,
    Floats,
    States,
    frozen,
)
from xrdatasets.labels.rules import CONSTANT, LIST, Term

__all__ = [
    "BLANK",
    "FindingColumns",
    "FindingList",
    "TermMatrix",
    "TermReader",
    "bad_cell",
    "column_of",
    "word_of",
]

BLANK: dict[Absent, int] = {"negative": ABSENT, "unmentioned": UNMENTIONED, "unknown": UNKNOWN}
"""State of a blank cell, by what the release says of its blanks."""


@dataclass(frozen=True, eq=False, slots=True)
class TermMatrix:
    """What the source says of every term, image by image.

    Images that say the same may share a column: PadChest's 160,861 images have 28,808 different lists.

    Attributes:
        terms: the T terms.
        said: (T, K) uint8, states of `xrdatasets.labels.codes`, read-only: what is said, each once or
            oftener; a term is a row, so that all rules of a finding read contiguous memory.
        rows: (N,) which of the K each image says; None if there is one for each image.
    """

    terms: tuple[Term, ...]
    said: States
    rows: npt.NDArray[np.integer[Any]] | None = None

    def __len__(self) -> int:
        return self.said.shape[1] if self.rows is None else len(self.rows)

    @property
    def states(self) -> States:
        """(T, N) uint8, image by image."""
        return self.said if self.rows is None else frozen(self.said[:, self.rows])

    def state(self, term: Term) -> States:
        """(N,) uint8 states of one term."""
        said: States = self.said[self.terms.index(term)]
        return said if self.rows is None else said[self.rows]

    def select(self, rows: npt.NDArray[np.intp]) -> TermMatrix:
        """The chosen rows, in the order given."""
        chosen = rows if self.rows is None else self.rows[rows]
        if self.rows is None or len(chosen) < self.said.shape[1]:
            return TermMatrix(self.terms, frozen(self.said[:, chosen]))
        return TermMatrix(self.terms, self.said, frozen(chosen))

    @property
    def codes(self) -> Floats:
        """(N, T) float32: 1, 0, -1, NaN blank."""
        return np.ascontiguousarray(CODES[self.states].T)


class TermReader(Protocol):
    """Reads the terms of a mapping file from a release's table."""

    def read(self, table: pd.DataFrame, terms: Sequence[Term], *, absent: Absent, where: str) -> TermMatrix:
        """States of every term, row by row of the table."""
        ...


@dataclass(frozen=True, slots=True)
class FindingColumns:
    """Each term is a column of codes, a value of a column of categories, or a constant.

    A column of codes holds 1, 0, -1 or blank (also ``1.0``, ``True``, ``False``). In a column of
    categories a term is 1 where the cell is its value, 0 where it is another, blank where it is
    empty. Which of the two a column is, the mapping file says.
    """

    def read(self, table: pd.DataFrame, terms: Sequence[Term], *, absent: Absent, where: str) -> TermMatrix:
        """States of every term.

        Args:
            table: the release's table, with the columns that the terms name.
            terms: the terms of the mapping file.
            absent: what a blank cell means.
            where: file or dataset, for error messages.

        Raises:
            TableError: a column is missing, or a column of codes holds something else.
            MappingError: a column of categories holds a value that the mapping file does not list.
        """
        states = np.empty((len(terms), len(table)), dtype=np.uint8)
        blank = BLANK[absent]
        for column in dict.fromkeys(term.column for term in terms):
            own = [i for i, term in enumerate(terms) if term.column == column]
            if column == CONSTANT:
                states[own] = POSITIVE
                continue
            cells = column_of(table, column, where)
            if terms[own[0]].source:
                states[own] = _categories(cells, [terms[i].source for i in own], blank, where)
            else:
                states[own[0]] = _codes(cells, blank, where)
        return TermMatrix(tuple(terms), frozen(states))


@dataclass(frozen=True, slots=True)
class FindingList:
    """All terms of an image stand in one cell, as a list.

    Attributes:
        column: the column with the lists.
        separator: what stands between two terms.
    """

    column: str
    separator: str = "|"

    def read(self, table: pd.DataFrame, terms: Sequence[Term], *, absent: Absent, where: str) -> TermMatrix:
        """States of every term; a blank cell leaves all of them unknown.

        Args:
            table: the release's table.
            terms: the terms of the mapping file; those not of column ``*`` are read as `FindingColumns` does.
            absent: what it means that a term is not in the list.
            where: file or dataset, for error messages.

        Raises:
            TableError: the column is missing.
            MappingError: a list names a term that the mapping file does not have.
        """
        others = [term for term in terms if term.column != LIST]
        if others:
            return _beside(self, table, terms, others, absent=absent, where=where)
        rows, lists = pd.factorize(column_of(table, self.column, where), use_na_sentinel=True)
        words = [[word.strip() for word in str(text).split(self.separator)] for text in lists]
        place = {term.source: i for i, term in enumerate(terms)}
        _check_words(words, place, self.column, where)
        by_list = np.full((len(terms), len(words) + 1), BLANK[absent], dtype=np.uint8)
        for number, listed in enumerate(words):
            by_list[[place[word] for word in listed if word], number] = POSITIVE
        empty = [number for number, listed in enumerate(words) if not any(listed)]
        by_list[:, [*empty, -1]] = UNKNOWN  # no list at all (row -1), or one of blanks: nothing was said
        # row -1, which has no list, is the last of them
        return TermMatrix(tuple(terms), frozen(by_list), frozen(np.where(rows < 0, len(words), rows)))


def reader_of(terms: Sequence[Term], table: pd.DataFrame) -> TermReader:
    """The reader for a table when none is stated: columns, or the one column of lists."""
    if all(term.column != LIST for term in terms):
        return FindingColumns()
    if len(table.columns) == 1:
        return FindingList(str(table.columns[0]))
    msg = (
        f"the mapping file speaks of a list ({LIST!r}), and the table has {len(table.columns)} columns. "
        "Pass the one column of lists."
    )
    raise TableError(msg)


def _codes(column: pd.Series, blank: int, where: str) -> States:
    """(N,) states of a column of codes."""
    numbers = column if column.dtype.kind in "fiub" else pd.to_numeric(column, errors="coerce")
    values = numbers.to_numpy(dtype=np.float32, na_value=np.nan)
    empty = column.isna().to_numpy()
    states = np.full(len(values), blank, dtype=np.uint8)
    good = empty.copy()
    for code, state in ((1, POSITIVE), (0, NEGATIVE), (-1, UNCERTAIN)):
        here = values == code
        states[here] = state
        good |= here
    if not good.all():
        raise TableError(bad_cell(column, good, where, "1, 0, -1 or a blank"))
    return states


def _categories(column: pd.Series, values: Sequence[str], blank: int, where: str) -> States:
    """(len(values), N) states of the terms of a column of categories."""
    rows, found = pd.factorize(column, use_na_sentinel=True)
    words = [word_of(value) for value in found]
    unknown = np.array([word not in values for word in words], dtype=bool)
    if unknown.any():
        good = ~np.append(unknown, False)[rows]
        raise MappingError(bad_cell(column, good, where, f"one of {', '.join(map(repr, values))}"))
    by_word = np.full((len(values), len(words) + 1), NEGATIVE, dtype=np.uint8)
    by_word[:, -1] = blank
    for number, word in enumerate(words):
        by_word[values.index(word), number] = POSITIVE
    return by_word[:, rows]


def word_of(value: object) -> str:
    """A cell as the mapping file writes it: without blanks around it, 1.0 as 1."""
    number = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if number else str(value).strip()  # type: ignore[call-overload]


def _check_words(words: list[list[str]], known: dict[str, int], column: str, where: str) -> None:
    unknown = sorted({word for listed in words for word in listed if word and word not in known})
    if unknown:
        msg = (
            f"{where}: column {column!r} names {', '.join(map(repr, unknown[:3]))}, which its mapping file "
            f"does not have. Expected one of: {', '.join(known)}. Add a row for it (relation empty if "
            "unmapped)."
        )
        raise MappingError(msg)


def bad_cell(column: pd.Series, good: npt.NDArray[np.bool_], where: str, expected: str) -> str:
    """What a message says of the first cell that is not good, and of how many there are."""
    first = int(np.argmin(good))
    name = column.index[first]
    place = f"the row of {name!r}" if isinstance(name, str) else f"row {first + 1} of the data"
    return (
        f"{where}: column {column.name!r}: expected {expected}, got {column.iloc[first]!r} "
        f"in {place} ({int((~good).sum()):,} such cells)."
    )


def column_of(table: pd.DataFrame, name: str, where: str) -> pd.Series:
    """One column of a table.

    Raises:
        TableError: it is not there, or there twice.
    """
    found = int((table.columns == name).sum())
    if found != 1:
        names = ", ".join(map(str, table.columns))
        msg = f"{where}: expected {'a' if found == 0 else 'one'} column {name!r}, got {names}."
        raise TableError(msg)
    return table[name]


def _beside(
    lists: FindingList,
    table: pd.DataFrame,
    terms: Sequence[Term],
    others: Sequence[Term],
    *,
    absent: Absent,
    where: str,
) -> TermMatrix:
    """Terms of a list and terms that have a column of their own, in one matrix."""
    listed = lists.read(table, [term for term in terms if term.column == LIST], absent=absent, where=where)
    single = FindingColumns().read(table, others, absent=absent, where=where)
    states = {
        **dict(zip(listed.terms, listed.states, strict=True)),
        **dict(zip(single.terms, single.states, strict=True)),
    }
    return TermMatrix(tuple(terms), frozen(np.stack([states[term] for term in terms])))
