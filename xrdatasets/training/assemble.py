"""Training: pseudo labels and agreement of two views, where nothing is known (Label-Assemble).

An image is seen in two views, a weak and a strong one (`xrdatasets.transforms.weak_and_strong_views`). Where
its target is unknown, what the network says of the weak view is sharpened, and both views are drawn to that.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from xrdatasets.training.losses import Reduction, masked_bce_with_logits
from xrdatasets.training.weights import check_choice, check_number, described

__all__ = [
    "AssembleParts",
    "Missing",
    "assemble_loss",
    "check_probabilities",
    "consistency_loss",
    "pseudo_label_loss",
    "sharpen",
]

Missing = Literal["entry", "row"]


class AssembleParts(NamedTuple):
    """What `assemble_loss` adds up, each a scalar.

    Attributes:
        total: supervised + pseudo_weight · pseudo + consistency_weight · consistency, with a graph.
        supervised: binary cross-entropy of the weak view, where the target is known.
        pseudo: `pseudo_label_loss`, where it is not; 0 during warm-up.
        consistency: `consistency_loss`, likewise.
    """

    total: Tensor
    supervised: Tensor
    pseudo: Tensor
    consistency: Tensor


def sharpen(probabilities: Tensor, *, threshold: float = 0.5, temperature: float = 4.0) -> Tensor:
    """Move probabilities towards 0 or 1.

    With the probability a, the threshold τ and the temperature t,

        a + (1 - a) / t  if a > τ,     a - a / t  otherwise

    so that 1 gives hard labels, infinity what came, and 0 and 1 stay. It jumps at the threshold.

    Args:
        probabilities: in [0, 1], any shape. Half precision is computed in float32.
        threshold: from 0 to 1; what is exactly there goes down.
        temperature: at least 1: below, the results would leave [0, 1].

    Returns:
        Of the same shape, in [0, 1], float32 or float64. It has a graph; the losses here detach it.

    Raises:
        ValueError: no float tensor, or a number out of its range.

    Source:
        Label-Assemble (Kang et al., ISBI 2023; arXiv 2109.12265), Eq. 3; both numbers are the paper's.

    Example:
        >>> sharpen(torch.tensor([0.9, 0.51, 0.5, 0.2]))
        tensor([0.9250, 0.6325, 0.3750, 0.1500])
    """
    _check_sharpening(threshold, temperature)
    return _sharpened(check_probabilities("probabilities", probabilities), threshold, temperature)


def pseudo_label_loss(
    probabilities: Tensor,
    missing: Tensor,
    *,
    threshold: float = 0.5,
    temperature: float = 4.0,
    reduction: Missing = "entry",
    detach: bool = True,
) -> Tensor:
    """Squared distance of what the network says to the sharpened of the same, where nothing is known.

        l_ic = (a_ic - sharpen(a_ic))²

    Args:
        probabilities: (B, L) in [0, 1], of the weak view. What stands where `missing` is False is never read.
        missing: (B, L) bool, True where the target is unknown; same device.
        threshold: as for `sharpen`.
        temperature: likewise. At infinity the loss is 0.
        reduction: ``"entry"``: the mean over missing entries; ``"row"``: the sum over an image's missing
            entries, and the mean over images: ‖·‖² read literally.
        detach: hold the sharpened constant. The published code does not, which makes the gradient
            `temperature` times smaller.

    Returns:
        A scalar, float32 or float64; exactly 0, with a gradient of 0, where nothing is missing.

    Raises:
        ValueError: shapes or types that do not fit, or an option out of its range.

    Source:
        Label-Assemble (Kang et al., ISBI 2023; arXiv 2109.12265). What it divides by, and that the target is
        constant, are our reading: the paper says neither.

    Example:
        >>> answers = torch.tensor([[0.9, 0.2]], requires_grad=True)
        >>> pseudo_label_loss(answers, torch.tensor([[True, False]])).backward()
        >>> answers.grad  # up, away from 1/2
        tensor([[-0.0500,  0.0000]])
    """
    _check_options(threshold, temperature, reduction)
    shares = _checked("probabilities", probabilities, missing)
    return _drawn(shares, shares, missing, threshold, temperature, reduction, detach=detach)


def consistency_loss(
    strong: Tensor,
    weak: Tensor,
    missing: Tensor,
    *,
    threshold: float = 0.5,
    temperature: float = 4.0,
    reduction: Missing = "entry",
    detach: bool = True,
) -> Tensor:
    """Squared distance of what is said of the strong view to the sharpened of the weak one.

        l_ic = (s_ic - sharpen(w_ic))²

    Args:
        strong: (B, L) probabilities s of the strong view.
        weak: (B, L) probabilities w of the weak view; same device.
        missing: (B, L) bool, True where the target is unknown; elsewhere neither is read.
        threshold: as for `sharpen`.
        temperature: likewise. At infinity the views are drawn to each other, without sharpening.
        reduction: as for `pseudo_label_loss`.
        detach: hold the sharpened constant, so that the strong view follows the weak one alone. The published
            code draws the weak view too.

    Returns:
        A scalar, float32 or float64; exactly 0, with a gradient of 0, where nothing is missing.

    Raises:
        ValueError: shapes or types that do not fit, or an option out of its range.

    Source:
        Label-Assemble (Kang et al., ISBI 2023; arXiv 2109.12265), with the readings of `pseudo_label_loss`.

    Example:
        >>> consistency_loss(torch.tensor([[0.6]]), torch.tensor([[0.9]]), torch.tensor([[True]]))
        tensor(0.1056)
    """
    _check_options(threshold, temperature, reduction)
    followers, leaders = _checked("strong", strong, missing), _checked("weak", weak, missing)
    return _drawn(followers, leaders, missing, threshold, temperature, reduction, detach=detach)


def assemble_loss(
    weak_logits: Tensor,
    strong_logits: Tensor | None,
    targets: Tensor,
    *,
    warm_up: bool = False,
    pseudo_weight: float = 1.0,
    consistency_weight: float = 1.0,
    threshold: float = 0.5,
    temperature: float = 4.0,
    reduction: Missing = "entry",
    detach: bool = True,
    supervised: Reduction = "entry",
    task_weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
) -> AssembleParts:
    """The loss of Label-Assemble: cross-entropy where targets are known, the other two where they are not.

    Each entry takes part in one or the other, never in both.

    Args:
        weak_logits: (B, L) of the weak view; half precision is computed in float32.
        strong_logits: (B, L) of the strong view, same device; None during warm-up, which saves its pass.
        targets: (B, L) in [0, 1], NaN unknown; same device.
        warm_up: leave both other parts out, as for the first epochs ("a few" in the paper; of its 64 we take
            5). Pass ``epoch < 5``.
        pseudo_weight: of the pseudo labels, 1 in the paper.
        consistency_weight: of the agreement, 1 in the paper.
        threshold: as for `sharpen`.
        temperature: likewise.
        reduction: of both other parts, as for `pseudo_label_loss`.
        detach: likewise.
        supervised: reduction of the cross-entropy, as for `xrdatasets.training.masked_bce_with_logits`, but
            not ``none``.
        task_weight: of the cross-entropy, likewise.
        pos_weight: likewise.

    Returns:
        The total and its parts.

    Raises:
        ValueError: shapes that do not fit, no strong view after warm-up, or an option out of its range.

    Source:
        Label-Assemble (Kang et al., ISBI 2023; arXiv 2109.12265). The published code computes all three on
        the known entries; this is what the paper says.

    Example:
        >>> targets = torch.tensor([[1.0, torch.nan]])
        >>> parts = assemble_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 0.0]]), targets)
        >>> [round(part.item(), 4) for part in parts]
        [0.8626, 0.6931, 0.0009, 0.1686]
        >>> assemble_loss(torch.tensor([[0.0, 2.0]]), None, targets, warm_up=True).total
        tensor(0.6931)
    """
    for name, weight in (("pseudo_weight", pseudo_weight), ("consistency_weight", consistency_weight)):
        check_number(name, weight, least=0.0)
    check_choice("supervised", supervised, tuple(name for name in get_args(Reduction) if name != "none"))
    _check_options(threshold, temperature, reduction)
    bce = masked_bce_with_logits(
        weak_logits, targets, task_weight=task_weight, pos_weight=pos_weight, reduction=supervised
    )
    if warm_up:
        return AssembleParts(bce, bce.detach(), torch.zeros_like(bce), torch.zeros_like(bce))
    missing = targets.isnan()
    weak = weak_logits.to(bce.dtype).sigmoid()
    strong = _strong(strong_logits, missing).to(bce.dtype).sigmoid()
    pseudo = _drawn(weak, weak, missing, threshold, temperature, reduction, detach=detach)
    consistency = _drawn(strong, weak, missing, threshold, temperature, reduction, detach=detach)
    total = bce + pseudo_weight * pseudo + consistency_weight * consistency
    return AssembleParts(total, bce.detach(), pseudo.detach(), consistency.detach())


def check_probabilities(name: str, probabilities: object) -> Tensor:
    """Refuse what are no probabilities; the values too, but under ``torch.compile``.

    Returns:
        They, in the precision in which a loss is computed.

    Raises:
        ValueError: no float tensor, or a value that is neither in [0, 1] nor NaN.
    """
    if not isinstance(probabilities, Tensor) or not probabilities.is_floating_point():
        msg = f"{name}: expected a float tensor, got {described(probabilities)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling() and ((probabilities < 0) | (probabilities > 1)).any():
        msg = f"{name}: expected probabilities in [0, 1], got others: logits, maybe."
        raise ValueError(msg)
    return probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))


def _sharpened(shares: Tensor, threshold: float, temperature: float) -> Tensor:
    up = shares + (1 - shares) / temperature
    return torch.where(shares > threshold, up, shares - shares / temperature)


def _drawn(
    followers: Tensor,
    leaders: Tensor,
    missing: Tensor,
    threshold: float,
    temperature: float,
    reduction: Missing,
    *,
    detach: bool,
) -> Tensor:
    """Squared distance of followers to the sharpened leaders, where targets are missing."""
    # 0 · NaN is NaN backwards too: known entries go in as harmless numbers
    wanted = _sharpened(torch.where(missing, leaders, 0.0), threshold, temperature)
    wanted = wanted.detach() if detach else wanted
    entries = torch.where(missing, (torch.where(missing, followers, 0.0) - wanted).square(), 0.0)
    return entries.sum() / (max(1, len(missing)) if reduction == "row" else missing.sum().clamp(min=1))


def _strong(logits: object, missing: Tensor) -> Tensor:
    """Logits of the strong view where targets are missing, 0 elsewhere."""
    if not isinstance(logits, Tensor) or logits.shape != missing.shape or not logits.is_floating_point():
        got = "None, which is for the warm-up" if logits is None else described(logits)
        msg = f"strong_logits: expected floats of shape {tuple(missing.shape)}, got {got}."
        raise ValueError(msg)
    return torch.where(missing, logits, 0.0)


def _check_options(threshold: object, temperature: object, reduction: object) -> None:
    check_choice("reduction", reduction, get_args(Missing))
    _check_sharpening(threshold, temperature)


def _check_sharpening(threshold: object, temperature: object) -> None:
    if not isinstance(threshold, (int, float)) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        msg = f"threshold: expected a number from 0 to 1, got {threshold!r}."
        raise ValueError(msg)
    number = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    if not number or not temperature >= 1:  # type: ignore[operator]
        msg = f"temperature: expected a number of at least 1, infinity too, got {temperature!r}."
        raise ValueError(msg)


def _checked(name: str, probabilities: object, missing: object) -> Tensor:
    """Probabilities where targets are missing, 0 elsewhere."""
    if not isinstance(missing, Tensor) or missing.dtype != torch.bool or missing.ndim != 2:
        msg = f"missing: expected bool of shape (B, L), got {described(missing)}."
        raise ValueError(msg)
    if not isinstance(probabilities, Tensor) or probabilities.shape != missing.shape:
        msg = f"{name}: expected floats of shape {tuple(missing.shape)}, got {described(probabilities)}."
        raise ValueError(msg)
    return check_probabilities(name, torch.where(missing, probabilities, 0.0))
