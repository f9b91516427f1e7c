from __future__ import annotations

import contextlib
import io
import re

import numpy as np
import pytest
from PIL import Image

from xrdatasets.errors import ImageReadError
from xrdatasets.images import read_image
from xrdatasets.images.jpeg import decode_jpeg

VARIANTS = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 3}]


def frame(data):
    """Where the frame header's marker stands."""
    return next(data.index(bytes([0xFF, kind])) for kind in (0xC0, 0xC2) if bytes([0xFF, kind]) in data)


@pytest.mark.parametrize("options", VARIANTS)
def test_grey_equals_pillows_decode(save, radiograph, options):
    data = save(radiograph, "JPEG", **options)
    raw = decode_jpeg(data)
    np.testing.assert_array_equal(raw.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert (raw.pixels.dtype, raw.max_value, raw.pixels.flags.c_contiguous) == (np.uint8, 255, True)


@pytest.mark.parametrize("options", [*VARIANTS, {"subsampling": 2}, {"subsampling": 0}])
def test_grey_saved_as_colour_equals_its_common_channel(save, radiograph, options):
    data = save(Image.fromarray(radiograph).convert("RGB"), "JPEG", **options)
    red, green, _ = np.moveaxis(np.asarray(Image.open(io.BytesIO(data))), 2, 0)
    assert (red == green).all()
    np.testing.assert_array_equal(decode_jpeg(data).pixels, red)


def test_colour_is_rec_601_luma(save):
    rgb = np.kron(np.random.default_rng(0).integers(60, 190, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    error = np.abs(decode_jpeg(save(rgb, "JPEG", quality=100, subsampling=0)).pixels - luma)
    assert error.max() <= 2


def test_exif_orientation_is_ignored(save, radiograph):
    exif = Image.Exif()
    exif[274] = 6
    plain, turned = save(radiograph, "JPEG"), save(radiograph, "JPEG", exif=exif)
    np.testing.assert_array_equal(decode_jpeg(plain).pixels, decode_jpeg(turned).pixels)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_cut_anywhere_is_refused_down_to_the_last_byte(save, radiograph, options):
    data = save(radiograph, "JPEG", **options)
    for cut in [*range(0, len(data) - 30, 11), *range(len(data) - 30, len(data))]:
        with pytest.raises(ImageReadError):
            read_image(data[:cut])


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 3}])
def test_a_cut_that_was_closed_properly_is_refused_though_pillow_reads_half_an_image(
    save, radiograph, options
):
    data = save(radiograph, "JPEG", **options)
    start = data.index(b"\xff\xda") + 10
    half = data[: (start + len(data)) // 2] + b"\xff\xd9"
    assert np.asarray(Image.open(io.BytesIO(half))).shape == radiograph.shape
    for cut in range(start, len(data) - 3, 13):
        with pytest.raises(ImageReadError, match="cut or damaged"):
            read_image(data[:cut] + b"\xff\xd9")


def test_a_tail_of_zeros_is_refused(save, radiograph):
    data = save(radiograph, "JPEG")
    with pytest.raises(ImageReadError, match="cut or damaged"):
        read_image(data[: len(data) // 2] + bytes(len(data) // 2))


def test_junk_after_the_end_is_ignored(save, radiograph):
    data = save(radiograph, "JPEG")
    np.testing.assert_array_equal(decode_jpeg(data + b"junk" * 50).pixels, decode_jpeg(data).pixels)


def test_fill_bytes_and_standalone_marks_before_the_frame_are_allowed(save, radiograph):
    data = save(radiograph, "JPEG")
    at = frame(data)
    for between in (b"\xff\xff", b"\xff\x01"):
        changed = data[:at] + between + data[at:]
        np.testing.assert_array_equal(decode_jpeg(changed).pixels, decode_jpeg(data).pixels)


@pytest.mark.parametrize(
    ("height", "width", "reason"),
    [(0, 80, "at least 2 x 2"), (65_000, 65_000, "at most 100,000,000"), (9_000, 9_000, "cannot hold")],
)
def test_an_impossible_size_is_refused_before_memory_is_taken(save, radiograph, height, width, reason):
    data = bytearray(save(radiograph, "JPEG"))
    at = frame(data)
    data[at + 5 : at + 9] = height.to_bytes(2) + width.to_bytes(2)
    with pytest.raises(ImageReadError, match=reason):
        read_image(bytes(data))


def test_a_smaller_size_in_the_header_is_refused_not_cropped(save, radiograph):
    data = bytearray(save(radiograph, "JPEG"))
    at = frame(data)
    data[at + 5 : at + 7] = (48).to_bytes(2)
    with pytest.raises(ImageReadError):
        read_image(bytes(data))


def test_a_plain_image_at_the_densest_coding_is_not_taken_for_a_bomb(save):
    data = save(np.full((4_000, 4_000), 128, np.uint8), "JPEG", optimize=True)
    assert (read_image(data).pixels == 128).all()


def test_a_second_size_behind_the_first_is_refused(save, radiograph):
    data = save(radiograph, "JPEG")
    at = frame(data)
    length = 2 + int.from_bytes(data[at + 2 : at + 4])
    with pytest.raises(ImageReadError):
        read_image(data[:at] + data[at : at + length] + data[at:])


def test_the_decoder_disagreeing_with_the_header_is_an_error(save, radiograph, monkeypatch):
    import kornia_rs.io

    monkeypatch.setattr(kornia_rs.io, "decode_image_jpegturbo", lambda *_: np.zeros((2, 2, 1), np.uint8))
    with pytest.raises(ImageReadError, match=r"has \(2, 2\) pixels where its header says \(96, 80\)"):
        decode_jpeg(save(radiograph, "JPEG"))


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (4, 12, "1 channels of 12 bits"),
        (11, 0x00, "sampling factor of 0"),
        (9, 2, "ends in its frame header"),
    ],
)
def test_a_frame_header_that_cannot_be_is_refused(save, radiograph, offset, value, reason):
    data = bytearray(save(radiograph, "JPEG"))
    data[frame(data) + offset] = value
    with pytest.raises(ImageReadError, match=reason):
        read_image(bytes(data))


def test_four_colours_are_refused_because_their_grey_is_ambiguous(save, radiograph):
    with pytest.raises(ImageReadError, match="4 channels of 8 bits"):
        read_image(save(Image.fromarray(radiograph).convert("CMYK"), "JPEG"))


def test_scans_without_end_are_refused(save, radiograph):
    data = save(radiograph, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    body, scan, end = data[:last], data[last:-2], data[-2:]
    first = data.count(b"\xff\xda") - 1
    with pytest.raises(ImageReadError, match=r"the JPEG has 501 scans of 120 blocks"):
        read_image(body + scan * (501 - first) + end)
    assert read_image(body + scan + end + scan * 600).pixels.shape == radiograph.shape  # behind the end


def test_scans_over_a_large_image_are_refused_sooner(save):
    data = save(np.zeros((4000, 4000), np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageReadError, match=r"scans of 250,000 blocks"):
        read_image(data[:last] + data[last:-2] * 300 + data[-2:])


@pytest.mark.parametrize("colour", [False, True])
def test_a_progressive_file_that_ends_between_two_scans_is_refused(save, radiograph, colour):
    """libjpeg takes it for whole: it lacks the last refinements alone."""
    image = np.stack([radiograph, radiograph[::-1], radiograph], 2) if colour else radiograph
    data = save(image, "JPEG", progressive=True, quality=95)
    starts = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    assert len(starts) > 4
    read_image(data)
    for start in starts[1:]:
        with pytest.raises(ImageReadError, match=r"cut"):
            read_image(data[:start] + b"\xff\xd9")


def test_comments_do_not_make_room_for_pixels(save, radiograph):
    data = bytearray(save(radiograph, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (9_999).to_bytes(2) * 2
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    with pytest.raises(ImageReadError, match=r"bytes of JPEG cannot hold"):
        read_image(bytes(data[:2]) + comment * 10 + bytes(data[2:]))


def test_fill_bytes_without_end_take_no_time(save, radiograph):
    data = save(radiograph, "JPEG")
    filled = read_image(data[:2] + b"\xff" * 10_000_000 + data[2:])
    np.testing.assert_array_equal(filled.pixels, read_image(data).pixels)


def test_comments_without_end_are_refused(save, radiograph):
    data = save(radiograph, "JPEG")
    with pytest.raises(ImageReadError, match=r"more than 20,000 segments"):
        read_image(data[:2] + b"\xff\xfe\0\2" * 2_000_000 + data[2:])


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xda\0\0\0\0", b"\xff\xd8\xff\xe0\0\x10JFIF", b"\xff\xd8\xff"]
)
def test_a_jpeg_without_a_frame_is_refused(data):
    with pytest.raises(ImageReadError, match="no frame header"):
        read_image(data)


def test_mutated_files_raise_nothing_else(save, radiograph):
    rng = np.random.default_rng(3)
    files = [save(radiograph, "JPEG", **options) for options in VARIANTS]
    for step in range(400):
        data = bytearray(files[step % len(files)])
        for _ in range(3):
            data[rng.integers(2, len(data))] = rng.integers(256)
        with contextlib.suppress(ImageReadError):
            assert read_image(bytes(data)).pixels.ndim == 2


@pytest.mark.data
def test_real_jpegs_equal_pillows_decode(real_images):
    paths = (
        sorted((real_images / "kermany").rglob("*.jpeg"))[::100]
        + sorted((real_images / "nih").rglob("*.jpg"))[::50]
    )
    assert len(paths) > 100
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        np.testing.assert_array_equal(read_image(path).pixels, pixels if pixels.ndim == 2 else pixels[..., 0])
