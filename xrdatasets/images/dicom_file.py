"""Read a DICOM file's frame: where its data set begins, the elements of the image, and the coded pixels.

Only the elements of the image are kept of a header, and nothing that a header says gets into a message.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xrdatasets.errors import ImageReadError
from xrdatasets.images.pixels import DAMAGED

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DicomFile", "is_dicom", "open_dicom", "secretly"]

IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, EXPLICIT_BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"

# What is read of a header (PS3.3, C.7.6.3, C.11.1, C.11.2): nothing that says who the patient is.
ELEMENTS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "VOILUTSequence", "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)  # fmt: skip

# the first pixels that a data set can have: float (PS3.6, chapter 6: 7FE0,0008), double, integer
FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
UNDEFINED = 0xFFFFFFFF

# PS3.5, section 7.1.2: value representations, and those whose length has four bytes
LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())  # noqa: SIM905

# The elements before the pixels are tables and an icon; more is made to waste time or, deflated, memory.
HEADER_BYTES = 16 * 1024 * 1024
# Items of sequences in front of the pixels: pydicom takes 20 us for each, empty or not.
MAX_ITEMS = 10_000
BIG_ITEM, PIXELS_TAG, BIG_PIXELS_TAG = b"\xff\xfe\xe0\x00", b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file whose header has been read and whose pixels have not.

    Attributes:
        header: the elements that belong to the image.
        syntax: UID of the transfer syntax.
        big: whether numbers begin with their high byte.
        vr: value representation of the pixels.
        body: the data set, or the deflated one's beginning.
        at: where in it the pixels begin.
        length: bytes of the pixels, None if they come in fragments.
        inflater: what gives the rest of a deflated data set.
    """

    header: Dataset
    syntax: str
    big: bool
    vr: str
    body: bytes
    at: int
    length: int | None
    inflater: Any = None

    @property
    def syntax_name(self) -> str:
        """Name and UID of the transfer syntax, of one that is unknown the UID, if it is one."""
        from pydicom.uid import UID

        uid = UID(self.syntax)
        return (
            f"{uid.name} ({uid})" if uid.name != uid else (str(uid) if uid.is_valid else "none that exists")
        )

    def native(self, need: int) -> memoryview:
        """The pixels of one frame that nothing has packed.

        Args:
            need: bytes of the frame, by the header.

        Raises:
            ImageReadError: there are fewer, or a whole frame more.
        """
        if self.length is None:
            msg = f"its pixels come in fragments, which its transfer syntax does not have. {DAMAGED}"
            raise ImageReadError(msg)
        if self.length >= 2 * need:
            msg = (
                f"its pixel data has {self.length:,} bytes where its header says one frame of {need:,}. "
                "Save the frame you want by itself."
            )
            raise ImageReadError(msg)
        body = self.body if self.inflater is None else self._inflate(need)
        got = min(len(body) - self.at, self.length)
        if got < need or (got < self.length and self.inflater is None):
            msg = f"its pixel data is cut: it ends after {got:,} of {need:,} bytes. {DAMAGED}"
            raise ImageReadError(msg)
        return memoryview(body)[self.at : self.at + need]

    def fragments(self) -> bytes:
        """The pixels of one frame that came in fragments.

        Raises:
            ImageReadError: a fragment is cut, the mark after the last is missing, or there are several
                frames.
        """
        if self.length is not None:
            msg = f"its pixels do not come in fragments, as its transfer syntax wants. {DAMAGED}"
            raise ImageReadError(msg)
        table, *parts = self._items()
        if len(table) >= 8:
            msg = f"it has {len(table) // 4:,} frames. Expected one. Save the frame you want by itself."
            raise ImageReadError(msg)
        return b"".join(parts)

    def _items(self) -> list[memoryview]:
        """The offset table and the fragments (PS3.5, section A.4)."""
        view, at, items = memoryview(self.body), self.at, []
        while self.body[at : at + 4] == ITEM:
            stop = at + 8 + int.from_bytes(self.body[at + 4 : at + 8], "little")
            if stop > len(view):
                break
            items.append(view[at + 8 : stop])
            at = stop
        if self.body[at : at + 8] != SEQUENCE_END + bytes(4) or not items:
            msg = f"its pixel data is cut or damaged: its fragments have no end. {DAMAGED}"
            raise ImageReadError(msg)
        return items

    def _inflate(self, need: int) -> bytes:
        """The data set up to the end of the frame; what follows is checked and dropped."""
        with secretly("its deflated data set is damaged"):
            missing = self.at + need - len(self.body)
            more = self.inflater.decompress(self.inflater.unconsumed_tail, missing) if missing > 0 else b""
            spare = HEADER_BYTES
            while self.inflater.unconsumed_tail and not self.inflater.eof and spare > 0:
                spare -= len(self.inflater.decompress(self.inflater.unconsumed_tail, 1024 * 1024)) + 1
        if not self.inflater.eof:
            msg = f"its deflated data set is cut, or goes on far behind its pixels. {DAMAGED}"
            raise ImageReadError(msg)
        return self.body + more


