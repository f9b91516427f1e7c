"""Transforms, step 4: several of them; one after another, one of them, or again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, begin, finish, full_precision
from xrdatasets.transforms.checks import Intensity, check_whole
from xrdatasets.transforms.draws import draw_uniform, split_seeds

__all__ = ["Compose", "OneOf", "Repeat", "TwoViews"]


@dataclass(frozen=True)
class Compose(BatchTransform):
    """One transform after another; images are checked once.

    Args:
        transforms: in their order; one that gives several images of each can only be the last.

    Raises:
        ValueError: they are no transforms, or of several intensities, or in such an order.

    Example:
        >>> from xrdatasets.transforms import CenterCrop, RandomHorizontalFlip
        >>> both = Compose([RandomHorizontalFlip(), CenterCrop(2)])
        >>> both(torch.zeros(3, 1, 4, 4)).shape
        torch.Size([3, 1, 2, 2])
    """

    transforms: Sequence[BatchTransform]

    def __post_init__(self) -> None:
        _adopt(self, self.transforms)
        if any(transform.stacks for transform in self.transforms[:-1]):
            raise ValueError("transforms: expected the one that gives several images of each to be the last.")

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Apply each in its turn."""
        for transform, own in zip(self.transforms, split_seeds(seeds, len(self.transforms)), strict=True):
            images, masks = transform.apply(images, masks, own)
        return images, masks

    @property
    def keeps_shape(self) -> bool:  # type: ignore[override]
        """Whether all of them do."""
        return all(transform.keeps_shape for transform in self.transforms)

    @property
    def stacks(self) -> bool:  # type: ignore[override]
        """Whether the last does."""
        return any(transform.stacks for transform in self.transforms)


@dataclass(frozen=True)
class OneOf(BatchTransform):
    """One of several transforms, drawn for each image with equal probability.

    Args:
        transforms: at least one; all keep the images' shape.

    Raises:
        ValueError: they are no transforms, or of several intensities, or one changes the shape.

    Example:
        >>> from xrdatasets.transforms import RandomAffine, RandomHorizontalFlip
        >>> one = OneOf([RandomHorizontalFlip(p=1.0), RandomAffine(degrees=7)])
        >>> one(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 1, 8, 8])
    """

    transforms: Sequence[BatchTransform]

    def __post_init__(self) -> None:
        _adopt(self, self.transforms)
        if not self.transforms or not all(transform.keeps_shape for transform in self.transforms):
            raise ValueError("transforms: expected at least one, each of which keeps height and width.")

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Apply to each image its own."""
        which, own = split_seeds(seeds, 2)
        number = (draw_uniform(which, 1)[:, 0] * len(self.transforms)).long()
        for position, transform in enumerate(self.transforms):
            rows = (number == position).nonzero().squeeze(1)
            if not len(rows):
                continue
            places = rows.to(images.device)
            some, some_masks = transform.apply(
                images[places], None if masks is None else masks[places], own[rows]
            )
            images = images.index_copy(0, places, some)
            if masks is not None and some_masks is not None:
                masks = masks.index_copy(0, places, some_masks)
        return images, masks


@dataclass(frozen=True)
class Repeat(BatchTransform):
    """Several draws of one transform, for each image.

    Args:
        transform: what is drawn.
        n: how often, at least 1.
        original: put the image as it is before the `n`, if the transform keeps its shape.

    Raises:
        ValueError: an argument is none of the above.

    Example:
        >>> from xrdatasets.transforms import RandomAffine
        >>> Repeat(RandomAffine(degrees=7), n=10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10, 1, 8, 8])
    """

    transform: BatchTransform
    n: int
    original: bool = False
    keeps_shape: ClassVar[bool] = False
    stacks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _adopt(self, [self.transform])
        if self.transform.stacks:
            raise ValueError("transform: expected one that gives one image of each.")
        check_whole("n", self.n)
        if self.original and not self.transform.keeps_shape:
            raise ValueError("original: expected False, because the transform changes height and width.")

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Stack the draws along a new axis, the second."""
        drawn = [(images, masks)] if self.original else []
        drawn += [self.transform.apply(images, masks, own) for own in split_seeds(seeds, self.n)]
        stacked = torch.stack([image for image, _ in drawn], dim=1)
        moved = [mask for _, mask in drawn if mask is not None]
        return stacked, torch.stack(moved, dim=1) if moved else None


@dataclass(frozen=True)
class TwoViews:
    """Two views of the same batch, drawn independently of each other.

    Args:
        first: gives the first, for example the weak one.
        second: gives the second.

    Raises:
        ValueError: they are no transforms, or of two intensities.

    Example:
        >>> from xrdatasets.transforms import GaussianNoise, RandomHorizontalFlip
        >>> views = TwoViews(RandomHorizontalFlip(), GaussianNoise())
        >>> weak, strong = views(torch.zeros(3, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> weak.shape == strong.shape
        True
    """

    first: BatchTransform
    second: BatchTransform

    def __post_init__(self) -> None:
        _intensity([self.first, self.second])

    def __call__(
        self,
        batch: Tensor | Mapping[str, Any],
        *,
        generator: torch.Generator | None = None,
        seeds: Tensor | None = None,
    ) -> tuple[Any, Any]:
        """Both views of a batch.

        Args:
            batch: as for `BatchTransform`.
            generator: likewise.
            seeds: likewise.

        Returns:
            Two of what came in.

        Raises:
            ValueError: as for `BatchTransform`.
        """
        intensity = _intensity([self.first, self.second])
        images, masks, seeds = begin(batch, intensity, generator=generator, seeds=seeds)
        first, second = split_seeds(seeds, 2)
        with full_precision(images):
            return (
                finish(batch, *self.first.apply(images, masks, first)),
                finish(batch, *self.second.apply(images, masks, second)),
            )


def _adopt(owner: BatchTransform, transforms: object) -> None:
    """Give a frozen object its parts as a tuple, and their intensity."""
    parts = tuple(transforms) if isinstance(transforms, Iterable) else (transforms,)
    object.__setattr__(owner, "intensity", _intensity(parts))
    if "transforms" in owner.__dataclass_fields__:  # type: ignore[attr-defined]
        object.__setattr__(owner, "transforms", parts)


def _intensity(transforms: Iterable[object]) -> Intensity | None:
    """The one that all have, of those that have one."""
    found: set[Intensity] = set()
    for transform in transforms:
        if not isinstance(transform, BatchTransform):
            msg = f"transforms: expected objects of xrdatasets.transforms, got {transform!r}."
            raise ValueError(msg)
        if transform.intensity is not None:
            found.add(transform.intensity)
    if len(found) > 1:
        msg = f"transforms: expected one intensity in all of them, got {sorted(found)}."
        raise ValueError(msg)
    return found.pop() if found else None
