"""What every decoder returns: one grey channel in the file's own bit depth, and the limits on its size.

The decoders (`png`, `jpeg`, `raster`, `dicom`) raise `ImageReadError` with the reason alone; `reader` puts
dataset and path in front of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import ImageReadError

__all__ = ["DAMAGED", "MAX_PIXELS", "RawImage", "Stored", "check_size", "grey", "refusing"]

Stored = NDArray[np.uint8] | NDArray[np.uint16]

# Five times a 43 cm detector of 0.1 mm pixels (4,300 x 4,300); as float32 it takes 400 MB.
MAX_PIXELS = 100_000_000

# The least that has two dimensions; what is smaller carries no image.
MIN_SIDE = 2

DAMAGED = "Download the file again."

# Rec. 601 luma in 16-bit fixed point (0.299, 0.587, 0.114 times 65,536; the sum is 65,536, so that
# grey stays grey), rounded half up: the integers of libjpeg's and pillow's own conversion.
LUMA = (19_595, 38_470, 7_471)


@dataclass(frozen=True, slots=True, eq=False)
class RawImage:
    """The pixels of a file, undistorted.

    Attributes:
        pixels: (H, W) uint8 or uint16, C-contiguous.
        max_value: the largest value that the file's bit depth can hold: 255, 65,535, or that of the bits in
            use (4,095 in a DICOM file of 12 bits).

    Example:
        >>> import numpy as np
        >>> raw = RawImage(np.zeros((2, 3), np.uint8), 255)
        >>> raw.pixels.shape, raw.max_value
        ((2, 3), 255)
    """

    pixels: Stored
    max_value: int


def check_size(height: int, width: int) -> None:
    """Refuse an image by the size in its header, before memory is taken for it.

    Args:
        height: rows, as the header says.
        width: columns, as the header says.

    Raises:
        ImageReadError: an empty image, a single pixel or line, or more than `MAX_PIXELS` pixels.

    Example:
        >>> check_size(1024, 1024)
    """
    if height < MIN_SIDE or width < MIN_SIDE:
        msg = (
            f"its header says {width} x {height} pixels. Expected at least {MIN_SIDE} x {MIN_SIDE}: "
            f"a single pixel or line is a placeholder, no radiograph. {DAMAGED}"
        )
        raise ImageReadError(msg)
    if height * width > MAX_PIXELS:
        msg = (
            f"its header says {width:,} x {height:,} pixels. Expected at most {MAX_PIXELS:,} in all. "
            "If this is a radiograph, make it smaller first."
        )
        raise ImageReadError(msg)


def grey(channels: NDArray[Any]) -> NDArray[Any]:
    """One grey channel of a decoded image: the common one, or Rec. 601 luma; alpha is dropped.

    Args:
        channels: (H, W) or (H, W, C) uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    Returns:
        (H, W) of the same dtype, C-contiguous. Luma is ``(19595 R + 38470 G + 7471 B + 32768) >> 16``.

    Source:
        ITU-R BT.601-7, section 2.5.1.

    Example:
        >>> import numpy as np
        >>> grey(np.array([[[200, 0, 0], [9, 9, 9]]], np.uint8))
        array([[60,  9]], dtype=uint8)
    """
    if channels.ndim == 2:
        return np.ascontiguousarray(channels)
    if channels.shape[2] < 3:
        return np.ascontiguousarray(channels[..., 0])
    red, green, blue = (channels[..., channel] for channel in range(3))
    # the first row tells most colour images apart without a look at the rest
    if (red[0] == green[0]).all() and (red == green).all() and (green == blue).all():
        return np.ascontiguousarray(red)
    # 65,535 · 65,536 + 32,768 still fits 32 bits
    luma: NDArray[Any] = np.multiply(red, LUMA[0], dtype=np.uint32)
    luma += np.multiply(green, LUMA[1], dtype=np.uint32)
    luma += np.multiply(blue, LUMA[2], dtype=np.uint32)
    luma += 32_768
    luma >>= 16
    return luma.astype(channels.dtype, copy=False)


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Turn whatever a decoder raises over hostile bytes into an `ImageReadError`.

    kornia_rs raises plain `Exception` and pillow a dozen kinds, so no list of types would be
    complete; a panic in Rust is a `BaseException` that pyo3 defines and does not export.

    Args:
        reason: what is wrong with the file if its decoder refuses it.

    Raises:
        ImageReadError: the decoder refused.

    Example:
        >>> with refusing("the pixel data is damaged"):
        ...     raise ValueError("bad filter")
        Traceback (most recent call last):
        xrdatasets.errors.ImageReadError: the pixel data is damaged (bad filter). Download the file again.
    """
    try:
        yield
    except (ImageReadError, MemoryError, ImportError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise
        msg = f"{reason} ({' '.join(str(error).split())}). {DAMAGED}"
        raise ImageReadError(msg) from error
