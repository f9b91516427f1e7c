"""Crops: against slices by hand, torch's interpolation and float64 means."""

import numpy as np
import pytest
import scipy.stats
import torch

import xrdatasets as xr
from xrdatasets.transforms import CenterCrop, RandomCrop, RandomResizedCrop, TenCrop

CROPS = [CenterCrop, RandomCrop, RandomResizedCrop, TenCrop]


def grid(batch, height, width):
    """Images whose value says where a pixel was."""
    return torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width).repeat(batch, 1, 1, 1)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (10, 9), (9, 12), (4, 5)])
def test_the_centre_is_the_packages_own(height, width):
    images, side = grid(2, height, width), min(height, width)
    made = CenterCrop(side)({"img": images, "mask": images.to(torch.uint8)})
    np.testing.assert_array_equal(made["img"], xr.center_crop(images.numpy()))
    assert torch.equal(made["mask"], made["img"].to(torch.uint8))


def test_the_centre_of_two_sides():
    assert CenterCrop((1, 2))(grid(1, 5, 6)).flatten().tolist() == [14, 15]


def test_ten_crops_stand_in_their_order():
    """By hand: of 3 x 4 pixels, 2 x 2 at the corners (above, then below) and the centre."""
    images = grid(2, 3, 4)
    ten = TenCrop(2)({"img": images, "mask": images.to(torch.uint8)})
    rows = [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[4, 5], [8, 9]],
        [[6, 7], [10, 11]],
        [[1, 2], [5, 6]],
        [[3, 2], [7, 6]],
        [[1, 0], [5, 4]],
        [[7, 6], [11, 10]],
        [[5, 4], [9, 8]],
        [[2, 1], [6, 5]],
    ]
    assert ten["img"].shape == (2, 10, 1, 2, 2)
    for image, mask in zip(ten["img"], ten["mask"], strict=True):
        assert image[:, 0].tolist() == mask[:, 0].tolist() == rows


def test_random_crops_are_parts_and_stand_everywhere(draw):
    images = grid(600, 5, 6)
    made = RandomCrop((3, 4))({"img": images, "mask": images.to(torch.uint8)}, generator=draw())
    corners = made["img"][:, 0, 0, 0].long()
    for image, corner in zip(made["img"][:, 0], corners.tolist(), strict=True):
        row, column = divmod(corner, 6)
        assert torch.equal(image, images[0, 0, row : row + 3, column : column + 4])
    assert torch.equal(made["mask"], made["img"].to(torch.uint8))
    counts = [int((corners == 6 * row + column).sum()) for row in range(3) for column in range(3)]
    assert sum(counts) == 600
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("crop", [CenterCrop(5), RandomCrop((5, 6)), RandomResizedCrop(6, (1, 1), (1, 1))])
def test_all_of_it_is_the_identical_image(crop, noise):
    images = noise(3, *((6, 6) if isinstance(crop, RandomResizedCrop) else (5, 6)))
    expected = images[..., :5] if crop == CenterCrop(5) else images
    expected = images[..., 1:6] if crop == CenterCrop(5) else expected
    assert torch.equal(crop(images), expected)


def windows(made, scale):
    """Where each crop lay, out of the means of two ramps: (top, left, height, width) in pixels."""
    rows, columns = made[0::2, 0].double(), made[1::2, 0].double()
    height = (rows[:, -1].mean(1) - rows[:, 0].mean(1)) * scale / (scale - 1)
    width = (columns[:, :, -1].mean(1) - columns[:, :, 0].mean(1)) * scale / (scale - 1)
    return rows.mean((1, 2)) + 0.5 - height / 2, columns.mean((1, 2)) + 0.5 - width / 2, height, width


