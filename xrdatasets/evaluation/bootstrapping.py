"""Evaluation: how far a metric would move with other patients, by the bootstrap.

Images of one patient are alike, so patients are drawn, not images. Each finding is sorted once; a replicate
is then a whole-number weight for each patient, and its AUC a few cumulative sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Column, Counts, Floats, checked, columns, ratio, shaped
from xrdatasets.evaluation.precision import average_precision
from xrdatasets.evaluation.roc import auc

__all__ = ["Bootstrap", "bootstrap"]

# weights held at a time: few enough to stay in the cache, enough to hide numpy's calls
CELLS = 2**18
Weights = npt.NDArray[np.int32]
Metric = Callable[[Weights], Floats]


class Bootstrap(NamedTuple):
    """A metric with its percentile interval; arrays (L,), or plain numbers where the codes were (N,).

    Attributes:
        value: of all entries, as `auc` or `average_precision` gives it; NaN undefined.
        low: lower end of the interval.
        high: upper end.
        positive: how many entries have code 1 and a score.
        negative: how many have code 0 and a score.
        undefined: replicates with one class only; they are not in the interval.
        macro: the mean over the findings that have a value.
        macro_low: lower end for that mean; replicates in which one of these findings is undefined are left
            out, as their mean would be over other findings.
        macro_high: upper end.
        samples: (replicates, L) float64, or (replicates,). The same seed and groups draw the same patients,
            so two models' samples may be subtracted.
    """

    value: Any
    low: Any
    high: Any
    positive: Any
    negative: Any
    undefined: Any
    macro: float
    macro_low: float
    macro_high: float
    samples: Floats


def bootstrap(
    codes: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    metric: Literal["auc", "ap"] = "auc",
) -> Bootstrap:
    """Percentile intervals of the AUC or the average precision, by drawing patients with replacement.

    The percentile interval of Efron & Tibshirani (An Introduction to the Bootstrap, 1993, chapter 13), over
    clusters where one patient has many images. Replicate r takes as many patients as there are, by
    ``generator.integers(G, size=G)`` of ``np.random.default_rng(seed)``, in turn; patients are numbered as
    they first appear. All findings share the draw.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape; NaN is left out.
        groups: (N,) patients, anything that pandas can tell apart; None draws images.
        replicates: how many, 1 or more.
        seed: of the draws.
        level: of the interval, inside (0, 1).
        metric: "auc" or "ap" (average precision).

    Returns:
        Values, intervals and counts.

    Raises:
        ValueError: codes or scores as for `auc`; groups of another length or with a missing one; a number of
            replicates, a level or a metric that does not exist.

    Example:
        >>> scores = np.random.default_rng(0).random((100, 2))
        >>> found = bootstrap(scores.round(), scores[:, ::-1], groups=np.arange(100) // 2, replicates=200)
        >>> (found.low < found.value) & (found.value < found.high), found.undefined
        (array([ True,  True]), array([0, 0]))
    """
    codes, scores = checked(codes, scores)
    _check(replicates, level, metric)
    group = _numbered(groups, len(codes))
    used = columns(codes, scores)
    make = _auc_of if metric == "auc" else _ap_of
    samples = _samples([make(column, group) for column in used], group, replicates, seed)
    value = np.atleast_1d((auc if metric == "auc" else average_precision)(codes, scores))
    defined = ~np.isnan(value)
    macro = ratio(samples[:, defined].sum(axis=1), defined.sum())
    low, high = _interval(samples, level)
    macro_low, macro_high = _interval(macro[:, np.newaxis], level)[:, 0]
    positive = np.array([column.truth.sum() for column in used], dtype=np.int64)
    total = np.array([len(column.truth) for column in used], dtype=np.int64)
    return Bootstrap(
        value=shaped(value, codes),
        low=shaped(low, codes),
        high=shaped(high, codes),
        positive=shaped(positive, codes),
        negative=shaped(total - positive, codes),
        undefined=shaped(np.isnan(samples).sum(axis=0), codes),
        macro=float(ratio(value[defined].sum(), defined.sum())),
        macro_low=float(macro_low),
        macro_high=float(macro_high),
        samples=shaped(samples, codes),
    )


def _check(replicates: int, level: float, metric: str) -> None:
    if replicates < 1:
        msg = f"replicates: expected 1 or more, got {replicates}."
        raise ValueError(msg)
    if not 0 < level < 1:
        msg = f"level: expected a number inside (0, 1), got {level}. 95 % is 0.95."
        raise ValueError(msg)
    if metric not in ("auc", "ap"):
        msg = f"metric: expected 'auc' or 'ap', got {metric!r}."
        raise ValueError(msg)


def _numbered(groups: npt.ArrayLike | None, rows: int) -> npt.NDArray[np.intp]:
    """Groups as 0, 1, 2, … in the order in which they first appear."""
    if groups is None:
        return np.arange(rows, dtype=np.intp)
    import pandas as pd  # 0.4 s

    array = np.asarray(groups)
    if array.shape != (rows,):
        msg = f"groups: expected one for each of the {rows} rows, got the shape {array.shape}."
        raise ValueError(msg)
    numbered: npt.NDArray[np.intp] = pd.factorize(array)[0]
    if (numbered < 0).any():
        row = int(np.flatnonzero(numbered < 0)[0])
        msg = f"groups: expected a patient in every row, got none in row {row}. Give such rows one each."
        raise ValueError(msg)
    return numbered


def _samples(metrics: list[Metric], group: npt.NDArray[np.intp], replicates: int, seed: int) -> Floats:
    samples = np.full((replicates, len(metrics)), np.nan)
    if not len(group):
        return samples
    generator, groups = np.random.default_rng(seed), int(group.max()) + 1
    chunk = max(1, CELLS // len(group))
    for start in range(0, replicates, chunk):
        weights = np.stack(
            [
                np.bincount(generator.integers(groups, size=groups), minlength=groups).astype(np.int32)
                for _ in range(min(chunk, replicates - start))
            ]
        )
        for finding, metric in enumerate(metrics):
            samples[start : start + len(weights), finding] = metric(weights)
    return samples


def _sorted_classes(column: Column, group: npt.NDArray[np.intp]) -> tuple[Any, Any, Floats, Floats]:
    """Groups and scores of positives and of negatives, by rising score."""
    order = np.argsort(column.scores, kind="stable")
    truth, scores, owner = column.truth[order], column.scores[order], group[column.rows[order]]
    return owner[truth], owner[~truth], scores[truth], scores[~truth]


def _auc_of(column: Column, group: npt.NDArray[np.intp]) -> Metric:
    positives, negatives, high, low = _sorted_classes(column, group)
    below, tied = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")

    def of(weights: Weights) -> Floats:
        positive, passed = weights[:, positives], _passed(weights, negatives)
        # whole numbers: exact up to the one division
        twice = (positive * (passed[:, below] + passed[:, tied])).sum(axis=1)
        return ratio(twice, 2 * positive.sum(axis=1, dtype=np.int64) * passed[:, -1])

    return of


def _ap_of(column: Column, group: npt.NDArray[np.intp]) -> Metric:
    positives, negatives, high, low = _sorted_classes(column, group)
    # how many of each class score lower, so that the rest is called positive at this threshold
    true_below, false_below = np.searchsorted(high, high, "left"), np.searchsorted(low, high, "left")

    def of(weights: Weights) -> Floats:
        positive, passed = weights[:, positives], _passed(weights, negatives)
        climbed = _passed(weights, positives)
        true = climbed[:, -1:] - climbed[:, true_below]
        called = true + passed[:, -1:] - passed[:, false_below]
        precision = true / np.maximum(called, 1)  # called is 0 only where the weight is 0 too
        total = np.where(passed[:, -1] > 0, climbed[:, -1], 0)
        return ratio((positive * precision).sum(axis=1), total)

    return of


def _passed(weights: Weights, owners: npt.NDArray[np.intp]) -> Counts:
    """(R, n + 1) int64: the weight of the first 0, 1, … n entries."""
    sums = np.zeros((len(weights), len(owners) + 1), dtype=np.int64)
    np.cumsum(weights.take(owners, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _interval(samples: Floats, level: float) -> Floats:
    """(2, L) percentiles over the samples that are defined."""
    ends = np.full((2, samples.shape[1]), np.nan)
    for finding, values in enumerate(samples.T):
        values = values[~np.isnan(values)]
        if len(values):
            ends[:, finding] = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return ends
