from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xrdatasets.errors import ImageReadError
from xrdatasets.images import read_image
from xrdatasets.images.png import decode_png

LUMA = np.array([19_595, 38_470, 7_471])
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def expected(values, colour, depth, palette):
    """Float64-free reference in Python's integers."""
    if colour == 3:
        values = palette[values[..., 0]]
    if values.shape[2] >= 3:
        return (values[..., :3].astype(np.int64) @ LUMA + 32_768) >> 16
    return values[..., 0].astype(np.int64) * (255 // (2**depth - 1) if depth < 8 and colour == 0 else 1)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_every_colour_type_and_depth_is_exact(make_png, colour, depth, interlaced):
    rng = np.random.default_rng(depth)
    values = rng.integers(0, 2**depth, (13, 17, CHANNELS[colour])).astype(np.uint16)
    palette = rng.integers(0, 256, (2**depth, 3)).astype(np.uint8) if colour == 3 else None
    file = make_png(values, colour=colour, depth=depth, interlaced=interlaced, palette=palette)
    raw = decode_png(bytes(file))
    np.testing.assert_array_equal(raw.pixels, expected(values, colour, depth, palette))
    assert raw.pixels.flags.c_contiguous
    assert raw.pixels.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert raw.max_value == (65_535 if depth == 16 else 255)


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_sixteen_bit_colour_keeps_its_low_byte_which_pillow_drops(make_png, colour):
    values = np.full((2, 2, CHANNELS[colour]), 0x0102, np.uint16)
    assert (decode_png(bytes(make_png(values, colour=colour, depth=16))).pixels == 0x0102).all()


def test_equal_channels_are_taken_as_they_are_and_alpha_is_dropped(make_png):
    values = np.stack([np.arange(256).reshape(16, 16)] * 3 + [np.zeros((16, 16), int)], axis=2)
    assert (decode_png(bytes(make_png(values, colour=6))).pixels == values[..., 0]).all()


def test_luma_is_pillows(save):
    rgb = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        decode_png(save(rgb, "PNG")).pixels, np.asarray(Image.fromarray(rgb).convert("L"))
    )


def test_channels_that_differ_only_below_the_first_row_are_still_colour(save):
    rgb = np.full((5, 5, 3), 100, np.uint8)
    rgb[4, 4] = (255, 0, 0)
    assert decode_png(save(rgb, "PNG")).pixels[4, 4] == 76


def test_white_stays_white_in_sixteen_bit_luma(make_png):
    values = np.full((2, 2, 3), 65_535, np.uint16)
    values[0, 1] = (65_535, 65_535, 65_534)
    assert (decode_png(bytes(make_png(values, colour=2, depth=16))).pixels == 65_535).all()


@pytest.mark.parametrize(("colour", "depth"), [(0, 8), (0, 4), (3, 8), (4, 8), (4, 16), (6, 8)])
def test_a_cut_anywhere_is_refused(make_png, colour, depth):
    values = np.random.default_rng(0).integers(0, 2**depth, (9, 11, CHANNELS[colour]))
    palette = np.zeros((2**depth, 3), np.uint8) if colour == 3 else None
    data = bytes(make_png(values, colour=colour, depth=depth, palette=palette))
    for cut in range(len(data) - 4):  # the last four bytes are the end mark's checksum
        with pytest.raises(ImageReadError):
            read_image(data[:cut])


def test_a_flipped_bit_anywhere_is_refused_or_harmless(make_png, radiograph):
    data = bytes(make_png(radiograph, extra=[(b"tEXt", b"Comment\0harmless")]))
    text = data.index(b"tEXt")
    for at in range(8, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        try:
            pixels = read_image(bytes(damaged)).pixels
        except ImageReadError:
            continue
        assert text - 4 <= at < text + 24 or at >= len(data) - 12
        np.testing.assert_array_equal(pixels, radiograph)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), [(0, 8), (0, 2), (3, 8), (4, 8)])
