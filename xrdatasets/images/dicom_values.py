"""What a stored value of a DICOM image looks like: rescale, window, tables, palettes, dense is bright."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.errors import ImageReadError
from xrdatasets.images.dicom_file import secretly
from xrdatasets.images.pixels import DAMAGED, Stored, grey

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["grey_table", "palette_table", "window"]

# A window maps to real numbers; they are rounded to 16 bits.
WINDOWED_MAX = 65_535

COLOURS = ("Red", "Green", "Blue")
# PS3.3, C.7.9.2: kinds of segments
DISCRETE, LINEAR, INDIRECT = 0, 1, 2


def grey_table(header: Dataset, *, bits: int, signed: bool, inverted: bool) -> tuple[Stored, int]:
    """What each pattern of the stored bits looks like, and the largest value that can come out.

    At most 65,536 values go through the steps, instead of every pixel.

    Args:
        header: the elements of the image.
        bits: BitsStored, 1 to 16.
        signed: whether patterns are two's complements.
        inverted: whether the largest value is black (MONOCHROME1).

    Returns:
        (2**bits,) uint8 or uint16, and the largest value. Without a window or a table: the stored values
        from 0 (the least of signed ones) on. With a window: 0 to 65,535. After a table: its values and its
        own depth.

    Raises:
        ImageReadError: rescale, window or table is damaged, or makes all values alike.
    """
    with secretly("its window, rescale or table is damaged"):
        shares, steps = _shares(_stored(bits, signed=signed), header)
    if inverted:
        shares = 1 - shares
    rounded = np.rint(shares * steps)
    return rounded.astype(np.uint8) if steps < 256 else rounded.astype(np.uint16), steps


def _stored(bits: int, *, signed: bool) -> NDArray[np.float64]:
    """The number that each pattern of bits means."""
    values = np.arange(2**bits, dtype=np.float64)
    if signed:
        values[2 ** (bits - 1) :] -= 2**bits
    return values


def _shares(values: NDArray[np.float64], header: Dataset) -> tuple[NDArray[np.float64], int]:
    """How bright each value is, from 0 to 1, and how many steps there are between."""
    steps = len(values) - 1
    low, high = float(values.min()), float(values.max())
    if tables := header.get("ModalityLUTSequence"):
        values, steps = _through(values, header, tables[0])
        low, high = 0, steps
    else:
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        if slope is not None or intercept is not None:  # each is required with the other; some lack one
            values = values * float(1 if slope is None else slope) + float(intercept or 0)
            low, high = float(values.min()), float(values.max())
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if tables := header.get("VOILUTSequence"):
        values, steps = _through(values, header, tables[0])
        low, high = 0, steps
    elif centre is not None and width is not None:
        function = str(header.get("VOILUTFunction") or "LINEAR")
        values, steps = (
            window(values, centre=float(centre), width=float(width), function=function),
            WINDOWED_MAX,
        )
        low, high = 0, 1
    if not np.isfinite(values).all() or not low < high:
        msg = f"its window or rescale makes all values alike, or none of them numbers. {DAMAGED}"
        raise ImageReadError(msg)
    return ((values - low) / (high - low)).clip(0, 1), steps


def window(
    values: NDArray[np.float64], *, centre: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float64]:
    """How bright a window shows values.

    Args:
        values: of any shape, after the rescale.
        centre: WindowCenter.
        width: WindowWidth, at least 1 for ``LINEAR``, above 0 for the others.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.

    Returns:
        float64 of the same shape, from 0 to 1.

    Raises:
        ImageReadError: the width is too small, or the function another.

    Source:
        PS3.3, C.11.2.1.2 (linear) and C.11.2.1.3 (others).

    Example:
        >>> import numpy as np
        >>> window(np.array([-100.0, 40.0, 41.0, 200.0]), centre=41, width=3)
        array([0.  , 0.25, 0.75, 1.  ])
    """
    if not (width >= 1 if function == "LINEAR" else width > 0):
        msg = f"its window is {width:g} wide. Expected at least 1, or above 0 if it is not LINEAR. {DAMAGED}"
        raise ImageReadError(msg)
    if function == "SIGMOID":
        shares: NDArray[np.float64] = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700)))
        return shares
    if function == "LINEAR_EXACT":
        return ((values - centre) / width + 0.5).clip(0, 1)
    if function != "LINEAR":
        raise ImageReadError(
            "its window has a function other than LINEAR, LINEAR_EXACT and SIGMOID, the three there are. "
            "Convert it to a grey PNG."
        )
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return ((values - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)


def _first(value: Any) -> Any:
    """The first of several, or the one there is."""
    several = not isinstance(value, str) and hasattr(value, "__len__")
    return (value[0] if len(value) else None) if several else (None if value == "" else value)


def _through(values: NDArray[Any], header: Dataset, item: Dataset) -> tuple[NDArray[Any], int]:
    """Values through a lookup table, whose first and last entries go on for ever; and its largest value."""
    number, first, bits = (int(value) for value in item.LUTDescriptor)
    entries = _entries(item.LUTData, number or 65_536, header)
    if not 1 <= bits <= 16 or not len(entries):
        msg = f"its lookup table has {len(entries):,} entries of {bits} bits. {DAMAGED}"
        raise ImageReadError(msg)
    if values.min() < 0 and first >= 2**15:
        first -= (
            2**16
        )  # of signed input it is signed (C.11.2.1.1), which its value representation may not say
    places = np.rint(values).astype(np.int64) - first
    return entries[places.clip(0, len(entries) - 1)].astype(np.float64), 2**bits - 1


def _entries(data: Any, number: int, header: Dataset) -> NDArray[np.int64]:
    """The entries of a table, one or two bytes each."""
    if isinstance(data, bytes):
        width = 1 if len(data) < 2 * number else 2
        data = np.frombuffer(data[: len(data) // width * width], f"{_order(header)}u{width}")
    return np.asarray(data, dtype=np.int64).reshape(-1)[:number]


def _order(header: Dataset) -> str:
    return "<" if header.original_encoding[1] else ">"


def palette_table(header: Dataset, *, bits: int, signed: bool) -> tuple[Stored, int]:
    """The grey of each pattern of the stored bits, through red, green and blue; and the largest value.

    Args:
        header: the elements of the image.
        bits: BitsStored, 1 to 16.
        signed: whether patterns are two's complements.

    Returns:
        (2**bits,) uint8 with 255, or uint16 with 65,535, as deep as the palette: the common channel, or
        Rec. 601 luma.

    Raises:
        ImageReadError: the palette is missing or damaged.

    Source:
        PS3.3, C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2.
    """
    with secretly("its palette is damaged"):
        number, first, bits_out = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
        number = number or 65_536
        channels = [_channel(header, colour, number) for colour in COLOURS]
        # entries of 8 bits may be kept in 16, in the low or, as some write them, in both bytes
        deep = bits_out > 8 or max(int(channel.max()) for channel in channels) > 255
        colours = np.stack(channels, axis=-1).astype(np.uint16 if deep else np.uint8)
        places = (_stored(bits, signed=signed).astype(np.int64) - first).clip(0, number - 1)
        return grey(colours[np.newaxis, places])[0], 65_535 if deep else 255


def _channel(header: Dataset, colour: str, number: int) -> NDArray[np.int64]:
    """The entries of one colour."""
    data = header.get(f"{colour}PaletteColorLookupTableData")
    if data is not None:
        entries = _entries(data, number, header)
    else:
        packed = header.get(f"Segmented{colour}PaletteColorLookupTableData")
        bits_out = int(header.RedPaletteColorLookupTableDescriptor[2])
        kind = f"{_order(header)}u{1 if bits_out == 8 else 2}"
        words = np.frombuffer(packed, kind) if isinstance(packed, bytes) else np.asarray(packed)
        entries = np.array(_expand([int(word) for word in words], number, 4 if bits_out == 8 else 2))
    if len(entries) != number:
        msg = f"its palette has {len(entries):,} entries of one colour. Expected {number:,}. {DAMAGED}"
        raise ImageReadError(msg)
    return entries


def _expand(words: list[int], number: int, offset_words: int) -> list[int]:
    """The entries of a table in segments, at most `number` of them."""
    entries: list[int] = []
    at, copied, back = 0, 0, 0
    while len(entries) < number and at + 2 < len(words):
        kind, length = words[at], words[at + 1]
        if length == 0 or (kind == INDIRECT and copied):
            msg = f"its palette has an empty or nested segment. {DAMAGED}"
            raise ImageReadError(msg)
        if kind == DISCRETE:
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind == LINEAR:
            begin, end = entries[-1], words[at + 2]
            entries += [round(begin + (end - begin) * step / length) for step in range(1, length + 1)]
            at += 3
        elif kind == INDIRECT:
            unit = 16 if offset_words == 2 else 8
            offset = sum(
                word << unit * place for place, word in enumerate(words[at + 2 : at + 2 + offset_words])
            )
            back, copied, at = at + 2 + offset_words, length, offset
            continue
        else:
            break
        if copied:
            copied -= 1
            at = at if copied else back
    return entries
