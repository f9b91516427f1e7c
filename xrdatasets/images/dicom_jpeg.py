"""JPEG of every kind in DICOM: 8 and 12 bits, without loss, and JPEG-LS.

Decoders make up what is missing of a cut frame, or take as much memory as its own header says. So that header
has to agree with DICOM's, the frame has to have an end, and libjpeg's pictures are made twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images.dicom_file import DicomFile
from xrdatasets.images.dicom_layout import Layout
from xrdatasets.images.jpeg import decode_jpeg
from xrdatasets.images.pixels import DAMAGED, refusing

__all__ = ["unpack_jpeg", "unpack_jpeg_ls", "unpack_lossless_jpeg"]

# ITU-T T.81, table B.1, and T.87 (JPEG-LS): marks that begin a frame header
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
FILL = re.compile(rb"\xff+")
START_OF_SCAN, RESTART_INTERVAL, JFIF, ADOBE = 0xDA, 0xDD, 0xE0, 0xEE
START, END = b"\xff\xd8", b"\xff\xd9"
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, JPEG_LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """The frame header of a JPEG or JPEG-LS, and where its entropy-coded pixels lie.

    Attributes:
        kind: the mark: C0 baseline, C1 extended, C2 progressive, C3 lossless, F7 JPEG-LS.
        precision: bits of a sample.
        height: rows.
        width: columns.
        names: of the components, one byte each.
        restart: coded units between restart marks, 0 for none.
        jfif: whether there is a JFIF mark.
        adobe: the colour transform of an Adobe mark, None without one.
        scan: where the first scan's header begins.
        end: where the end mark stands.
    """

    kind: int
    precision: int
    height: int
    width: int
    names: bytes
    restart: int
    jfif: bool
    adobe: int | None
    scan: int
    end: int


def unpack_jpeg(file: DicomFile, layout: Layout, _: int | None = None) -> NDArray[Any]:
    """JPEG of 8 bits by libjpeg-turbo in kornia_rs, which takes warnings for errors; of 12 in imagecodecs.

    Args:
        file: whose frame it is.
        layout: what its header says of the pixels.
        _: JPEG has no resolution levels.

    Returns:
        (H, W) uint8 or uint16, of colour the luma; (H, W, 3) if its components are red, green and blue.

    Raises:
        ImageReadError: the frame is cut, damaged, or not what the header says.
        DecoderNotFoundError: it has 12 bits, and imagecodecs is not installed.
    """
    data = file.fragments()
    frame = _checked(data, layout, (BASELINE, EXTENDED, PROGRESSIVE))
    if frame.precision != 8:
        if layout.samples > 1:
            raise ImageReadError(
                "its pixels are JPEG colour of 12 bits. Expected 8. Convert it to a grey PNG."
            )
        return _twice(data, frame, layout, _imagecodecs(file))
    if layout.samples == 1 or not _is_rgb(frame, layout):
        return decode_jpeg(data).pixels
    import kornia_rs.io as kornia

    # an Adobe mark in front says that the colours are RGB, as libjpeg wants to hear it
    marked = data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + data[2:]
    with refusing("its pixel data is cut or damaged"):
        colours: NDArray[Any] = kornia.decode_image_jpegturbo(marked, "rgb")
    return colours


def unpack_lossless_jpeg(file: DicomFile, layout: Layout, _: int | None = None) -> NDArray[Any]:
    """JPEG without loss, of 2 to 16 bits, by libjpeg-turbo in imagecodecs.

    Args:
        file: whose frame it is.
        layout: what its header says of the pixels.
        _: JPEG has no resolution levels.

    Returns:
        (H, W) uint8 or uint16; (H, W, 3) of colour.

    Raises:
        ImageReadError: the frame is cut, damaged, or not what the header says.
        DecoderNotFoundError: imagecodecs is not installed.
    """
    codecs, data = _imagecodecs(file), file.fragments()
    return _twice(data, _checked(data, layout, (LOSSLESS,)), layout, codecs)


def unpack_jpeg_ls(file: DicomFile, layout: Layout, _: int | None = None) -> NDArray[Any]:
    """JPEG-LS by CharLS in imagecodecs, which refuses what is cut.

    Args:
        file: whose frame it is.
        layout: what its header says of the pixels.
        _: JPEG has no resolution levels.

    Returns:
        (H, W) uint8 or uint16, of YBR the luma; (H, W, 3) of RGB.

    Raises:
        ImageReadError: the frame is cut, damaged, or not what the header says.
        DecoderNotFoundError: imagecodecs is not installed.
    """
    codecs, data = _imagecodecs(file), file.fragments()
    _checked(data, layout, (JPEG_LS,))  # without an end mark, CharLS looks for one for seconds
    with refusing("its pixel data is cut or damaged"):
        decoded: NDArray[Any] = codecs.jpegls_decode(data)
    return decoded[..., 0] if decoded.ndim == 3 and layout.luma_first else decoded


def _imagecodecs(file: DicomFile) -> Any:
    """The package, or an error that names it."""
    try:
        import imagecodecs

        if imagecodecs.JPEG8.available and imagecodecs.JPEGLS.available:
            return imagecodecs
    except ImportError:
        pass
    msg = (
        f"its transfer syntax is {file.syntax_name}, which imagecodecs decodes. "
        'Install it: pip install "xrdatasets[dicom]".'
    )
    raise DecoderNotFoundError(msg)


def _checked(data: bytes, layout: Layout, kinds: tuple[int, ...]) -> _Jpeg:
    """The frame header of a JPEG of one of these kinds."""
    frame = _read(data)
    if frame.kind not in kinds:
        msg = (
            f"its packed frame is JPEG of kind {frame.kind:02X}, which its transfer syntax is not. {DAMAGED}"
        )
        raise ImageReadError(msg)
    layout.agree(frame.height, frame.width, len(frame.names), frame.precision)
    return frame


def _is_rgb(frame: _Jpeg, layout: Layout) -> bool:
    """Whether the components are red, green and blue: the frame's marks say so, or else DICOM's header."""
    if frame.adobe is not None:
        return frame.adobe == 0
    return not frame.jfif and (layout.kind == "RGB" or frame.names == b"RGB")


def _twice(data: bytes, frame: _Jpeg, layout: Layout, codecs: Any) -> NDArray[Any]:
    """Decode with two different continuations of the pixel data: an image that ends early shows them.

    imagecodecs drops libjpeg's warnings, and so returns a picture for a frame which was cut.
    """
    side = 1 if frame.kind == LOSSLESS else 8
    units = -(-frame.height // side) * -(-frame.width // side)
    if units * len(frame.names) > 8 * len(data):  # each has a Huffman code of at least a bit
        msg = f"{len(data):,} bytes of JPEG cannot hold its {units:,} coded units. {DAMAGED}"
        raise ImageReadError(msg)
    marks = sum(data.count(bytes([0xFF, mark]), frame.scan, frame.end) for mark in range(0xD0, 0xD8))
    # a frame that is cut in front of a restart mark has the same end, whatever follows
    if frame.restart and marks != -(-units // frame.restart) - 1:
        msg = f"its pixel data is cut or damaged: {marks:,} restart marks are not all. {DAMAGED}"
        raise ImageReadError(msg)
    results = []
    for fill in (b"\x55", b"\xaa"):
        longer = data[: frame.end] + 64 * fill + b"\xff\xd9"
        with refusing("its pixel data is cut or damaged"):
            results.append(codecs.jpeg8_decode(longer))
    first: NDArray[Any] = results[0]
    second = results[1]
    if first.shape[:2] != (layout.rows, layout.columns) or not np.array_equal(first, second):
        msg = f"its pixel data is cut or damaged: it ends before the last pixel. {DAMAGED}"
        raise ImageReadError(msg)
    return first[..., 0] if first.ndim == 3 and layout.luma_first else first


def _read(data: bytes) -> _Jpeg:
    """Walk the segments in front of the pixels, and look for the end."""
    found: dict[int, bytes] = {}
    frame = 0
    at = 2 if data[:2] == START else len(data)
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        mark = data[at + 1]
        if mark == 0xFF or mark in STANDALONE:
            at = FILL.match(data, at).end() - 1 if mark == 0xFF else at + 2  # type: ignore[union-attr]
            continue
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.setdefault(mark, data[at + 4 : stop])
        frame = frame or (mark if mark in FRAMES else 0)
        if mark == START_OF_SCAN:
            return _frame(data, found, frame, at, stop)
        at = stop
    raise _damaged("it is no JPEG, or ends before its pixels")


def _frame(data: bytes, found: dict[int, bytes], frame: int, scan: int, pixels: int) -> _Jpeg:
    body = found.get(frame, b"") if frame else b""
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise _damaged("it has no complete frame header")
    end = data.find(END, pixels)
    if end < 0:
        raise _damaged("it has no end mark")
    if START in data[end:]:
        raise ImageReadError("its pixel data has several images. Save the one you want by itself.")
    adobe = found.get(ADOBE, b"")
    return _Jpeg(
        kind=frame,
        precision=body[0],
        height=int.from_bytes(body[1:3]),
        width=int.from_bytes(body[3:5]),
        names=bytes(body[6 : 6 + 3 * body[5] : 3]),
        restart=int.from_bytes(found.get(RESTART_INTERVAL, b"")[:4]),
        jfif=found.get(JFIF, b"")[:5] == b"JFIF\0",
        adobe=adobe[11] if adobe[:5] == b"Adobe" and len(adobe) > 11 else None,
        scan=scan,
        end=end,
    )


def _damaged(what: str) -> ImageReadError:
    """An error, to be raised."""
    return ImageReadError(f"its packed pixel data is cut or damaged: {what}. {DAMAGED}")
