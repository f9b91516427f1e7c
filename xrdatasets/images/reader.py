"""Step one, read: a path or bytes to a `RawImage`, by the decoder that the file's first bytes name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import jpeg, png
from xrdatasets.images.dicom import decode_dicom
from xrdatasets.images.dicom_file import is_dicom
from xrdatasets.images.memory import keep_memory
from xrdatasets.images.pixels import DAMAGED, MAX_PIXELS, RawImage
from xrdatasets.images.raster import decode_raster

__all__ = ["DECODERS", "read_image"]

# the largest image that is read (`MAX_PIXELS`) as uncompressed 16-bit RGBA
MAX_BYTES = 8 * MAX_PIXELS


# offset, bytes that stand there, decoder: a new format is a new row
DECODERS: tuple[tuple[int, bytes, Callable[[bytes], RawImage]], ...] = (
    (0, png.SIGNATURE, png.decode_png),
    (0, jpeg.SIGNATURE, jpeg.decode_jpeg),
    (128, b"DICM", decode_dicom),  # PS3.10, section 7.1; what stands before it may look like a TIFF
    (0, b"II*\0", decode_raster),  # TIFF, little-endian
    (0, b"MM\0*", decode_raster),  # TIFF, big-endian
    (0, b"BM", decode_raster),
    (0, b"GIF8", decode_raster),
)


def read_image(
    source: str | Path | bytes, *, dataset: str | None = None, at_least: int | None = None
) -> RawImage:
    """Read one image; its bytes say what it is, never its name or its dataset.

    Args:
        source: path of the file, or the file's content.
        dataset: name of the dataset, for the error message.
        at_least: a hint: a format with resolution levels (JPEG 2000 in DICOM) may stop at the lowest where
            the shorter side still has so many pixels; None for the full image.

    Returns:
        (H, W) uint8 or uint16 pixels and the largest value of the file's bit depth. Colour is made
        grey (the common channel, or Rec. 601 luma), alpha dropped, EXIF ignored. DICOM comes as it is
        meant to be looked at, dense is bright (`decode_dicom`).

    Raises:
        ImageReadError: the file is missing, damaged, truncated, too large, has several frames, or is
            no image of a kind that is read (PNG, JPEG, TIFF, BMP, GIF, DICOM).
        DecoderNotFoundError: it is DICOM of a transfer syntax whose decoder is not installed.
        ValueError: `at_least` is no positive integer.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2), 77).save(file, "PNG")
        >>> raw = read_image(file.getvalue())
        >>> raw.pixels.shape, raw.pixels.dtype, raw.max_value
        ((2, 3), dtype('uint8'), 255)
        >>> read_image(b"PatientID", dataset="nih")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        xrdatasets.errors.ImageReadError: nih: cannot read '9 bytes': it is no image of a known kind ...
    """
    if at_least is not None and (type(at_least) is not int or at_least < 1):
        msg = f"at_least: expected a positive integer or None, got {at_least!r}."
        raise ValueError(msg)
    keep_memory()
    try:
        data = source if isinstance(source, bytes) else _load(Path(source))
        decoder = _decoder(data)
        return decode_dicom(data, at_least=at_least) if decoder is decode_dicom else decoder(data)
    except (ImageReadError, DecoderNotFoundError) as error:
        name = f"{len(source):,} bytes" if isinstance(source, bytes) else source
        msg = f"{f'{dataset}: ' if dataset else ''}cannot read '{name}': {error}"
        raise type(error)(msg) from error


def _load(path: Path) -> bytes:
    """The content of a regular file."""
    try:
        reason = _unreadable(path.stat())
        if not reason:
            return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    msg = f"{reason}. Expected an image file. Check the path and the download."
    raise ImageReadError(msg)


def _unreadable(about: os.stat_result) -> str:
    """Why a file is not even opened, or nothing."""
    if not stat.S_ISREG(about.st_mode):
        return "it is a folder or a device"
    if about.st_size > MAX_BYTES:
        return f"it has {about.st_size:,} bytes, more than any image of {MAX_PIXELS:,} pixels"
    return ""


def _decoder(data: bytes) -> Callable[[bytes], RawImage]:
    for offset, magic, decoder in DECODERS:
        if data.startswith(magic, offset):
            return decoder
    if is_dicom(data):  # without its preamble, or the word behind it
        return decode_dicom
    begin = f"it begins with {data[:12]!r}" if data else "it is empty"
    msg = f"it is no image of a known kind ({begin}). Expected PNG, JPEG, TIFF, BMP, GIF or DICOM. {DAMAGED}"
    raise ImageReadError(msg)
