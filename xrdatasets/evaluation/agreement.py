"""Evaluation: how far models, or readers, agree with each other, whatever is true."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Floats, numbers, ratio

__all__ = ["Agreement", "BlandAltman", "bland_altman", "cohen_kappa", "fleiss_kappa"]

# half the width, in standard deviations, of the limits of agreement (Bland & Altman, Lancet 1, 1986)
LIMITS = 1.96


class Agreement(NamedTuple):
    """Cohen's kappa and what it is made of; each (L,), or a plain number for (N,).

    Attributes:
        kappa: (observed - chance) / (1 - chance); NaN where both made one and the same call throughout.
        observed: share of equal calls.
        chance: share of equal calls that their rates alone would give.
        compared: how many entries both have a call for.
    """

    kappa: Any
    observed: Any
    chance: Any
    compared: Any


class BlandAltman(NamedTuple):
    """Two measurements of the same things against each other.

    Attributes:
        mean: (N,) or (N, L), mean of the two; NaN where either is.
        difference: of the same shape, first - second.
        bias: mean difference; (L,), or a float for (N,).
        deviation: standard deviation of the differences, of a sample (n - 1).
        low: bias - 1.96 deviations, the lower limit of agreement.
        high: bias + 1.96 deviations.
        compared: how many entries both have.
    """

    mean: Floats
    difference: Floats
    bias: Any
    deviation: Any
    low: Any
    high: Any
    compared: Any


def cohen_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> Agreement:
    """Cohen's kappa of two models' calls (Educational and Psychological Measurement 20, 1960).

    1 is full agreement, 0 what chance gives; `calls_at` makes calls of scores. Where nearly everything is
    negative, kappa is low at a high share of equal calls, which therefore stands beside it.

    Args:
        first: (N,) or (N, L): 1 called, 0 not called; -1 and NaN are left out.
        second: of the same shape.

    Returns:
        Kappa, observed and chance agreement, and how many entries both have a call for; NaN without any.

    Raises:
        ValueError: the shapes differ, or something is none of 1, 0, -1 and NaN.

    Example:
        >>> cohen_kappa([1, 1, 0, 0, 1], [1, 0, 0, 0, np.nan]).kappa
        0.5
    """
    first, second = _pair(_calls("first", first), _calls("second", second))
    both = (first >= 0) & (second >= 0)
    n = both.sum(axis=0)
    equal = (both & (first == second)).sum(axis=0)
    ones, others = ((both & (calls == 1)).sum(axis=0) for calls in (first, second))
    # in whole numbers, so that "both constant" is exactly no number
    chance = ones * others + (n - ones) * (n - others)
    parts = (ratio(n * equal - chance, n * n - chance), ratio(equal, n), ratio(chance, n * n), n)
    return Agreement(*(_plain(part) for part in parts))


def fleiss_kappa(calls: npt.ArrayLike) -> Any:
    """Fleiss' kappa of any number of raters (Psychological Bulletin 76, 1971).

    Args:
        calls: (R, N) or (R, N, L), one row for each of at least two raters: whole numbers from 0 on, the
            categories; a case that any rater has -1 or NaN for is left out.

    Returns:
        A float for (R, N), (L,) float64 for (R, N, L); NaN where no case is left, or all calls are alike.

    Raises:
        ValueError: another number of axes, fewer than two raters, or something that is no category.

    Example:
        >>> fleiss_kappa([[1, 1, 0, 0], [1, 1, 0, 1], [1, 1, 0, 1]])
        0.6250000000000001
    """
    array = numbers("calls", calls)
    if array.ndim not in (2, 3) or len(array) < 2:
        msg = f"calls: expected the shape (R, N) or (R, N, L) with 2 raters or more, got {array.shape}."
        raise ValueError(msg)
    other = array[~((array >= -1) & (array == np.floor(array)) | np.isnan(array)) | np.isinf(array)]
    if other.size:
        msg = f"calls: expected whole numbers from 0 on, -1 or NaN, got {other[0]:g}."
        raise ValueError(msg)
    whole = (array >= 0).all(axis=0)
    raters, cases = len(array), whole.sum(axis=0)
    agreeing, squared = np.zeros(whole.shape[1:]), np.zeros(whole.shape[1:])
    for category in np.unique(array[array >= 0]):
        votes = ((array == category).sum(axis=0) * whole).astype(np.float64)
        agreeing += (votes * (votes - 1)).sum(axis=0)
        squared += votes.sum(axis=0) ** 2
    observed = ratio(agreeing, cases * raters * (raters - 1))
    chance = ratio(squared, (cases * raters) ** 2.0)
    return _plain(ratio(observed - chance, 1 - chance))


def bland_altman(first: npt.ArrayLike, second: npt.ArrayLike) -> BlandAltman:
    """Bias and limits of agreement of two models' outputs (Bland & Altman, Lancet 1, 1986).

    Args:
        first: (N,) or (N, L), best calibrated, so that 0.5 means the same in both; NaN is left out.
        second: of the same shape.

    Returns:
        The points of the plot, and its lines; NaN without two entries to compare.

    Raises:
        ValueError: the shapes differ, or something is no number.

    Example:
        >>> found = bland_altman([0.1, 0.4, 0.5, 0.8, 0.9], [0.2, 0.3, 0.7, 0.7, 1.0])
        >>> round(found.bias, 4), round(found.deviation, 4)
        (-0.04, 0.1342)
    """
    first, second = _pair(numbers("first", first), numbers("second", second))
    difference = first - second
    known = ~np.isnan(difference)
    n = known.sum(axis=0)
    bias = ratio(np.where(known, difference, 0).sum(axis=0), n)
    squares = (np.where(known, difference - bias, 0) ** 2).sum(axis=0)
    deviation = np.sqrt(ratio(squares, np.maximum(n - 1, 0)))
    lines = (bias, deviation, bias - LIMITS * deviation, bias + LIMITS * deviation, n)
    return BlandAltman((first + second) / 2, difference, *(_plain(part) for part in lines))


def _pair(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    if first.ndim not in (1, 2):
        msg = f"first: expected the shape (N,) or (N, L), got {first.shape}."
        raise ValueError(msg)
    if second.shape != first.shape:
        msg = f"second: expected the shape of the first, {first.shape}, got {second.shape}."
        raise ValueError(msg)
    return first, second


def _calls(name: str, calls: npt.ArrayLike) -> Floats:
    array = numbers(name, calls)
    other = array[~(np.isin(array, (1, 0, -1)) | np.isnan(array))]
    if other.size:
        msg = f"{name}: expected calls, 1, 0, -1 or NaN, got {other[0]:g}. `calls_at` makes them of scores."
        raise ValueError(msg)
    return array


def _plain(values: Any) -> Any:
    array = np.asarray(values)
    return array if array.ndim else array.item()
