"""Step two, normalise: stored values to float32 on the scale that a model expects."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xrdatasets.images.pixels import RawImage, Stored

__all__ = ["Intensity", "check_intensity", "normalize", "rescale"]

Intensity = Literal["xrv", "unit"]


def normalize(raw: RawImage, intensity: Intensity = "xrv") -> NDArray[np.float32]:
    """Bring an image to a model's range.

    Args:
        raw: the image as read.
        intensity: ``"xrv"`` gives (2·x/max - 1)·1024, from -1024 to 1024; ``"unit"`` gives
            x/max, from 0 to 1.

    Returns:
        (1, H, W) float32: the formula's value, rounded once; its ends are exact.

    Raises:
        ValueError: an intensity of another name.

    Source:
        torchxrayvision 1.5.2, ``utils.normalize``.

    Example:
        >>> import numpy as np
        >>> raw = RawImage(np.array([[0, 51, 255]], np.uint8), 255)
        >>> normalize(raw)
        array([[[-1024. ,  -614.4,  1024. ]]], dtype=float32)
        >>> normalize(raw, "unit")
        array([[[0. , 0.2, 1. ]]], dtype=float32)
    """
    check_intensity(intensity)
    return rescale(raw.pixels, raw.max_value, intensity=intensity)[np.newaxis]


def rescale(
    values: Stored | NDArray[np.float32],
    max_value: int,
    *,
    intensity: Intensity,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The arithmetic of `normalize` on an array of any shape.

    Args:
        values: (…) uint8, uint16 or float32, from 0 to `max_value`.
        max_value: the value that becomes the upper end.
        intensity: as for `normalize`.
        out: (…) float32 to write to, which may be `values`.

    Returns:
        (…) float32: `out`, or a new array.

    Example:
        >>> import numpy as np
        >>> rescale(np.float32([0.0, 127.5]), 255, intensity="xrv")
        array([-1024.,     0.], dtype=float32)
    """
    if out is None:
        out = np.empty(values.shape, np.float32)
    if out is not values:
        out[...] = values  # by itself: arithmetic that also converts takes one and a half times as long
    if intensity == "unit":
        out /= np.float32(max_value)
        return out
    # (x - max/2) / (max/2048): both constants and, for integers, the difference are exact in float32
    out -= np.float32(max_value / 2)
    out /= np.float32(max_value / 2048)
    return out


def check_intensity(intensity: str) -> None:
    """Refuse an unknown name.

    Args:
        intensity: what the caller passed.

    Raises:
        ValueError: neither ``"xrv"`` nor ``"unit"``.

    Example:
        >>> check_intensity("unit")
    """
    if intensity not in get_args(Intensity):
        msg = f"intensity: expected one of {get_args(Intensity)}, got {intensity!r}."
        raise ValueError(msg)
