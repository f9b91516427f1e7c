"""Evaluation: the variance of an AUC and of the difference of two, without drawing anything.

DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988; from ranks as Sun & Xu, "Fast implementation of DeLong's
algorithm", IEEE Signal Processing Letters 21, 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Bools, Counts, Floats, checked, columns, numbers, shaped

__all__ = ["AucDifference", "AucInterval", "auc_difference", "auc_interval"]


class AucInterval(NamedTuple):
    """An AUC and how sure it is; each (L,), or a plain number for (N,).

    Attributes:
        auc: as `auc` gives it.
        variance: of the AUC; NaN with fewer than two of a class. 0 where the classes are apart: then it
            says nothing, and neither does the interval.
        low: lower end of the normal interval, not below 0.
        high: upper end, not above 1.
        positive: how many entries have code 1 and a score.
        negative: how many have code 0 and a score.
    """

    auc: Any
    variance: Any
    low: Any
    high: Any
    positive: Any
    negative: Any


class AucDifference(NamedTuple):
    """Two AUCs over the same entries; each (L,), or a plain number for (N,).

    Attributes:
        first: AUC of the first scores.
        second: AUC of the second ones.
        difference: first - second.
        variance: of the difference; NaN with fewer than two of a class.
        low: lower end of its normal interval.
        high: upper end.
        z: difference over its standard deviation; NaN where that is 0.
        p: two-sided, that AUCs of equal models differ so much; 1 where both rank alike, NaN where z is NaN.
        positive: how many entries have code 1 and both scores.
        negative: how many have code 0 and both scores.
    """

    first: Any
    second: Any
    difference: Any
    variance: Any
    low: Any
    high: Any
    z: Any
    p: Any
    positive: Any
    negative: Any


def auc_interval(codes: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95) -> AucInterval:
    """AUC of each finding with DeLong's variance and the normal interval.

    It takes images as independent: with several images of a patient it is too sure, and `bootstrap` with
    groups is the one to use.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.
        level: of the interval, inside (0, 1).

    Returns:
        AUCs, variances, intervals and counts.

    Raises:
        ValueError: as for `auc`; another level.

    Example:
        >>> found = auc_interval([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.7, 0.9])
        >>> round(found.auc, 4), round(found.variance, 4)
        (0.8333, 0.0556)
    """
    width = _width(level)
    codes, scores = checked(codes, scores)
    rows = []
    for column in columns(codes, scores):
        placed = _placements(column.truth, column.scores)
        area, variance = _mean(placed), _variance(placed)
        half = width * np.sqrt(variance)
        rows.append((area, variance, max(area - half, 0.0), min(area + half, 1.0), *_counts(column.truth)))
    return AucInterval(*_table(rows, codes, 6))


def auc_difference(
    codes: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, *, level: float = 0.95
) -> AucDifference:
    """Difference of two models' AUCs on the same images, with DeLong's test.

    An entry takes part where both models have a score. It takes images as independent, as `auc_interval`.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        first: scores of one model, of the same shape; NaN is left out.
        second: scores of the other.
        level: of the interval, inside (0, 1).

    Returns:
        Both AUCs, their difference with variance, interval and test, and counts.

    Raises:
        ValueError: as for `auc`; another level.

    Example:
        >>> found = auc_difference([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.7, 0.9], [0.5, 0.2, 0.3, 0.4, 0.6])
        >>> round(found.difference, 4), found.positive, found.negative
        (0.1667, 3, 2)
    """
    width = _width(level)
    codes, second = checked(codes, second, name="second")
    codes, first = checked(codes, first, name="first")
    shared = np.where(np.isnan(second), np.nan, first)
    rows = []
    for finding, column in enumerate(columns(codes, shared)):
        others = second if second.ndim == 1 else second[:, finding]
        rows.append(_difference(column.truth, column.scores, others[column.rows], width))
    return AucDifference(*_table(rows, codes, 10))


def _difference(truth: Bools, first: Floats, second: Floats, width: float) -> tuple[float, ...]:
    from scipy.special import ndtr

    ours, theirs = _placements(truth, first), _placements(truth, second)
    apart = (ours[0] - theirs[0], ours[1] - theirs[1])
    difference, variance = _mean(apart), _variance(apart)
    half = width * np.sqrt(variance)
    z = difference / np.sqrt(variance) if variance > 0 else np.nan
    alike = variance == 0 and difference == 0
    p = 1.0 if alike else 2 * float(ndtr(-abs(z)))
    ends = (difference - half, difference + half)
    return (_mean(ours), _mean(theirs), difference, variance, *ends, z, p, *_counts(truth))


def _placements(truth: Bools, scores: Floats) -> tuple[Counts, Counts]:
    """Twice the number of the other class that each positive beats, and that each negative is beaten by.

    Ranks among all less ranks among one's own class; doubled, so that ties stay whole and equal models differ
    by exactly 0.
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    beats = ranks[truth] - rankdata(scores[truth])
    beaten = int(truth.sum()) - (ranks[~truth] - rankdata(scores[~truth]))
    return np.rint(2 * beats).astype(np.int64), np.rint(2 * beaten).astype(np.int64)


def _mean(placed: tuple[Counts, Counts]) -> float:
    pairs = len(placed[0]) * len(placed[1])
    return float(placed[0].sum() / (2 * pairs)) if pairs else float("nan")


def _variance(placed: tuple[Counts, Counts]) -> float:
    positive, negative = (len(part) for part in placed)
    if min(positive, negative) < 2:
        return float("nan")
    by_positives = np.var(placed[0] / (2 * negative), ddof=1) / positive
    return float(by_positives + np.var(placed[1] / (2 * positive), ddof=1) / negative)


def _width(level: float) -> float:
    from scipy.special import ndtri

    if not 0 < level < 1:
        msg = f"level: expected a number inside (0, 1), got {level}. 95 % is 0.95."
        raise ValueError(msg)
    return float(ndtri((1 + level) / 2))


def _counts(truth: Bools) -> tuple[int, int]:
    return int(truth.sum()), int((~truth).sum())


def _table(rows: Sequence[tuple[float, ...]], codes: Floats, width: int) -> list[Any]:
    """Rows by finding as columns by name; the last two are counts."""
    table = numbers("rows", rows).reshape(-1, width).T
    return [shaped(part, codes) for part in (*table[:-2], *table[-2:].astype(np.int64))]
