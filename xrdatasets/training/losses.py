"""Training: the loss that leaves unknown targets out, and the weights that papers give to findings.

Targets are what a policy makes of codes: numbers in [0, 1], NaN where nothing is known.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Over",
    "Reduction",
    "check_targets",
    "masked_bce_with_logits",
    "positive_weights",
    "task_weights_cohen",
]

Reduction = Literal["entry", "luo", "cohen", "sum", "none"]
Over = Literal["labelled", "all"]

_POSITIVE = 0.5  # a target of at least this counts as positive (xrdatasets.labels.policies)
_CODE = " -1 is the code of uncertain: give what a policy makes of it (xr.U_IGNORE, xr.U_ONES, …)."
_MEAN = " A mean is one of three: 'entry', 'luo' or 'cohen'."


def masked_bce_with_logits(
    logits: Tensor,
    targets: Tensor,
    *,
    task_weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "entry",
) -> Tensor:
    """Binary cross-entropy of the targets that are known.

    An entry (image i, finding c) with a known target y and the logit z costs

        l_ic = -alpha_c · [beta_c · y · log sigmoid(z) + (1 - y) · log(1 - sigmoid(z))]

    and one with an unknown target costs 0, and its logit gets no gradient. Papers agree on l_ic and differ in
    what they divide its sum by. With B images, L findings, K the known entries of the batch and K_c those of
    finding c:

    =========== ===================== ====================================================================
    reduction   value                 source
    =========== ===================== ====================================================================
    ``entry``   Σ l_ic / #K           the mean over known entries: a finding counts as often as it is known
    ``luo``     Σ l_ic / (B · L)      Luo 2020, Eq. 1: unknown entries stay in the divisor
    ``cohen``   Σ_c [Σ_i l_ic / #K_c] Cohen 2020: a **sum** over the findings with a known target of means
    ``sum``     Σ l_ic                Pham 2019, Eq. 2 (with the minus sign that print lacks)
    ``none``    l_ic, (B, L)
    =========== ===================== ====================================================================

    Weights do not enter a divisor. A batch in which nothing is known gives exactly 0, with a gradient of
    exactly 0, and can be stepped on like any other.

    Args:
        logits: (B, L) float16, bfloat16, float32 or float64, any device; half precision is computed in
            float32, in and out of autocast. What stands where the target is unknown is never read.
        targets: (B, L) in [0, 1], NaN unknown; same device. Values between 0 and 1 are soft targets:
            beta_c weighs their positive part. The values are checked, for which a GPU is waited for, except
            under ``torch.compile``.
        task_weight: alpha, (L,), at least 0: 3 for common and 1 for other findings in Luo 2020,
            `task_weights_cohen` in Cohen 2020. None is 1.
        pos_weight: beta, (L,), at least 0: `positive_weights`. None is 1.
        reduction: see the table.

    Returns:
        A scalar, or (B, L) for ``none``; float32, or float64 where the logits are.

    Raises:
        ValueError: shapes that do not fit, targets outside [0, 1], weights that are negative or not
            finite, a reduction of another name.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, Eq. 1 (alpha, beta, ``luo``); Cohen et al., MIDL 2020, and its code
        (``cohen``); Pham et al., arXiv 1911.06475, Eq. 2 (``sum``).

    Example:
        >>> logits = torch.zeros(2, 2, requires_grad=True)
        >>> targets = torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])
        >>> loss = masked_bce_with_logits(logits, targets)
        >>> round(loss.item(), 4)  # log 2, from the two known entries
        0.6931
        >>> loss.backward()
        >>> logits.grad
        tensor([[-0.2500,  0.0000],
                [ 0.2500,  0.0000]])
    """
    _check_choice("reduction", reduction, get_args(Reduction))
    _check_logits(logits, targets)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    alpha = _weight("task_weight", task_weight, logits=logits, dtype=dtype)
    beta = _weight("pos_weight", pos_weight, logits=logits, dtype=dtype)
    known = ~targets.isnan()
    # 0 · NaN is NaN, forwards and backwards: unknown entries go in as harmless numbers, and weigh nothing
    entries = F.binary_cross_entropy_with_logits(
        torch.where(known, logits.to(dtype), 0.0),
        targets.nan_to_num(0.0).to(dtype),
        weight=known.to(dtype) if alpha is None else known * alpha,
        pos_weight=beta,
        reduction="none",
    )
    return _reduced(entries, known, reduction)


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
    _check_choice("over", over, get_args(Over))
    positive, negative = _counts(targets)
    counted = (positive + negative > 0) | (over == "all")
    weights = torch.ones_like(positive)
    if positive.any():
        counts = positive[counted]
        alpha = counts.max() - counts + counts.mean()
        weights[counted] = alpha / alpha.max()
    return weights.float()


def check_targets(targets: object) -> None:
    """Refuse what no policy gives.

    Raises:
        ValueError: the shape is not (N, L), or a value is neither in [0, 1] nor NaN.
    """
    if not isinstance(targets, Tensor) or targets.ndim != 2 or targets.is_complex():
        msg = f"targets: expected a real tensor of shape (N, L), got {_described(targets)}."
        raise ValueError(msg)
    outside = (targets < 0) | (targets > 1)
    if outside.any():
        value = targets[outside][0].item()
        msg = f"targets: expected values in [0, 1] or NaN, got {value:g}.{_CODE if value == -1 else ''}"
        raise ValueError(msg)


def _reduced(entries: Tensor, known: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return entries
    if reduction == "cohen":
        return (entries.sum(0) / known.sum(0).clamp(min=1)).sum()
    if reduction == "entry":
        return entries.sum() / known.sum().clamp(min=1)
    return entries.sum() / (max(1, entries.numel()) if reduction == "luo" else 1)


def _counts(targets: Tensor | npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Positives and negatives of each finding, (L,) float64."""
    if isinstance(targets, np.ndarray):
        targets = torch.tensor(targets)  # a copy: tensors over read-only arrays are not for use
    check_targets(targets)
    return (targets >= _POSITIVE).sum(0).double(), (targets < _POSITIVE).sum(0).double()


def _check_logits(logits: object, targets: object) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        msg = f"logits: expected a float tensor of shape (B, L), got {_described(logits)}."
        raise ValueError(msg)
    if not isinstance(targets, Tensor) or targets.shape != logits.shape:
        msg = f"targets: expected the shape of the logits, {tuple(logits.shape)}, got {_described(targets)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling():
        check_targets(targets)


def _weight(name: str, weight: object, *, logits: Tensor, dtype: torch.dtype) -> Tensor | None:
    """The weight as the loss computes with it."""
    if weight is None:
        return None
    if not isinstance(weight, Tensor) or weight.shape != logits.shape[1:]:
        msg = f"{name}: expected a tensor of shape {tuple(logits.shape[1:])}, got {_described(weight)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling() and not ((weight >= 0) & (weight < torch.inf)).all():
        msg = f"{name}: expected finite numbers of at least 0, got {weight.tolist()}."
        raise ValueError(msg)
    return weight.to(logits.device, dtype)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        msg = f"{name}: expected one of {choices}, got {value!r}.{_MEAN if value == 'mean' else ''}"
        raise ValueError(msg)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__
