"""Transforms, step 3: the part of each image that looks most like a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform
from xrdatasets.transforms.checks import check_sides
from xrdatasets.transforms.crops import CenterCrop

__all__ = ["TemplateCrop", "match_template", "mean_template"]

# places whose scores differ by less are equally good: far above what the sums round (1e-12), far below what
# tells one place in an image from the next
_TIE = 1e-9
# a part with less than this share of its image's squares is constant but for what running sums round
_CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class TemplateCrop(BatchTransform):
    """Cut, from each image, the part that looks most like a template.

    The part is as large as the template and lies where `match_template` is highest; of equal places, the
    uppermost, and of those the leftmost. Of 256 x 256 pixels and a template of 224 x 224 there are 33 x 33.

    Args:
        template: (h, w) float, in any range: `mean_template` of training images, say.

    Raises:
        ValueError: no such tensor, or one that is constant or not finite; when called: the images are
            smaller.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475): a template of 224 x 224 pixels is looked
        for in images of 256 x 256. What the template is and how it is compared, the paper does not say.

    Example:
        >>> image = torch.zeros(1, 1, 6, 6)
        >>> image[..., 1:4, 2:5] = torch.arange(9.0).view(3, 3)
        >>> TemplateCrop(torch.arange(9.0).view(3, 3) / 8)(image).flatten()
        tensor([0., 1., 2., 3., 4., 5., 6., 7., 8.])
    """

    template: Tensor
    keeps_shape: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_template(self.template)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut the best part of each."""
        scores = match_template(images, self.template)
        best = scores.flatten(1) >= scores.amax((1, 2)).unsqueeze(1) - _TIE
        # argmax gives the first of several True
        places = best.to(torch.uint8).argmax(1).tolist()
        corners = [divmod(place, scores.shape[2]) for place in places]
        return self._cut(images, corners), None if masks is None else self._cut(masks, corners)

    def _cut(self, batch: Tensor, corners: list[tuple[int, int]]) -> Tensor:
        height, width = self.template.shape
        parts = [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(batch, corners, strict=True)
        ]
        return torch.stack(parts) if parts else batch.new_empty((0, batch.shape[1], height, width))


def match_template(images: Tensor, template: Tensor) -> Tensor:
    """How much each part of an image looks like a template, whatever the brightness and contrast of either.

    The zero-mean normalised cross-correlation: with I the part and T the template, both less their own mean,

        Σ I · T / sqrt(Σ I² · Σ T²)

    The sums over parts are products of Fourier transforms and differences of running sums, all in float64.

    Args:
        images: (B, 1, H, W) float.
        template: (h, w) float, at most as large.

    Returns:
        (B, H - h + 1, W - w + 1) float64 in [-1, 1], for each place of the upper left corner; 0 where the
        part is constant.

    Raises:
        ValueError: no such tensors, a template that is constant or not finite, or images that are smaller.

    Source:
        Lewis, "Fast normalized cross-correlation", Vision Interface 1995.

    Example:
        >>> template = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> match_template(torch.eye(2).view(1, 1, 2, 2), template)
        tensor([[[-1.]]], dtype=torch.float64)
    """
    _check_template(template)
    _check_images(images, template)
    sought = template.to(images.device, torch.float64)
    sought = sought - sought.mean()
    # the mean of the image changes no score, and without it the sums lose fewer digits
    pixels = images[:, 0].double()
    pixels = pixels - pixels.mean((1, 2), keepdim=True)
    squares, sides = pixels.square(), (sought.shape[0], sought.shape[1])
    spread = _sums(squares, sides) - _sums(pixels, sides).square() / sought.numel()
    shows = spread > _CONSTANT * squares.sum((1, 2), keepdim=True)
    norm = (torch.where(shows, spread, 1.0) * sought.square().sum()).sqrt()
    return torch.where(shows, _correlated(pixels, sought) / norm, 0.0).clamp(-1, 1)


def mean_template(images: Tensor | Iterable[Tensor], size: int | tuple[int, int] = 224) -> Tensor:
    """The mean of the centres of images, as a template.

    Args:
        images: (B, 1, H, W) float, or several batches of that: ``(batch["img"] for batch in loader)``.
        size: rows and columns of the template: one number, or (height, width).

    Returns:
        (height, width) float32 on the processor.

    Raises:
        ValueError: no images, or smaller ones.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), does not say what its template is: this is
        our reading.

    Example:
        >>> mean_template(torch.arange(16.0).view(1, 1, 4, 4), size=2)
        tensor([[ 5.,  6.],
                [ 9., 10.]])
    """
    crop, total, count = CenterCrop(size), torch.zeros(check_sides("size", size), dtype=torch.float64), 0
    for batch in [images] if isinstance(images, Tensor) else images:
        total += crop(batch).sum((0, 1), dtype=torch.float64).cpu()
        count += len(batch)
    if not count:
        raise ValueError("images: expected at least one, got none.")
    return (total / count).float()


def _correlated(pixels: Tensor, sought: Tensor) -> Tensor:
    """(B, H - h + 1, W - w + 1) sums of products; places that would wrap around are left out."""
    rows, columns = pixels.shape[1:]
    if not len(pixels):  # some transforms of Fourier refuse none
        return pixels[:, sought.shape[0] - 1 :, sought.shape[1] - 1 :]
    spectrum = torch.fft.rfft2(pixels) * torch.fft.rfft2(sought, s=(rows, columns)).conj()
    every: Tensor = torch.fft.irfft2(spectrum, s=(rows, columns))
    return every[:, : rows - sought.shape[0] + 1, : columns - sought.shape[1] + 1]


def _sums(values: Tensor, sides: tuple[int, int]) -> Tensor:
    """(B, H - h + 1, W - w + 1) sums over each part, from running sums."""
    height, width = sides
    down = F.pad(values, (0, 0, 1, 0)).cumsum(1)
    down = down[:, height:] - down[:, :-height]
    across = F.pad(down, (1, 0)).cumsum(2)
    sums: Tensor = across[:, :, width:] - across[:, :, :-width]
    return sums


def _check_images(images: object, template: Tensor) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 1:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        msg = f"images: expected (B, 1, H, W), got {got}."
        raise ValueError(msg)
    height, width = template.shape
    rows, columns = images.shape[2:]
    if height > rows or width > columns:
        msg = f"images: expected at least the template's {height} x {width} pixels, got {rows} x {columns}."
        raise ValueError(msg)


def _check_template(template: object) -> None:
    if not isinstance(template, Tensor) or template.ndim != 2 or not template.is_floating_point():
        got = (
            f"{template.dtype} of {tuple(template.shape)}" if isinstance(template, Tensor) else type(template)
        )
        msg = f"template: expected a float tensor of shape (h, w), got {got}."
        raise ValueError(msg)
    if not template.isfinite().all() or (template == template.flatten()[:1]).all():
        raise ValueError(
            "template: expected finite numbers that are not all the same: it must show something."
        )
