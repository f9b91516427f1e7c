"""Evaluation: calls at an operating point, what they are worth, and the point that Youden's index picks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Floats, checked, columns, numbers, ratio, shaped
from xrdatasets.evaluation.precision import steps

__all__ = ["OperatingPoint", "Performance", "calls_at", "performance_at", "youden_point"]


class Performance(NamedTuple):
    """What the calls at an operating point are worth; each (L,), or a plain number for (N,).

    Attributes:
        sensitivity: share of the positives that are called; NaN without positives.
        specificity: share of the negatives that are not called; NaN without negatives.
        precision: share of the calls that are right; NaN without calls.
        f1: harmonic mean of precision and sensitivity, 2 TP / (2 TP + FP + FN); NaN without positives.
        balanced_accuracy: mean of sensitivity and specificity.
        positive: how many entries have code 1 and a score.
        negative: how many have code 0 and a score.
    """

    sensitivity: Any
    specificity: Any
    precision: Any
    f1: Any
    balanced_accuracy: Any
    positive: Any
    negative: Any


class OperatingPoint(NamedTuple):
    """Where Youden's index is highest; each (L,), or a plain number for (N,).

    Attributes:
        threshold: a score of the data; "score >= threshold" is a call. NaN with one class only.
        informedness: the index there, sensitivity + specificity - 1.
        sensitivity: there.
        specificity: there.
        positive: how many entries have code 1 and a score.
        negative: how many have code 0 and a score.
    """

    threshold: Any
    informedness: Any
    sensitivity: Any
    specificity: Any
    positive: Any
    negative: Any


def calls_at(scores: npt.ArrayLike, points: npt.ArrayLike) -> Floats:
    """Scores as calls: 1 at or above the operating point, 0 below it.

    Args:
        scores: (N,) or (N, L); NaN no answer.
        points: () or (L,); NaN no operating point.

    Returns:
        Of the scores' shape, float64: 1, 0, or NaN where score or point is NaN.

    Raises:
        ValueError: something is no number, or the points are neither one nor one for each finding.

    Example:
        >>> calls_at([0.2, 0.5, 0.8, np.nan], 0.5)
        array([ 0.,  1.,  1., nan])
    """
    scores = numbers("scores", scores)
    points = _points(points, scores.shape)
    return np.where(np.isnan(scores) | np.isnan(points), np.nan, scores >= points)


def performance_at(codes: npt.ArrayLike, scores: npt.ArrayLike, points: npt.ArrayLike) -> Performance:
    """Sensitivity, specificity, precision, F1 and balanced accuracy at given operating points.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.
        points: () or (L,), in the scores' unit: a score equal to the point is called positive. NaN gives NaN.

    Returns:
        The five, with how many positives and negatives they are from.

    Raises:
        ValueError: codes or scores as for `auc`; points as for `calls_at`.

    Example:
        >>> performance_at([1, 1, 0, 0, -1], [0.9, 0.3, 0.6, 0.1, 0.5], 0.5).sensitivity
        0.5
    """
    codes, scores = checked(codes, scores)
    points = _points(points, scores.shape)
    calls = calls_at(scores, points)
    used = (codes >= 0) & ~np.isnan(scores)
    positive, negative = ((used & (codes == code)).sum(axis=0) for code in (1, 0))
    true, false = (((codes == code) & (calls == 1)).sum(axis=0) for code in (1, 0))
    # without an operating point nothing is known of the calls
    true, false = (np.where(np.isnan(points), np.nan, count) for count in (true, false))
    sensitivity, specificity = ratio(true, positive), ratio(negative - false, negative)
    f1 = ratio(2 * true, np.where(positive > 0, true + false + positive, 0))
    values = (sensitivity, specificity, ratio(true, true + false), f1, (sensitivity + specificity) / 2)
    return Performance(*(part if codes.ndim == 2 else part.item() for part in (*values, positive, negative)))


def youden_point(codes: npt.ArrayLike, scores: npt.ArrayLike) -> OperatingPoint:
    """The threshold at which sensitivity + specificity is highest (Youden, Cancer 3, 1950).

    Candidates are the distinct scores, and of equals the highest wins; the comparison is in whole numbers.
    It is never the infinity that scikit-learn's ROC curve begins with: for a model that ranks the wrong way
    round it is the lowest score, where everything is called.

    Chosen on the data that it is then judged on, it flatters: choose it on others, or say so.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.

    Returns:
        Thresholds with what they reach; NaN where only one class, or nothing, is left.

    Raises:
        ValueError: as for `auc`.

    Example:
        >>> youden_point([0, 0, 1, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.9]).threshold
        0.5
    """
    codes, scores = checked(codes, scores)
    rows = []
    for column in columns(codes, scores):
        positive = int(column.truth.sum())
        negative = len(column.truth) - positive
        found = (np.nan,) * 4
        if positive and negative:
            thresholds, true, false = steps(column.truth, column.scores)
            gain = true * negative - false * positive
            best = int(np.argmax(gain))
            found = (
                thresholds[best],
                gain[best] / (positive * negative),
                true[best] / positive,
                1 - false[best] / negative,
            )
        rows.append((*found, positive, negative))
    table = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    counts = table[4:].astype(np.int64)
    return OperatingPoint(*(shaped(values, codes) for values in (*table[:4], *counts)))


def _points(points: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    points = numbers("points", points)
    if points.shape not in ((), shape[1:]):
        msg = f"points: expected one, or one for each finding, {shape[1:]}, got the shape {points.shape}."
        raise ValueError(msg)
    return points
