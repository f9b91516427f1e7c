"""JPEG 2000 in DICOM, high-throughput or not, at the resolution level that is needed.

The codestream's own header has to agree with DICOM's, and all its tile-parts have to be there, before
openjpeg in pillow takes memory for them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import ImageReadError
from xrdatasets.images.dicom_file import DicomFile
from xrdatasets.images.dicom_layout import PALETTE, Layout
from xrdatasets.images.pixels import DAMAGED, refusing

__all__ = ["unpack_jpeg_2000"]

END = b"\xff\xd9"

# ITU-T T.800, table A.2
CODESTREAM = b"\xff\x4f\xff\x51"
CODING, COMPONENT_CODING, TILE_PART, TILE_DATA = 0xFF52, 0xFF53, 0xFF90, 0xFF93
JP2 = b"\0\0\0\x0cjP  "
# Tiles, precincts and code blocks of fewer pixels on average are made to waste memory: openjpeg takes some
# 400 bytes for each, coded or empty. Encoders make code blocks of 32 x 32 or 64 x 64, and the others larger.
LEAST_TILE, LEAST_PRECINCT, LEAST_BLOCK = 1024, 1024, 256
# An empty image may be any number of pixels; one of more than 16 million takes six bytes of memory for each.
LARGE, MOST_PIXELS_PER_BYTE = 2**24, 2_000
# T.800, table A.15
MAX_LEVELS = 32


@dataclass(frozen=True, slots=True)
class _Wavelets:
    """The main header of a JPEG 2000 codestream.

    Attributes:
        stream: the codestream, without a JP2 file around it.
        height: rows.
        width: columns.
        precisions: bits of each component's samples.
        signed: whether samples of the first component are signed.
        levels: how often the image can be halved.
        mixed: whether three components were mixed (RGB to YCbCr) and come back as RGB.
        shifted: whether the image does not begin in the upper left corner of the reference grid.
    """

    stream: bytes
    height: int
    width: int
    precisions: tuple[int, ...]
    signed: bool
    levels: int
    mixed: bool
    shifted: bool


def unpack_jpeg_2000(file: DicomFile, layout: Layout, at_least: int | None = None) -> NDArray[Any]:
    """JPEG 2000 by openjpeg in pillow, which refuses what is cut.

    Args:
        file: whose frame it is.
        layout: what its header says of the pixels.
        at_least: pixels that the shorter side needs at least; None for all.

    Returns:
        (H, W) uint8 or uint16, of YBR the luma; (H, W, 3) of RGB. With `at_least`, it is the lowest
        resolution level that has so many, read in between (`_centred`).

    Raises:
        ImageReadError: the frame is cut, damaged, or not what the header says.
    """
    frame = _read(file.fragments())
    layout.agree(frame.height, frame.width, len(frame.precisions), max(frame.precisions))
    if len(frame.precisions) > 1 and max(frame.precisions) > 8:
        msg = f"its pixels are colour of {max(frame.precisions)} bits. Expected 8. Convert it to a grey PNG."
        raise ImageReadError(msg)
    halved = _levels(frame, layout, at_least)
    decoded = _openjpeg(frame, halved)
    if halved:
        decoded = _centred(decoded, (frame.height, frame.width), 2**halved)
    if len(frame.precisions) > 1:
        return decoded[..., 0] if layout.luma_first and not frame.mixed else decoded
    bits = frame.precisions[0]
    # pillow shifts samples up to 8 or 16 bits, and signed ones to begin at 0
    samples = decoded >> (8 * decoded.dtype.itemsize - bits)
    return _signed(samples, bits, layout) if frame.signed else samples


def _signed(samples: NDArray[Any], bits: int, layout: Layout) -> NDArray[Any]:
    """Samples that pillow shifted to begin at 0, as two's complements of all the bits that are stored."""
    if layout.stored > bits and layout.signed:
        least, most = np.uint16(2**16 - 2 ** (bits - 1)), np.uint16(2**layout.stored - 1)
        return (samples.astype(np.uint16) + least) & most
    patterns: NDArray[Any] = samples ^ samples.dtype.type(1 << (bits - 1))
    return patterns


