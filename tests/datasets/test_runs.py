"""Run lengths: the form of COCO, there and back, and where their pixels come out."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from xrdatasets.datasets.runs import decode_runs, sample_mask
from xrdatasets.images import Frame

masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1))


def encode(mask):
    """Lengths of the runs of a mask, pixel by pixel: columns first, beginning with 0."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return np.array(counts)


def test_columns_come_first():
    """Two rows, three columns: 0 at the top left, 1 below it and at the next top, two 0, 1 at the end."""
    assert decode_runs(np.array([1, 2, 2, 1]), (2, 3)).tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("counts", "pixels"),
    [([2, 3, 1, 1], [0, 0, 1, 1, 1, 0, 1]), ([0, 6, 1], [1, 1, 1, 1, 1, 1, 0])],
)
def test_the_examples_of_coco_s_own_description(counts, pixels):
    assert decode_runs(np.array(counts), (7, 1)).ravel().tolist() == pixels


def test_what_is_left_out_at_the_end_is_0():
    assert decode_runs(np.array([1, 1]), (2, 2)).tolist() == [[0, 0], [1, 0]]
    assert not decode_runs(np.array([], dtype=np.int64), (2, 2)).any()


def test_more_pixels_than_there_are():
    with pytest.raises(ValueError, match=r"counts: expected at most 6 pixels \(3 x 2\), got 7"):
        decode_runs(np.array([3, 4]), (2, 3))


@given(masks)
def test_law_there_and_back(mask):
    decoded = decode_runs(encode(mask), mask.shape)
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == np.uint8


@given(masks)
def test_law_native_size_changes_nothing(mask):
    np.testing.assert_array_equal(sample_mask(mask, mask.shape, Frame.of(mask.shape)), mask)


@given(masks, st.integers(1, 12), st.booleans())
def test_law_no_mark_disappears_without_a_crop_and_none_is_made(mask, size, crop):
    sampled = sample_mask(mask, mask.shape, Frame.of(mask.shape, size=size, crop=crop))
    assert sampled.shape == (size, size)
    if not mask.any():
        assert not sampled.any()
    elif not crop:
        assert sampled.any()


def test_a_pixel_takes_the_value_at_its_centre():
    """Three native pixels make one: the middle one counts."""
    mask = np.zeros((9, 9), dtype=np.uint8)
    mask[4, 4] = mask[3, 7] = mask[1, 1] = 1
    assert sample_mask(mask, (9, 9), Frame.of((9, 9), size=3)).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_marks_between_the_centres_keep_the_pixel_in_their_middle():
    mask = np.zeros((9, 9), dtype=np.uint8)
    mask[6, 3:6] = 1
    assert sample_mask(mask, (9, 9), Frame.of((9, 9), size=3)).tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_marks_that_were_cropped_away_leave_nothing():
    mask = np.zeros((4, 12), dtype=np.uint8)
    mask[:, :4] = 1
    assert not sample_mask(mask, (4, 12), Frame.of((4, 12), size=2)).any()


def test_marks_drawn_on_a_larger_image():
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[10:20, 30:40] = 1
    assert np.argwhere(sample_mask(mask, (4, 4), Frame.of((4, 4)))).tolist() == [[1, 3]]
