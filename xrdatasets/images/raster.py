"""Decode the rare rest through imageio's pillow plugin: TIFF, BMP, GIF, PNG with palettes or few bits."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, Stored, check_size, grey, refusing
from xrdatasets.images.silence import quiet

__all__ = ["FORMATS", "decode_imageio", "decode_raster"]

FORMATS = ("TIFF", "BMP", "GIF")

# pillow's 8-bit modes whose values are the file's own: CMYK, Lab, YCbCr, float and 32-bit are not
MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "RGBX"})
# TIFF 6.0: tags 258 and 262; PhotometricInterpretation 0 is WhiteIsZero
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
COMPRESSION, TILE_WIDTH, TILE_LENGTH = 259, 322, 323
# Fax codes (TIFF 6.0, sections 10 and 11) have one bit a pixel, and no least length.
FAX = (2, 3, 4)
# What a byte can become at most: of LZW a code of 9 bits or more up to 3,839 bytes (TIFF 6.0, section 13;
# GIF89a, appendix F, has as many), of deflate 1,032, of run lengths 128 (BMP 255).
MOST_PIXELS_PER_BYTE = 4_096
# A tile may reach beyond the image, but not make a large one of a small file.
LARGEST_TILE = 1_024


def decode_raster(data: bytes) -> RawImage:
    """Decode a TIFF, BMP or GIF of one frame.

    Args:
        data: the whole file.

    Returns:
        (H, W) uint8 with `max_value` 255, or uint16 with 65,535 for a TIFF of 16-bit grey.

    Raises:
        ImageReadError: the file is truncated, damaged, too large, has several frames, or a pixel
            format that would lose bits or meaning (16-bit colour, 32 bits, float, CMYK).

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("I;16", (3, 2), 40_000).save(file, "TIFF")
        >>> raw = decode_raster(file.getvalue())
        >>> raw.pixels[0, 0], raw.max_value
        (np.uint16(40000), 65535)
    """
    with quiet:
        _check(data)
        pixels = decode_imageio(data)
    return RawImage(pixels, 65_535 if pixels.dtype == np.uint16 else 255)


def decode_imageio(data: bytes) -> Stored:
    """The grey channel (H, W) of the first frame, as imageio's pillow plugin reads it.

    Args:
        data: the whole file, of a kind whose header has been checked.

    Returns:
        (H, W) uint8 or uint16; one bit becomes 0 and 255, a palette its colours.

    Raises:
        ImageReadError: the file is truncated or damaged, or pillow was told to read such files.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("1", (3, 2), 1).save(file, "PNG")
        >>> decode_imageio(file.getvalue())[0, 0]
        np.uint8(255)
    """
    import imageio.v3 as iio
    from PIL import ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageReadError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so that half an image cannot be told "
            "from a whole one. Set it to False."
        )
    with refusing("its pixel data is cut or damaged"):
        decoded = iio.imread(data, plugin="pillow", index=0)
    if decoded.dtype == np.bool_:
        return decoded.astype(np.uint8) * np.uint8(255)
    return grey(decoded.astype(decoded.dtype.newbyteorder("="), copy=False))


def _check(data: bytes) -> None:
    """Size, frames and pixel format, from the header alone."""
    from PIL import Image

    with refusing("its header is cut or damaged"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        check_size(image.height, image.width)
        _CHECKS[str(image.format)](data, image)
        if getattr(image, "is_animated", False):
            msg = f"the {image.format} has several frames. Expected one. Save the frame you want by itself."
            raise ImageReadError(msg)
        _check_mode(image.mode, dict(getattr(image, "tag_v2", {})))


def _check_mode(mode: str, tags: dict[int, object]) -> None:
    """Refuse pixel formats that pillow reads with fewer bits or with another meaning."""
    bits = tags.get(BITS_PER_SAMPLE, (8,))
    if mode.startswith("I;16"):
        # pillow reads 12 bits as 16 and does not invert WhiteIsZero in 16 bits
        faithful = bits == (16,) and tags.get(PHOTOMETRIC) != WHITE_IS_ZERO
    else:
        # pillow reads 16-bit colour as 8 bits
        faithful = mode in MODES and isinstance(bits, tuple) and max(bits) <= 8
    if not faithful:
        msg = (
            f"its pixels are {mode} of {bits} bits. Expected grey of 1 to 8 or 16 bits, or colour of 8. "
            "Convert it to a grey PNG."
        )
        raise ImageReadError(msg)


def _check_tiff(data: bytes, image: Any) -> None:
    """Refuse a TIFF of more pixels than its bytes can hold, of tiles larger than itself, or cut."""
    tags = image.tag_v2
    if tags.get(COMPRESSION) not in FAX:
        _check_bytes(data, image)
    for tag, side in ((TILE_WIDTH, image.width), (TILE_LENGTH, image.height)):
        if tags.get(tag, 0) > max(side, LARGEST_TILE):
            msg = f"its header says tiles of {tags[tag]:,} pixels in an image of {side:,}. {DAMAGED}"
            raise ImageReadError(msg)
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    _check_end(data, at + 2 + 12 * entries + 4)  # the place of the next directory ends this one


def _check_gif(data: bytes, image: Any) -> None:
    """Refuse a GIF of more pixels than its bytes can hold, of a frame that is a part of it, or cut."""
    _check_bytes(data, image)
    width, height = struct.unpack_from("<HH", data, 6)  # pillow's own are those of a frame that is larger
    if tuple(image.tile[0][1]) != (0, 0, width, height):
        msg = f"the GIF's frame is not as large as its {width:,} x {height:,} pixels. Save it as PNG."
        raise ImageReadError(msg)
    if not data.endswith(b";"):  # GIF89a, section 27: the trailer
        _check_end(data, len(data) + 1)


def _check_bmp(data: bytes, image: Any) -> None:
    """Refuse a BMP of more pixels than its bytes can hold, or without its last row."""
    _check_bytes(data, image)
    pixels, header = struct.unpack_from("<II", data, 10)
    if header < 40:  # OS/2
        return
    (bits, compression) = struct.unpack_from("<HI", data, 28)
    if compression == 0:
        _check_end(data, pixels + -(-image.width * bits // 32) * 4 * image.height)


def _check_bytes(data: bytes, image: Any) -> None:
    if image.width * image.height > MOST_PIXELS_PER_BYTE * len(data):
        msg = (
            f"its header says {image.width:,} x {image.height:,} pixels, which {len(data):,} bytes of "
            f"{image.format} cannot hold. {DAMAGED}"
        )
        raise ImageReadError(msg)


def _check_end(data: bytes, need: int) -> None:
    if len(data) < need:
        msg = f"its pixel data is cut or damaged: it ends after {len(data):,} of {need:,} bytes. {DAMAGED}"
        raise ImageReadError(msg)


_CHECKS = {"TIFF": _check_tiff, "GIF": _check_gif, "BMP": _check_bmp}
