import pytest
import torch

from xrdatasets.transforms import RandomErasing


def boxes(images, value):
    """(top, left, height, width) of what has the value, which has to be a full box."""
    for image in images[:, 0]:
        rows, columns = (image == value).nonzero(as_tuple=True)
        top, left = rows.min().item(), columns.min().item()
        height, width = rows.max().item() + 1 - top, columns.max().item() + 1 - left
        assert len(rows) == height * width
        yield top, left, height, width


def test_one_box_is_filled_and_the_rest_stays(noise, draw):
    images = noise(40, 50, 70)
    made = RandomErasing(p=1.0, value=0.25)(images, generator=draw())
    for image, out, (top, left, height, width) in zip(images, made, boxes(made, -512), strict=True):
        outside = torch.ones(50, 70, dtype=torch.bool)
        outside[top : top + height, left : left + width] = False
        assert torch.equal(image[0][outside], out[0][outside])


def test_areas_shapes_and_places_fill_their_ranges(draw):
    images = torch.full((500, 1, 100, 140), 0.5)
    made = RandomErasing(p=1.0, scale=(0.05, 0.2), ratio=(0.5, 2.0), intensity="unit")(
        images, generator=draw()
    )
    top, left, height, width = torch.tensor(list(boxes(made, 0.0))).double().T
    area, ratio = height * width / 14_000, height / width
    assert 0.048 < area.min() < 0.055
    assert 0.19 < area.max() < 0.205
    assert 0.48 < ratio.min() < 0.55
    assert 1.85 < ratio.max() < 2.1
    assert abs(ratio.log().mean()) < 4 * 0.4 / 500**0.5
    assert (top.min(), left.min(), (top + height).max(), (left + width).max()) == (0, 0, 100, 140)


def test_masks_stay(noise, draw):
    masks = torch.ones(2, 1, 20, 30, dtype=torch.uint8)
    assert RandomErasing(p=1.0)({"img": noise(2), "mask": masks}, generator=draw())["mask"] is masks


def test_an_image_into_which_no_box_fits_stays(noise):
    images = noise(20, 10, 40)
    for change in (
        RandomErasing(p=1.0, scale=(1, 1), ratio=(1, 1)),  # a square of its area is higher than the image
        RandomErasing(p=1.0, scale=(1, 1), ratio=(0.25, 0.25)),  # all of it is not smaller than it
        RandomErasing(p=1.0, scale=(0, 0)),
    ):
        assert torch.equal(change(images), images)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", (-0.1, 1)),
        ("scale", (0, 2)),
        ("ratio", (0, 1)),
        ("ratio", (2, 1)),
        ("value", 255),
        ("value", -1),
    ],
)
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        RandomErasing(**{name: value})
