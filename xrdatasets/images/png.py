"""Decode PNG: bytes to the grey channel, exact in 8 and 16 bits.

kornia_rs checks the checksums of the pixel data and refuses what ends too early. It reads grey, RGB
and RGBA of 8 and 16 bits; grey with alpha is handed to it under another name (see `_grey_alpha`).
Palettes and 1, 2 and 4 bits, which it refuses or returns as indices, go to pillow after a check of
their own; pillow would read 16-bit colour as 8 bits and leave missing rows black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, Stored, check_size, grey, refusing
from xrdatasets.images.raster import decode_imageio

__all__ = ["SIGNATURE", "decode_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
# PNG specification, third edition, table 12
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
MODES = {GREY: "mono", RGB: "rgb", RGBA: "rgba"}
# the seven passes of interlacing, section 8.1: first column, first row, and the steps between
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# section 11.2.5: a part without content, and its checksum
END = b"\0\0\0\0IEND\xaeB`\x82"
# zlib's manual: "deflate's compression ratio is limited to 1032:1"
DEFLATE_RATIO = 1_032


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    rest: bytes

    def pack(self) -> bytes:
        return struct.pack(">IIBB", self.width, self.height, self.depth, self.colour) + self.rest


def decode_png(data: bytes) -> RawImage:
    """Decode a PNG.

    Args:
        data: the whole file.

    Returns:
        (H, W) uint8 with `max_value` 255 for 1 to 8 bits (fewer bits are spread over 0 to 255), or
        uint16 with 65,535 for 16 bits. Colour is made grey, alpha dropped, an animation is its
        default image.

    Raises:
        ImageReadError: the file is truncated or damaged, too large, or no valid PNG.

    Source:
        PNG specification, third edition (W3C 2025).

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("I;16", (3, 2), 40_000).save(file, "PNG")
        >>> raw = decode_png(file.getvalue())
        >>> raw.pixels[0, 0], raw.max_value
        (np.uint16(40000), 65535)
    """
    header = _header(data)
    if _has_profile(data):
        data = _rebuild(data, header)
    if header.colour == PALETTE or header.depth < 8:
        return RawImage(decode_imageio(_complete(_rebuild(data, header), header)), 255)
    decoded = _grey_alpha(data, header) if header.colour == GREY_ALPHA else _decode(data, header)
    return RawImage(grey(decoded), 65_535 if header.depth == 16 else 255)


def _header(data: bytes) -> _Header:
    """Width, height, depth and colour type, checked before anything is decoded."""
    if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
        msg = f"the PNG has no complete header (it has {len(data):,} bytes). {DAMAGED}"
        raise ImageReadError(msg)
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if depth not in DEPTHS.get(colour, ()):
        msg = f"the PNG claims colour type {colour} with {depth} bits, which does not exist. {DAMAGED}"
        raise ImageReadError(msg)
    check_size(height, width)
    need = height * (1 + (width * depth * CHANNELS[colour] + 7) // 8)
    if need > DEFLATE_RATIO * len(data):
        msg = (
            f"its header says {width:,} x {height:,} pixels, {need:,} bytes, "
            f"which {len(data):,} bytes of PNG cannot hold. {DAMAGED}"
        )
        raise ImageReadError(msg)
    return _Header(width, height, depth, colour, data[26:29])


def _has_profile(data: bytes) -> bool:
    """Whether there is a colour profile, which would be inflated, to 64 MB if it says so.

    The walk from part to part also finds that the file is whole: kornia_rs stops reading after the pixels.

    Raises:
        ImageReadError: the file ends before its end mark, or that is damaged.
    """
    found, start = False, len(SIGNATURE)
    while start + 12 <= len(data):
        stop = start + 12 + int.from_bytes(data[start : start + 4])
        kind = data[start + 4 : start + 8]
        if kind == b"IEND" and data[start:stop] == END:
            return found
        found |= kind == b"iCCP"
        start = stop
    for _ in _chunks(data):  # says where it is cut or damaged
        pass
    msg = f"the PNG's end mark is damaged. {DAMAGED}"
    raise ImageReadError(msg)


def _decode(data: bytes, header: _Header) -> Stored:
    """The channels (H, W, C) of a PNG of colour type 0, 2 or 6 with 8 or 16 bits."""
    import kornia_rs.io as kornia

    decode = kornia.decode_image_png_u16 if header.depth == 16 else kornia.decode_image_png_u8
    try:
        with refusing("the PNG's pixel data is damaged"):
            decoded: Stored = decode(data, (header.height, header.width), MODES[header.colour])
    except ImageReadError:
        for _ in _chunks(data):  # says more precisely where the file is cut or which part is damaged
            pass
        raise
    return decoded


def _grey_alpha(data: bytes, header: _Header) -> Stored:
    """The grey channel of grey with alpha.

    kornia_rs refuses this colour type and pillow reads its 16 bits as 8. But a pixel of it is as many
    bytes as one of 16-bit grey (8 bits) or 8-bit RGBA (16 bits), and PNG's filters and interlacing
    know bytes per pixel alone: read under that name, the bytes come out unchanged.
    """
    if header.depth == 8:
        alias = _Header(header.width, header.height, 16, GREY, header.rest)
        return (_decode(_rebuild(data, alias), alias)[..., 0] >> 8).astype(np.uint8)
    alias = _Header(header.width, header.height, 8, RGBA, header.rest)
    high_low = _decode(_rebuild(data, alias), alias)[..., :2]
    return np.ascontiguousarray(high_low).view(">u2")[..., 0].astype(np.uint16)


def _rebuild(data: bytes, header: _Header) -> bytes:
    """The same image without its optional chunks (transparency, text, animation), checksums checked."""
    kept = [_chunk(b"IHDR", header.pack())]
    wanted = (b"PLTE", b"IDAT", b"IEND") if header.colour == PALETTE else (b"IDAT", b"IEND")
    kept += [data[start:stop] for kind, start, stop in _chunks(data) if kind in wanted]
    return SIGNATURE + b"".join(kept)


def _complete(rebuilt: bytes, header: _Header) -> bytes:
    """Refuse a PNG whose pixel data ends before its last row, which pillow would leave black."""
    pixels = b"".join(
        rebuilt[start + 8 : stop - 4] for kind, start, stop in _chunks(rebuilt) if kind == b"IDAT"
    )
    passes = ADAM7 if header.rest[2] else ((0, 0, 1, 1),)
    need = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(header.width - left) // step_x), -(-(header.height - top) // step_y)
        need += rows * (1 + (columns * header.depth + 7) // 8) if columns > 0 and rows > 0 else 0
    with refusing("the PNG's pixel data is damaged"):
        got = len(zlib.decompressobj().decompress(pixels, need))
    if got < need:
        msg = f"the PNG's pixel data is damaged: it ends after {got:,} of {need:,} bytes. {DAMAGED}"
        raise ImageReadError(msg)
    return rebuilt


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and stop of each chunk up to IEND; refuses a cut file and wrong checksums."""
    start = len(SIGNATURE)
    view: Any = memoryview(data)
    while start + 12 <= len(data):
        stop = start + 12 + int.from_bytes(data[start : start + 4])
        kind = data[start + 4 : start + 8]
        if stop > len(data):
            break
        # an upper-case first letter marks the chunks without which the image is not the image
        if kind[:1].isupper() and zlib.crc32(view[start + 4 : stop - 4]) != int.from_bytes(
            view[stop - 4 : stop]
        ):
            msg = f"the PNG's part {kind!r} at byte {start:,} does not match its checksum. {DAMAGED}"
            raise ImageReadError(msg)
        yield kind, start, stop
        if kind == b"IEND":
            return
        start = stop
    msg = f"the PNG ends too early, after {len(data):,} bytes, without its end mark. {DAMAGED}"
    raise ImageReadError(msg)
