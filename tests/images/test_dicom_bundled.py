"""Every file that pydicom brings along: the pixels of pydicom and numpy by hand, or a clear refusal."""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pydicom.pixels
import pytest

from xrdatasets.errors import DecoderNotFoundError, ImageReadError
from xrdatasets.images import read_image

FOLDER = Path(pydicom.data.DATA_ROOT) / "test_files"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())

NO_IMAGE = r"it is a DICOM file without .*PixelData: it is cut, or no image"
UNKNOWN = r"it is no image of a known kind"
FRAMES = r"it has {} frames\. Expected one"
DEEP = r"32 of 32 bits\. Expected MONOCHROME1"

# What a file is, by the first row that fits. "grey": modality and window by hand; "colour": luma by hand, and
# how far from it; a file's name: the same picture as that one, and how far from it; else the refusal.
EXPECTED = {
    "README.txt": UNKNOWN,
    "dicomdirtests/README.txt": UNKNOWN,
    "dicomdirtests/TINY_ALPHA/README": UNKNOWN,
    "*.json": UNKNOWN,
    "*.dump": UNKNOWN,
    "crayons.icc": UNKNOWN,
    "zipMR.gz": UNKNOWN,
    "no_meta.dcm": UNKNOWN,  # a byte too many in front
    "dicomdirtests/*DICOMDIR*": NO_IMAGE,
    "dicomdirtests/TINY_ALPHA/PT*": NO_IMAGE,
    "dicomdirtests/[79]*": "grey",
    # signed, unsigned, with and without rescale and window, in every uncompressed syntax
    "CT_small.dcm": "grey",
    "MR_small.dcm": "grey",
    "MR_small_bigendian.dcm": "grey",
    "MR_small_expb.dcm": "grey",
    "MR_small_implicit.dcm": "grey",
    "MR_small_padded.dcm": "grey",
    "examples_overlay.dcm": "grey",
    "image_dfl.dcm": "grey",
    "liver_1frame.dcm": "grey",
    "liver_expb_1frame.dcm": "grey",
    # packed grey
    "693_J2KI.dcm": "grey",
    "J2K_pixelrep_mismatch.dcm": "grey",
    "JPEG2000.dcm": "grey",
    "MR_small_RLE.dcm": ("MR_small.dcm", 0),
    "MR_small_jp2klossless.dcm": ("MR_small.dcm", 0),
    "MR_small_jpeg_ls_lossless.dcm": ("MR_small.dcm", 0),
    "JPEGLSNearLossless_*.dcm": "grey",
    "JPEG-lossy.dcm": ("JPGExtended.dcm", 0),
    "JPGExtended.dcm": "by JPEG 2000",
    # colour
    "ExplVR_BigEnd.dcm": ("colour", 1),
    "SC_jpeg_no_color_transform*.dcm": ("colour", 1),
    "SC_rgb_dcmtk_*.dcm": ("colour", 1),
    "SC_rgb_gdcm_KY.dcm": ("colour", 1),
    "SC_rgb_jls_lossy_*.dcm": ("colour", 1),
    "SC_rgb_jpeg.dcm": ("colour", 1),
    "SC_rgb_jpeg_app14_dcmd.dcm": ("colour", 1),
    "SC_rgb_jpeg_dcmd.dcm": ("colour", 1),
    "SC_rgb_jpeg_dcmtk.dcm": ("colour", 1),
    "SC_rgb_jpeg_gdcm.dcm": ("SC_rgb_rle.dcm", 0),
    "SC_rgb_jpeg_lossy_gdcm.dcm": ("colour", 1),
    "SC_rgb_rle.dcm": ("colour", 1),
    "SC_rgb_rle_16bit.dcm": ("colour", 1),
    "SC_rgb_small_odd*.dcm": ("colour", 1),
    "SC_ybr_full_422_uncompressed.dcm": ("colour", 1),
    "examples_jpeg2k.dcm": ("colour", 1),
    "examples_rgb_color.dcm": ("colour", 1),
    "examples_palette.dcm": "palette",
    # refused
    "GDCMJ2K_TextGBR.dcm": r"it has 16 of 16 tiles, or another number of parts than it says",
    "JPEG2000-embedded-sequence-delimiter.dcm": r"its packed pixel data is cut or damaged",
    "MR_truncated.dcm": r"its pixel data is cut: it ends after 8,130 of 8,192 bytes",
    "SC_rgb_rle*_2frame.dcm": FRAMES.format(2),
    "examples_ybr_color.dcm": FRAMES.format(30),
    "rtdose.dcm": FRAMES.format(15),
    "rtdose_expb.dcm": FRAMES.format(15),
    "rtdose_rle.dcm": FRAMES.format(15),
    "SC_rgb_rle_32bit.dcm": DEEP,
    "rtdose*_1frame.dcm": DEEP,
    "badVR.dcm": r"its DICOM header is damaged \(ValueError\)",  # "1A" frames
    "*.dcm": NO_IMAGE,  # plans, reports, waveforms, and headers with no pixels: named below
}
# packages that the file, or the picture that it is compared with, needs
NEEDED = {
    "JPEGLS*": ("imagecodecs", "jpeg_ls"),
    "SC_rgb_jls*": ("imagecodecs", "jpeg_ls"),
    "MR_small_jpeg_ls*": ("imagecodecs",),
    "JP*G[-E]*": ("imagecodecs",),
    "SC_rgb_jpeg_gdcm.dcm": ("imagecodecs",),
}
WITHOUT_PIXELS = {
    "ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "UN_sequence.dcm", "empty_charset_LEI.dcm",
    "meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm",
    "reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "rtplan.dcm", "rtplan_truncated.dcm",
    "rtstruct.dcm", "test-SR.dcm", "waveform_ecg.dcm", "dicomdirtests/DICOMDIR-empty.dcm",
}  # fmt: skip


