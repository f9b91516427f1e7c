"""One after another, one of several, several draws, two views."""

import pytest
import scipy.stats
import torch

from xrdatasets import transforms as T
from xrdatasets.transforms.draws import split_seeds


class Shift(T.BatchTransform):
    """Adds what it is told to, so that an order shows."""

    def __init__(self, by, times=1.0):
        self.by, self.times = by, times

    def apply(self, images, masks, seeds):
        return images * self.times + self.by, masks


class Chance(T.BatchTransform):
    """Shows the seed that it was given."""

    def apply(self, images, masks, seeds):
        shown = (seeds % 10_007).float().view(-1, 1, 1, 1)
        return torch.zeros_like(images) + shown, masks


def test_transforms_follow_each_other_in_their_order():
    both = T.Compose([Shift(1.0, 2.0), Shift(10.0, 3.0)])
    assert both(torch.full((2, 1, 1, 1), 5.0)).flatten().tolist() == [43, 43]


def test_no_transform_is_the_identical_image(noise):
    assert torch.equal(T.Compose([])(noise(2)), noise(2))


def test_each_step_draws_for_itself(draw):
    steps = T.Compose([Chance(), T.CenterCrop(1)]), T.Compose([T.CenterCrop(1), Chance()])
    first, second = (compose(torch.zeros(50, 1, 2, 2), generator=draw()) for compose in steps)
    assert (first != second).float().mean() > 0.9


def test_a_composition_can_be_a_step(noise, draw):
    inner = T.Compose([T.RandomHorizontalFlip(), T.CenterCrop(8)])
    assert not inner.keeps_shape
    made = T.Compose([T.cohen_view(), inner, T.TenCrop(6)])(noise(2), generator=draw())
    assert made.shape == (2, 10, 1, 6, 6)


@pytest.mark.parametrize("make", [T.Compose, T.OneOf], ids=["Compose", "OneOf"])
@pytest.mark.parametrize("steps", [[torch.nn.ReLU()], [T.CenterCrop], "weak", None])
def test_what_is_no_transform_is_named(make, steps):
    with pytest.raises(ValueError, match=r"transforms: expected objects of xrdatasets\.transforms, got"):
        make(steps)


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: T.Compose([a, T.RandomHorizontalFlip(), b]),
        lambda a, b: T.Compose([a, T.Compose([b])]),
        lambda a, b: T.OneOf([a, b]),
        lambda a, b: T.TwoViews(a, b),
        lambda a, b: T.Compose([a, T.Repeat(b, 2)]),
    ],
)
def test_two_intensities_at_once_are_refused(make):
    with pytest.raises(ValueError, match=r"one intensity in all of them, got \['unit', 'xrv'\]"):
        make(T.GaussianNoise(), T.GaussianNoise(intensity="unit"))


@pytest.mark.parametrize("first", [T.TenCrop(4), T.Repeat(T.RandomHorizontalFlip(), 2)])
def test_what_gives_several_images_has_to_be_last(first):
    with pytest.raises(ValueError, match="transforms: expected the one that gives several images of each"):
        T.Compose([first, T.RandomHorizontalFlip()])


def test_one_of_several_is_drawn_for_each_image(draw):
    one = T.OneOf([Shift(1.0), Shift(2.0), Shift(3.0)])
    made = one(torch.zeros(3000, 1, 1, 1), generator=draw()).flatten()
    counts = [int((made == value).sum()) for value in (1, 2, 3)]
    assert sum(counts) == 3000
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_one_of_several_moves_masks_with_images(noise, draw):
    images = noise(60, 6, 6)
    masks = (images > 0).to(torch.uint8)
    one = T.OneOf([T.RandomHorizontalFlip(p=1.0), T.RandomVerticalFlip(p=1.0)])
    made = one({"img": images, "mask": masks}, generator=draw())
    assert torch.equal(made["mask"], (made["img"] > 0).to(torch.uint8))


@pytest.mark.parametrize("steps", [[], [T.CenterCrop(3)], [T.RandomHorizontalFlip(), T.TenCrop(2)]])
def test_one_of_several_shapes_is_refused(steps):
    with pytest.raises(ValueError, match="transforms: expected at least one, each of which keeps height"):
        T.OneOf(steps)


def test_draws_of_one_image_differ_and_stand_beside_each_other(noise, draw):
    images = noise(3)
    made = T.Repeat(Chance(), 5)(images, generator=draw())
    assert made.shape == (3, 5, 1, 20, 30)
    assert made[:, :, 0, 0, 0].unique().numel() == 15


def test_the_original_stands_first_if_asked(noise, draw):
    images = noise(3)
    masks = torch.ones(3, 2, 20, 30, dtype=torch.uint8)
    made = T.Repeat(T.RandomAffine(45), 4, original=True)({"img": images, "mask": masks}, generator=draw())
    assert (made["img"].shape, made["mask"].shape) == ((3, 5, 1, 20, 30), (3, 5, 2, 20, 30))
    assert torch.equal(made["img"][:, 0], images)
    assert not torch.equal(made["img"][:, 1], images)


@pytest.mark.parametrize("n", [0, -1, 1.0, True, None])
def test_a_wrong_number_of_draws_is_named(n):
    with pytest.raises(ValueError, match="n: expected a whole number of at least 1, got"):
        T.Repeat(T.RandomHorizontalFlip(), n)


def test_what_cannot_be_repeated_is_named():
    with pytest.raises(ValueError, match="transform: expected one that gives one image of each"):
        T.Repeat(T.TenCrop(2), 3)
    with pytest.raises(ValueError, match="original: expected False, because the transform changes height"):
        T.Repeat(T.CenterCrop(2), 3, original=True)
    assert T.Repeat(T.CenterCrop(2), 3)(torch.zeros(1, 1, 4, 4)).shape == (1, 3, 1, 2, 2)


def test_two_views_are_drawn_independently(draw):
    first, second = T.TwoViews(Chance(), Chance())(torch.zeros(50, 1, 1, 1), generator=draw())
    assert (first != second).float().mean() > 0.9


def test_two_views_are_of_one_batch(noise, draw):
    batch = {"img": noise(3).half(), "mask": torch.ones(3, 1, 20, 30, dtype=torch.uint8), "lab": [1, 2, 3]}
    flips = T.TwoViews(T.RandomHorizontalFlip(p=0.0), T.RandomHorizontalFlip(p=1.0))
    weak, strong = flips(batch, generator=draw())
    assert torch.equal(weak["img"], batch["img"])
    assert torch.equal(strong["img"], batch["img"].flip(3))
    assert weak["lab"] is strong["lab"] is batch["lab"]
    assert strong["img"].dtype == torch.float16


def test_two_views_are_not_coarsened_by_autocast(noise, draw):
    views, images = T.weak_and_strong_views(), noise(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = views(images, generator=draw())
    for view, expected in zip(coarse, views(images, generator=draw()), strict=True):
        assert torch.equal(view, expected)


def test_two_views_check_their_images():
    with pytest.raises(ValueError, match=r"images: expected numbers from 0 to 1 \(intensity='unit'\)"):
        T.weak_and_strong_views(intensity="unit")(torch.full((1, 1, 8, 8), -1000.0))


def test_parts_of_a_seed_are_other_seeds():
    parts = torch.stack(split_seeds(torch.arange(1000), 3))
    assert torch.cat([parts.flatten(), torch.arange(1000)]).unique().numel() == 4000