@pytest.mark.parametrize(
    "harm",
    [
        lambda png: png.idat[: len(png.idat) // 2],
        lambda png: zlib.compress(png.raw[: len(png.raw) // 2]),
        lambda png: zlib.compress(png.raw[:-1]),
        lambda png: zlib.compress(b"\x09" + png.raw[1:]),
        lambda png: b"",
    ],
    ids=["stream cut", "rows missing", "one byte missing", "unknown filter", "empty"],
)
def test_damage_behind_correct_checksums_is_refused(make_png, radiograph, colour, depth, harm, interlaced):
    values = np.stack([radiograph >> (8 - depth)] * CHANNELS[colour], axis=2)
    palette = np.zeros((256, 3), np.uint8) if colour == 3 else None
    file = make_png(values, colour=colour, depth=depth, palette=palette, interlaced=interlaced)
    file.idat = harm(file)
    with pytest.raises(ImageReadError, match="damaged"):
        read_image(bytes(file))


def test_a_wrong_checksum_in_a_palette_image_is_refused_though_pillow_reads_it(make_png, radiograph):
    data = bytearray(bytes(make_png(radiograph, colour=3, palette=np.zeros((256, 3), np.uint8))))
    data[-14] ^= 1  # the last byte of the pixel data's checksum
    with pytest.raises(ImageReadError, match=r"b'IDAT' at byte [0-9,]+ does not match its checksum"):
        read_image(bytes(data))


def test_a_missing_end_mark_is_named(make_png, radiograph):
    with pytest.raises(ImageReadError, match=r"ends too early, after [0-9,]+ bytes, without its end mark"):
        read_image(bytes(make_png(radiograph))[:-12])


def test_junk_after_the_end_is_ignored(make_png, radiograph):
    data = bytes(make_png(radiograph)) + b"junk" * 99
    np.testing.assert_array_equal(read_image(data).pixels, radiograph)


def test_transparency_text_and_animation_change_nothing(make_png, radiograph):
    extra = [(b"tRNS", bytes(256)), (b"tEXt", b"Title\0x"), (b"acTL", struct.pack(">II", 3, 0))]
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    data = bytes(make_png(radiograph, colour=3, palette=palette, extra=extra))
    np.testing.assert_array_equal(read_image(data).pixels, radiograph)


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (50_000, 50_000, "at most 100,000,000"),
        (0, 5, "at least 2 x 2"),
        (9_000, 9_000, "cannot hold"),
        (2**32 - 1, 2**32 - 1, "at most"),
    ],
)
def test_an_impossible_size_is_refused_before_memory_is_taken(make_png, radiograph, width, height, reason):
    file = make_png(radiograph)
    file.header = struct.pack(">II", width, height) + file.header[8:]
    with pytest.raises(ImageReadError, match=reason):
        read_image(bytes(file))


@pytest.mark.parametrize(("colour", "depth"), [(1, 8), (2, 4), (0, 3), (7, 8), (6, 0)])
def test_a_colour_type_that_does_not_exist_is_refused(make_png, radiograph, colour, depth):
    file = make_png(radiograph)
    file.header = file.header[:8] + bytes([depth, colour, 0, 0, 0])
    with pytest.raises(ImageReadError, match=f"colour type {colour} with {depth} bits"):
        read_image(bytes(file))


def test_a_decompression_bomb_of_text_is_harmless(make_png, radiograph):
    bomb = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
    for colour in (0, 3):
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1) if colour == 3 else None
        data = bytes(make_png(radiograph, colour=colour, palette=palette, extra=[bomb]))
        np.testing.assert_array_equal(read_image(data).pixels, radiograph)


def test_mutated_files_raise_nothing_else(make_png, make_chunk):
    rng = np.random.default_rng(7)
    values = rng.integers(0, 256, (12, 12, 4))
    files = [make_png(values[..., : CHANNELS[c]], colour=c, depth=8) for c in (0, 2, 4, 6)]
    for step in range(400):
        file = files[step % 4]
        damaged = bytearray(file.idat)
        for _ in range(3):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        whole, file.idat = file.idat, bytes(damaged)
        data, file.idat = bytes(file), whole
        with contextlib.suppress(
            ImageReadError
        ):  # the checksums are right: the decoder itself sees the damage
            assert read_image(data).pixels.shape == (12, 12)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux")
def test_reading_and_resizing_start_no_threads_that_would_fight_with_a_loaders_workers(save, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1_200, 1_200)).astype(np.uint8)
    for name, values in (("PNG", pixels), ("JPEG", pixels), ("16.PNG", pixels.astype(np.uint16) * 257)):
        (tmp_path / f"image.{name}").write_bytes(save(values, name.removeprefix("16.")))
    code = """
import os, sys, pathlib
import numpy, scipy.sparse  # their own pools are there from the start, and stay idle
from xrdatasets.images import load_image
before = len(os.listdir("/proc/self/task"))
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    for engine in ("area", "gaussian"):
        load_image(path, size=224, engine=engine)
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.data
def test_all_original_nih_images_equal_pillows_decode(real_images):
    paths = sorted((real_images / "nih_original").rglob("*.png"))
    assert len(paths) == 31
    for path in paths:
        with Image.open(path) as image:
            np.testing.assert_array_equal(read_image(path).pixels, np.asarray(image))


@pytest.mark.data
def test_the_rgba_image_of_nih_reads_as_its_common_channel(real_images):
    modes = {}
    for path in sorted((real_images / "fixtures" / "nih" / "images").glob("*.png")):
        with Image.open(path) as image:
            modes[path.name] = image.mode
            first = np.asarray(image.convert("RGBA"))[..., 0]
        np.testing.assert_array_equal(read_image(path).pixels, first)
    assert "RGBA" in modes.values()