@contextmanager
def secretly(reason: str) -> Iterator[None]:
    """Turn what is raised over a header into an `ImageReadError` that does not repeat it.

    pydicom's messages quote the bytes that it stumbled on, which may be a patient's name.

    Args:
        reason: what is wrong with the file.

    Raises:
        ImageReadError: anything was raised.

    Example:
        >>> with secretly("its header is damaged"):
        ...     int("Doe^Jane")
        Traceback (most recent call last):
        xrdatasets.errors.ImageReadError: its header is damaged (ValueError). Download the file again.
    """
    try:
        yield
    except (ImageReadError, MemoryError, ImportError):
        raise
    except Exception as error:  # pydicom raises a dozen kinds
        msg = f"{reason} ({type(error).__name__}). {DAMAGED}"
        raise ImageReadError(msg) from None


def is_dicom(data: bytes) -> bool:
    """Whether these bytes begin as a DICOM file does that lacks its preamble or the word DICM.

    Such a file begins with the element of group 0002 or 0008, and another of the same or a later group
    stands where the first one ends; text and other formats do not look like that.

    Args:
        data: the whole file.

    Returns:
        True for a plausible data set.

    Example:
        >>> explicit = "0800 0500 4353 0000 0800 0800 4353 0000 0800 1600 5549 0000"
        >>> is_dicom(bytes.fromhex(explicit))
        True
        >>> is_dicom(b"Image Index,Finding Labels")
        False
    """
    return _start(data) is not None


def open_dicom(data: bytes) -> DicomFile:
    """Find the pixels of a file, and read the elements that describe them.

    Args:
        data: the whole file.

    Returns:
        The elements, and the pixels as they are coded.

    Raises:
        ImageReadError: the file is cut, damaged, or no image; its pixels are floating-point numbers; it
            inflates to more than an image needs.
    """
    start = _start(data)
    if start is None:
        msg = f"it does not begin as a DICOM file does. {DAMAGED}"
        raise ImageReadError(msg)
    with secretly("its file meta information is cut or damaged"):
        syntax, start = _meta(data, start)
    syntax = syntax or _guess(data, start)
    if syntax != DEFLATED:
        return _read(data, start, syntax, None)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    with secretly("its deflated data set is damaged"):
        body = inflater.decompress(memoryview(data)[start:], HEADER_BYTES)
    return _read(body, 0, syntax, inflater)


def _read(body: bytes, start: int, syntax: str, inflater: Any) -> DicomFile:
    """The elements before the pixels, and where the pixels are."""
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    stop = start + HEADER_BYTES
    file, big = io.BytesIO(body if len(body) <= stop else body[:stop]), syntax == EXPLICIT_BIG
    file.seek(start)
    _check_items(body, start, stop, big=big)
    with secretly("its DICOM header is cut or damaged"):
        header = read_dataset(
            file,
            syntax == IMPLICIT_LITTLE,
            not big,
            stop_when=lambda tag, vr, length: tag >= FLOAT_PIXELS,
            specific_tags=[Tag(name) for name in ELEMENTS],
        )
        implicit = bool(header.original_encoding[0])
    return DicomFile(header, syntax, big, *_pixels(body, file.tell(), big, implicit), inflater)