def _levels(frame: _Wavelets, layout: Layout, at_least: int | None) -> int:
    """How often to halve the image, so that its shorter side keeps as many pixels as are needed."""
    # means of indices into a palette, of two's complements that pass for unsigned, and of stray bits are none
    odd = layout.kind == PALETTE or frame.signed != layout.signed or max(frame.precisions) > layout.stored
    if at_least is None or frame.shifted or odd:
        return 0
    side, halved = min(frame.height, frame.width), 0
    while halved < frame.levels and -(-side // 2 ** (halved + 1)) >= at_least:
        halved += 1
    return halved


def _centred(decoded: NDArray[Any], native: tuple[int, int], step: int) -> NDArray[Any]:
    """A halved image whose pixels stand for equal parts of the native one, from border to border.

    A level's samples lie on every `step`-th native pixel, from the first on (T.800, annex F), not in the
    middle of the pixels that each would stand for: an image left so is moved by almost half of its pixels.
    Read linearly in between, it differs a third as much from the full one. The longer side may get one pixel
    less, so that the middle of the image stays the middle of its central square.
    """
    image = decoded.astype(np.float32)
    shorter = min(decoded.shape[:2])
    for axis, side in enumerate(native):
        last = decoded.shape[axis] - 1
        number = last + 1 - (last + 1 - shorter) % 2
        places = ((np.arange(number) + 0.5) * (side / number) - 0.5) / step
        before = np.minimum(places.astype(np.intp), last)
        share = np.expand_dims((places - before).astype(np.float32), tuple(range(1, image.ndim - axis)))
        begin = image.take(before, axis)
        image = begin + (image.take(np.minimum(before + 1, last), axis) - begin) * share
    return np.rint(image).astype(decoded.dtype)


def _openjpeg(frame: _Wavelets, halved: int) -> NDArray[Any]:
    from PIL import Image, ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageReadError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so that half an image cannot be told "
            "from a whole one. Set it to False."
        )
    # pillow rounds the halved size to the nearest, openjpeg up: it is told a size where that is the same
    height, width = (-(-side // 2**halved) for side in (frame.height, frame.width))
    told = b"".join((side << halved).to_bytes(4) for side in (width, height))
    file = io.BytesIO(frame.stream)
    if halved:
        file = io.BytesIO(frame.stream[:8] + told + frame.stream[16:])
    with refusing("its pixel data is cut or damaged"), Image.open(file, formats=["JPEG2000"]) as image:
        file.seek(8)
        file.write(frame.stream[8:16])
        if halved:
            image.reduce = halved  # type: ignore[assignment, method-assign]
        image.load()
        decoded = np.asarray(image)
    if decoded.shape[:2] != (height, width):
        msg = f"its pixel data has the shape {decoded.shape}, expected {(height, width)}. {DAMAGED}"
        raise ImageReadError(msg)
    return decoded


def _read(data: bytes) -> _Wavelets:
    """The main header, of which all tile-parts are there.

    Args:
        data: the frame: a codestream, or a JP2 file around one, as some write it.
    """
    stream = _codestream(data)
    try:
        return _header(stream)
    except (struct.error, IndexError, ZeroDivisionError):
        raise _damaged("its JPEG 2000 header ends too early") from None


def _codestream(data: bytes) -> bytes:
    """The codestream inside a JP2 file (T.800, annex I), or the data."""
    at = 0 if data.startswith(JP2) else len(data)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"jp2c":
            return data[at + 8 : at + length if length else None]
        if length < 8:
            break
        at += length
    return data


def _header(stream: bytes) -> _Wavelets:
    if not stream.startswith(CODESTREAM):
        raise _damaged("it is no JPEG 2000")
    sizes = struct.unpack_from(">8I", stream, 8)
    (right, bottom, left, top), (tile_width, tile_height, tile_left, tile_top) = sizes[:4], sizes[4:]
    number = int.from_bytes(stream[40:42])
    parts = [struct.unpack_from("3B", stream, 42 + 3 * place) for place in range(number)]
    if not number or any(part[1:] != (1, 1) for part in parts):
        raise _damaged("its components do not have one sample for each pixel")
    height, width = bottom - top, right - left
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if height < 1 or width < 1 or not 1 <= tiles <= 64 + height * width // LEAST_TILE:
        msg = f"it says {tiles:,} tiles for {width:,} x {height:,} pixels"
        raise _damaged(msg)
    if LARGE < height * width > MOST_PIXELS_PER_BYTE * len(stream):
        msg = f"it says {width:,} x {height:,} pixels in {len(stream):,} bytes"
        raise _damaged(msg)
    coding, levels, at = _main_header(stream, height, width)
    return _Wavelets(
        stream=stream,
        height=height,
        width=width,
        precisions=tuple((part[0] & 0x7F) + 1 for part in parts),
        signed=parts[0][0] > 0x7F,
        levels=min(levels, _walk(stream, at, tiles, height, width)),
        mixed=coding[4] == 1,
        shifted=left > 0 or top > 0,
    )


def _main_header(stream: bytes, height: int, width: int) -> tuple[bytes, int, int]:
    """The segment of the coding style, how often every component can be halved, and where tiles begin."""
    coding, levels = b"", MAX_LEVELS
    for mark, body, at in _segments(stream, 2):
        if mark == TILE_PART and coding:
            return coding, levels, at
        if mark == TILE_PART:
            break
        levels = min(levels, _halvings(mark, body, height, width))
        coding = body if mark == CODING and not coding else coding
    raise _damaged("its JPEG 2000 header has no coding style")


def _walk(stream: bytes, at: int, tiles: int, height: int, width: int) -> int:
    """How often every tile can be halved; each has to be there, in all its parts, as long as they say."""
    levels = MAX_LEVELS
    got: dict[int, int] = {}
    expected: dict[int, int] = {}
    while stream[at : at + 2] == TILE_PART.to_bytes(2):
        tile, length, _, number = struct.unpack_from(">HIBB", stream, at + 4)
        got[tile] = got.get(tile, 0) + 1
        expected[tile] = number or expected.get(tile, 0)
        for mark, body, _ in _segments(stream, at + 12):
            if mark == TILE_DATA:
                break
            levels = min(levels, _halvings(mark, body, height, width))
        stop = at + length if length else stream.rfind(END)
        if stop < at + 14 or stop > len(stream):
            raise _damaged("a part of it is cut")
        at = stop
    if stream[at : at + 2] != END:
        raise _damaged("it has no end mark where its parts end")
    if len(got) != tiles or any(number and got[tile] != number for tile, number in expected.items()):
        msg = f"it has {len(got):,} of {tiles:,} tiles, or another number of parts than it says"
        raise _damaged(msg)
    return levels


def _segments(stream: bytes, at: int) -> Iterator[tuple[int, bytes, int]]:
    """Mark, body and place of the segments from here on; the last is the first without a length."""
    while at + 4 <= len(stream):
        mark, length = struct.unpack_from(">HH", stream, at)
        yield mark, stream[at + 4 : at + 2 + length], at
        if mark < 0xFF00 or length < 2:
            break
        at += 2 + length
    raise _damaged("its JPEG 2000 header ends too early")


def _halvings(mark: int, body: bytes, height: int, width: int) -> int:
    """How often a coding style lets the image be halved; precincts far too small for it are refused.

    Source:
        T.800, tables A.12 to A.21.
    """
    if mark not in (CODING, COMPONENT_CODING):
        return MAX_LEVELS
    style, levels_at = (0, 5) if mark == CODING else (1, 2)
    levels = body[levels_at]
    if levels > MAX_LEVELS:
        msg = f"it says {levels} resolution levels"
        raise _damaged(msg)
    if 2 ** (body[levels_at + 1] + body[levels_at + 2] + 4) < LEAST_BLOCK < height * width // 64:
        msg = f"it says code blocks of less than {LEAST_BLOCK} for {width:,} x {height:,} pixels"
        raise _damaged(msg)
    sizes = body[levels_at + 5 : levels_at + 6 + levels] if body[style] & 1 else b""
    precincts = 0
    for level, size in enumerate(sizes):
        shrunk = levels - level
        across = -(-width // 2 ** (shrunk + (size & 15)))
        precincts += across * -(-height // 2 ** (shrunk + (size >> 4)))
    if precincts > 64 + height * width // LEAST_PRECINCT:
        msg = f"it says {precincts:,} precincts for {width:,} x {height:,} pixels"
        raise _damaged(msg)
    return levels


def _damaged(what: str) -> ImageReadError:
    """An error, to be raised."""
    return ImageReadError(f"its packed pixel data is cut or damaged: {what}. {DAMAGED}")
