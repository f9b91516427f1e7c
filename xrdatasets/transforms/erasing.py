"""Transforms, step 3: a box that is blotted out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.boxes import draw_boxes, draw_corners
from xrdatasets.transforms.checks import RANGES, Intensity, check_choice, check_fraction, check_span
from xrdatasets.transforms.draws import draw_uniform, split_seeds

__all__ = ["RandomErasing"]


@dataclass(frozen=True)
class RandomErasing(BatchTransform):
    """Fill a box with one grey. Masks stay: a finding does not go away because it cannot be seen.

    Args:
        p: probability for each image.
        scale: share of the image's area, within [0, 1].
        ratio: height over width, above 0.
        value: the grey, from 0 (black, the range's least value) to 1 (white).
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Zhong et al., "Random erasing data augmentation", AAAI 2020; torchvision's defaults. An image into
        which none of ten drawn boxes fits stays as it is, as there.

    Example:
        >>> erased = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))(torch.zeros(1, 1, 8, 8))
        >>> (erased == -1024).sum()
        tensor(16)
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_fraction("p", self.p)
        check_fraction("value", self.value)
        check_span("scale", self.scale, least=0.0, most=1.0)
        check_span("ratio", self.ratio, above=0.0)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Fill a box in the chosen images."""
        low, high = RANGES[self.intensity]
        whether, for_sides, for_corners = split_seeds(seeds, 3)
        shape = (images.shape[2], images.shape[3])
        scale, ratio = check_span("scale", self.scale), check_span("ratio", self.ratio)
        sides, fits = draw_boxes(for_sides, shape, scale=scale, ratio=ratio, smaller=True)
        corners = draw_corners(for_corners, (torch.tensor(shape) - sides).clamp(min=0))

        def erase(some: Tensor, rows: Tensor) -> Tensor:
            first = corners[rows].to(some.device)
            last = first + sides[rows].to(some.device)
            down, across = (_between(side, first[:, i], last[:, i]) for i, side in enumerate(shape))
            inside = down[:, None, :, None] & across[:, None, None, :]
            return torch.where(inside, low + self.value * (high - low), some)

        chosen = (draw_uniform(whether, 1)[:, 0] < self.p) & fits
        return change_rows(images, chosen, erase), masks


def _between(side: int, first: Tensor, last: Tensor) -> Tensor:
    """(B, side) bool: which numbers of 0 … side - 1 lie from `first` to before `last`."""
    numbers = torch.arange(side, device=first.device)
    return (numbers >= first[:, None]) & (numbers < last[:, None])
