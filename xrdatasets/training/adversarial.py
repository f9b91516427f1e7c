"""Training: features of a finding that do not tell which dataset an image is from (Luo 2020).

Each finding that the internal dataset shares with another has a discriminator, which guesses from the
finding's own features whether an image is internal; the network is trained to leave it guessing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.heads.base import check_count

__all__ = [
    "HolisticDiscriminator",
    "TaskDiscriminators",
    "discriminator_loss",
    "frozen",
    "gradient_reversal",
    "task_adversarial_loss",
]

# usual for discriminators since Radford et al., ICLR 2016; Luo 2020 names LeakyReLU without a slope
SLOPE = 0.2


class TaskDiscriminators(nn.Module):
    """A discriminator for each common finding, computed together.

    Three linear layers with two LeakyReLU between, for each finding its own, as one batched product.

    Args:
        findings: number K of common findings.
        in_features: length N' of a finding's features.
        width: of the two hidden layers; None for `in_features`.

    Attributes:
        findings: as given.
        in_features: as given.

    Raises:
        ValueError: a number is no whole number of at least 1.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, section III-B; widths and slope are not given there.

    Example:
        >>> discriminators = TaskDiscriminators(7, 128)
        >>> discriminators(torch.zeros(4, 7, 128)).shape
        torch.Size([4, 7])
        >>> sum(parameter.numel() for parameter in discriminators.parameters())
        232071
    """

    def __init__(self, findings: int, in_features: int, *, width: int | None = None) -> None:
        super().__init__()
        check_count("findings", findings, least=1)
        check_count("in_features", in_features, least=1)
        width = in_features if width is None else width
        check_count("width", width, least=1)
        self.findings, self.in_features = findings, in_features
        sizes = ((in_features, width), (width, width), (width, 1))
        self.weights = nn.ParameterList(_uniform(findings, *size, inputs=size[0]) for size in sizes)
        self.biases = nn.ParameterList(_uniform(findings, out, inputs=ins) for ins, out in sizes)

    def forward(self, features: Tensor) -> Tensor:
        """How much an image looks internal, for each finding.

        Args:
            features: (B, K, N') of the common findings.

        Returns:
            (B, K) logits: their sigmoid is the probability of the internal dataset.

        Raises:
            ValueError: features of another shape.
        """
        if features.ndim != 3 or features.shape[1:] != (self.findings, self.in_features):
            wanted = f"(B, {self.findings}, {self.in_features})"
            msg = f"features: expected the shape {wanted}, got {tuple(features.shape)}."
            raise ValueError(msg)
        hidden = features.transpose(0, 1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias.unsqueeze(1)
            if layer < 2:
                hidden = F.leaky_relu(hidden, SLOPE)
        return hidden.squeeze(-1).transpose(0, 1)


class HolisticDiscriminator(TaskDiscriminators):
    """One discriminator on an image's whole vector: the ablation HAT of Luo 2020.

    Args:
        in_features: length F of an image's vector.
        width: of the two hidden layers; None for `in_features`.

    Raises:
        ValueError: a number is no whole number of at least 1.

    Example:
        >>> HolisticDiscriminator(1024, width=128)(torch.zeros(4, 1024)).shape
        torch.Size([4, 1])
    """

    def __init__(self, in_features: int, *, width: int | None = None) -> None:
        super().__init__(1, in_features, width=width)

    def forward(self, features: Tensor) -> Tensor:
        """How much an image looks internal.

        Args:
            features: (B, F).

        Returns:
            (B, 1) logits.

        Raises:
            ValueError: features of another shape.
        """
        return super().forward(features.unsqueeze(1))


def task_adversarial_loss(scores: Tensor, internal: Tensor) -> Tensor:
    """L_tat: what the discriminators make larger and the network smaller.

        L_tat = Σ_c { mean over internal images of log D_c + mean over the others of log(1 - D_c) }

    with D_c the sigmoid of a score. It is a sum over the findings and at most 0; at chance -2 log 2 for each.
    A domain that has no image in the batch adds nothing.

    Args:
        scores: (B, K) logits of the discriminators.
        internal: (B,) bool, whether an image is of the internal dataset; all others are external.

    Returns:
        A scalar, float32 or float64.

    Raises:
        ValueError: shapes or types that do not fit.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, equations 2 and 3 (equation 2 lost its plus in print).

    Example:
        >>> scores = torch.zeros(4, 1)
        >>> round(task_adversarial_loss(scores, torch.tensor([True, True, False, False])).item(), 6)
        -1.386294
    """
    return -discriminator_loss(scores, internal)


def discriminator_loss(scores: Tensor, internal: Tensor) -> Tensor:
    """What the discriminators minimise: their cross-entropy, -L_tat.

    Args:
        scores: as for `task_adversarial_loss`.
        internal: as for `task_adversarial_loss`.

    Returns:
        A scalar of at least 0.

    Raises:
        ValueError: shapes or types that do not fit.

    Example:
        >>> scores = torch.tensor([[3.0], [-3.0]])
        >>> discriminator_loss(scores, torch.tensor([True, False])).item() < 0.1
        True
    """
    if scores.ndim != 2 or not scores.is_floating_point():
        msg = f"scores: expected the shape (B, K) of a float type, got {tuple(scores.shape)} {scores.dtype}."
        raise ValueError(msg)
    if internal.dtype != torch.bool or internal.shape != scores.shape[:1]:
        msg = f"internal: expected ({len(scores)},) bool, got {tuple(internal.shape)} {internal.dtype}."
        raise ValueError(msg)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    inside = internal.unsqueeze(1)
    # -log D = softplus(-s), -log(1 - D) = softplus(s)
    costs = F.softplus(torch.where(inside, -scores, scores))
    counts = internal.sum()
    divisors = torch.where(inside, counts, len(scores) - counts)
    return (costs / divisors).sum()


def gradient_reversal(features: Tensor, strength: float = 1.0) -> Tensor:
    """The same features, whose gradient comes back turned round.

    With it one optimiser does what two do by turns: minimising `discriminator_loss` of what comes after
    trains the discriminators, and what comes before against them, `strength` times.

    Args:
        features: of any shape.
        strength: lambda, a finite number of at least 0.

    Returns:
        The same values.

    Raises:
        ValueError: `strength` is none of the above.

    Source:
        Ganin and Lempitsky, ICML 2015.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> gradient_reversal(x, 0.03).sum().backward()
        >>> x.grad
        tensor([-0.0300, -0.0300])
    """
    if type(strength) not in (int, float) or not 0 <= strength < math.inf:
        msg = f"strength: expected a finite number of at least 0, got {strength!r}."
        raise ValueError(msg)
    return _Reversal.apply(features, float(strength))  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter of a module gathers a gradient; afterwards each is as it was.

    The network's step needs the discriminators' scores, but is not to train them.

    Args:
        module: whose parameters rest.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> with frozen(layer):
        ...     layer.weight.requires_grad
        False
        >>> layer.weight.requires_grad
        True
    """
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, state in before:
            parameter.requires_grad_(state)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * -ctx.strength, None


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    """First weights as torch's Linear draws them."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
