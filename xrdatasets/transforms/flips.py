"""Transforms, step 3: mirror images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.checks import check_fraction
from xrdatasets.transforms.draws import draw_uniform

__all__ = ["RandomHorizontalFlip", "RandomVerticalFlip"]


@dataclass(frozen=True)
class RandomHorizontalFlip(BatchTransform):
    """Swap left and right.

    The heart then lies on the right (dextrocardia), the stomach's gas too, and a marker reads backwards: what
    a radiologist never sees in a patient whose organs lie as usual. Luo 2020 and the code of Data-Assemble
    train with it, Pham 2019 tests with it; Cohen 2020 does without.

    Args:
        p: probability for each image.

    Raises:
        ValueError: `p` is outside [0, 1].

    Example:
        >>> import torch
        >>> RandomHorizontalFlip(p=1.0)(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
        tensor([[[[3., 2., 1.]]]])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_fraction("p", self.p)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mirror the chosen images."""
        return _flipped(images, masks, seeds, p=self.p, axis=3)


@dataclass(frozen=True)
class RandomVerticalFlip(BatchTransform):
    """Swap top and bottom. None of the papers does so: radiographs are shown with the head up.

    Args:
        p: probability for each image.

    Raises:
        ValueError: `p` is outside [0, 1].

    Example:
        >>> import torch
        >>> RandomVerticalFlip(p=1.0)(torch.tensor([[[[1.0], [2.0]]]])).flatten()
        tensor([2., 1.])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_fraction("p", self.p)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mirror the chosen images."""
        return _flipped(images, masks, seeds, p=self.p, axis=2)


def _flipped(
    images: Tensor, masks: Tensor | None, seeds: Tensor, *, p: float, axis: int
) -> tuple[Tensor, Tensor | None]:
    chosen = draw_uniform(seeds, 1)[:, 0] < p
    images = change_rows(images, chosen, lambda some, _: some.flip(axis))
    if masks is not None:
        masks = change_rows(masks, chosen, lambda some, _: some.flip(axis))
    return images, masks
