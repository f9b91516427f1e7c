"""Affine: against scipy, numpy and scikit-image; bits that stay, masks that go along, named angles."""

import math
import sys

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
import torch

from xrdatasets.transforms import RandomAffine

ENDS = {"xrv": (-1024, 1024), "unit": (0, 1)}


def fixed(degrees=0.0, scale=1.0, shear=0.0, **options):
    """A transform without chance."""
    return RandomAffine(degrees=(degrees, degrees), scale=(scale, scale), shear=(shear, shear), **options)


def matrix(degrees, scale, shear, height, width):
    """Where a pixel (row, column) goes, (3, 3) float64: sheared, turned clockwise, scaled."""
    angle = math.radians(degrees)
    centre = np.array([[1, 0, (height - 1) / 2], [0, 1, (width - 1) / 2], [0, 0, 1.0]])
    # rows grow downwards: clockwise takes the right side (column +) down (row +)
    turn = np.array(
        [[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    lean = np.array([[1, 0, 0], [-math.tan(math.radians(shear)), 1, 0], [0, 0, 1]])
    return centre @ turn @ np.diag([scale, scale, 1]) @ lean @ np.linalg.inv(centre)


def warped(image, forward, outside, order=1):
    """Scipy's warp in float64."""
    back = np.linalg.inv(forward)
    return scipy.ndimage.affine_transform(
        image.astype(np.float64), back[:2, :2], back[:2, 2], order=order, mode="grid-constant", cval=outside
    )


@pytest.mark.parametrize("intensity", ["xrv", "unit"])
@pytest.mark.parametrize("shape", [(24, 24), (20, 31), (33, 14)])
@pytest.mark.parametrize(
    ("degrees", "scale", "shear"),
    [(30, 1, 0), (-45, 1, 0), (0, 1.15, 0), (0, 0.85, 0), (0, 1, 12), (-20, 1.1, -5), (180, 0.5, 30)],
)
def test_it_is_scipys_affine_transform(degrees, scale, shear, shape, intensity, noise):
    images = noise(2, *shape, intensity=intensity)
    low, high = ENDS[intensity]
    made = fixed(degrees, scale, shear, intensity=intensity)(images)
    forward = matrix(degrees, scale, shear, *shape)
    for image, out in zip(images[:, 0].numpy(), made[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(out, warped(image, forward, low), rtol=0, atol=2e-4 * (high - low))


def test_it_is_scikit_images_warp_inside(noise):
    images = noise(1, 40, 52)
    centre = np.array([(52 - 1) / 2, (40 - 1) / 2])
    shifted = [skimage.transform.AffineTransform(translation=sign * centre) for sign in (-1, 1)]
    turned = skimage.transform.AffineTransform(rotation=math.radians(25), scale=0.9)
    forward = shifted[0] + turned + shifted[1]
    reference = skimage.transform.warp(images[0, 0].numpy().astype(float), forward.inverse, cval=-1024)
    difference = np.abs(fixed(25, 0.9)(images)[0, 0].numpy() - reference)
    assert np.median(difference) < 0.1
    assert (difference[10:-10, 10:-10] < 0.3).all()  # at the edge they mix with the outside in other ways


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_right_angles_are_numpys(turns, noise):
    images = noise(2, 17, 17)
    masks = (images > 0).to(torch.uint8)
    made = fixed(90 * turns)({"img": images, "mask": masks})
    clockwise = {"k": -turns, "axes": (2, 3)}
    np.testing.assert_allclose(made["img"], np.rot90(images, **clockwise), rtol=0, atol=0.01)
    np.testing.assert_array_equal(made["mask"], np.rot90(masks, **clockwise))


@pytest.mark.parametrize(("fill", "value"), [(0.0, -1024), (0.5, 0), (1.0, 1024)])
def test_what_comes_in_from_outside_is_the_fill(fill, value, noise):
    made = fixed(45, 0.5, fill=fill)(noise(1, 20, 30))
    corners = made[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == [value] * 4


def test_black_comes_in_by_default_and_not_mid_grey():
    assert fixed(45)(torch.full((1, 1, 9, 9), 1024.0))[0, 0, 0, 0] == -1024
    assert fixed(45, intensity="unit")(torch.ones(1, 1, 9, 9))[0, 0, 0, 0] == 0


@pytest.mark.parametrize(("intensity", "white"), [("xrv", 1024.0), ("unit", 1.0)])
def test_rounding_does_not_leave_the_range(intensity, white, draw):
    images = torch.full((50, 1, 64, 64), white)
    made = RandomAffine(45, scale=(0.85, 1.15), intensity=intensity)(images, generator=draw())
    assert made.max() == white
    assert made.min() == ENDS[intensity][0]


def test_nothing_to_do_is_the_identical_image(noise):
    images = noise(4)
    for change in (RandomAffine(), fixed(0, 1, 0), RandomAffine(45, 0.15, (0.85, 1.15), p=0.0)):
        assert torch.equal(change(images), images)


def test_images_that_are_not_chosen_stay_bit_by_bit(noise, draw):
    images = noise(50, 8, 8)
    changed = (RandomAffine(45, p=0.5)(images, generator=draw()) != images).flatten(1).any(1)
    assert 10 < changed.sum() < 40


def blobs(count, height=61, width=81, at=(0.0, 0.0), sigma=3.0):
    """Round spots beside the centre, by (rows, columns)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    squared = (rows - (height - 1) / 2 - at[0]) ** 2 + (columns - (width - 1) / 2 - at[1]) ** 2
    return torch.exp(-squared / (2 * sigma**2)).float().expand(count, 1, -1, -1)


def places(images):
    """Centroids by (rows, columns) from the centre, (B, 2) float64."""
    share = images[:, 0].double() / images.double().sum((1, 2, 3))[:, None, None]
    rows = torch.arange(images.shape[2]).double() - (images.shape[2] - 1) / 2
    columns = torch.arange(images.shape[3]).double() - (images.shape[3] - 1) / 2
    return torch.stack([share.sum(2) @ rows, share.sum(1) @ columns], dim=1)


def test_shifts_fill_their_range_and_do_not_leave_it(draw):
    made = RandomAffine(translate=(0.2, 0.1), intensity="unit")(blobs(400), generator=draw())
    rows, columns = places(made).T
    for shift, most in ((rows, 0.1 * 61), (columns, 0.2 * 81)):
        assert shift.abs().max() <= most + 0.01
        assert shift.min() < -0.9 * most
        assert shift.max() > 0.9 * most
        assert abs(shift.mean()) < 4 * most / 3**0.5 / 400**0.5
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.2


def test_one_number_moves_by_that_share_of_each_side(draw):
    rows, columns = places(RandomAffine(translate=0.1, intensity="unit")(blobs(300), generator=draw())).T
    assert 0.9 * 6.1 < rows.abs().max() < 6.11
    assert 0.9 * 8.1 < columns.abs().max() < 8.11


@pytest.mark.parametrize(("degrees", "low", "high"), [(45, -45, 45), ((10, 20), 10, 20)])
def test_angles_fill_their_range_and_are_clockwise(degrees, low, high, draw):
    made = RandomAffine(degrees, intensity="unit")(blobs(300, at=(0, 20)), generator=draw())
    rows, columns = places(made).T
    angles = torch.rad2deg(torch.atan2(rows, columns))  # the spot to the right goes down
    assert low - 0.1 <= angles.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < angles.max() <= high + 0.1
    np.testing.assert_allclose(torch.hypot(rows, columns), 20, atol=0.05)


def test_scales_fill_their_range(draw):
    made = RandomAffine(scale=(0.85, 1.15), intensity="unit")(blobs(300, at=(0, 20)), generator=draw())
    scales = places(made)[:, 1] / 20
    assert 0.849 < scales.min() < 0.87
    assert 1.13 < scales.max() < 1.151


def test_a_shear_leans_verticals_and_leaves_the_middle_row(draw):
    made = RandomAffine(shear=10, intensity="unit")(blobs(300, at=(15, 0)), generator=draw())
    rows, columns = places(made).T
    np.testing.assert_allclose(rows, 15, atol=0.05)
    most = 15 * math.tan(math.radians(10))
    assert columns.abs().max() <= most + 0.05
    assert columns.min() < -0.9 * most
    assert columns.max() > 0.9 * most


def test_a_mask_goes_where_its_image_goes(draw):
    drawn = (blobs(60, at=(8, 12), sigma=6.0) > 0.6).float()
    made = RandomAffine(45, 0.15, (0.85, 1.15), 5, intensity="unit")(
        {"img": drawn, "mask": drawn.to(torch.uint8)}, generator=draw()
    )
    assert made["mask"].flatten(1).any(1).all()
    apart = (places(made["img"]) - places(made["mask"])).abs()
    assert apart.max() < 0.5
    # and pixel by pixel: all that is surely inside or outside
    sure = (made["img"] < 0.01) | (made["img"] > 0.99)
    assert torch.equal(made["img"][sure].round(), made["mask"][sure].float())


def test_labels_with_several_masks_move_each(noise):
    masks = torch.zeros(2, 3, 9, 9, dtype=torch.uint8)
    masks[:, 1, 4, 6] = 1
    moved = fixed(90)({"img": noise(2, 9, 9), "mask": masks})["mask"]
    assert moved.nonzero().tolist() == [[0, 1, 6, 4], [1, 1, 6, 4]]


def test_gradients_are_those_of_a_linear_map(noise, draw):
    """The warp is linear: the gradient of a sum of products is its transpose, which gives the same sum."""
    images, weights = noise(2, intensity="unit").requires_grad_(), noise(2, seed=1, intensity="unit")
    out = fixed(33, 0.9, intensity="unit")(images)
    (out * weights).sum().backward()
    assert (images.grad * images).sum().item() == pytest.approx((out * weights).sum().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("degrees", -1),
        ("degrees", (20, 10)),
        ("degrees", math.nan),
        ("degrees", (1, 2, 3)),
        ("degrees", "45"),
        ("translate", -0.1),
        ("translate", 1.5),
        ("translate", (0.1, 0.2, 0.3)),
        ("translate", (0.1, -0.2)),
        ("scale", (0.0, 1.0)),
        ("scale", (1.2, 0.8)),
        ("scale", (1.0, math.inf)),
        ("shear", -3),
        ("shear", (0, 90)),
        ("shear", None),
        ("fill", -1024),
        ("fill", 2),
    ],
)
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        RandomAffine(**{name: value})


def test_without_kornia_the_error_names_the_package(monkeypatch, noise):
    for module in [name for name in sys.modules if name.split(".")[0] == "kornia"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(ImportError, match=r"kornia.*pip install 'xrdatasets\[train\]'"):
        RandomAffine(45)(noise(1))
