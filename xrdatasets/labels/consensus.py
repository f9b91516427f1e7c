"""Labels, step 3b: several readers of one image become one label.

The rules of a mapping file run over each reader's terms first; then the readers of an image are put together,
finding by finding. So "Rib fracture" of one reader and "Clavicle fracture" of another are two votes for
Fracture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from xrdatasets.labels.codes import (
    ABSENT,
    CODES,
    NEGATED,
    NEGATIVE,
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
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.rules import Term
from xrdatasets.labels.terms import TermMatrix

__all__ = ["Consensus", "Readings", "agree", "check_consensus"]

Consensus = Literal["any", "majority", "all", "mean"]
"""How several readers become one label (`agree`)."""

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, slots=True)
class Readings:
    """What each reader says of N images, term by term.

    Attributes:
        answers: the terms of R readings, those of one image together.
        starts: (N + 1,) where the readings of each image begin, and R.
    """

    answers: TermMatrix
    starts: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def terms(self) -> tuple[Term, ...]:
        """The T terms."""
        return self.answers.terms

    def image(self, row: int) -> TermMatrix:
        """The readings of one image."""
        return self.answers.select(np.arange(self.starts[row], self.starts[row + 1]))

    def select(self, rows: Rows) -> Readings:
        """The readings of the chosen images, in the order given."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Readings(self.answers.select(np.repeat(self.starts[:-1][rows], counts) + within), starts)

    @property
    def codes(self) -> Floats:
        """(N, T) float32: the mean of the readers' codes of each term, NaN where all are silent."""
        said = ~np.isnan(self.answers.codes)
        counts = np.add.reduceat(said, self.starts[:-1], axis=0, dtype=np.float32)
        sums = np.add.reduceat(np.where(said, self.answers.codes, 0), self.starts[:-1], axis=0)
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def check_consensus(how: object) -> Consensus:
    """The same word.

    Raises:
        ValueError: it is none of ``any``, ``majority``, ``all``, ``mean``.
    """
    for word in get_args(Consensus):
        if how == word:
            known: Consensus = word
            return known
    msg = f"consensus: expected {', '.join(map(repr, get_args(Consensus)))}, got {how!r}."
    raise ValueError(msg)


def agree(matrix: LabelMatrix, starts: Rows, how: Consensus, *, keys: npt.NDArray[Any]) -> LabelMatrix:
    """One label for each image from those of its readers.

    ``any``
        positive if any reader says so; negative if all say no.
    ``majority``
        what more than half of the readers say; where no answer has that many, uncertain if one of them is
        positive or uncertain.
    ``all``
        positive if all readers say so; negative if any says no.
    ``mean``
        the share of readers who say so, of those who say anything (an uncertain one counts half). Where they
        disagree the code is -1, because evaluation needs a yes or a no, and the target is the share, whatever
        the policy.

    Args:
        matrix: labels of R readings, those of one image together.
        starts: (N + 1,) where the readings of each image begin, and R; every image has a reading.
        how: the rule.
        keys: (N,) names of the images.

    Returns:
        Labels of N images.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from xrdatasets.labels import LabelTable
        >>> three = LabelTable.load("nih").apply(pd.Series(["Edema|Mass", "Mass", "No Finding"], name="list"))
        >>> image, key = np.array([0, 3]), np.array(["1"], dtype=object)
        >>> {how: agree(three, image, how, keys=key).relabel(["Mass", "Edema"]).codes[0].tolist()
        ...  for how in ("any", "majority", "all", "mean")}
        {'any': [1.0, 1.0], 'majority': [1.0, 0.0], 'all': [0.0, 0.0], 'mean': [-1.0, -1.0]}
    """
    states = np.stack([_agreed(row, starts, how) for row in matrix.states]) if len(matrix.states) else (
        np.zeros((0, len(starts) - 1), dtype=np.uint8)
    )  # fmt: skip
    return replace(matrix, states=frozen(states), keys=keys)


def _agreed(states: States, starts: Rows, how: Consensus) -> States:
    """(N,) states of one finding."""
    first, readers = starts[:-1], np.diff(starts)
    codes = CODES[states]
    yes, no, unsure = (np.add.reduceat(codes == code, first, dtype=np.intp) for code in (1, 0, -1))
    out = _silent(states, first)
    negative = _negative(states, first)
    if how == "mean":
        said = yes + no + unsure
        share = np.divide(yes + unsure / 2, said, out=np.zeros(len(said)), where=said > 0)
        steps = np.rint(share * SHARES).astype(np.uint8)
        mixed = np.where(steps == SHARES, POSITIVE, np.where(steps == 0, negative, SHARE + steps))
        return np.where(said > 0, mixed, out).astype(np.uint8)
    rules: dict[str, tuple[tuple[npt.NDArray[np.bool_], npt.ArrayLike], ...]] = {  # the last that holds
        "any": ((no == readers, negative), (unsure > 0, UNCERTAIN), (yes > 0, POSITIVE)),
        "majority": (
            (yes + unsure > 0, UNCERTAIN),
            (2 * no > readers, negative),
            (2 * yes > readers, POSITIVE),
        ),
        "all": ((unsure > 0, UNCERTAIN), (yes == readers, POSITIVE), (no > 0, negative)),
    }
    for here, state in rules[how]:
        out = np.where(here, state, out).astype(np.uint8)
    return out


def _silent(states: States, first: Rows) -> States:
    """What an image is of which nothing follows: fillable only if all of its readers are silent so."""
    blank = np.logical_and.reduceat(states == UNMENTIONED, first)
    return np.where(blank, UNMENTIONED, UNKNOWN).astype(np.uint8)


def _negative(states: States, first: Rows) -> States:
    """The strongest negative of an image's readers: said, excluded, absent from a list."""
    out = np.full(len(first), NEGATIVE, dtype=np.uint8)
    for state in (ABSENT, NEGATED, NEGATIVE):
        out[np.logical_or.reduceat(states == state, first)] = state
    return out
