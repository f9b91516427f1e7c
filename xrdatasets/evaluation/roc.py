"""Evaluation: how well scores put positives before negatives, over what is known.

Metrics look at *codes*, never at targets: 1 and 0 take part, -1 (uncertain) and NaN (unknown) are left
out and counted. A policy's targets are an opinion on the uncertain ones, so they are refused here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Counts, Floats, checked

__all__ = ["AucCounts", "auc", "auc_counts"]


class AucCounts(NamedTuple):
    """What an AUC was computed from; the five add up to the number of images.

    Attributes:
        positive: code 1, with a score.
        negative: code 0, with a score.
        uncertain: code -1.
        unknown: code NaN.
        unscored: code 1 or 0, but the score is NaN.
    """

    positive: Counts
    negative: Counts
    uncertain: Counts
    unknown: Counts
    unscored: Counts


def auc(codes: npt.ArrayLike, scores: npt.ArrayLike) -> Any:  # which of the two, no type can say
    """Area under the ROC curve of each finding.

    The share of (positive, negative) pairs in which the positive has the higher score; a tie counts one half
    (Mann & Whitney 1947; Hanley & McNeil, Radiology 143, 1982). From ranks, in float64: exact up to one
    division for any number of images that fits in memory.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        scores: of the same shape, any range, infinities too: probabilities or logits. An entry whose score is
            NaN is left out, as a model's is where an output was never trained;
            `auc_counts` says how many those are, and two models compare only over the same entries.

    Returns:
        A float for (N,); (L,) float64 for (N, L). **NaN** where only one class, or nothing, is left: there
        is no pair to put in order. The mean over findings is ``np.nanmean``.

    Raises:
        ValueError: the shapes differ or are neither (N,) nor (N, L), a code is none of 1, 0, -1 and NaN (a
            target of a policy, say), or something is no number.

    Example:
        >>> auc([1, 0, 1, 0, -1], [0.9, 0.2, 0.4, 0.4, 0.7])
        0.875
        >>> auc([[1, 1], [0, np.nan]], [[0.8, 0.1], [0.3, 0.5]])
        array([ 1., nan])
    """
    codes, scores = checked(codes, scores)
    if codes.ndim == 1:
        return _auc(codes, scores)
    return np.array([_auc(*columns) for columns in zip(codes.T, scores.T, strict=True)], dtype=np.float64)


def auc_counts(codes: npt.ArrayLike, scores: npt.ArrayLike) -> AucCounts:
    """What `auc` counts and what it leaves out.

    Args:
        codes: as for `auc`.
        scores: as for `auc`.

    Returns:
        Five counts, each () for (N,) and (L,) for (N, L), int64.

    Raises:
        ValueError: as for `auc`.

    Example:
        >>> counts = auc_counts([1, 0, 1, 0, -1], [0.9, 0.2, 0.4, np.nan, 0.7])
        >>> [int(count) for count in counts]
        [2, 1, 1, 0, 1]
    """
    codes, scores = checked(codes, scores)
    scored = ~np.isnan(scores)
    kinds = (
        (codes == 1) & scored,
        (codes == 0) & scored,
        codes == -1,
        np.isnan(codes),
        (codes >= 0) & ~scored,
    )
    return AucCounts(*(np.asarray(kind.sum(axis=0), dtype=np.int64) for kind in kinds))


def _auc(codes: Floats, scores: Floats) -> float:
    from scipy.stats import rankdata  # costs a second

    used = (codes >= 0) & ~np.isnan(scores)
    positive = codes[used] == 1
    n_positive = int(positive.sum())
    pairs = n_positive * (len(positive) - n_positive)
    if not pairs:
        return float("nan")
    # ranks are whole or halves, so their sum is exact in float64
    ranks = rankdata(scores[used])
    return (float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2) / pairs
