"""Unpack the one frame of a DICOM file, by its transfer syntax, with decoders that fuzzing showed to be safe.

Nothing falls back to another decoder after an error. What a decoder does not see of damage is checked around
it (`dicom_jpeg`, `dicom_wavelets`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images.dicom_file import DicomFile
from xrdatasets.images.dicom_jpeg import unpack_jpeg, unpack_jpeg_ls, unpack_lossless_jpeg
from xrdatasets.images.dicom_layout import Layout
from xrdatasets.images.dicom_wavelets import unpack_jpeg_2000
from xrdatasets.images.pixels import DAMAGED, refusing

__all__ = ["unpack"]


def unpack(file: DicomFile, layout: Layout, at_least: int | None = None) -> NDArray[Any]:
    """The stored samples of the frame.

    Args:
        file: whose pixels it is.
        layout: what its header says of them.
        at_least: pixels that the shorter side needs at least; None for all. Only JPEG 2000 leaves out
            resolution levels.

    Returns:
        (H, W) uint8 or uint16, the bits of each pixel in the lowest place with those above them left as
        they are, or its luma; (H, W, 3) of colour that is RGB.

    Raises:
        ImageReadError: the pixels are cut or damaged, or not what the header says.
        DecoderNotFoundError: the transfer syntax needs a package that is not installed, or has no decoder.
    """
    unpacker = SYNTAXES.get(file.syntax)
    if unpacker is None:
        msg = (
            f"its transfer syntax is {file.syntax_name}, which nothing here decodes. "
            "Convert it with another program."
        )
        raise DecoderNotFoundError(msg)
    with refusing("its pixel data is cut or damaged"):
        return unpacker(file, layout, at_least)


def _native(file: DicomFile, layout: Layout, _: int | None = None) -> NDArray[Any]:
    """Samples that nothing has packed (PS3.5, section 8.1)."""
    pixels = layout.rows * layout.columns
    if layout.kind == "YBR_FULL_422":
        pairs = np.frombuffer(file.native(2 * pixels), np.uint8).reshape(-1, 4)  # two lumas, blue, red
        return pairs[:, :2].reshape(layout.rows, layout.columns)
    need = -(-pixels * layout.samples * layout.allocated // 8)
    swapped = file.big and file.vr == "OW" and layout.allocated < 16  # bytes in words, high one first
    data = file.native(need + need % 2 if swapped else need)
    if layout.allocated == 16:
        samples: NDArray[Any] = np.frombuffer(data, ">u2" if file.big else "<u2")
    else:
        samples = np.frombuffer(data, np.uint8)
    if swapped:
        samples = samples.reshape(-1, 2)[:, ::-1].reshape(-1)[:need]
    if layout.allocated == 1:
        samples = np.unpackbits(samples, bitorder="little")[:pixels]
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if layout.high >= layout.stored:
        samples = samples >> (layout.high + 1 - layout.stored)
    return _arrange(samples, layout, planar=layout.planar)


def _arrange(samples: NDArray[Any], layout: Layout, *, planar: bool) -> NDArray[Any]:
    """Samples as (H, W) or (H, W, 3); luma alone where there is one."""
    if layout.samples == 1:
        return samples.reshape(layout.rows, layout.columns)
    shape = (3, layout.rows, layout.columns) if planar else (layout.rows, layout.columns, 3)
    colours = samples.reshape(shape)
    colours = np.moveaxis(colours, 0, 2) if planar else colours
    return colours[..., 0] if layout.luma_first else colours


def _rle(file: DicomFile, layout: Layout, _: int | None = None) -> NDArray[Any]:
    """Bytes of each significance by themselves, as PackBits (PS3.5, annex G), which pillow reads."""
    from PIL import Image

    data = file.fragments()
    pixels, width = layout.rows * layout.columns, layout.allocated // 8
    places = np.frombuffer(data[:64].ljust(64, b"\0"), "<u4").tolist()
    number, starts = layout.samples * width, places[1 : 1 + layout.samples * width]
    stops = [*starts[1:], len(data)]
    if (
        not number
        or places[0] != number
        or starts[0] < 64
        or any(a >= b for a, b in zip(starts, stops, strict=True))
    ):
        msg = f"its pixel data is cut or damaged: its RLE header is not one of {number} segments. {DAMAGED}"
        raise ImageReadError(msg)
    samples = np.empty((layout.samples, pixels, width), np.uint8)
    for place, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if pixels > 64 * (stop - start):  # two bytes repeat one at most 128 times
            msg = f"its RLE segment of {stop - start:,} bytes cannot hold {pixels:,} pixels. {DAMAGED}"
            raise ImageReadError(msg)
        with refusing("its pixel data is cut or damaged"):
            plane = Image.frombytes("L", (pixels, 1), data[start:stop], "packbits", "L")
        samples[place // width, :, width - 1 - place % width] = np.asarray(plane)[0]
    return _arrange(
        samples.reshape(-1).view(f"<u{width}").astype(f"u{width}", copy=False), layout, planar=True
    )


# transfer syntaxes (PS3.6, table A-1)
SYNTAXES: dict[str, Callable[[DicomFile, Layout, int | None], NDArray[Any]]] = {
    "1.2.840.10008.1.2": _native,
    "1.2.840.10008.1.2.1": _native,
    "1.2.840.10008.1.2.1.99": _native,  # inflated as it is read
    "1.2.840.10008.1.2.2": _native,
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2.4.50": unpack_jpeg,
    "1.2.840.10008.1.2.4.51": unpack_jpeg,
    "1.2.840.10008.1.2.4.57": unpack_lossless_jpeg,
    "1.2.840.10008.1.2.4.70": unpack_lossless_jpeg,
    "1.2.840.10008.1.2.4.80": unpack_jpeg_ls,
    "1.2.840.10008.1.2.4.81": unpack_jpeg_ls,
    "1.2.840.10008.1.2.4.90": unpack_jpeg_2000,
    "1.2.840.10008.1.2.4.91": unpack_jpeg_2000,
    "1.2.840.10008.1.2.4.201": unpack_jpeg_2000,
    "1.2.840.10008.1.2.4.202": unpack_jpeg_2000,
    "1.2.840.10008.1.2.4.203": unpack_jpeg_2000,
}