def _check_items(body: bytes, start: int, stop: int, *, big: bool) -> None:
    """Refuse a header of so many items that reading them takes for ever.

    Raises:
        ImageReadError: it has.
    """
    end = body.find(BIG_PIXELS_TAG if big else PIXELS_TAG, start, stop)
    if body.count(BIG_ITEM if big else ITEM, start, stop if end < 0 else end) > MAX_ITEMS:
        msg = f"its header has more than {MAX_ITEMS:,} items of sequences. {DAMAGED}"
        raise ImageReadError(msg)


def _pixels(body: bytes, at: int, big: bool, implicit: bool) -> tuple[str, bytes, int, int | None]:
    """Value representation of the pixels, the data set, where in it they begin, and their length."""
    head = body[at : at + 12]
    order: Any = "big" if big else "little"
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    if tag in (FLOAT_PIXELS, DOUBLE_PIXELS):
        raise ImageReadError(
            "its pixels are floating-point numbers. Expected whole numbers. Convert it to a grey PNG."
        )
    if tag != PIXELS or len(head) < 12:
        return "", body, -1, 0
    vr = head[4:6].decode("ascii", "replace")
    if implicit or vr not in LONG:
        length, at, vr = int.from_bytes(head[4:8], order), at + 8, "OW"
    else:
        length, at = int.from_bytes(head[8:12], order), at + 12
    return vr, body, at, None if length == UNDEFINED else length


def _start(data: bytes) -> int | None:
    """Where a file begins behind its preamble, None if it is no DICOM file."""
    if data[128:132] == b"DICM":  # PS3.10, section 7.1
        return 132
    starts = (4 if data[:4] == b"DICM" else 0, 128)
    return next((start for start in starts if _plausible(data, start)), None)


def _plausible(data: bytes, start: int) -> bool:
    """Whether elements of group 2 or 8, in order, each where the last one ends, begin here."""
    for order in ("little", "big"):
        for implicit in (False, True):
            last, at = 0, start
            for number in range(3):
                tag, length, at = _element(data, at, order, implicit=implicit)
                fits = last < tag < 0x00300000 if number else tag >> 16 in (2, 8)
                if not fits or length % 2 or at > len(data):
                    break
                last, at = tag, at + length
            else:
                return True
    return False


def _element(data: bytes, at: int, order: Any, *, implicit: bool) -> tuple[int, int, int]:
    """Tag, length and beginning of the value of the element that begins here; tag 0 for none."""
    head = data[at : at + 12]
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    if implicit:
        return tag, int.from_bytes(head[4:8], order), at + 8
    vr = head[4:6].decode("ascii", "replace")
    if vr in LONG:
        return tag, int.from_bytes(head[8:12], order), at + 12
    return tag if vr in SHORT else 0, int.from_bytes(head[6:8], order), at + 8


def _meta(data: bytes, at: int) -> tuple[str, int]:
    """The transfer syntax, or nothing, and where the file meta information (group 2) ends."""
    syntax = ""
    while data[at : at + 2] == b"\2\0":
        tag, length, value = _element(data, at, "little", implicit=False)
        if not tag:  # some write it without value representations
            tag, length, value = _element(data, at, "little", implicit=True)
        if tag == 0x00020010:
            syntax = data[value : value + length].decode("ascii").strip("\0 ")
        at = value + length
    return syntax, at


def _guess(data: bytes, at: int) -> str:
    """The transfer syntax of a data set that says none, by its first element."""
    if data[at + 4 : at + 6].decode("ascii", "replace") not in LONG | SHORT:
        return IMPLICIT_LITTLE
    # a group below 0400, its bytes the other way round, looks large
    return EXPLICIT_BIG if int.from_bytes(data[at : at + 2], "little") >= 0x0400 else EXPLICIT_LITTLE
