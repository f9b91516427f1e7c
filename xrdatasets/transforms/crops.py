"""Transforms, step 3: parts of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform
from xrdatasets.transforms.boxes import draw_boxes, draw_corners
from xrdatasets.transforms.checks import check_sides, check_span
from xrdatasets.transforms.draws import split_seeds

__all__ = ["CenterCrop", "RandomCrop", "RandomResizedCrop", "TenCrop"]

Size = int | tuple[int, int]


@dataclass(frozen=True)
class CenterCrop(BatchTransform):
    """Cut the centre.

    Args:
        size: rows and columns of the result: one number, or (height, width).

    Raises:
        ValueError: no such size; when called: the images are smaller.

    Example:
        >>> CenterCrop(2)(torch.arange(16.0).view(1, 1, 4, 4)).flatten()
        tensor([ 5.,  6.,  9., 10.])
    """

    size: Size
    keeps_shape: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_sides("size", self.size)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut the same part of each."""
        top, left, height, width = _centre(images, self.size)
        part = (..., slice(top, top + height), slice(left, left + width))
        return images[part], None if masks is None else masks[part]


@dataclass(frozen=True)
class RandomCrop(BatchTransform):
    """Cut a part of a fixed size, from another place in each image.

    Args:
        size: rows and columns of the result: one number, or (height, width).

    Raises:
        ValueError: no such size; when called: the images are smaller.

    Source:
        Luo et al., IEEE TMI 39(11), 2020: the training of its runs with ten-crop.

    Example:
        >>> RandomCrop(224)(torch.zeros(2, 1, 256, 256)).shape
        torch.Size([2, 1, 224, 224])
    """

    size: Size
    keeps_shape: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_sides("size", self.size)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut another part of each."""
        _, _, height, width = _centre(images, self.size)
        room = torch.tensor([images.shape[2] - height, images.shape[3] - width])
        corners = draw_corners(seeds, room.expand(len(seeds), 2)).tolist()
        boxes = [(top, left, height, width) for top, left in corners]
        sides = (height, width)
        return _cut(images, boxes, sides), None if masks is None else _cut(masks, boxes, sides)


@dataclass(frozen=True)
class RandomResizedCrop(BatchTransform):
    """Cut a part of drawn area and shape, and resize it.

    Images are resized linearly, with antialiasing where they shrink; masks take the nearest pixel. An image
    into which ten draws do not fit gives its centre, in the shape that is nearest to `ratio`.

    Args:
        size: rows and columns of the result: one number, or (height, width).
        scale: share of the image's area, within (0, 1].
        ratio: width over height, above 0.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6; torchvision's defaults.

    Example:
        >>> RandomResizedCrop(224, scale=(0.8, 1.0))(torch.zeros(2, 1, 256, 256)).shape
        torch.Size([2, 1, 224, 224])
    """

    size: Size
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    keeps_shape: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_sides("size", self.size)
        check_span("scale", self.scale, above=0.0, most=1.0)
        check_span("ratio", self.ratio, above=0.0)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut and resize each."""
        boxes = self._boxes(seeds, images.shape[2], images.shape[3])
        sides = check_sides("size", self.size)
        return _cut(images, boxes, sides), None if masks is None else _cut(masks, boxes, sides)

    def _boxes(self, seeds: Tensor, height: int, width: int) -> list[tuple[int, ...]]:
        for_sides, for_corners = split_seeds(seeds, 2)
        ratio = check_span("ratio", self.ratio)
        sides, fits = draw_boxes(
            for_sides, (width, height), scale=check_span("scale", self.scale), ratio=ratio
        )
        sides = sides.flip(1)
        corners = draw_corners(for_corners, (torch.tensor([height, width]) - sides).clamp(min=0))
        high, wide = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
        middle = torch.tensor([(height - high) // 2, (width - wide) // 2, high, wide])
        drawn = torch.where(fits[:, None], torch.cat([corners, sides], dim=1), middle)
        return [tuple(box) for box in drawn.tolist()]


@dataclass(frozen=True)
class TenCrop(BatchTransform):
    """Cut the four corners and the centre, of each image and of its mirror image.

    The ten are, in this order: upper left, upper right, lower left, lower right, centre; then the same five
    of the mirror image, whose upper left is the upper right of the image, mirrored.

    Args:
        size: rows and columns of each: one number, or (height, width).

    Raises:
        ValueError: no such size; when called: the images are smaller.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, its rows "w/ TenCrop"; order of torchvision's ``TenCrop``.

    Example:
        >>> images = torch.zeros(8, 1, 366, 366)
        >>> ten = TenCrop(320)(images)  # answers of all: model(ten.flatten(0, 1)).view(8, 10, -1).mean(1)
        >>> ten.shape
        torch.Size([8, 10, 1, 320, 320])
    """

    size: Size
    keeps_shape: ClassVar[bool] = False
    stacks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_sides("size", self.size)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut the same ten of each."""
        top, left, height, width = _centre(images, self.size)
        down, right = images.shape[2] - height, images.shape[3] - width
        corners = ((0, 0), (0, right), (down, 0), (down, right), (top, left))

        def ten(batch: Tensor) -> Tensor:
            return torch.stack(
                [
                    side[..., row : row + height, column : column + width]
                    for side in (batch, batch.flip(3))
                    for row, column in corners
                ],
                dim=1,
            )

        return ten(images), None if masks is None else ten(masks)


def _centre(images: Tensor, size: Size) -> tuple[int, int, int, int]:
    """(top, left, height, width); starts where `xrdatasets.center_crop` starts.

    Raises:
        ValueError: the images are smaller.
    """
    height, width = check_sides("size", size)
    rows, columns = images.shape[2:]
    if height > rows or width > columns:
        msg = f"images: expected at least {height} x {width} pixels to cut from, got {rows} x {columns}."
        raise ValueError(msg)
    return rows // 2 - height // 2, columns // 2 - width // 2, height, width


def _cut(batch: Tensor, boxes: Sequence[tuple[int, ...]], sides: tuple[int, int]) -> Tensor:
    """(B, C, height, width) of (B, C, H, W), from one box (top, left, height, width) of each."""
    parts = [
        _resized(image[None, :, top : top + height, left : left + width], sides)
        for image, (top, left, height, width) in zip(batch, boxes, strict=True)
    ]
    return torch.cat(parts) if parts else batch.new_empty((0, batch.shape[1], *sides))


def _resized(image: Tensor, sides: tuple[int, int]) -> Tensor:
    if image.shape[2:] == sides:
        return image
    if image.dtype == torch.uint8:
        return F.interpolate(image, sides, mode="nearest-exact")
    low, high = image.detach().aminmax()  # weights add up to 1 but for rounding
    return F.interpolate(image, sides, mode="bilinear", antialias=True).clamp(low, high)
