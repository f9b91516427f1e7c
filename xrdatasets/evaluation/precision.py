"""Evaluation: average precision, and the ROC and precision-recall curves that the areas belong to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import (
    Bools,
    Column,
    Counts,
    Floats,
    checked,
    columns,
    numbers,
    ratio,
    shaped,
)

__all__ = [
    "MacroMean",
    "PrecisionRecallCurve",
    "RocCurve",
    "average_precision",
    "macro_mean",
    "precision_recall_curve",
    "roc_curve",
    "steps",
]


class RocCurve(NamedTuple):
    """One finding's ROC curve; one point for each distinct score, and (0, 0) before them.

    Attributes:
        false_alarms: (K + 1,) float64, false-positive rate, 1 - specificity, of "score >= threshold"; NaN
            without negatives.
        sensitivity: (K + 1,) float64, true-positive rate; NaN without positives.
        thresholds: (K + 1,) float64, falling; the first is inf, where nothing is called positive.
        positive: how many entries have code 1.
        negative: how many have code 0.
    """

    false_alarms: Floats
    sensitivity: Floats
    thresholds: Floats
    positive: int
    negative: int


class PrecisionRecallCurve(NamedTuple):
    """One finding's precision-recall curve, from the highest threshold to the lowest.

    Attributes:
        precision: (K + 1,) float64; the first, where nothing is called positive, is 1 by convention.
        recall: (K + 1,) float64, rising from 0; NaN without positives.
        thresholds: (K + 1,) float64, falling; the first is inf.
        positive: how many entries have code 1.
        negative: how many have code 0.
    """

    precision: Floats
    recall: Floats
    thresholds: Floats
    positive: int
    negative: int


class MacroMean(NamedTuple):
    """Means over the findings that all of the rows have.

    Attributes:
        means: (M,) float64, NaN where no finding is common.
        findings: (L,) bool, which were averaged.
    """

    means: Floats
    findings: Bools


def average_precision(codes: npt.ArrayLike, scores: npt.ArrayLike) -> Any:
    """Average precision of each finding: the precision at each threshold, weighted by the recall it adds.

    The step-wise sum, without interpolation (Davis & Goadrich, ICML 2006, show why a straight line between
    the points is too kind); tied scores are one threshold. It depends on how common the finding is, so two
    test sets compare only where their shares of positives do.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape, any range; NaN is left out. `auc_counts` says how many took part.

    Returns:
        A float for (N,); (L,) float64 for (N, L). **NaN** where only one class, or nothing, is left: without
        negatives every order has precision 1.

    Raises:
        ValueError: the shapes differ, a code is none of 1, 0, -1 and NaN, or something is no number.

    Example:
        >>> average_precision([1, 0, 1, 0, -1], [0.9, 0.2, 0.4, 0.6, 0.7])
        0.8333333333333333
    """
    codes, scores = checked(codes, scores)
    return shaped([_average(column) for column in columns(codes, scores)], codes)


def roc_curve(codes: npt.ArrayLike, scores: npt.ArrayLike) -> Any:  # which of the two, no type can say
    """ROC curve of each finding, every distinct score a point.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.

    Returns:
        A `RocCurve` for (N,); a list of L for (N, L), as they differ in length.

    Raises:
        ValueError: as for `average_precision`.

    Example:
        >>> curve = roc_curve([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.4])
        >>> curve.false_alarms, curve.sensitivity
        (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    codes, scores = checked(codes, scores)
    curves = [_roc(column) for column in columns(codes, scores)]
    return curves if codes.ndim == 2 else curves[0]


def precision_recall_curve(codes: npt.ArrayLike, scores: npt.ArrayLike) -> Any:
    """Precision and recall of each finding at every distinct score.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.

    Returns:
        A `PrecisionRecallCurve` for (N,); a list of L for (N, L).

    Raises:
        ValueError: as for `average_precision`.

    Example:
        >>> precision_recall_curve([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.4]).recall
        array([0. , 0.5, 1. , 1. ])
    """
    codes, scores = checked(codes, scores)
    curves = [_precision_recall(column) for column in columns(codes, scores)]
    return curves if codes.ndim == 2 else curves[0]


def macro_mean(values: npt.ArrayLike) -> MacroMean:
    """Mean over findings, over the same findings in every row.

    A model that has no number for a hard finding must not look better for it, so a finding counts only where
    every row has a number.

    Args:
        values: (L,) or (M, L), one row for each model or test set; NaN undefined.

    Returns:
        The means, (M,) or a () array for (L,), and which findings they are over.

    Raises:
        ValueError: another number of axes, or something is no number.

    Example:
        >>> macro_mean([[0.8, 0.6, np.nan], [0.7, 0.9, 0.5]]).means
        array([0.7, 0.8])
    """
    array = numbers("values", values)
    if array.ndim not in (1, 2):
        msg = f"values: expected the shape (L,) or (M, L), got {array.shape}."
        raise ValueError(msg)
    findings: Bools = np.all(~np.isnan(np.atleast_2d(array)), axis=0)
    return MacroMean(ratio(array[..., findings].sum(axis=-1), findings.sum()), findings)


def steps(truth: Bools, scores: Floats) -> tuple[Floats, Counts, Counts]:
    """How many positives and negatives score at least as high as each distinct score.

    Args:
        truth: (n,) bool.
        scores: (n,) float64 without NaN.

    Returns:
        The distinct scores, falling, (K,); positives and negatives, each (K,) int64, rising.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)[: len(falling)])
    true = np.cumsum(truth[order], dtype=np.int64)[last]
    return falling[last], true, last + 1 - true


def _average(column: Column) -> float:
    _, true, false = steps(column.truth, column.scores)
    if not len(true) or not true[-1] or not false[-1]:
        return float("nan")
    return float(np.sum(np.diff(true, prepend=0) * (true / (true + false))) / true[-1])


def _roc(column: Column) -> RocCurve:
    thresholds, true, false = steps(column.truth, column.scores)
    positive = int(column.truth.sum())
    negative = len(column.truth) - positive
    return RocCurve(
        ratio(np.append(0, false), negative),
        ratio(np.append(0, true), positive),
        np.append(np.inf, thresholds),
        positive,
        negative,
    )


def _precision_recall(column: Column) -> PrecisionRecallCurve:
    thresholds, true, false = steps(column.truth, column.scores)
    positive = int(column.truth.sum())
    return PrecisionRecallCurve(
        np.append(1.0, ratio(true, true + false)),
        ratio(np.append(0, true), positive),
        np.append(np.inf, thresholds),
        positive,
        len(column.truth) - positive,
    )
