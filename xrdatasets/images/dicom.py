"""Decode DICOM through pydicom: modality rescale, window, then dense is bright."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images.pixels import DAMAGED, RawImage, Stored, check_size, grey, refusing
from xrdatasets.images.silence import quiet

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder

__all__ = ["decode_dicom"]

# What is read of a header (PS3.3, C.7.6.3, C.11.1, C.11.2): nothing that says who the patient is.
ELEMENTS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "VOILUTSequence", "PixelData",
)  # fmt: skip
NEEDED = ("PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PixelData")

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

# A window maps to real numbers; they are rounded to 16 bits.
WINDOWED_MAX = 65_535

# transfer syntaxes (PS3.6, table A-1) that neither pydicom nor pillow decodes, and what does
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
PACKAGES = {
    JPEG_EXTENDED: "pylibjpeg and pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg and pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg and pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg and pylibjpeg-openjpeg",
}


def decode_dicom(data: bytes) -> RawImage:
    """Decode a DICOM file of one frame, as it is meant to be looked at.

    The order is that of PS3.3: stored value, modality rescale or table, window or table, and at last
    MONOCHROME1 is turned round, so that dense is bright. Of several windows the first counts. A missing
    HighBit is taken for BitsStored - 1, as PS3.5 demands it to be. Nothing but the elements of the image is
    read of the header.

    Args:
        data: the whole file.

    Returns:
        Without a window: the stored values, from 0 (the least of signed ones) to `max_value`
        2**BitsStored - 1, as uint8 up to 8 bits, else uint16; a rescale alone leaves them as they are. With
        a window: uint16, its output range from 0 to 65,535. After a table: its values and its own depth.

    Raises:
        ImageReadError: the file is damaged or cut, too large, has several frames, lacks an element of the
            image, or has pixels that are neither grey of up to 16 bits nor RGB or YBR colour.
        DecoderNotFoundError: its transfer syntax needs a package that is not installed.

    Source:
        DICOM PS3.3, C.7.6.3.1.2, C.11.1 and C.11.2; PS3.5, section 8.
    """
    with quiet:
        header = _read_header(data)
        _check(header)
        pixels = _decode(header)
        if pixels.ndim == 3:
            return RawImage(grey(pixels), int(2**header.BitsStored - 1))
        low, high = _stored_range(header)
        with refusing("its window or rescale is damaged"):
            table, max_value = _table(header, low, high)
        return RawImage(_look_up(table, pixels, low), max_value)


def _read_header(data: bytes) -> Dataset:
    """The elements of the image."""
    from pydicom import dcmread

    with refusing("its DICOM header is cut or damaged"):
        header = dcmread(io.BytesIO(data), specific_tags=list(ELEMENTS))
        missing = [name for name in NEEDED if header.get(name) is None]
        if header.get("BitsStored") is None and "BitsAllocated" in header:
            header.BitsStored = header.BitsAllocated
        if header.get("SamplesPerPixel") is None:
            header.SamplesPerPixel = 1
    if missing:
        msg = f"it is a DICOM file without {', '.join(missing)}: it is cut, or no image. {DAMAGED}"
        raise ImageReadError(msg)
    return header


def _check(header: Dataset) -> None:
    """Refuse by the header what would take too much memory, or would lose bits or meaning."""
    with refusing("its DICOM header is damaged"):
        check_size(int(header.Rows), int(header.Columns))
        frames = int(header.get("NumberOfFrames") or 1)
        kind, samples = str(header.PhotometricInterpretation), int(header.SamplesPerPixel)
        allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    if frames != 1:
        msg = f"it has {frames:,} frames. Expected one. Save the frame you want by itself."
        raise ImageReadError(msg)
    known = (samples == 1 and kind in MONOCHROME) or (samples == 3 and kind in COLOUR)
    if not known or allocated not in (8, 16) or not 1 <= stored <= allocated:
        msg = (
            f"its pixels are {kind} of {samples} samples, {stored} of {allocated} bits. Expected MONOCHROME1 "
            "or MONOCHROME2, or RGB or YBR of three samples, of 8 or 16 allocated bits. Convert it to a grey "
            "PNG."
        )
        raise ImageReadError(msg)


def _decode(header: Dataset) -> NDArray[Any]:
    """The stored values, (H, W) or (H, W, 3), colour as RGB."""
    from PIL import ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageReadError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so that half an image cannot be told "
            "from a whole one. Set it to False."
        )
    with refusing("its pixel data is cut or damaged"):
        pixels, _ = _decoder(header).as_array(header, index=0)
    expected = (header.Rows, header.Columns)
    if pixels.shape[:2] != expected:
        msg = f"its pixel data has the shape {pixels.shape}, its header says {expected}. {DAMAGED}"
        raise ImageReadError(msg)
    return pixels


def _decoder(header: Dataset) -> Decoder:
    """What decodes the transfer syntax.

    Raises:
        DecoderNotFoundError: nothing that is installed does.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    syntax = UID(header.file_meta.TransferSyntaxUID)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        plugins: tuple[str, ...] = ()
    else:
        # pillow's libjpeg has 8 bits
        deep = syntax == JPEG_EXTENDED and header.BitsStored > 8
        plugins = tuple(name for name in decoder.available_plugins if not (deep and name == "pillow"))
        if plugins or not syntax.is_encapsulated:
            return decoder
    install = f"Install {PACKAGES[syntax]}" if syntax in PACKAGES else "Convert it with another program"
    msg = f"its transfer syntax is {syntax.name} ({syntax}), which nothing here decodes. {install}."
    raise DecoderNotFoundError(msg)


