"""Training, step 5: how well a network does on images that it does not learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_rows", "macro_mean", "masked_aucs", "youden_points"]

Floats = npt.NDArray[np.float64]


def masked_aucs(truth: Tensor | npt.ArrayLike, scores: Tensor | npt.ArrayLike) -> Floats:
    """Area under the ROC curve of each finding, over the images where it is known.

    By the ranks of Mann and Whitney: the share of pairs of a positive and a negative that are in order, ties
    counting half.

    Args:
        truth: (N, L) 1 and 0; all else (NaN, soft targets) is left out.
        scores: (N, L).

    Returns:
        (L,) float64 in [0, 1]; NaN for a finding without both classes.

    Example:
        >>> masked_aucs([[1, 1], [0, np.nan], [1, 1]], [[0.9, 0.1], [0.5, 0.2], [0.5, 0.3]])
        array([0.75,  nan])
    """
    truths, values = _columns(truth, scores)
    return np.array([_auc(known, scored) for known, scored in zip(truths, values, strict=True)])


def macro_mean(aucs: npt.ArrayLike) -> float:
    """The mean over the findings that have a value; NaN if none has.

    Example:
        >>> macro_mean([0.75, np.nan])
        0.75
    """
    values = np.asarray(aucs, dtype=np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def youden_points(truth: Tensor | npt.ArrayLike, scores: Tensor | npt.ArrayLike) -> Floats:
    """The threshold of each finding at which sensitivity + specificity is largest; of several, the highest.

    Args:
        truth: (N, L) 1 and 0; all else is left out.
        scores: (N, L) probabilities; a score of at least the threshold is called positive.

    Returns:
        (L,) one of the scores of each finding; NaN without both classes.

    Source:
        Youden, Cancer 3(1), 1950; Cohen et al., MIDL 2020, for the use.

    Example:
        >>> youden_points([[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]])
        array([0.8])
    """
    truths, values = _columns(truth, scores)
    return np.array([_youden(known, scored) for known, scored in zip(truths, values, strict=True)])


def all_rows(idx: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """The rows that all processes have, each once, by their number.

    Args:
        idx: (N,) int64 numbers of this process's rows.
        columns: (N, …) each.

    Returns:
        The numbers and the columns, on the processor, in the order of the numbers.
    """
    parts: list[Any] = [(idx.cpu(), *(column.cpu() for column in columns))]
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        mine, parts = parts[0], [None] * dist.get_world_size()
        dist.all_gather_object(parts, mine)
    joined = [torch.cat(each) for each in zip(*parts, strict=True)]
    order = torch.argsort(joined[0], stable=True)
    numbers = joined[0][order]
    first = torch.ones(len(numbers), dtype=torch.bool)
    first[1:] = numbers[1:] != numbers[:-1]
    return tuple(each[order[first]] for each in joined)


def _columns(truth: Tensor | npt.ArrayLike, scores: Tensor | npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both as (L, N) float64.

    Raises:
        ValueError: the shapes differ.
    """
    truths, values = (np.asarray(each, dtype=np.float64) for each in (truth, scores))
    if truths.ndim != 2 or truths.shape != values.shape:
        msg = f"scores: expected the shape of truth, (N, L), got {values.shape} and {truths.shape}."
        raise ValueError(msg)
    return truths.T, values.T


def _auc(truth: Floats, scores: Floats) -> float:
    positive, negative = scores[truth == 1], scores[truth == 0]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below, upto = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + upto).sum() / (2 * len(positive) * len(negative)))


def _youden(truth: Floats, scores: Floats) -> float:
    positive, negative = np.sort(scores[truth == 1]), np.sort(scores[truth == 0])
    if not len(positive) or not len(negative):
        return float("nan")
    candidates = np.unique(np.concatenate([positive, negative]))[::-1]
    found = 1 - np.searchsorted(positive, candidates, "left") / len(positive)
    false = 1 - np.searchsorted(negative, candidates, "left") / len(negative)
    return float(candidates[np.argmax(found - false)])
