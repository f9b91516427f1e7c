"""Evaluation: codes and scores as every metric takes them, and what of each finding takes part."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Bools",
    "Column",
    "Counts",
    "Floats",
    "checked",
    "columns",
    "fractions",
    "numbers",
    "ratio",
    "shaped",
]

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Column(NamedTuple):
    """The entries of one finding that take part: code 1 or 0, with a score.

    Attributes:
        rows: (n,) int64, where they stand.
        truth: (n,) bool, whether the code is 1.
        scores: (n,) float64.
    """

    rows: npt.NDArray[np.intp]
    truth: Bools
    scores: Floats


def checked(codes: npt.ArrayLike, scores: npt.ArrayLike, *, name: str = "scores") -> tuple[Floats, Floats]:
    """Codes and scores as float64 arrays of one shape.

    Args:
        codes: (N,) or (N, L): 1, 0, -1 or NaN.
        scores: of the same shape.
        name: what the message calls the scores.

    Returns:
        Both.

    Raises:
        ValueError: the shapes differ or are neither (N,) nor (N, L), a code is none of 1, 0, -1 and NaN, or
            something is no number.
    """
    codes, scores = numbers("codes", codes), numbers(name, scores)
    if codes.ndim not in (1, 2):
        msg = f"codes: expected the shape (N,) or (N, L), got {codes.shape}."
        raise ValueError(msg)
    if scores.shape != codes.shape:
        msg = f"{name}: expected the shape of the codes, {codes.shape}, got {scores.shape}."
        raise ValueError(msg)
    other = codes[~(np.isin(codes, (1, 0, -1)) | np.isnan(codes))]
    if other.size:
        msg = (
            f"codes: expected 1, 0, -1 or NaN, got {other[0]:g}. A policy's targets are not for metrics: "
            "give the codes (ds.codes)."
        )
        raise ValueError(msg)
    return codes, scores


def numbers(name: str, values: npt.ArrayLike) -> Floats:
    """Values as float64.

    Args:
        name: the argument, for the message.
        values: numbers or bools.

    Returns:
        Them, without a copy where they are float64 already.

    Raises:
        ValueError: they are no numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        msg = f"{name}: expected numbers, got {array.dtype}."
        raise ValueError(msg)
    return array.astype(np.float64, copy=False)


def fractions(name: str, values: npt.ArrayLike) -> Floats:
    """Values in [0, 1] as float64; NaN may be among them.

    Args:
        name: the argument, for the message.
        values: probabilities, or thresholds of them.

    Returns:
        Them.

    Raises:
        ValueError: they are no numbers, or one lies outside [0, 1].
    """
    array = numbers(name, values)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        msg = (
            f"{name}: expected values in [0, 1], got {outside[0]:g}. "
            "Logits become probabilities by a sigmoid."
        )
        raise ValueError(msg)
    return array


def columns(codes: Floats, scores: Floats) -> list[Column]:
    """What takes part, finding by finding; one column for (N,).

    Args:
        codes: as `checked` gives them.
        scores: as `checked` gives them.

    Returns:
        One for each finding.
    """
    if codes.ndim == 1:
        codes, scores = codes[:, np.newaxis], scores[:, np.newaxis]
    found = []
    for code, score in zip(codes.T, scores.T, strict=True):
        rows = np.flatnonzero((code >= 0) & ~np.isnan(score))
        found.append(Column(rows, code[rows] == 1, score[rows]))
    return found


def ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    """A quotient that is NaN, without a warning, where the divisor is 0.

    Args:
        above: counts or sums.
        below: counts or sums.

    Returns:
        float64 of their common shape.
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    quotient: Floats = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


def shaped(values: Any, codes: Floats) -> Any:
    """One value per finding as the caller asked: the last axis goes where the codes were (N,).

    Args:
        values: (..., L).
        codes: (N,) or (N, L).

    Returns:
        An array (..., L), or (...,) for (N,): a float or an int where nothing else is left.
    """
    array = np.asarray(values)
    if codes.ndim == 2:
        return array
    only = array[..., 0]
    return only if only.ndim else only.item()
