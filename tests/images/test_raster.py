from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from xrdatasets.errors import ImageReadError
from xrdatasets.images import read_image

TIFFS = [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_deflate"}, {"compression": "packbits"}]


@pytest.mark.parametrize("options", TIFFS)
def test_tiff_of_eight_and_sixteen_bits_is_exact(save, radiograph, options):
    deep = radiograph.astype(np.uint16) * 257 - 1
    assert (read_image(save(radiograph, "TIFF", **options)).pixels == radiograph).all()
    raw = read_image(save(deep, "TIFF", **options))
    np.testing.assert_array_equal(raw.pixels, deep)
    assert raw.max_value == 65_535


def test_big_endian_tiff_comes_out_in_the_machines_order(save, radiograph):
    deep = radiograph.astype(">u2") * 256 + 1
    image = Image.frombytes("I;16B", (80, 96), deep.astype(">u2").tobytes())
    pixels = read_image(save(image, "TIFF")).pixels
    np.testing.assert_array_equal(pixels, deep)
    assert pixels.dtype.isnative


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_one_bit_becomes_0_and_255(save, radiograph, kind):
    image = Image.fromarray(radiograph > 120)
    np.testing.assert_array_equal(read_image(save(image, kind)).pixels, (radiograph > 120) * 255)


@pytest.mark.parametrize(
    ("kind", "mode"), [("BMP", "L"), ("BMP", "RGB"), ("GIF", "L"), ("TIFF", "RGB"), ("TIFF", "LA")]
)
def test_grey_in_any_dress_reads_as_grey(save, radiograph, kind, mode):
    np.testing.assert_array_equal(
        read_image(save(Image.fromarray(radiograph).convert(mode), kind)).pixels, radiograph
    )


@pytest.mark.parametrize("mode", ["I", "F", "CMYK", "YCbCr", "LAB"])
def test_pixel_formats_of_another_meaning_are_refused(save, radiograph, mode):
    image = Image.fromarray(radiograph)
    image = image.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "LAB") else image.convert(mode)
    # before 13, pillow itself calls a YCbCr file truncated
    with pytest.raises(ImageReadError, match=f"its pixels are {mode}|is cut or damaged"):
        read_image(save(image, "TIFF"))


def retag(data, tag, value):
    """Change the value of a SHORT entry in a little-endian TIFF."""
    at = data.index(tag.to_bytes(2, "little") + b"\x03\0\x01\0\0\0") + 8
    return data[:at] + value.to_bytes(2, "little") + data[at + 2 :]


def test_sixteen_bit_white_is_zero_is_refused_because_pillow_does_not_invert_it(save, radiograph):
    data = save(radiograph.astype(np.uint16), "TIFF")
    with pytest.raises(ImageReadError, match="Convert it to a grey PNG"):
        read_image(retag(data, 262, 0))


def test_eight_bit_white_is_zero_is_inverted(save, radiograph):
    np.testing.assert_array_equal(
        read_image(retag(save(radiograph, "TIFF"), 262, 0)).pixels, 255 - radiograph
    )


def test_sixteen_bit_colour_in_tiff_is_refused_because_pillow_drops_its_low_byte(radiograph):
    tifffile = pytest.importorskip("tifffile")
    import io

    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([radiograph.astype(np.uint16)] * 3, axis=2), photometric="rgb")
    with pytest.raises(ImageReadError, match=r"\(16, 16, 16\) bits"):
        read_image(file.getvalue())


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_several_frames_are_refused(save, radiograph, kind):
    pages = [Image.fromarray(radiograph), Image.fromarray(radiograph[::-1].copy())]
    with pytest.raises(ImageReadError, match="several frames"):
        read_image(save(pages[0], kind, save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize(("kind", "options"), [*(("TIFF", o) for o in TIFFS), ("BMP", {}), ("GIF", {})])
def test_a_cut_never_gives_half_an_image(save, radiograph, kind, options):
    data = save(radiograph, kind, **options)
    refused = 0
    for cut in range(4, len(data), max(1, len(data) // 120)):
        try:
            np.testing.assert_array_equal(read_image(data[:cut]).pixels, radiograph)
        except ImageReadError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("kind", ["BMP", "PNG"])
def test_pillow_told_to_read_truncated_files_is_refused(save, radiograph, kind, monkeypatch):
    data = save(Image.fromarray(radiograph).convert("P"), kind)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageReadError, match="LOAD_TRUNCATED_IMAGES"):
        read_image(data)


def test_a_bmp_that_claims_too_much_is_refused_without_pillows_warning(save, radiograph):
    data = bytearray(save(radiograph, "BMP"))
    data[18:26] = (9_500).to_bytes(4, "little") * 2  # above pillow's own limit for a warning
    with pytest.raises(ImageReadError, match=r"which 8,758 bytes of BMP cannot hold"):
        read_image(bytes(data))
    data[18:26] = (11_000).to_bytes(4, "little") * 2
    with pytest.raises(ImageReadError, match="at most 100,000,000"):
        read_image(bytes(data))


def test_the_filters_for_warnings_are_left_as_they_were(save, radiograph):
    before = list(warnings.filters)
    read_image(save(radiograph, "TIFF"))
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("GIF", {}),
    ],
)
def test_any_cut_is_refused_also_of_bytes_that_carry_no_pixels(save, radiograph, format_, options):
    """The place of a TIFF's next directory, a GIF's trailer, the padding of a BMP's last row."""
    data = save(radiograph[:, :75], format_, **options)
    read_image(data)
    for length in range(len(data) - 9, len(data)):
        with pytest.raises(ImageReadError):
            read_image(data[:length])


def test_the_padding_of_a_one_bit_bmp_counts(save, radiograph):
    data = save(radiograph[:, :75] > 100, "BMP")
    read_image(data)
    with pytest.raises(ImageReadError, match=r"it ends after 1,\d+ of 1,\d+ bytes"):
        read_image(data[:-1])


@pytest.mark.parametrize(("tag", "side"), [(322, 30_000), (323, 9_984)])
def test_a_tile_that_is_larger_than_its_image_is_refused(save, radiograph, tag, side):
    import struct

    data = bytearray(save(radiograph, "TIFF"))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    tags = [list(struct.unpack_from("<HHII", data, at + 2 + 12 * i)) for i in range(count)]
    for entry in tags:  # rows per strip: the only entry that may go
        if entry[0] == 278:
            entry[:] = [tag, 4, 1, side]
    for i, entry in enumerate(sorted(tags)):
        struct.pack_into("<HHII", data, at + 2 + 12 * i, *entry)
    with pytest.raises(ImageReadError, match=rf"tiles of {side:,} pixels in an image of"):
        read_image(bytes(data))


def test_a_frame_that_is_a_part_of_its_gif_is_refused(save, radiograph):
    data = bytearray(save(radiograph, "GIF"))
    data[6:8] = (200).to_bytes(2, "little")  # the screen's width; the frame keeps its own
    with pytest.raises(ImageReadError, match=r"the GIF's frame is not as large as its 200 x 96 pixels"):
        read_image(bytes(data))
    data[6:8] = (20).to_bytes(2, "little")  # pillow would make the screen as wide as the frame
    with pytest.raises(ImageReadError, match=r"the GIF's frame is not as large as its 20 x 96 pixels"):
        read_image(bytes(data))
    data[6:10] = (9_999).to_bytes(2, "little") * 2
    with pytest.raises(ImageReadError, match=r"bytes of GIF cannot hold"):
        read_image(bytes(data[:1_000]) + b";")
