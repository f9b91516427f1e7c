"""Step three, crop and resize: native pixels to a square of the size a model expects.

Along each axis a resize is one sparse matrix, (size, n) float32, whose rows sum to 1; the image is
multiplied by one from each side. The engines sample at half-pixel centres and replicate the edge (but for
``xrv``: outside the image is 0 there, and rows at the edge sum to less).
"""

from __future__ import annotations

import operator
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Engine", "center_crop", "check_engine", "check_size", "resize"]

Engine = Literal["area", "gaussian", "xrv"]
_Scalar = TypeVar("_Scalar", bound=np.generic)

# Rows of the result that are made together: at least so many, more while the float32 copy of the rows under
# them takes no more than `TILE` bytes, so that it stays in the processor's cache. Measured in the path, after
# a decode, against strips of columns and bands of 8 to 80 rows and of 128 KiB to 1 MiB, at 1024² to 4300².
BAND = 24
TILE = 2**19
# Samples in a line of the cache. Rows a power of two apart fall into the same lines when they are transposed,
# so they are kept an odd number of lines apart (1,024 columns to 512: 1.2 ms against 2).
LINE = 16
# Bytes of each scratch array that a thread keeps for its next image: enough for 4,300 x 4,300 made 224 x 224.
# What is larger is taken anew.
KEPT = 16 * 2**20
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
        _resize_plane(pixels[image], engine, out[image])
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


class _Scratch(threading.local):
    """Arrays of one thread that every image overwrites.

    The C library gives memory of this size back to the system at once, which then hands out zeroed pages
    anew, image by image: that was more than half of the time of a resize (1024² to 224²: 1.7 ms against 0.5).
    """

    def __init__(self) -> None:
        self.kept: dict[str, NDArray[np.float32]] = {}

    def take(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """(rows, columns) of what was there before, valid until the next image."""
        need = rows * columns
        array = self.kept.get(name)
        if array is None or array.size < need:
            array = np.empty(need, np.float32)
            if array.nbytes <= KEPT:
                self.kept[name] = array
        return array[:need].reshape(rows, columns)


_scratch = _Scratch()


def _resize_plane(plane: NDArray[Any], engine: Engine, out: NDArray[np.float32]) -> None:
    """Write one image at the size of `out`, band by band."""
    height, width = plane.shape
    size = len(out)
    if (height, width) == (size, size):
        out[...] = plane
        return
    columns, apart = _operator(width, size, engine), _apart(width)
    together = min(size, max(BAND, TILE // (4 * apart) * size // height))
    for top, first, rows in _bands(height, size, engine, together):
        made, used = rows.shape
        tile = _scratch.take("tile", used, apart)
        tile[:, :width] = plane[first : first + used]
        tile[:, width:] = 0
        turned = _scratch.take("turned", width, made if made <= 3 * LINE else _apart(made))
        turned[:, :made] = (rows @ tile)[:, :width].T  # the second product reads it in order
        turned[:, made:] = 0
        out[top : top + made] = (columns @ turned)[:, :made].T


def _apart(samples: int) -> int:
    """Length of a row: the least that holds so many and is an odd number of lines of the cache."""
    lines = -(-samples // LINE)
    return LINE * (lines + 1 - lines % 2)


@lru_cache(maxsize=64)
def _bands(
    n_in: int, n_out: int, engine: Engine, together: int
) -> tuple[tuple[int, int, csr_array[np.float32]], ...]:
    """The matrix of `_operator` in bands: first row, first column that is not 0, and what is from there."""
    from scipy.sparse import csr_array

    whole = _operator(n_in, n_out, engine)
    bands = []
    for top in range(0, n_out, together):
        starts = whole.indptr[top : top + together + 1]
        entries = slice(starts[0], starts[-1])
        taps = whole.indices[entries]
        first, last = taps.min(), taps.max()
        parts = (whole.data[entries], taps - first, starts - starts[0])
        bands.append((top, int(first), csr_array(parts, shape=(len(starts) - 1, int(last - first) + 1))))
    return tuple(bands)


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
    parts = (weights.astype(np.float32).ravel(), columns.ravel(), starts)
    matrix = csr_array(parts, shape=(n_out, n_in))
    matrix.eliminate_zeros()  # a tenth of the taps of an area, each a pass over a row
    return matrix


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
