"""Training: what "uncertain" may be beside a number: a class of its own, or what another model says of it.

The three policies of the CheXpert paper that are numbers, U-Ignore, U-Zeros and U-Ones, are
`xrdatasets.Policy`. These two need a loss, or a model, of their own; both start from *codes*: 1 positive,
0 negative, -1 uncertain, NaN unknown (``ds.codes``).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from xrdatasets.training.losses import Reduction, check_reduction, checked_weight, reduced
from xrdatasets.training.weights import as_tensor, described

__all__ = ["IGNORED", "multiclass_targets", "multiclass_uncertainty_loss", "self_trained_targets"]

IGNORED = -100
"""Class of an unknown entry: what `torch.nn.functional.cross_entropy` leaves out unless told otherwise."""

_UNCERTAIN = -1  # the code
_CLASSES = 3  # negative, positive, uncertain, as in xrdatasets.models.MultiClassHead
_UNCERTAIN_CLASS = 2


def multiclass_targets(codes: Tensor | npt.NDArray[Any]) -> Tensor:
    """U-MultiClass: the class of each code.

    Args:
        codes: (N, L): 1, 0, -1, NaN, a tensor or an array.

    Returns:
        (N, L) int64 on the codes' device: 0 negative, 1 positive, 2 uncertain, `IGNORED` unknown.

    Raises:
        ValueError: codes of another shape, or values that are none.

    Source:
        Irvin et al., CheXpert, AAAI 2019 (U-MultiClass).

    Example:
        >>> multiclass_targets(torch.tensor([[1.0, 0.0, -1.0, torch.nan]]))
        tensor([[   1,    0,    2, -100]])
    """
    known = _checked_codes(codes)
    classes = torch.where(known == _UNCERTAIN, _UNCERTAIN_CLASS, known.nan_to_num(IGNORED))
    return classes.to(torch.int64)


def multiclass_uncertainty_loss(
    logits: Tensor,
    codes: Tensor,
    *,
    task_weight: Tensor | None = None,
    reduction: Reduction = "entry",
) -> Tensor:
    """U-MultiClass: cross-entropy over negative, positive and uncertain, of the codes that are known.

    With s the softmax over the three logits of image i and finding c, and k the class of its code,

        l_ic = -alpha_c · log s_k

    and an entry with an unknown code costs 0, and its logits get no gradient. For the prediction leave
    "uncertain" out: s_1 / (s_0 + s_1) = sigmoid(z_1 - z_0), which is what the head's `probabilities` are.

    Args:
        logits: (B, L, 3), negative, positive, uncertain: `xrdatasets.models.MultiClassHead`. Half precision
            is computed in float32. What stands where the code is unknown is never read.
        codes: (B, L): 1, 0, -1, NaN; same device. The values are checked, except under ``torch.compile``.
        task_weight: alpha, (L,), at least 0. None is 1.
        reduction: as for `xrdatasets.training.masked_bce_with_logits`.

    Returns:
        A scalar, or (B, L) for ``none``; float32, or float64 where the logits are.

    Raises:
        ValueError: shapes that do not fit, codes that are none, weights that are negative or not finite, a
            reduction of another name.

    Source:
        Irvin et al., CheXpert, AAAI 2019 (U-MultiClass).

    Example:
        >>> logits = torch.tensor([[[1.0, 2.0, 3.0]]]).expand(1, 4, 3)
        >>> codes = torch.tensor([[0.0, 1.0, -1.0, torch.nan]])
        >>> multiclass_uncertainty_loss(logits, codes, reduction="none")
        tensor([[2.4076, 1.4076, 0.4076, 0.0000]])
    """
    check_reduction(reduction)
    logits = _checked_logits(logits, codes)
    alpha = checked_weight("task_weight", task_weight, like=logits[..., 0])
    classes = multiclass_targets(codes)
    known = classes != IGNORED
    # 0 · NaN is NaN backwards too: unknown entries go in as harmless numbers, and weigh nothing
    shares = torch.where(known.unsqueeze(-1), logits, 0.0).log_softmax(-1)
    entries = -shares.gather(-1, classes.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return reduced(entries * (known if alpha is None else known * alpha), known, reduction)


def self_trained_targets(codes: Tensor | npt.NDArray[Any], probabilities: Tensor) -> Tensor:
    """U-SelfTrained: an uncertain entry takes what a model says that was trained without the uncertain ones.

    Train a model under U-Ignore, freeze it, and let it look at the training images; the targets are for a
    second training, with `xrdatasets.training.masked_bce_with_logits`.

    Args:
        codes: (N, L): 1, 0, -1, NaN, a tensor or an array.
        probabilities: (N, L) in [0, 1], of the frozen model, for the same images and findings; NaN where it
            was not trained, which leaves an uncertain entry unknown.

    Returns:
        (N, L) targets, float32 or as the codes, on their device, without a graph: certain codes as they are,
        the probability where the code is -1, NaN where it is NaN.

    Raises:
        ValueError: codes that are none, shapes that differ, or probabilities outside [0, 1].

    Source:
        Irvin et al., CheXpert, AAAI 2019 (U-SelfTrained).

    Example:
        >>> self_trained_targets(torch.tensor([[1.0, -1.0, torch.nan]]), torch.tensor([[0.9, 0.25, 0.5]]))
        tensor([[1.0000, 0.2500,    nan]])
    """
    known = _checked_codes(codes)
    said = as_tensor(probabilities)
    if not isinstance(said, Tensor) or said.shape != known.shape or not said.is_floating_point():
        msg = f"probabilities: expected floats of shape {tuple(known.shape)}, got {described(said)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling() and ((said < 0) | (said > 1)).any():
        raise ValueError("probabilities: expected values in [0, 1] or NaN, got others: logits, maybe.")
    return torch.where(known == _UNCERTAIN, said.detach().to(known), known)


def _checked_codes(codes: object) -> Tensor:
    """Codes as float32, or in their own type where that is a float of more bits."""
    given = as_tensor(codes)
    if not isinstance(given, Tensor) or given.ndim != 2 or given.is_complex():
        msg = f"codes: expected a real tensor of shape (N, L), got {described(given)}."
        raise ValueError(msg)
    values = given.to(torch.promote_types(given.dtype, torch.float32))
    if not torch.compiler.is_compiling():
        odd = ~((values == 1) | (values == 0) | (values == _UNCERTAIN) | values.isnan())
        if odd.any():
            value = values[odd][0].item()
            msg = f"codes: expected 1, 0, -1 and NaN (ds.codes, not ds.labels), got {value:g}."
            raise ValueError(msg)
    return values


def _checked_logits(logits: object, codes: object) -> Tensor:
    if (
        not isinstance(logits, Tensor)
        or logits.ndim != 3
        or logits.shape[-1] != _CLASSES
        or not logits.is_floating_point()
    ):
        msg = f"logits: expected a float tensor of shape (B, L, 3), got {described(logits)}."
        raise ValueError(msg)
    if not isinstance(codes, Tensor) or codes.shape != logits.shape[:2]:
        msg = f"codes: expected one for each finding, {tuple(logits.shape[:2])}, got {described(codes)}."
        raise ValueError(msg)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
