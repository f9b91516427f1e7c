"""Models, step 3: heads of one linear layer: one number for each finding, or three."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.heads.base import Head

__all__ = ["LinearHead", "MultiClassHead", "add_linear", "check_features", "check_flag", "check_output"]

_CLASSES = 3  # negative, positive, uncertain
_NEGATIVE, _POSITIVE = 0, 1


class LinearHead(Head):
    """One logit for each finding: a linear layer, as `torch.nn.Linear` and initialised as it.

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        bias: whether each finding has a number of its own added.

    Attributes:
        weight: (L, F).
        bias: (L,), None without.

    Raises:
        ValueError: a number is no whole number of at least 1, or `bias` is neither True nor False.

    Example:
        >>> import torch
        >>> head = LinearHead(1024, 14)
        >>> head(torch.zeros(2, 1024)).shape
        torch.Size([2, 14])
        >>> sorted(head.state_dict())
        ['bias', 'weight']
    """

    kind: ClassVar[str] = "linear"
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, in_features: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(in_features, outputs)
        add_linear(self, (outputs,), bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of images.

        Args:
            features: (B, F) float.

        Returns:
            (B, L).

        Raises:
            ValueError: features of another shape or type.
        """
        check_features(features, self.in_features)
        return F.linear(features, self.weight, self.bias)

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return super().config() | {"bias": self.bias is not None}


class MultiClassHead(Head):
    """Three logits for each finding, of which one holds: negative, positive or uncertain (U-MultiClass).

    It learns by cross-entropy over the three. What it says of a finding leaves "uncertain" out: the softmax
    over positive and negative alone, which is sigmoid(positive - negative).

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        bias: whether each of the three has a number of its own added.

    Attributes:
        weight: (L, 3, F), initialised as `torch.nn.Linear`.
        bias: (L, 3), None without.

    Raises:
        ValueError: a number is no whole number of at least 1, or `bias` is neither True nor False.

    Source:
        Irvin et al., CheXpert, AAAI 2019 (U-MultiClass).

    Example:
        >>> import torch
        >>> head = MultiClassHead(1024, 1)
        >>> head(torch.zeros(2, 1024)).shape
        torch.Size([2, 1, 3])
        >>> head.probabilities(torch.tensor([[[1.0, 2.0, 3.0]]]))  # exp(2) / (exp(1) + exp(2))
        tensor([[0.7311]])
    """

    kind: ClassVar[str] = "multiclass"
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, in_features: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(in_features, outputs)
        add_linear(self, (outputs, _CLASSES), bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of images.

        Args:
            features: (B, F) float.

        Returns:
            (B, L, 3): negative, positive, uncertain.

        Raises:
            ValueError: features of another shape or type.
        """
        check_features(features, self.in_features)
        bias = None if self.bias is None else self.bias.flatten()
        return F.linear(features, self.weight.flatten(0, 1), bias).reshape(-1, self.outputs, _CLASSES)

    def logits(self, output: Tensor) -> Tensor:
        """Log-odds of each finding where it is not uncertain.

        Args:
            output: (B, L, 3), what `forward` gave.

        Returns:
            (B, L): positive - negative.

        Raises:
            ValueError: output of another shape.
        """
        check_output(output, (self.outputs, _CLASSES))
        return output[..., _POSITIVE] - output[..., _NEGATIVE]

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return super().config() | {"bias": self.bias is not None}


def add_linear(head: Head, shape: tuple[int, ...], *, bias: bool) -> None:
    """Give a head `weight` (*shape, F) and `bias` (*shape), initialised as one `torch.nn.Linear`.

    Args:
        head: gets both.
        shape: of one image's output.
        bias: False: `bias` is None.

    Raises:
        ValueError: `bias` is neither True nor False.

    Example:
        >>> head = Head(8, 2)
        >>> add_linear(head, (2, 3), bias=False)
        >>> head.weight.shape
        torch.Size([2, 3, 8])
    """
    check_flag("bias", bias)
    layer = nn.Linear(head.in_features, math.prod(shape), bias=bias)
    weight = layer.weight.detach().reshape(*shape, head.in_features)
    head.register_parameter("weight", nn.Parameter(weight))
    head.register_parameter("bias", nn.Parameter(layer.bias.detach().reshape(shape)) if bias else None)


def check_features(features: object, in_features: int) -> None:
    """Refuse what is no batch of vectors that a head takes.

    Args:
        features: what the caller passed.
        in_features: length F that the head takes.

    Raises:
        ValueError: features of another shape or type.

    Example:
        >>> import torch
        >>> check_features(torch.zeros(2, 1024), 1024)
    """
    if not isinstance(features, Tensor) or not features.is_floating_point():
        msg = f"features: expected a float tensor, got {getattr(features, 'dtype', type(features).__name__)}."
        raise ValueError(msg)
    if features.ndim != 2 or features.shape[1] != in_features:
        msg = f"features: expected the shape (B, {in_features}), got {tuple(features.shape)}."
        raise ValueError(msg)


def check_output(output: object, shape: tuple[int, ...]) -> None:
    """Refuse what is no output of a head.

    Args:
        output: what the caller passed.
        shape: of one image's output.

    Raises:
        ValueError: output of another shape or type.

    Example:
        >>> import torch
        >>> check_output(torch.zeros(2, 14, 3), (14, 3))
    """
    if not isinstance(output, Tensor) or output.ndim != 1 + len(shape) or output.shape[1:] != shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        msg = f"output: expected what forward gave, of shape (B, {', '.join(map(str, shape))}), got {got}."
        raise ValueError(msg)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Args:
        name: of the argument, for the message.
        value: what the caller passed.

    Raises:
        ValueError: it is neither.

    Example:
        >>> check_flag("bias", False)
    """
    if not isinstance(value, bool):
        msg = f"{name}: expected True or False, got {value!r}."
        raise ValueError(msg)
