"""Training: losses that leave unknown targets out.

Targets are what a policy makes of codes: numbers in [0, 1], NaN where nothing is known.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xrdatasets.training.weights import (
    check_choice,
    check_number,
    check_targets,
    described,
)

__all__ = [
    "Reduction",
    "asymmetric_loss",
    "check_logits",
    "check_reduction",
    "checked_weight",
    "masked_bce_with_logits",
    "reduced",
]

Reduction = Literal["entry", "luo", "cohen", "sum", "none"]

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
    check_reduction(reduction)
    logits = check_logits(logits, targets)
    alpha = checked_weight("task_weight", task_weight, like=logits)
    beta = checked_weight("pos_weight", pos_weight, like=logits)
    known = ~targets.isnan()
    # 0 · NaN is NaN, forwards and backwards: unknown entries go in as harmless numbers, and weigh nothing
    entries = F.binary_cross_entropy_with_logits(
        torch.where(known, logits, 0.0),
        targets.nan_to_num(0.0).to(logits.dtype),
        weight=known.to(logits.dtype) if alpha is None else known * alpha,
        pos_weight=beta,
        reduction="none",
    )
    return reduced(entries, known, reduction)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
    task_weight: Tensor | None = None,
    reduction: Reduction = "entry",
) -> Tensor:
    """The asymmetric loss of the targets that are known: easy negatives count little or nothing.

    With p = sigmoid(z) and q = max(p - clip, 0), an entry with a known target y costs

        l_ic = -alpha_c · [y · (1 - p)^gamma_pos · log p + (1 - y) · q^gamma_neg · log(1 - q)]

    and one with an unknown target costs 0, and its logit gets no gradient. With ``gamma_neg=0, gamma_pos=0,
    clip=0`` it is `masked_bce_with_logits`.

    Args:
        logits: (B, L), as for `masked_bce_with_logits`.
        targets: (B, L) in [0, 1], NaN unknown; a soft target takes its share of either part.
        gamma_neg: how far negatives that are easy count less, at least 0.
        gamma_pos: the same of positives. The paper's 0; the published code's default is 1.
        clip: negatives with a probability up to this cost nothing, from 0 to below 1.
        task_weight: alpha, (L,), at least 0. None is 1.
        reduction: as for `masked_bce_with_logits`; the paper's is ``sum``.

    Returns:
        A scalar, or (B, L) for ``none``; float32, or float64 where the logits are.

    Raises:
        ValueError: as for `masked_bce_with_logits`, or one of the three numbers is out of its range.

    Source:
        Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021. Its code holds the powers
        constant when it differentiates, unless told not to; here, as in the paper's analysis, they are part
        of the gradient.

    Example:
        >>> logits = torch.tensor([[-4.0, 0.0, 4.0]])
        >>> asymmetric_loss(logits, torch.zeros(1, 3), reduction="none")  # p = 0.02, 0.50, 0.98
        tensor([[0.0000, 0.0245, 2.0286]])
    """
    check_reduction(reduction)
    for name, gamma in (("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos)):
        check_number(name, gamma, least=0.0)
    check_number("clip", clip, least=0.0, below=1.0)
    logits = check_logits(logits, targets)
    alpha = checked_weight("task_weight", task_weight, like=logits)
    known = ~targets.isnan()
    logits = torch.where(known, logits, 0.0)
    targets = targets.nan_to_num(0.0).to(logits.dtype)
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    entries = targets * torch.exp(gamma_pos * no) * -yes
    entries = entries + (1 - targets) * _negative(logits, no, gamma_neg, clip)
    return reduced(entries * (known if alpha is None else known * alpha), known, reduction)


def _negative(logits: Tensor, no: Tensor, gamma: float, clip: float) -> Tensor:
    """-q^gamma · log(1 - q), q = max(p - clip, 0); `no` is log(1 - p)."""
    if clip == 0:
        return torch.exp(gamma * F.logsigmoid(logits)) * -no
    beyond = logits.sigmoid() - clip
    counts = beyond > 0
    # a power of 0 has no finite gradient: what does not count goes in as a harmless number
    power = torch.where(counts, beyond, 1.0).log().mul(gamma).exp()
    # 1 - q = (1 - p) + clip, which keeps what 1 - p has at the end of the range
    cost = -torch.log(torch.sigmoid(-logits) + clip)
    return torch.where(counts, power * cost, 0.0)


def reduced(entries: Tensor, known: Tensor, reduction: Reduction) -> Tensor:
    """Reduce what entries cost; the table stands at `masked_bce_with_logits`.

    Args:
        entries: (B, L), 0 where nothing is known.
        known: (B, L) bool.
        reduction: one of the names.

    Returns:
        A scalar, or the entries for ``none``.
    """
    if reduction == "none":
        return entries
    if reduction == "cohen":
        return (entries.sum(0) / known.sum(0).clamp(min=1)).sum()
    if reduction == "entry":
        return entries.sum() / known.sum().clamp(min=1)
    return entries.sum() / (max(1, entries.numel()) if reduction == "luo" else 1)


def check_reduction(reduction: object) -> None:
    """Refuse what is no `Reduction`.

    Raises:
        ValueError: it is none.
    """
    if reduction == "mean":
        msg = f"reduction: expected one of {get_args(Reduction)}, got 'mean'.{_MEAN}"
        raise ValueError(msg)
    check_choice("reduction", reduction, get_args(Reduction))


def check_logits(logits: object, targets: object) -> Tensor:
    """Refuse logits and targets that do not fit; the targets' values too, but under ``torch.compile``.

    Returns:
        The logits, (B, L), in the precision in which a loss is computed.

    Raises:
        ValueError: the shapes or types are others, or a target is neither in [0, 1] nor NaN.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        msg = f"logits: expected a float tensor of shape (B, L), got {described(logits)}."
        raise ValueError(msg)
    if not isinstance(targets, Tensor) or targets.shape != logits.shape:
        msg = f"targets: expected the shape of the logits, {tuple(logits.shape)}, got {described(targets)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling():
        check_targets(targets)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def checked_weight(name: str, weight: object, *, like: Tensor) -> Tensor | None:
    """The weight of each finding as a loss computes with it.

    Args:
        name: of the argument, for messages.
        weight: (L,) as the caller passed it, or None.
        like: (B, L), whose type and device it takes.

    Returns:
        (L,), or None.

    Raises:
        ValueError: it is no such tensor, or has values that are negative or not finite.
    """
    if weight is None:
        return None
    if not isinstance(weight, Tensor) or weight.shape != like.shape[1:]:
        msg = f"{name}: expected a tensor of shape {tuple(like.shape[1:])}, got {described(weight)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling() and not ((weight >= 0) & (weight < torch.inf)).all():
        msg = f"{name}: expected finite numbers of at least 0, got {weight.tolist()}."
        raise ValueError(msg)
    return weight.to(like)
