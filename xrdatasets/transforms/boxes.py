"""Transforms, step 3: boxes of a drawn area and shape, somewhere in an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xrdatasets.transforms.draws import draw_uniform

__all__ = ["TRIES", "draw_boxes", "draw_corners"]

TRIES = 10  # as torchvision's RandomResizedCrop and RandomErasing


def draw_boxes(
    seeds: Tensor,
    sides: tuple[int, int],
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    smaller: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sides of boxes: the first of ten draws that fits into the image.

    Args:
        seeds: (B,) int64.
        sides: of the image, in the order that the ratio speaks of.
        scale: share of the image's area, uniform.
        ratio: first side over second, uniform in its logarithm.
        smaller: a box has to be smaller than the image along both sides.

    Returns:
        (B, 2) int64 sides, in the same order, and (B,) bool: whether one of the draws fits.

    Source:
        ``get_params`` of torchvision's RandomResizedCrop and RandomErasing.
    """
    numbers = draw_uniform(seeds, 2 * TRIES).view(-1, TRIES, 2)
    area = sides[0] * sides[1] * (scale[0] + numbers[..., 0] * (scale[1] - scale[0]))
    shape = torch.exp(math.log(ratio[0]) + numbers[..., 1] * math.log(ratio[1] / ratio[0]))
    tried = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], dim=2).round().long()
    fits = ((tried > 0) & (tried <= torch.tensor(sides) - int(smaller))).all(2)
    first = fits.int().argmax(1)
    return tried[torch.arange(len(seeds)), first], fits.any(1)


def draw_corners(seeds: Tensor, room: Tensor) -> Tensor:
    """Upper left corners, uniform over where a box may stand.

    Args:
        seeds: (B,) int64.
        room: (B, 2) int64, rows and columns by which the image exceeds the box, at least 0.

    Returns:
        (B, 2) int64, from 0 to `room`.
    """
    return (draw_uniform(seeds, 2) * (room + 1)).long()
