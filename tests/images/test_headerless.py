"""Bare pixels: byte order, bit depth, polarity, and files that are not what their release says."""

import numpy as np
import pytest

from xrdatasets import ImageReadError
from xrdatasets.images import normalize
from xrdatasets.images.headerless import Layout, decode_headerless, read_headerless

LAYOUT = Layout(20, 30, bits=12, big_endian=True, inverted=False)
FILM = Layout(20, 30, bits=12, big_endian=True, inverted=True)


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 4096, (20, 30), dtype=np.uint16)


def test_rows_and_columns_stand_as_written(values):
    raw = decode_headerless(values.astype(">u2").tobytes(), LAYOUT)
    np.testing.assert_array_equal(raw.pixels, values)
    assert raw.pixels.dtype == np.uint16
    assert raw.pixels.dtype.isnative
    assert raw.pixels.flags.c_contiguous
    assert raw.max_value == 4095


def test_little_endian(values):
    layout = Layout(20, 30, bits=12, big_endian=False, inverted=False)
    raw = decode_headerless(values.astype("<u2").tobytes(), layout)
    np.testing.assert_array_equal(raw.pixels, values)


def test_film_is_turned_round(values):
    values[0, 0], values[0, 1] = 0, 4095
    raw = decode_headerless(values.astype(">u2").tobytes(), FILM)
    assert raw.pixels[0, :2].tolist() == [4095, 0]
    np.testing.assert_array_equal(raw.pixels.astype(int) + values, 4095)


def test_the_ends_of_the_bit_depth_are_the_ends_of_the_range(values):
    values[0, 0], values[0, 1] = 0, 4095
    raw = decode_headerless(values.astype(">u2").tobytes(), FILM)
    assert normalize(raw)[0, 0, :2].tolist() == [1024, -1024]
    assert normalize(raw, "unit")[0, 0, :2].tolist() == [1, 0]


def test_a_stray_value_above_the_depth_counts_as_the_largest(values):
    values[5, 5] = 5000
    assert decode_headerless(values.astype(">u2").tobytes(), LAYOUT).pixels[5, 5] == 4095
    assert decode_headerless(values.astype(">u2").tobytes(), FILM).pixels[5, 5] == 0


def test_another_byte_order_is_told(values):
    with pytest.raises(ImageReadError, match=r"values are above 4,095. Expected 12-bit values, big-endian"):
        decode_headerless(values.astype("<u2").tobytes(), LAYOUT)


@pytest.mark.parametrize("size", [0, 100, 1199, 1201, 2400])
def test_another_size_is_told(tmp_path, size):
    path = tmp_path / "a.img"
    path.write_bytes(b"\1" * size)
    expected = rf"jsrt: cannot read '.*a.img': it has {size:,} bytes. Expected 1,200: 30 x 20 pixels"
    with pytest.raises(ImageReadError, match=expected):
        read_headerless(path, LAYOUT, dataset="jsrt")


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.img", tmp_path):
        with pytest.raises(
            ImageReadError, match=r"cannot read .*: it is not there, or no file. Expected an image"
        ):
            read_headerless(path, LAYOUT)


def test_read_is_decode(tmp_path, values):
    path = tmp_path / "a.img"
    path.write_bytes(values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_headerless(path, LAYOUT).pixels, values)
