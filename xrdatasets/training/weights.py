"""Training: what a finding weighs in the loss, counted from the targets or from who labels what.

Targets are what a policy makes of codes: numbers in [0, 1], NaN where nothing is known.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrdatasets.models.heads.base import check_count

__all__ = [
    "POSITIVE",
    "LabelSets",
    "Over",
    "as_tensor",
    "check_choice",
    "check_number",
    "check_targets",
    "described",
    "label_sets",
    "positive_weights",
    "task_weights_cohen",
    "task_weights_luo",
]

Over = Literal["labelled", "all"]

POSITIVE = 0.5
"""A target of at least this counts as positive (`xrdatasets.labels.policies`)."""

_CODE = " -1 is the code of uncertain: give what a policy makes of it (xr.U_IGNORE, xr.U_ONES, …)."


class LabelSets(NamedTuple):
    """Which findings who labels, each (L,) bool; at most one of the three is True for a finding.

    Attributes:
        common: labelled by the internal dataset and by another one.
        internal_only: labelled by the internal dataset alone.
        external_only: labelled by others, and not by the internal dataset.
    """

    common: Tensor
    internal_only: Tensor
    external_only: Tensor


def positive_weights(targets: Tensor | npt.NDArray[Any]) -> Tensor:
    """Beta of Luo 2020, Eq. 1: negatives per positive, for each finding.

    Count it once, on the whole training set.

    Args:
        targets: (N, L) in [0, 1], NaN unknown: a tensor, or an array such as ``ds.labels``. Unknown targets
            count on neither side; soft ones are positive from 0.5 on.

    Returns:
        (L,) float32 on the targets' device: N_c / P_c, and 1 where a finding has no positive or no negative.
        The paper does not cap it: 493 for Hernia in NIH.

    Raises:
        ValueError: targets of another shape, or outside [0, 1].

    Source:
        Luo et al., IEEE TMI 39(11), 2020, Eq. 1. The rule for a missing class is ours: the quotient would
        be infinite, or switch the finding off.

    Example:
        >>> nan = torch.nan
        >>> positive_weights(torch.tensor([[1, 0, nan], [0, 0, nan], [0, nan, 1], [1, nan, 0], [0, 0, 0]]))
        tensor([1.5000, 1.0000, 2.0000])
    """
    positive, negative = _counts(targets)
    quotient = negative / positive.clamp(min=1)
    return torch.where((positive > 0) & (negative > 0), quotient, 1.0).float()


def task_weights_cohen(targets: Tensor | npt.NDArray[Any], *, over: Over = "labelled") -> Tensor:
    """Task weights of Cohen 2020: frequent findings weigh less.

    With c_t the positives of finding t, a_t = max c - c_t + mean c and the weight is a_t / max a. Count them
    once, on the whole training set.

    Args:
        targets: (N, L) in [0, 1], NaN unknown: a tensor, or an array such as ``ds.labels``; soft targets are
            positive from 0.5 on.
        over: maximum and mean run over the findings that have a known target (``"labelled"``), or over all
            (``"all"``, as the paper's code does: weights then depend on how many findings are absent).

    Returns:
        (L,) float32 in (0, 1] on the targets' device; 1 for findings without a known target, and for all if
        there are no positives.

    Raises:
        ValueError: targets of another shape, or outside [0, 1]; `over` of another name.

    Source:
        Cohen et al., MIDL 2020, and its code (ieee8023/xray-generalization).

    Example:
        >>> task_weights_cohen(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, torch.nan]]))
        tensor([0.3333, 0.6667, 1.0000])
    """
    check_choice("over", over, get_args(Over))
    positive, negative = _counts(targets)
    counted = (positive + negative > 0) | (over == "all")
    weights = torch.ones_like(positive)
    if positive.any():
        counts = positive[counted]
        alpha = counts.max() - counts + counts.mean()
        weights[counted] = alpha / alpha.max()
    return weights.float()


def task_weights_luo(
    labelled: Tensor | npt.NDArray[Any], *, internal: int = 0, common: float = 3.0
) -> Tensor:
    """Alpha of Luo 2020, Eq. 1: findings that several datasets share weigh more.

    Args:
        labelled: (D, L) bool, whether the dataset labels the finding; see `label_sets`.
        internal: row of the dataset that the network is for.
        common: weight of the findings that it shares with another dataset, 3 in the paper.

    Returns:
        (L,) float32 on the device of `labelled`: `common`, or 1 for all other findings.

    Raises:
        ValueError: no such array or row, or a weight that is negative or not finite.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, Eq. 1.

    Example:
        >>> task_weights_luo(torch.tensor([[True, True, False], [True, False, True]]))
        tensor([3., 1., 1.])
    """
    check_number("common", common, least=0.0)
    shared = label_sets(labelled, internal=internal).common
    return torch.where(shared, float(common), 1.0)


def label_sets(labelled: Tensor | npt.NDArray[Any], *, internal: int = 0) -> LabelSets:
    """Which findings datasets have in common.

    For two datasets these are the sets of Luo 2020. For more, the paper's intersection of all can be empty:
    here a finding is common if the internal dataset and at least one other label it.

    Args:
        labelled: (D, L) bool, whether the dataset labels the finding; from targets ``y`` and the dataset
            ``d`` of each image, row d is ``(~y[source == d].isnan()).any(0)``.
        internal: row of the dataset that the network is for, the others are external.

    Returns:
        Three masks on the device of `labelled`. A finding that nobody labels is in none.

    Raises:
        ValueError: `labelled` of another shape or type, or no such row.

    Source:
        Luo et al., IEEE TMI 39(11), 2020; the reading for more than two is ours.

    Example:
        >>> sets = label_sets(torch.tensor([[True, True, False], [True, False, True]]))
        >>> sets.internal_only, sets.external_only
        (tensor([False,  True, False]), tensor([False, False,  True]))
    """
    table = as_tensor(labelled)
    if not isinstance(table, Tensor) or table.dtype != torch.bool or table.ndim != 2 or not len(table):
        msg = f"labelled: expected bool of shape (D, L), datasets by findings, got {described(table)}."
        raise ValueError(msg)
    check_count("internal", internal, least=0)
    if internal >= len(table):
        msg = f"internal: expected a row of labelled, from 0 to {len(table) - 1}, got {internal}."
        raise ValueError(msg)
    own = table[internal]
    others = torch.cat([table[:internal], table[internal + 1 :]]).any(0)
    return LabelSets(own & others, own & ~others, others & ~own)


def check_targets(targets: object) -> Tensor:
    """Refuse what no policy gives.

    Returns:
        The targets, as they came.

    Raises:
        ValueError: the shape is not (N, L), or a value is neither in [0, 1] nor NaN.
    """
    if not isinstance(targets, Tensor) or targets.ndim != 2 or targets.is_complex():
        msg = f"targets: expected a real tensor of shape (N, L), got {described(targets)}."
        raise ValueError(msg)
    outside = (targets < 0) | (targets > 1)
    if outside.any():
        value = targets[outside][0].item()
        msg = f"targets: expected values in [0, 1] or NaN, got {value:g}.{_CODE if value == -1 else ''}"
        raise ValueError(msg)
    return targets


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not among those.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        msg = f"{name}: expected one of {choices}, got {value!r}."
        raise ValueError(msg)


def check_number(name: str, value: object, *, least: float, below: float = math.inf) -> None:
    """Refuse what is no number from `least` to below `below`.

    Raises:
        ValueError: it is none.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value < below:  # type: ignore[operator]
        upper = f" and below {below:g}" if below < math.inf else ""
        msg = f"{name}: expected a finite number of at least {least:g}{upper}, got {value!r}."
        raise ValueError(msg)


def as_tensor(values: object) -> object:
    """An array as a tensor of its own; what is no array as it is."""
    # a copy: tensors over read-only arrays are not for use
    return torch.tensor(values) if isinstance(values, np.ndarray) else values


def described(value: object) -> str:
    """Type and shape of what a caller passed, for a message."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__


def _counts(targets: Tensor | npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Positives and negatives of each finding, (L,) float64."""
    known = check_targets(as_tensor(targets))
    return (known >= POSITIVE).sum(0).double(), (known < POSITIVE).sum(0).double()