def ramps(count, height, width):
    """Pairs of images: row numbers, column numbers."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns])[:, None].float().repeat(count, 1, 1, 1)


def test_resized_crops_have_areas_and_shapes_in_their_ranges():
    crop = RandomResizedCrop(16, scale=(0.3, 0.6), ratio=(0.7, 1.5))
    seeds = torch.arange(300).repeat_interleave(2)  # both ramps of a pair are cut alike
    top, left, height, width = windows(crop(ramps(300, 100, 140), seeds=seeds), 16)
    area, ratio = height * width / 14_000, width / height
    # linear samples near the edge of a crop that grows or shrinks little are a pixel off
    assert 0.27 < area.min() < 0.33
    assert 0.56 < area.max() < 0.63
    assert 0.66 < ratio.min() < 0.75
    assert 1.4 < ratio.max() < 1.6
    assert min(top.min(), left.min()) > -1
    assert (top + height).max() < 101
    assert (left + width).max() < 141


def test_a_resized_crop_is_torchs_antialiased_interpolation(noise):
    """One box, all of the image: the area 1 and the image's own shape leave no other."""
    images = noise(2, 30, 60)
    made = RandomResizedCrop((10, 12), scale=(1, 1), ratio=(2, 2))(images)
    expected = torch.nn.functional.interpolate(images, (10, 12), mode="bilinear", antialias=True)
    torch.testing.assert_close(made, expected)


def test_a_resized_crop_shrinks_with_antialiasing():
    stripes = torch.tensor([-1000.0, 1000.0]).repeat(64).expand(1, 1, 128, 128)
    made = RandomResizedCrop(16, scale=(1, 1), ratio=(1, 1))(stripes)
    assert made.abs()[..., 1:-1].max() < 100  # samples without it would be -1000 or 1000


@pytest.mark.parametrize("value", [1.0, 1024.0, -1024.0])
def test_rounding_does_not_leave_the_range(value):
    for side in (75, 225, 280):  # the weights of the last two add up to more than 1 in float32
        white = torch.full((1, 1, side, side), value)
        assert torch.equal(RandomResizedCrop(224)(white), torch.full((1, 1, 224, 224), value))


def test_masks_take_the_pixel_under_the_middle():
    """Half the size: the middle of each new pixel is the edge between two; the next counts."""
    masks = torch.tensor([0, 1, 1, 0], dtype=torch.uint8).expand(1, 1, 4, 4)
    whole = RandomResizedCrop((4, 2), scale=(1, 1), ratio=(1, 1))
    assert whole({"img": torch.zeros(1, 1, 4, 4), "mask": masks})["mask"][0, 0].tolist() == [[1, 0]] * 4


def test_a_mask_is_cut_and_resized_with_its_image(draw):
    drawn = torch.zeros(40, 1, 60, 80)
    drawn[:, :, 20:40, 30:60] = 1.0
    crop = RandomResizedCrop((64, 50), scale=(0.3, 0.9))
    made = crop({"img": drawn, "mask": drawn.to(torch.uint8)}, generator=draw())
    sure = (made["img"] < 0.01) | (made["img"] > 0.99)
    assert made["mask"].unique().tolist() == [0, 1]
    assert torch.equal(made["img"][sure].round(), made["mask"][sure].float())
    assert (made["img"].mean((1, 2, 3)) - made["mask"].float().mean((1, 2, 3))).abs().max() < 0.02


def test_an_image_too_long_for_the_shape_gives_its_centre():
    """Ten draws of a square of all its area do not fit into 10 x 40: what is left is the middle square."""
    images = grid(3, 10, 40)
    made = RandomResizedCrop(10, scale=(1, 1), ratio=(1, 1))(images)
    assert torch.equal(made, images[..., 15:25])
    upright = RandomResizedCrop(10, scale=(1, 1), ratio=(1, 1))(images.transpose(2, 3))
    assert torch.equal(upright, images.transpose(2, 3)[..., 15:25, :])


@pytest.mark.parametrize("crop", [CenterCrop, RandomCrop, TenCrop])
@pytest.mark.parametrize("size", [7, (6, 2), (2, 7)])
def test_images_smaller_than_the_crop_are_named(crop, size):
    with pytest.raises(ValueError, match=r"images: expected at least \d x \d pixels to cut from, got 5 x 6"):
        crop(size)(grid(1, 5, 6))


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "224", None, (1, 2, 3), (2, 0), (True, 3), torch.ones(2)])
def test_a_wrong_size_is_named(crop, size):
    with pytest.raises(
        ValueError, match=r"size: expected a whole number of at least 1, or \(height, width\)"
    ):
        crop(size)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", (0, 1)), ("scale", (0.5, 1.1)), ("scale", (0.6, 0.5)), ("ratio", (0, 1)), ("ratio", (2, 1))],
)
def test_wrong_ranges_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        RandomResizedCrop(8, **{name: value})
