"""Training: findings that are kinds of others, learned where their parent is present (Pham 2019).

For networks with `xrdatasets.models.ConditionalHead`, whose outputs are the probability of a finding given
its parent. `parents` is as that head's: the position of each finding's parent, -1 for a root
(`xrdatasets.models.heads.conditional.parents_in`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy.typing as npt
import torch
from torch import Tensor, nn

from xrdatasets.models.heads.base import check_count
from xrdatasets.models.heads.conditional import path_matrix, tree_log_complements, tree_log_probabilities
from xrdatasets.training.losses import (
    Reduction,
    check_logits,
    check_reduction,
    checked_weight,
    masked_bce_with_logits,
    reduced,
)
from xrdatasets.training.weights import POSITIVE, as_tensor, check_choice, described

__all__ = ["Form", "MaskKind", "TwoStages", "close_upward", "conditional_loss", "conditional_mask"]

Form = Literal["masked", "plain", "product"]
MaskKind = Literal["edge", "any_parent", "all_parents"]

_ROOT = -1


def close_upward(targets: Tensor | npt.NDArray[Any], parents: Sequence[int]) -> Tensor:
    """Make every ancestor of a positive finding positive, whatever its own target says.

    Labels drawn from reports do not follow the tree: of the images of CheXpert's training set that have
    Cardiomegaly, 7 % are labelled with Enlarged Cardiomediastinum too. For training alone, never for
    validation or test labels.

    Args:
        targets: (N, L) in [0, 1], NaN unknown, or codes with -1; a tensor or an array. A target of exactly 1
            counts as positive: what U-Ones makes of an uncertain code does, a draw of label smoothing does
            not.
        parents: (L,) position of each finding's parent, -1 for a root.

    Returns:
        (N, L) a new tensor of the same type on the same device. What is neither positive nor above a
        positive stays as it was.

    Raises:
        ValueError: targets of another shape, or parents that make no tree over their findings.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), trains on images "containing all positive
        parent labels". Of CheXpert's 223,414 training images 249 have all three parents positive as labelled,
        2,468 after this, and 14,701 of the targets of U-Ones: the closure is our reading.

    Example:
        >>> nan = torch.nan
        >>> close_upward(torch.tensor([[0.0, nan, 1.0], [nan, 0.0, nan]]), [-1, 0, 1])
        tensor([[1., 1., 1.],
                [nan, 0., nan]])
    """
    values = as_tensor(targets)
    if not isinstance(values, Tensor) or values.ndim != 2 or values.is_complex():
        msg = f"targets: expected a real tensor of shape (N, L), got {described(values)}."
        raise ValueError(msg)
    paths = _paths(parents, values)
    # finding j is positive or above a positive: it lies on the path to one
    implied = ((values == 1).unsqueeze(-1) & paths).any(1)
    return torch.where(implied, torch.ones_like(values), values)


def conditional_mask(
    targets: Tensor | npt.NDArray[Any], parents: Sequence[int], *, kind: MaskKind = "edge"
) -> Tensor:
    """Which targets conditional training learns from.

    =============== ======================================================================================
    kind            known targets of
    =============== ======================================================================================
    ``edge``        roots, and findings whose own parent is positive in that image
    ``any_parent``  images in which at least one finding that has children is positive
    ``all_parents`` images in which all findings that have children are positive: the paper, read literally
    =============== ======================================================================================

    With ``edge`` each output learns exactly the probability that it stands for. Masks can be joined by ``&``.

    Args:
        targets: (N, L) in [0, 1], NaN unknown; a tensor or an array. At least 0.5 is positive, so that an
            uncertain parent counts under U-Ones and U-Ones+LSR, and does not under U-Zeros.
        parents: (L,) position of each finding's parent, -1 for a root.
        kind: see the table.

    Returns:
        (N, L) bool on the targets' device, False where the target is unknown.

    Raises:
        ValueError: targets of another shape, parents that make no tree over their findings, a kind of another
            name.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), section 3.2; ``edge`` is our reading, and
        ``any_parent`` that of a published re-implementation.

    Example:
        >>> conditional_mask(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), [-1, 0, 1])
        tensor([[ True,  True, False],
                [ True, False, False]])
    """
    check_choice("kind", kind, get_args(MaskKind))
    values = as_tensor(targets)
    if not isinstance(values, Tensor) or values.ndim != 2 or values.is_complex():
        msg = f"targets: expected a real tensor of shape (N, L), got {described(values)}."
        raise ValueError(msg)
    _paths(parents, values)
    known, positive = ~values.isnan(), values >= POSITIVE
    if kind == "edge":
        above = [finding if parent == _ROOT else parent for finding, parent in enumerate(parents)]
        root = torch.tensor([parent == _ROOT for parent in parents], device=values.device)
        return known & (root | positive[:, above])
    over = sorted({parent for parent in parents if parent != _ROOT})
    rows = positive[:, over]
    return known & (rows.any(1) if kind == "any_parent" else rows.all(1)).unsqueeze(1)


def conditional_loss(
    logits: Tensor,
    targets: Tensor,
    parents: Sequence[int],
    *,
    form: Form = "masked",
    kind: MaskKind = "edge",
    task_weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "entry",
) -> Tensor:
    """Binary cross-entropy of conditional logits.

    With z the logits, and p_k = Π_{j on the path to k} sigmoid(z_j) the probability whatever the parent:

    =========== ==========================================================================================
    form        value
    =========== ==========================================================================================
    ``masked``  cross-entropy of sigmoid(z_k), over the entries of `conditional_mask`
    ``plain``   the same over all known entries: children learn unconditional probabilities, so that the
                product along the tree counts their parents twice; the paper's second stage, read literally
    ``product`` cross-entropy of p_k, over all known entries, in log space
    =========== ==========================================================================================

    Args:
        logits: (B, L) conditional logits; half precision is computed in float32. ``product`` reads the logits
            of all findings on the path to a known one; else, what stands where nothing is learned from is
            never read.
        targets: (B, L) in [0, 1], NaN unknown, as `close_upward` gives them; same device.
        parents: (L,) position of each finding's parent, -1 for a root.
        form: see the table.
        kind: of the mask, for ``masked``.
        task_weight: as for `xrdatasets.training.masked_bce_with_logits`.
        pos_weight: likewise.
        reduction: likewise; an entry outside the mask counts as unknown.

    Returns:
        A scalar, or (B, L) for ``none``; float32, or float64 where the logits are.

    Raises:
        ValueError: as for `xrdatasets.training.masked_bce_with_logits`, parents that make no tree over the
            findings, a form or kind of another name.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), section 3.2; ``product``: Chen et al., MIDL
        2019 (PMLR 102:109-120).

    Example:
        >>> logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
        >>> conditional_loss(logits, targets, [-1, 0], form="product", reduction="none")  # p = 1/2, 1/4
        tensor([[0.6931, 0.2877]])
    """
    check_choice("form", form, get_args(Form))
    check_choice("kind", kind, get_args(MaskKind))
    check_reduction(reduction)
    weights = {"task_weight": task_weight, "pos_weight": pos_weight}
    if form == "plain":
        return masked_bce_with_logits(logits, targets, reduction=reduction, **weights)
    computed = check_logits(logits, targets)
    if form == "masked":
        values = targets if targets.is_floating_point() else targets.float()
        learned = torch.where(conditional_mask(targets, parents, kind=kind), values, torch.nan)
        return masked_bce_with_logits(logits, learned, reduction=reduction, **weights)
    return _product_loss(computed, targets, _paths(parents, targets), reduction, **weights)


@dataclass(frozen=True)
class TwoStages:
    """Which parameters train when: all at first, then the last layer alone.

    Stage 1 trains the whole network on the masked targets, stage 2 its last layer on all rows. Epochs count
    from 1. There is no state: after a resume, `begin` puts the network where the epoch wants it.

    Args:
        first: epochs of stage 1, at least 1.
        second: epochs of stage 2, at least 0.

    Attributes:
        epochs: of both.

    Raises:
        ValueError: a number of epochs is no whole number, or too small.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), section 3.2. It trains for 5 epochs; how
        many each stage has, it does not say.

    Example:
        >>> from xrdatasets.models import ConditionalHead, Network
        >>> network = Network("mini", ConditionalHead(192, 2, parents=[-1, 0]))
        >>> stages = TwoStages(first=5, second=5)
        >>> [stages.stage(epoch) for epoch in (1, 5, 6, 10)]
        [1, 1, 2, 2]
        >>> stages.begin(network, 6)
        >>> [name for name, each in network.named_parameters() if each.requires_grad]
        ['head.weight', 'head.bias']
    """

    first: int = 5
    second: int = 5

    def __post_init__(self) -> None:
        check_count("first", self.first, least=1)
        check_count("second", self.second, least=0)

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return self.first + self.second

    def stage(self, epoch: int) -> int:
        """The stage of an epoch.

        Args:
            epoch: from 1.

        Returns:
            1 or 2; after the last epoch it is 2.

        Raises:
            ValueError: no whole number of at least 1.
        """
        check_count("epoch", epoch, least=1)
        return 1 if epoch <= self.first else 2

    def begin(self, network: nn.Module, epoch: int, *, last: nn.Module | None = None) -> None:
        """Put a network in the mode of an epoch; call it after ``network.train()``.

        In stage 1 everything trains. In stage 2 `last` alone does: no other parameter has a gradient (so that
        an optimiser leaves it, its momentum and its decay out), and no statistics of batch normalisation
        move, because all else is in evaluation mode, dropout too.

        Args:
            network: to be changed in place.
            epoch: from 1.
            last: its last layer; None for ``network.head``.

        Raises:
            ValueError: no such epoch, or the network has no such layer.
        """
        final = getattr(network, "head", None) if last is None else last
        if not isinstance(final, nn.Module) or all(final is not module for module in network.modules()):
            msg = f"last: expected a layer of the network, got {type(final).__name__}."
            raise ValueError(msg)
        whole = self.stage(epoch) == 1
        network.train(whole)
        final.train()
        network.requires_grad_(whole)
        final.requires_grad_()
        for parameter in network.parameters():
            if not parameter.requires_grad:
                parameter.grad = None


def _product_loss(
    logits: Tensor,
    targets: Tensor,
    paths: Tensor,
    reduction: Reduction,
    *,
    task_weight: Tensor | None,
    pos_weight: Tensor | None,
) -> Tensor:
    """Cross-entropy of the product along each path."""
    alpha = checked_weight("task_weight", task_weight, like=logits)
    beta = checked_weight("pos_weight", pos_weight, like=logits)
    known = ~targets.isnan()
    wanted = targets.nan_to_num(0.0).to(logits.dtype)
    # what is on no path to a known finding goes in as a harmless number
    logits = torch.where((known.unsqueeze(-1) & paths).any(1), logits, 0.0)
    yes = -wanted * tree_log_probabilities(logits, paths)
    no = -(1 - wanted) * tree_log_complements(logits, paths)
    entries = (yes if beta is None else yes * beta) + no
    return reduced(entries * (known if alpha is None else known * alpha), known, reduction)


def _paths(parents: Sequence[int], targets: Tensor) -> Tensor:
    """`path_matrix` on the targets' device, one row for each of their findings."""
    paths = path_matrix(parents)
    if len(paths) != targets.shape[1]:
        msg = f"parents: expected one for each of the {targets.shape[1]} findings, got {len(paths)}."
        raise ValueError(msg)
    return paths.to(targets.device)
