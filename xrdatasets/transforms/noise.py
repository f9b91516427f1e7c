"""Transforms, step 3: noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.checks import RANGES, Intensity, Span, check_choice, check_fraction, check_span
from xrdatasets.transforms.draws import draw_coarse, draw_normal, draw_uniform, split_seeds

__all__ = ["GaussianNoise", "SaltAndPepper"]


@dataclass(frozen=True)
class GaussianNoise(BatchTransform):
    """Add a normal number to each pixel, and clip to the range.

    Args:
        sigma: standard deviation as a share of the range, so that 1/255 is a grey level of 8 bits: one
            number, or (low, high) to draw from for each image.
        p: probability for each image.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.

    Example:
        >>> noise = GaussianNoise(sigma=0.01, intensity="unit")
        >>> noise(torch.full((1, 1, 64, 64), 0.5)).std().round(decimals=3)
        tensor(0.0100)
    """

    sigma: Span = 1 / 255
    p: float = 1.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_fraction("p", self.p)
        check_span("sigma", self.sigma, least=0.0)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Add noise to the chosen images."""
        least, greatest = check_span("sigma", self.sigma)
        low, high = RANGES[self.intensity]
        own, field = split_seeds(seeds, 2)
        numbers = draw_uniform(own, 2)
        sigma = (least + numbers[:, 1] * (greatest - least)) * (high - low)

        def change(some: Tensor, rows: Tensor) -> Tensor:
            noise = draw_normal(field[rows].to(some.device), some[0].numel()).view_as(some)
            width = sigma[rows].to(some.device, some.dtype)[:, None, None, None]
            return torch.addcmul(some, noise, width).clamp(low, high)

        chosen = (numbers[:, 0] < self.p) & (sigma > 0)
        return change_rows(images, chosen, change), masks


@dataclass(frozen=True)
class SaltAndPepper(BatchTransform):
    """Turn a share of the pixels black or white, each with the same probability.

    Args:
        amount: the share, from 0 to 1; half of it turns black, half white.
        p: probability for each image.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.

    Example:
        >>> speckled = SaltAndPepper(amount=0.1)(torch.zeros(1, 1, 200, 200))
        >>> (speckled == 1024).float().mean().round(decimals=2)
        tensor(0.0500)
    """

    amount: float = 0.1
    p: float = 1.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_fraction("p", self.p)
        check_fraction("amount", self.amount)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Speckle the chosen images."""
        low, high = RANGES[self.intensity]
        own, field = split_seeds(seeds, 2)

        def change(some: Tensor, rows: Tensor) -> Tensor:
            shares = draw_coarse(field[rows].to(some.device), some[0].numel()).view_as(some)
            some = torch.where(shares < self.amount / 2, low, some)
            return torch.where(shares >= 1 - self.amount / 2, high, some)

        chosen = (draw_uniform(own, 1)[:, 0] < self.p) & (self.amount > 0)
        return change_rows(images, chosen, change), masks
