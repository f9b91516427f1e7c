"""Transforms, step 2: what all have in common; batches in, batches out, checked once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, overload

import torch
from torch import Tensor

from xrdatasets.transforms.checks import RANGES, Intensity
from xrdatasets.transforms.draws import draw_seeds

__all__ = ["BatchTransform", "begin", "change_rows", "finish", "full_precision"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# images changed at once by a single thread: what comes between stays in its cache, 1.4 times as fast as 64 at
# once; several threads wait for each other at every step, so they take all at once
_CHUNK = 4
_SLACK = 1e-3  # of the range: what resizing in float32 and rounding to 16 bits may go beyond it


class BatchTransform(ABC):
    """Batches of images to batches of images, on the device where they are.

    Called with a tensor it gives a tensor, called with a batch of `xrdatasets.loader` a new one: ``img`` is
    changed, ``mask`` moves with it, all else is handed on. What goes in is never written to; images that stay
    as they are may share its memory.

    What happens to an image follows from one seed of its own: a number of the generator, or one given by
    `seeds`. So the same state of the generator gives the same result, on every device and however a row of
    images is cut into batches. The generators of torch, numpy and Python are not touched.
    """

    intensity: Intensity | None = None
    """The range that the images are checked against; None if the transform does not depend on it."""

    keeps_shape: ClassVar[bool] = True
    """Whether height and width stay, and each image stays one."""

    stacks: ClassVar[bool] = False
    """Whether each image becomes several, (B, n, 1, h, w)."""

    @overload
    def __call__(
        self, batch: Tensor, *, generator: torch.Generator | None = None, seeds: Tensor | None = None
    ) -> Tensor: ...
    @overload
    def __call__(
        self,
        batch: Mapping[str, Any],
        *,
        generator: torch.Generator | None = None,
        seeds: Tensor | None = None,
    ) -> dict[str, Any]: ...
    def __call__(
        self,
        batch: Tensor | Mapping[str, Any],
        *,
        generator: torch.Generator | None = None,
        seeds: Tensor | None = None,
    ) -> Tensor | dict[str, Any]:
        """Change a batch.

        Args:
            batch: images, (B, 1, H, W) float32, float16 or bfloat16; or a mapping with ``img``, and ``mask``
                (B, L, H, W) uint8 if there is one.
            generator: a torch generator on the CPU, which moves on by B numbers; None for a new one that the
                operating system seeds, different each time.
            seeds: (B,) int64 in place of a generator, one for each image: see `image_seeds`.

        Returns:
            What came in, changed, in the same dtype.

        Raises:
            ValueError: images, masks, generator or seeds are none of the above; a value is NaN or outside
                the range of `intensity`; generator and seeds are both given.
        """
        images, masks, seeds = begin(batch, self.intensity, generator=generator, seeds=seeds)
        with full_precision(images):
            return finish(batch, *self.apply(images, masks, seeds))

    @abstractmethod
    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """The work, on what was checked.

        Args:
            images: (B, 1, H, W) float32.
            masks: (B, L, H, W) uint8, or None.
            seeds: (B,) int64 on the CPU.

        Returns:
            Images and masks.
        """


def begin(
    batch: Tensor | Mapping[str, Any],
    intensity: Intensity | None,
    *,
    generator: torch.Generator | None,
    seeds: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Images as float32, masks and seeds of a batch, after all checks.

    Raises:
        ValueError: as for `BatchTransform.__call__`.
    """
    images, masks = (batch.get("img"), batch.get("mask")) if isinstance(batch, Mapping) else (batch, None)
    images = _checked_images(images, intensity)
    if masks is not None:
        _check_masks(masks, images)
    if seeds is None:
        return images.float(), masks, draw_seeds(len(images), generator)
    if generator is not None:
        raise ValueError("generator, seeds: expected one of the two, got both.")
    _check_seeds(seeds, len(images))
    return images.float(), masks, seeds.cpu()


def full_precision(images: Tensor) -> torch.autocast:
    """A context without autocast, which would turn images by matrices of 8 or 11 bits."""
    return torch.autocast(images.device.type, enabled=False)


def finish(
    batch: Tensor | Mapping[str, Any], images: Tensor, masks: Tensor | None
) -> Tensor | dict[str, Any]:
    """What came in, with these images and masks in place of its own."""
    if not isinstance(batch, Mapping):
        return images.to(batch.dtype)
    changed = dict(batch) | {"img": images.to(batch["img"].dtype)}
    return changed if masks is None else changed | {"mask": masks}


def change_rows(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change some images of a batch and leave the others as they are, bit by bit.

    Args:
        images: (B, …).
        chosen: (B,) bool on the CPU.
        change: called with the chosen images and their rows (int64, on the CPU): a few at a time where
            one thread works, else all at once; not at all if there is none.

    Returns:
        (B, …), the shape and dtype as they were.
    """
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    alone = images.device.type == "cpu" and torch.get_num_threads() == 1
    parts = torch.split(rows, _CHUNK if alone else len(rows))
    if len(rows) == len(images):
        return _joined([change(images[part[0] : part[-1] + 1], part) for part in parts])
    places = rows.to(images.device)
    made = [
        change(images.index_select(0, place), part)
        for place, part in zip(torch.split(places, len(parts[0])), parts, strict=True)
    ]
    return images.index_copy(0, places, _joined(made))


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _checked_images(images: object, intensity: Intensity | None) -> Tensor:
    if not isinstance(images, Tensor) or images.dtype not in _DTYPES or not _is_batch(images.shape):
        msg = (
            "images: expected (B, 1, H, W) of float32, float16 or bfloat16 (one image: img[None]), "
            f"got {_described(images)}."
        )
        raise ValueError(msg)
    if images.numel() and not torch.compiler.is_compiling():
        _check_values(images.detach(), intensity)
    return images


def _is_batch(shape: Sequence[int]) -> bool:
    return len(shape) == 4 and shape[1] == 1 and 0 not in shape[2:]


def _check_values(images: Tensor, intensity: Intensity | None) -> None:
    """One pass over the images, and one wait for the device."""
    low, high = torch.stack(images.aminmax()).tolist()  # NaN if there is one
    least, greatest = RANGES[intensity] if intensity else (-torch.finfo().max, torch.finfo().max)
    slack = _SLACK * (greatest - least) if intensity else 0.0
    if not (least - slack <= low and high <= greatest + slack):
        what = f"numbers from {least:g} to {greatest:g} (intensity={intensity!r})" if intensity else "numbers"
        msg = f"images: expected {what}, got from {low:g} to {high:g}."
        raise ValueError(msg)


def _check_masks(masks: object, images: Tensor) -> None:
    shape = (len(images), *images.shape[2:])
    found = (*masks.shape[:1], *masks.shape[2:]) if isinstance(masks, Tensor) and masks.ndim == 4 else ()
    if found != shape or getattr(masks, "dtype", None) != torch.uint8:
        expected = f"({shape[0]}, L, {shape[1]}, {shape[2]})"
        msg = f"masks: expected {expected} of uint8, as the images are, got {_described(masks)}."
        raise ValueError(msg)


def _check_seeds(seeds: object, count: int) -> None:
    if not isinstance(seeds, Tensor) or seeds.dtype != torch.int64 or seeds.shape != (count,):
        msg = f"seeds: expected {count} of int64 (see image_seeds), got {_described(seeds)}."
        raise ValueError(msg)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__
