"""What a DICOM header says of the pixels, checked before memory is taken for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xrdatasets.errors import ImageReadError
from xrdatasets.images.dicom_file import DicomFile, secretly
from xrdatasets.images.pixels import DAMAGED, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PALETTE", "Layout", "read_layout"]

NEEDED = ("PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "PixelRepresentation")

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says of the pixels.

    Attributes:
        rows: height.
        columns: width.
        kind: PhotometricInterpretation.
        samples: SamplesPerPixel.
        planar: whether colours come plane by plane.
        allocated: BitsAllocated, 1, 8 or 16.
        stored: BitsStored.
        high: HighBit.
        signed: whether values are two's complements.
    """

    rows: int
    columns: int
    kind: str
    samples: int
    planar: bool
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def luma_first(self) -> bool:
        """Whether the first sample of a pixel is its luma."""
        return self.kind in ("YBR_FULL", "YBR_FULL_422")

    def agree(self, height: int, width: int, samples: int, bits: int) -> None:
        """Compare with what a packed frame's own header says.

        Args:
            height: rows.
            width: columns.
            samples: of a pixel.
            bits: of a sample.

        Raises:
            ImageReadError: it says something else.
        """
        if (height, width, samples) != (self.rows, self.columns, self.samples):
            msg = (
                f"its packed frame has {width:,} x {height:,} pixels of {samples} samples where its header "
                f"says {self.columns:,} x {self.rows:,} of {self.samples}. {DAMAGED}"
            )
            raise ImageReadError(msg)
        if not 1 <= bits <= self.allocated:
            msg = f"its packed frame has {bits} bits where its header says {self.allocated}. {DAMAGED}"
            raise ImageReadError(msg)


def read_layout(file: DicomFile) -> Layout:
    """What the header says of the pixels.

    Args:
        file: the file.

    Returns:
        Sizes, bits and kind, all of them such that they can be decoded without loss of bits or meaning.

    Raises:
        ImageReadError: an element of the image is missing or damaged, the image is too large or too deep,
            or there are several frames.
    """
    header = file.header
    missing = [name for name in NEEDED if _get(header, name) is None]
    missing += ["PixelData"] if file.at < 0 else []
    if missing:
        msg = f"it is a DICOM file without {', '.join(missing)}: it is cut, or no image. {DAMAGED}"
        raise ImageReadError(msg)
    with secretly("its DICOM header is damaged"):
        rows, columns = int(header.Rows), int(header.Columns)
        frames = int(header.get("NumberOfFrames") or 1)
        kind, samples = _kind(header)
        allocated = int(header.BitsAllocated)
        stored = int(header.get("BitsStored") or allocated)
        # PS3.5, section 8.1.1: it shall be one less than BitsStored; in retired editions it could be more
        high = int(header.get("HighBit") or 0)
        high = high if stored <= high < allocated else stored - 1
        planar = bool(header.get("PlanarConfiguration"))
        signed = bool(header.PixelRepresentation)
    check_size(rows, columns)
    if frames != 1:
        msg = f"it has {frames:,} frames. Expected one. Save the frame you want by itself."
        raise ImageReadError(msg)
    _check_bits(kind, samples, allocated, stored, columns)
    return Layout(rows, columns, kind, samples, planar, allocated, stored, high, signed)


def _get(header: Dataset, name: str) -> Any:
    with secretly("its DICOM header is damaged"):
        return header.get(name)


def _kind(header: Dataset) -> tuple[str, int]:
    """PhotometricInterpretation, in words of the standard alone, and SamplesPerPixel."""
    kind = str(header.PhotometricInterpretation).strip()
    known = (*MONOCHROME, PALETTE, *COLOUR)
    samples = header.get("SamplesPerPixel")
    if kind not in known:
        msg = f"its pixels are of another kind than {', '.join(known)}. Convert it to a grey PNG."
        raise ImageReadError(msg)
    return kind, (3 if kind in COLOUR else 1) if samples is None else int(samples)


def _check_bits(kind: str, samples: int, allocated: int, stored: int, columns: int) -> None:
    """Refuse what would lose bits or meaning."""
    colour = kind in COLOUR
    bits = (8, 16) if colour else (1, 8, 16)
    halved = kind == "YBR_FULL_422" and (columns % 2 or allocated != 8)
    if samples != (3 if colour else 1) or allocated not in bits or not 1 <= stored <= allocated or halved:
        msg = (
            f"its pixels are {kind} of {samples} samples, {stored} of {allocated} bits. Expected "
            "MONOCHROME1, MONOCHROME2 or PALETTE COLOR of one sample, or RGB or YBR of three, of 8 or 16 "
            "allocated bits. Convert it to a grey PNG."
        )
        raise ImageReadError(msg)
