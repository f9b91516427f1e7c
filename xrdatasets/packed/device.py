"""Packed, step 3: stored pixels into a model's range, on whatever device the batch is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xrdatasets.images.intensity import Intensity, check_intensity

if TYPE_CHECKING:
    import torch

__all__ = ["to_float"]


def to_float(images: torch.Tensor, intensity: Intensity = "xrv") -> torch.Tensor:
    """Raw pixels of a packed dataset, in the range of a model.

    Args:
        images: (…) uint8 or uint16, as ``xr.loader(ds, raw=True)`` gives them, on any device.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].

    Returns:
        (…) float32 on the same device: on a CPU the bits that the loader gives without `raw`, on a GPU within
        their rounding.

    Raises:
        ValueError: another type, or another range.

    Source:
        `xrdatasets.normalize`, with the largest value of the type.

    Example:
        >>> import torch
        >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8), "unit")
        tensor([0.0000, 0.2000, 1.0000])
    """
    import torch

    check_intensity(intensity)
    largest = {torch.uint8: 255, torch.uint16: 65_535}.get(images.dtype)
    if largest is None:
        msg = f"images: expected uint8 or uint16, as a loader gives with raw=True, got {images.dtype}."
        raise ValueError(msg)
    values = images.to(torch.float32)
    if intensity == "unit":
        return values.div_(largest)
    return values.sub_(largest / 2).div_(largest / 2048)
