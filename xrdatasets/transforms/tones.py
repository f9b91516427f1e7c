"""Transforms, step 3: brighter, darker, flatter, steeper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.checks import RANGES, Intensity, Span, check_choice, check_fraction, check_span
from xrdatasets.transforms.draws import draw_uniform

__all__ = ["ToneJitter"]

Center = Literal["range", "mean"]


@dataclass(frozen=True)
class ToneJitter(BatchTransform):
    """Change brightness, then contrast, then gamma; each image by numbers of its own.

    With x on [0, 1] from black to white: brightness multiplies x, contrast multiplies what x differs from the
    centre by, gamma is an exponent. After each the result is clipped to the range.

    Args:
        brightness: the factor, (low, high) of at least 0, or one number b for [1 - b, 1 + b].
        contrast: the factor, in the same way.
        gamma: the exponent, (low, high) above 0, uniform in its logarithm; more than 1 darkens.
        center: what contrast turns about: the middle of the range, or (``"mean"``) each image's mean, as in
            torchvision and pillow.
        p: probability for each image.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Factors as for torchvision's ``ColorJitter``, which takes them in a random order.

    Example:
        >>> half = ToneJitter(contrast=(0.5, 0.5), intensity="unit")
        >>> half(torch.tensor([[[[0.0, 0.5, 1.0]]]]))
        tensor([[[[0.2500, 0.5000, 0.7500]]]])
    """

    brightness: Span = 0.0
    contrast: Span = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    center: Center = "range"
    p: float = 1.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_choice("center", self.center, Center)
        check_fraction("p", self.p)
        self._spans()

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Change the chosen images, but for those that would stay as they are."""
        low, high = RANGES[self.intensity]
        numbers = draw_uniform(seeds, 4)
        spans = torch.tensor(self._spans(), dtype=torch.float64)
        values = spans[:, 0] + numbers[:, 1:] * (spans[:, 1] - spans[:, 0])
        values[:, 2] = values[:, 2].exp()
        chosen = (numbers[:, 0] < self.p) & (values != 1).any(1)

        def change(some: Tensor, rows: Tensor) -> Tensor:
            brightness, contrast, gamma = (
                values[rows].to(some.device, some.dtype)[..., None, None, None].unbind(1)
            )
            if spans[0].ne(1).any():
                some = ((some - low) * brightness + low).clamp(low, high)
            if spans[1].ne(1).any():
                middle = some.mean((2, 3), keepdim=True) if self.center == "mean" else (low + high) / 2
                some = ((some - middle) * contrast + middle).clamp(low, high)
            return _powered(some, gamma, low, high) if spans[2].ne(0).any() else some

        return change_rows(images, chosen, change), masks

    def _spans(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of both factors and of the exponent's logarithm."""
        gamma = check_span("gamma", self.gamma, above=0.0)
        return (
            check_span("brightness", self.brightness, around=1.0, least=0.0),
            check_span("contrast", self.contrast, around=1.0, least=0.0),
            (math.log(gamma[0]), math.log(gamma[1])),
        )


def _powered(images: Tensor, exponents: Tensor, low: float, high: float) -> Tensor:
    share = ((images - low) / (high - low)).clamp(0, 1)
    # the slope of x ** 0.5 is infinite at 0, and infinite times 0 is NaN: black takes another way round
    black = share == 0
    powered = torch.where(black, 1.0, share) ** exponents
    return torch.where(black, 0.0, powered) * (high - low) + low
