"""Decode DICOM as it is meant to be looked at: rescale, window, then dense is bright.

`dicom_file` finds the pixels in the file, `dicom_layout` says how they are laid out, `dicom_codecs` unpacks
them, and `dicom_values` says what each stored value looks like.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.images.dicom_codecs import unpack
from xrdatasets.images.dicom_file import open_dicom
from xrdatasets.images.dicom_layout import PALETTE, Layout, read_layout
from xrdatasets.images.dicom_values import grey_table, palette_table
from xrdatasets.images.pixels import RawImage, Stored, grey
from xrdatasets.images.silence import quiet

__all__ = ["decode_dicom"]


def decode_dicom(data: bytes, *, at_least: int | None = None) -> RawImage:
    """Decode a DICOM file of one frame, as it is meant to be looked at.

    The order is that of PS3.3: stored value, modality rescale or table, window or table, and at last
    MONOCHROME1 is turned round, so that dense is bright. A table counts before a window, and of several
    windows the first: the standard calls them alternative views and names none to begin with, and viewers
    begin with the first. Nothing but the elements of the image is read of the header.

    Args:
        data: the whole file.
        at_least: pixels that the shorter side needs at least: JPEG 2000 is then decoded at the lowest
            resolution level that has them. None decodes all.

    Returns:
        Without a window: the stored values, from 0 (the least of signed ones) to `max_value`
        2**BitsStored - 1, as uint8 up to 8 bits, else uint16; a rescale alone leaves them as they are. With
        a window: uint16, its output range from 0 to 65,535. After a table or through a palette: its values
        and its own depth. Colour is made grey.

    Raises:
        ImageReadError: the file is damaged or cut, too large, has several frames, lacks an element of the
            image, or has pixels that are neither grey of up to 16 bits nor colour.
        DecoderNotFoundError: its transfer syntax needs a package that is not installed.

    Source:
        DICOM PS3.3, C.7.6.3, C.11.1 and C.11.2; PS3.5, section 8 and annex A.
    """
    with quiet:
        file = open_dicom(data)
        layout = read_layout(file)
        pixels = unpack(file, layout, at_least)
        if layout.samples == 3:
            return _colour(pixels, layout)
        if layout.kind == PALETTE:
            table, max_value = palette_table(file.header, bits=layout.stored, signed=layout.signed)
        else:
            inverted = layout.kind == "MONOCHROME1"
            table, max_value = grey_table(
                file.header, bits=layout.stored, signed=layout.signed, inverted=inverted
            )
    return RawImage(_look_up(table, pixels), max_value)


def _colour(pixels: NDArray[Any], layout: Layout) -> RawImage:
    """Grey of colour; bits above those that are stored do not count."""
    if layout.stored < layout.allocated:
        pixels = pixels & pixels.dtype.type(2**layout.stored - 1)
    return RawImage(grey(pixels), 2**layout.stored - 1)


def _look_up(table: Stored, pixels: NDArray[Any]) -> Stored:
    """The table's entry of every pixel; bits above those that are stored do not count."""
    number = 2 ** (8 * pixels.dtype.itemsize)
    # most files need no table: their values stay, or are turned round
    if table.dtype == pixels.dtype and (len(table) == number or pixels.max() < len(table)):
        rising = np.arange(len(table))
        if np.array_equal(table, rising):
            return np.array(pixels, order="C")
        if np.array_equal(table, rising[::-1]):
            turned: Stored = np.subtract(pixels.dtype.type(len(table) - 1), pixels, order="C")
            return turned
    looked: Stored = np.tile(table, max(1, number // len(table)))[pixels]
    return looked
