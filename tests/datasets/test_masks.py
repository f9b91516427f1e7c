"""Boxes on images that were cropped and resized."""

import numpy as np
import pandas as pd
import pytest

from xrdatasets.datasets.masks import BOX_COLUMNS, box_masks
from xrdatasets.images import Frame


def boxes(*rows):
    return pd.DataFrame([("i", *row, 100, 200) for row in rows], columns=list(BOX_COLUMNS))


def test_crop_moves_the_box():
    """200 rows by 100 columns: the square keeps rows 50 to 149."""
    mask = box_masks(boxes(("Mass", 10, 60, 20, 40)), ["Mass"], (200, 100), Frame.of((200, 100), size=50))
    expected = np.zeros((50, 50), dtype=np.uint8)
    expected[5:25, 5:15] = 1
    np.testing.assert_array_equal(mask[0], expected)


def test_box_that_was_cropped_away_leaves_nothing():
    mask = box_masks(boxes(("Mass", 0, 0, 30, 40)), ["Mass"], (200, 100), Frame.of((200, 100), size=50))
    assert not mask.any()


def test_tiny_box_keeps_a_pixel():
    mask = box_masks(
        boxes(("Nodule", 40.2, 100.2, 1, 1)), ["Nodule"], (200, 100), Frame.of((200, 100), size=10)
    )
    assert np.argwhere(mask[0]).tolist() == [[5, 4]]


def test_several_boxes_and_findings():
    rows = [("Mass", 0, 50, 50, 50), ("Mass", 50, 100, 50, 50), ("Effusion", 0, 0, 100, 200)]
    mask = box_masks(boxes(*rows), ["Mass"], (200, 100), Frame.of((200, 100), size=4))
    assert mask.tolist() == [[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]]


def test_native_size_and_squeezed():
    box = boxes(("Mass", 25, 50, 50, 100))
    assert box_masks(box, ["Mass"], (200, 100), Frame.of((200, 100))).sum() == 50 * 100
    squeezed = box_masks(box, ["Mass"], (200, 100), Frame.of((200, 100), size=4, crop=False))
    assert squeezed[0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("scale", [0.25, 0.5, 2])
def test_area_is_kept_under_scale(scale):
    shape = (int(200 * scale), int(100 * scale))
    mask = box_masks(boxes(("Mass", 20, 80, 40, 60)), ["Mass"], shape, Frame.of(shape))
    assert mask.sum() == pytest.approx(40 * 60 * scale**2)
