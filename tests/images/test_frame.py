from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from xrdatasets.images import Frame, RawImage, prepare

sides = st.integers(1, 80)


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("shape", [(96, 80), (80, 96), (64, 64), (97, 80)])
def test_a_box_lands_on_the_pixels_it_covers(shape, crop):
    pixels = np.zeros(shape, np.uint8)
    pixels[40:56, 32:48] = 255
    img = prepare(RawImage(pixels, 255), size=shape[0] // 2, crop=crop, intensity="unit")[0]
    left, top, right, bottom = Frame.of(shape, size=shape[0] // 2, crop=crop).boxes([32, 40, 48, 56])
    y, x = np.nonzero(img > 0.5)
    np.testing.assert_allclose(
        [x.min(), y.min(), x.max() + 1, y.max() + 1], [left, top, right, bottom], atol=1
    )
    assert img.sum() == pytest.approx((right - left) * (bottom - top), rel=0.05)


def test_no_size_is_the_native_image():
    frame = Frame.of((30, 20))
    assert (frame.out_height, frame.out_width, frame.scale) == (30, 20, (1.0, 1.0))
    np.testing.assert_array_equal(frame.boxes([[1, 2, 3, 4]]), [[1, 2, 3, 4]])


def test_boxes_are_cut_at_the_border_and_points_are_not():
    frame = Frame.of((100, 200), size=50)
    np.testing.assert_array_equal(frame.boxes([0, 0, 60, 100]), [0, 0, 5, 50])
    np.testing.assert_array_equal(frame.points([0, 0]), [-25, 0])


def test_no_boxes_give_no_boxes():
    assert Frame.of((9, 9), size=3).boxes(np.zeros((0, 4))).shape == (0, 4)


@given(height=sides, width=sides, size=sides, crop=st.booleans())
def test_law_the_frame_fits_the_prepared_image(height, width, size, crop):
    raw = RawImage(np.zeros((height, width), np.uint8), 255)
    frame = Frame.of((height, width), size=size, crop=crop)
    assert prepare(raw, size=size, crop=crop).shape == (1, frame.out_height, frame.out_width)
    assert frame.top + frame.height <= height
    assert frame.left + frame.width <= width


@pytest.mark.parametrize("size", [0, True, 1.5])
def test_a_bad_size_is_named(size):
    with pytest.raises(ValueError, match="size: expected"):
        Frame.of((5, 5), size=size)


def test_an_empty_shape_is_named():
    with pytest.raises(ValueError, match="shape: expected"):
        Frame.of((0, 5), size=3)


@given(height=sides, width=sides, size=st.none() | sides, crop=st.booleans())
def test_law_centres_map_onto_the_centres_of_the_result(height, width, size, crop):
    frame = Frame.of((height, width), size=size, crop=crop)
    x, y = frame.centres()
    points = frame.points(np.stack(np.meshgrid(x, y), axis=-1))
    assert points.shape == (frame.out_height, frame.out_width, 2)
    np.testing.assert_allclose(points[..., 0], np.tile(np.arange(len(x)) + 0.5, (len(y), 1)), atol=1e-9)
    np.testing.assert_allclose(points[..., 1].T, np.tile(np.arange(len(y)) + 0.5, (len(x), 1)), atol=1e-9)