def expectation(name):
    return next((found for pattern, found in EXPECTED.items() if fnmatch(name, pattern)), None)


def opened(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(FOLDER / name)


def pixel_array(file, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.pixels.pixel_array(file, **options)


def shares_by_hand(file):
    """What `read_image` has to give, from 0 to 1, in float64."""
    values = pixel_array(file).astype(np.float64)
    bits, signed = file.BitsStored, file.PixelRepresentation
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = file.get("RescaleSlope", 1), file.get("RescaleIntercept", 0)
    values, low, high = (float(slope) * part + float(intercept) for part in (values, low, high))
    if "WindowCenter" in file:
        centre, width = (np.atleast_1d(file[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    shares = ((values - low) / (high - low)).clip(0, 1)
    return 1 - shares if file.PhotometricInterpretation == "MONOCHROME1" else shares


def luma_by_hand(file):
    if file.PhotometricInterpretation.startswith("YBR_FULL"):
        return pixel_array(file, raw=True)[..., 0].astype(np.float64)
    return pixel_array(file) @ (0.299, 0.587, 0.114)  # pydicom turns YBR_RCT to RGB


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_pydicom(name):
    for package in (part for pattern, parts in NEEDED.items() if fnmatch(name, pattern) for part in parts):
        pytest.importorskip(package)
    expected = expectation(name)
    if expected == "grey":
        raw, file = read_image(FOLDER / name), opened(name)
        np.testing.assert_allclose(raw.pixels, shares_by_hand(file) * raw.max_value, atol=0.51)
    elif expected == "palette":
        raw, file = read_image(FOLDER / name), opened(name)
        tables = [
            np.frombuffer(file[f"{colour}PaletteColorLookupTableData"].value, "<u2")
            for colour in ("Red", "Green", "Blue")
        ]
        luma = np.stack(tables, axis=-1).astype(np.float64) @ (0.299, 0.587, 0.114)
        np.testing.assert_allclose(raw.pixels, luma[pixel_array(file)], atol=1)
        assert raw.max_value == 65_535
    elif expected == "by JPEG 2000":  # the same picture, which lost much more there
        raw, other = read_image(FOLDER / name), pixel_array(opened("JPEG2000.dcm"))
        assert np.corrcoef(raw.pixels.ravel(), other.ravel())[0, 1] > 0.95
        assert np.abs(raw.pixels - other.astype(np.float64)).mean() < 5
        assert raw.max_value == 4095
    elif isinstance(expected, tuple) and expected[0] == "colour":
        raw = read_image(FOLDER / name)
        np.testing.assert_allclose(raw.pixels, luma_by_hand(opened(name)), atol=expected[1])
    elif isinstance(expected, tuple):
        raw, other = read_image(FOLDER / name), read_image(FOLDER / expected[0])
        assert raw.max_value == other.max_value
        np.testing.assert_allclose(raw.pixels, other.pixels.astype(np.int64), atol=expected[1])
    else:
        with pytest.raises((ImageReadError, DecoderNotFoundError), match=expected):
            read_image(FOLDER / name)


def test_the_table_is_whole():
    assert len(FILES) > 150
    assert {name for name in FILES if expectation(name) is None} == set()
    without = {name for name in FILES if name.endswith(".dcm") and expectation(name) == NO_IMAGE}
    assert without == WITHOUT_PIXELS