def _stored_range(header: Dataset) -> tuple[int, int]:
    """Least and largest value that can be stored."""
    half = 2 ** (header.BitsStored - 1)
    return (-half, half - 1) if header.PixelRepresentation else (0, 2 * half - 1)


def _table(header: Dataset, low: int, high: int) -> tuple[Stored, int]:
    """What every stored value from `low` to `high` looks like, and the largest value that can come out.

    At most 65,536 values go through the steps, instead of every pixel.
    """
    from pydicom.pixels.processing import apply_windowing

    values: NDArray[Any] = np.arange(low, high + 1)
    steps = high - low
    if tables := header.get("ModalityLUTSequence"):
        values, steps = _through(values, header, tables[0])
        ends = 0, steps
    else:
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        if slope is not None and intercept is not None:
            values = values * float(slope) + float(intercept)
        ends = values[0], values[-1]
    if tables := header.get("VOILUTSequence"):
        values, steps = _through(values, header, tables[0])
        ends = 0, steps
    elif header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        values, steps = apply_windowing(values, header), WINDOWED_MAX
    else:
        ends = min(ends), max(ends)
    if not np.isfinite(values).all() or ends[0] == ends[1]:
        msg = f"its window or rescale makes all values alike, or none of them numbers. {DAMAGED}"
        raise ImageReadError(msg)
    shares = ((values - ends[0]) / (ends[1] - ends[0])).clip(0, 1)
    if header.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    return np.rint(shares * steps).astype(np.uint8 if steps < 256 else np.uint16), int(steps)


def _through(values: NDArray[Any], header: Dataset, item: Dataset) -> tuple[NDArray[Any], int]:
    """Values through a lookup table, whose first and last entries go on for ever; and its largest value."""
    number, first, bits = (int(value) for value in item.LUTDescriptor)
    entries = item.LUTData
    if isinstance(entries, bytes):
        width = 1 if len(entries) < 2 * (number or 65_536) else 2
        entries = np.frombuffer(entries, f"{'<' if header.original_encoding[1] else '>'}u{width}")
    entries = np.asarray(entries, dtype=np.int64)[: number or 65_536]
    places = np.rint(values).astype(np.int64) - first
    return entries[places.clip(0, len(entries) - 1)], 2**bits - 1


def _look_up(table: Stored, pixels: NDArray[Any], low: int) -> Stored:
    """The table's entry of every pixel; bits above those that are stored do not count."""
    if low == 0 and len(table) == 256 and pixels.dtype == table.dtype and (table == np.arange(256)).all():
        return np.ascontiguousarray(pixels)
    places = np.subtract(pixels, low, dtype=np.int32) if low else pixels
    return table.take(places, mode="clip")
