"""Prediction, step 1: whether a file is an image, by its first bytes and never by its name."""

from __future__ import annotations

from pathlib import Path

from xrdatasets.images.dicom_file import is_dicom
from xrdatasets.images.reader import DECODERS

__all__ = ["looks_like_an_image"]

# The preamble of DICOM, its meta information and the first elements of its data set.
BEGINNING = 4_096
# PS3.10, section 7.1, and PS3.3, C.12.1: the elements that name what is stored, with their representation.
CLASS_ELEMENTS = (b"\x02\0\x02\0UI", b"\x08\0\x16\0UI")


def looks_like_an_image(path: Path) -> bool:
    """Whether a file begins as an image does that `xrdatasets.read_image` reads.

    DICOM that holds no image (a directory, a report, a presentation state) is none.

    Args:
        path: a regular file.

    Returns:
        True for PNG, JPEG, TIFF, BMP, GIF and DICOM, damaged or not behind their beginning.

    Raises:
        OSError: the file cannot be opened.

    Example:
        >>> looks_like_an_image(Path(NIH_ROOT) / "Data_Entry_2017_v2020.csv")
        False
    """
    with path.open("rb") as file:
        head = file.read(BEGINNING)
    # DICOM first: what stands before its word may look like a TIFF
    if head[128:132] == b"DICM" or not any(head.startswith(magic, at) for at, magic, _ in DECODERS):
        return is_dicom(head) and _stores_an_image(head)
    return True


def _stores_an_image(head: bytes) -> bool:
    """Whether the class of a DICOM file is one of images, or one that the standard does not know."""
    from pydicom.uid import UID

    for element in CLASS_ELEMENTS:
        at = head.find(element)
        if at >= 0:
            value = at + len(element) + 2
            length = int.from_bytes(head[value - 2 : value], "little")
            uid = UID(head[value : value + length].decode("ascii", "replace").strip("\0 "))
            # every class of images has the word in its name (PS3.6, table A-1)
            return uid.name == uid or "Image" in uid.name
    return True
