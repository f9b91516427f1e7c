"""Step one, read: a file of bare pixels, which says nothing of itself, by what its release says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, check_size

__all__ = ["Layout", "decode_headerless", "read_headerless"]

# More pixels than this above the bit depth are no scratches on a film: the byte order is another one.
TOO_BRIGHT = 0.01


@dataclass(frozen=True, slots=True)
class Layout:
    """What a release says of its files of two bytes per pixel, row after row.

    Attributes:
        height: rows.
        width: columns.
        bits: bits of a value in use.
        big_endian: the byte of more weight stands first.
        inverted: dense is dark in the file; the values are turned round, so that dense is bright.
    """

    height: int
    width: int
    bits: int
    big_endian: bool
    inverted: bool

    @property
    def size(self) -> int:
        """Bytes of a whole file."""
        return 2 * self.height * self.width


def read_headerless(path: Path, layout: Layout, *, dataset: str | None = None) -> RawImage:
    """Read one file of bare pixels.

    Args:
        path: the file.
        layout: what its release says of it.
        dataset: name of the dataset, for the error message.

    Returns:
        (height, width) uint16 pixels, dense is bright, and the largest value of `layout.bits`.

    Raises:
        ImageReadError: the file is missing, of another size than the layout's, or has too many values
            above its bit depth.
    """
    try:
        return decode_headerless(_load(path, layout), layout)
    except ImageReadError as error:
        msg = f"{f'{dataset}: ' if dataset else ''}cannot read '{path}': {error}"
        raise ImageReadError(msg) from error


def decode_headerless(data: bytes, layout: Layout) -> RawImage:
    """Decode bare pixels.

    A stray value above the bit depth counts as the largest one; where there are many, the bytes are
    not what the layout says.

    Args:
        data: the whole file.
        layout: what its release says of it.

    Returns:
        (height, width) uint16 pixels, dense is bright, and the largest value of `layout.bits`.

    Raises:
        ImageReadError: another number of bytes, or more than 1 % of the values above the bit depth.

    Example:
        >>> layout = Layout(2, 2, bits=12, big_endian=True, inverted=True)
        >>> raw = decode_headerless(bytes([0, 0, 0, 1, 1, 0, 15, 255]), layout)
        >>> raw.pixels, raw.max_value
        (array([[4095, 4094],
               [3839,    0]], dtype=uint16), 4095)
    """
    check_size(layout.height, layout.width)
    _check_bytes(len(data), layout)
    stored = np.frombuffer(data, dtype=">u2" if layout.big_endian else "<u2")
    largest = 2**layout.bits - 1
    above = float(np.mean(stored > largest))
    if above > TOO_BRIGHT:
        order = "big" if layout.big_endian else "little"
        msg = (
            f"{above:.0%} of its values are above {largest:,}. Expected {layout.bits}-bit values, "
            f"{order}-endian. {DAMAGED}"
        )
        raise ImageReadError(msg)
    pixels = np.minimum(stored, largest).astype(np.uint16).reshape(layout.height, layout.width)
    return RawImage(np.subtract(largest, pixels, dtype=np.uint16) if layout.inverted else pixels, largest)


def _load(path: Path, layout: Layout) -> bytes:
    """The content of a regular file of the right size; one of another size is not even opened."""
    try:
        if path.is_file():
            _check_bytes(path.stat().st_size, layout)
            return path.read_bytes()
        reason = "it is not there, or no file"
    except OSError as error:
        if isinstance(error, ImageReadError):
            raise
        reason = error.strerror or str(error)
    msg = f"{reason}. Expected an image file. Check the path and the download."
    raise ImageReadError(msg)


def _check_bytes(number: int, layout: Layout) -> None:
    if number != layout.size:
        msg = (
            f"it has {number:,} bytes. Expected {layout.size:,}: {layout.width} x {layout.height} pixels of "
            f"two bytes, without a header. {DAMAGED}"
        )
        raise ImageReadError(msg)
