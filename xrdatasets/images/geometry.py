"""Step three, crop and resize: native pixels to a square of the size a model expects.

Along each axis a resize is one sparse matrix, (size, n) float32, whose rows sum to 1; the image is
multiplied by one from each side. The engines sample at half-pixel centres and replicate the edge (but for
``xrv``: outside the image is 0 there, and rows at the edge sum to less).
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Engine", "center_crop", "check_engine", "check_size", "resize"]

Engine = Literal["area", "gaussian", "xrv"]
_Scalar = TypeVar("_Scalar", bound=np.generic)

# Columns that are resized together: their float32 copy stays in the processor's cache (measured at 1024²,
# 2544² and 3000²: 1.3 to 2.3 times as fast as all at once). No power of two: rows 1,024 bytes apart fall
# into the same cache lines when they are transposed (256 columns take 1.3 times as long as 248).
STRIP = 248
# scipy.ndimage.gaussian_filter's `truncate`, which skimage.transform.resize leaves at its default
TRUNCATE = 4.0


def center_crop(pixels: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Cut the central square whose side is the shorter side.

    Args:
        pixels: (…, H, W).

    Returns:
        (…, s, s) with s = min(H, W), starting at dim//2 - s//2: a view, not a copy.

    Source:
        torchxrayvision 1.5.2, ``datasets.XRayCenterCrop``.

    Example:
        >>> import numpy as np
        >>> center_crop(np.arange(10).reshape(2, 5))
        array([[1, 2],
               [6, 7]])
    """
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    return pixels[..., top : top + side, left : left + side]


def resize(pixels: NDArray[Any], size: int, *, engine: Engine = "area") -> NDArray[np.float32]:
    """Resize both axes to `size`, with antialiasing where they shrink and bilinearly where they grow.

    Args:
        pixels: (…, H, W) of any real dtype; values are not rescaled.
        size: rows and columns of the result.
        engine: ``"area"``: each output pixel is the mean of the input under it, exactly (as OpenCV's
            INTER_AREA). ``"gaussian"``: torchxrayvision's pixels, a Gaussian of sigma
            (factor - 1)/2 cut at 4 sigma and then a linear sample, but for the frame that its zero
            padding draws around every image: here the edge is replicated. ``"xrv"``: the same with that
            frame, to reproduce its numbers: outside the image is 0, which is mid-grey in its range.

    Returns:
        (…, size, size) float32, C-contiguous, within the range of the input but for
        rounding in float32.

    Raises:
        ValueError: `size` is no positive integer, the engine is unknown, or an axis is empty.

    Source:
        skimage.transform.resize(…, order=1, preserve_range=True), mode="edge" for ``"gaussian"`` and
        "constant" for ``"xrv"``.

    Example:
        >>> import numpy as np
        >>> resize(np.array([[0, 2, 10, 10], [2, 0, 30, 30]], np.uint8), 2)
        array([[ 1., 10.],
               [ 1., 30.]], dtype=float32)
    """
    check_engine(engine)
    size = check_size(size)
    if pixels.ndim < 2 or 0 in pixels.shape:
        msg = f"pixels: expected (…, H, W) without an empty axis, got {pixels.shape}."
        raise ValueError(msg)
    out = np.empty((*pixels.shape[:-2], size, size), np.float32)
    for image in np.ndindex(pixels.shape[:-2]):
        out[image] = _resize_plane(pixels[image], size, engine)
    return out


def check_engine(engine: str) -> None:
    """Refuse an unknown name.

    Args:
        engine: what the caller passed.

    Raises:
        ValueError: none of ``"area"``, ``"gaussian"``, ``"xrv"``.

    Example:
        >>> check_engine("area")
    """
    if engine not in get_args(Engine):
        msg = f"engine: expected one of {get_args(Engine)}, got {engine!r}."
        raise ValueError(msg)


def check_size(size: object) -> int:
    """Refuse what is no positive integer.

    Args:
        size: what the caller passed; numpy's integers are fine.

    Returns:
        The size as int.

    Raises:
        ValueError: a bool, a float, a text, or less than 1.

    Example:
        >>> check_size(224)
        224
    """
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 1:
        return operator.index(size)
    msg = f"size: expected a positive integer, got {size!r}."
    raise ValueError(msg)


def _resize_plane(plane: NDArray[Any], size: int, engine: Engine) -> NDArray[np.float32]:
    height, width = plane.shape
    if (height, width) == (size, size):
        return plane.astype(np.float32)
    rows, columns = _operator(height, size, engine), _operator(width, size, engine)
    half = np.empty((width, size), np.float32)  # transposed: the second product reads it in order
    for left in range(0, width, STRIP):
        strip = plane[:, left : left + STRIP].astype(np.float32)
        half[left : left + STRIP] = (rows @ strip).T
    result: NDArray[np.float32] = (columns @ half).T
    return result


@lru_cache(maxsize=64)
def _operator(n_in: int, n_out: int, engine: Engine) -> csr_array[np.float32]:
    """The (n_out, n_in) matrix of one axis."""
    from scipy.sparse import csr_array

    if engine == "area" and n_in > n_out:
        weights, taps = _area(n_in, n_out)
    else:
        weights, taps = _gaussian(n_in, n_out, padded=engine == "xrv")
    starts = np.arange(n_out + 1, dtype=np.int32) * taps.shape[1]
    columns = taps.clip(0, n_in - 1).astype(np.int32)
    return csr_array((weights.astype(np.float32).ravel(), columns.ravel(), starts), shape=(n_out, n_in))


def _area(n_in: int, n_out: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weights and taps, (n_out, k): output i covers [i, i+1)·n_in/n_out, in units of 1/n_out pixel."""
    begin = np.arange(n_out)[:, np.newaxis] * n_in
    taps = begin // n_out + np.arange(n_in // n_out + 2)
    overlap = np.minimum(begin + n_in, (taps + 1) * n_out) - np.maximum(begin, taps * n_out)
    return overlap.clip(0) / n_in, taps


def _gaussian(n_in: int, n_out: int, *, padded: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weights and taps, (n_out, k), of a Gaussian and a linear sample of it; bilinear where n_in <= n_out.

    Outside the image the edge is replicated, or, `padded`, all is 0.
    """
    factor = n_in / n_out
    sigma = max(0.0, (factor - 1) / 2)
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-9)) ** 2)
    kernel /= kernel.sum()
    centre = ((np.arange(n_out) + 0.5) * factor - 0.5)[:, np.newaxis]
    if not padded:
        centre = centre.clip(0, n_in - 1)
    left = np.floor(centre).astype(np.int64)
    right = centre - left
    weights = (1 - right) * np.append(kernel, 0.0) + right * np.append(0.0, kernel)
    taps = left + np.arange(-radius, radius + 2)
    return np.where((taps >= 0) & (taps < n_in), weights, 0.0) if padded else weights, taps
