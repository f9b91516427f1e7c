"""What the papers do, seen on spots whose place tells what happened to them."""

import math

import pytest
import scipy.stats
import torch

from xrdatasets import transforms as T


def spots(count, at, size=101, sigma=2.5):
    """A round spot beside the centre, by (rows, columns)."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = (size - 1) / 2
    squared = (rows - middle - at[0]) ** 2 + (columns - middle - at[1]) ** 2
    return torch.exp(-squared / (2 * sigma**2)).float().expand(count, 1, -1, -1)


def places(images):
    """(B, 2) float64 centroids by (rows, columns) from the centre."""
    share = images[:, 0].double() / images.double().sum((1, 2, 3))[:, None, None]
    numbers = torch.arange(images.shape[-1]).double() - (images.shape[-1] - 1) / 2
    return torch.stack([share.sum(2) @ numbers, share.sum(1) @ numbers], dim=1)


def test_cohens_view_turns_by_45_degrees_moves_by_15_percent_and_scales_by_15(draw):
    """Two spots, one image: their middle shows the shift, their distance the scale, their line the angle."""
    left, right = (
        places(T.cohen_view(intensity="unit")(spots(600, at), generator=draw())) for at in ((0, -15), (0, 15))
    )
    shift, apart = (left + right) / 2, right - left
    angle = torch.rad2deg(torch.atan2(apart[:, 0], apart[:, 1]))
    scale = apart.norm(dim=1) / 30
    for value, most in ((shift[:, 0] / 101, 0.15), (shift[:, 1] / 101, 0.15), (angle, 45), (scale - 1, 0.15)):
        assert 0.95 * most < value.max() < 1.01 * most
        assert -0.95 * most > value.min() > -1.01 * most


def test_cohens_view_does_not_mirror(draw):
    """A spot beside and one below: their order, clockwise, stays."""
    beside, below = (
        places(T.cohen_view(intensity="unit")(spots(200, at), generator=draw())) for at in ((0, 15), (15, 0))
    )
    middle = places(T.cohen_view(intensity="unit")(spots(200, (0, 0)), generator=draw()))
    a, b = beside - middle, below - middle
    assert (a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1] > 0).all()


def test_luos_view_is_the_mirror_image_in_half_of_all_cases(draw):
    made = places(T.luo_view()(spots(2000, (0, 20)), generator=draw()))[:, 1]
    assert set(made.round().tolist()) == {-20, 20}
    assert abs((made < 0).float().mean() - 0.5) < 4 * 0.5 / 2000**0.5


def test_phams_views_do_one_of_four_things_within_their_bounds(draw):
    beside, below = (
        places(T.pham_views(6, width=101, intensity="unit")(spots(300, at), generator=draw()).flatten(0, 1))
        for at in ((0, 30), (30, 0))
    )
    lean = 30 * 5 / 101  # a shear of 5 pixels over the image's height
    mirrored = (beside - torch.tensor([0.0, -30.0])).norm(dim=1) < 0.05
    scaled = (beside[:, 0].abs() < 0.05) & (beside[:, 1] - 30).abs().gt(0.02) & ~mirrored
    sheared = ((beside - torch.tensor([0.0, 30.0])).norm(dim=1) < 0.05) & (below[:, 1].abs() > 0.1)
    angle = torch.rad2deg(torch.atan2(beside[:, 0], beside[:, 1]))
    turned = ~mirrored & (angle.abs() > 0.2)
    for kind in (mirrored, turned, scaled, sheared):
        assert 0.18 < kind.float().mean() < 0.29
    assert 6.5 < angle[turned].abs().max() < 7.05
    assert 0.018 < (beside[scaled, 1] / 30 - 1).abs().max() < 0.0201
    assert 0.9 * lean < below[sheared, 1].abs().max() < 1.03 * lean


def test_phams_shear_is_of_5_pixels_whatever_the_width():
    kinds = T.pham_views(width=320).transform.transforms
    assert kinds[-1].shear == pytest.approx(math.degrees(math.atan(5 / 320)))


@pytest.mark.parametrize(("original", "count"), [(False, 10), (True, 11)])
def test_pham_takes_ten_and_the_original_if_asked(original, count, noise):
    images = noise(2)
    made = T.pham_views(original=original)(images)
    assert made.shape == (2, count, 1, 20, 30)
    assert torch.equal(made[:, 0], images) == original


@pytest.mark.parametrize(("view", "degrees"), [(T.weak_view, 10), (T.strong_view, 15)])
def test_weak_and_strong_turn_by_10_and_15_degrees_and_mirror_half(view, degrees, draw):
    """Only the first two steps, which say where things are."""
    steps = T.Compose(view(intensity="unit").transforms[:2])
    place = places(steps(spots(1000, (30, 0)), generator=draw()))
    angle = torch.rad2deg(torch.atan2(place[:, 1], place[:, 0]))
    assert 0.95 * degrees < angle.abs().max() < degrees + 0.1
    beside = places(steps(spots(1000, (0, 30)), generator=draw()))[:, 1]
    assert abs((beside < 0).float().mean() - 0.5) < 4 * 0.5 / 1000**0.5


@pytest.mark.parametrize(("view", "amount", "p"), [(T.weak_view, 0.1, 0.1), (T.strong_view, 0.3, 0.5)])
def test_salt_and_pepper_are_the_codes(view, amount, p, draw):
    images = torch.full((1000, 1, 20, 20), 0.5)
    changed = (view(intensity="unit").transforms[2](images, generator=draw()) != images).flatten(1)
    chosen = changed.any(1)
    assert abs(chosen.float().mean() - p) < 4 * (p * (1 - p) / 1000) ** 0.5
    assert changed[chosen].float().mean().item() == pytest.approx(amount, rel=0.05)


@pytest.mark.parametrize(("view", "p"), [(T.weak_view, 0.3), (T.strong_view, 0.5)])
def test_noise_is_one_grey_level_in_some_images(view, p, draw):
    noise = view().transforms[3](torch.zeros(1000, 1, 20, 20), generator=draw())
    chosen = noise.flatten(1).any(1)
    assert abs(chosen.float().mean() - p) < 4 * (p * (1 - p) / 1000) ** 0.5
    assert noise[chosen].std().item() == pytest.approx(2048 / 255, rel=0.01)


def test_jitter_is_torchvisions_whose_contrast_leaves_the_mean(draw):
    """An even image has no contrast: only the factors of brightness are left, uniform from 0.5 to 1.5."""
    made = T.strong_view(intensity="unit").transforms[4](torch.full((1000, 1, 2, 2), 0.4), generator=draw())
    assert scipy.stats.kstest(made[:, 0, 0, 0].double(), scipy.stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3


def test_half_of_the_strong_views_have_a_box_of_imagenets_mean(draw):
    made = T.strong_view(intensity="unit").transforms[5](torch.zeros(1000, 1, 60, 60), generator=draw())
    erased = made.flatten(1).any(1)
    assert abs(erased.float().mean() - 0.5) < 4 * 0.5 / 1000**0.5
    assert made[erased].max().item() == pytest.approx((0.485 + 0.456 + 0.406) / 3)
    share = (made[erased] > 0).double().mean((1, 2, 3))
    assert 0.015 < share.min() < 0.03
    assert 0.3 < share.max() < 0.34


@pytest.mark.parametrize("make", [T.weak_view, T.strong_view])
def test_hearts_stay_where_they_are_if_asked(make, draw):
    flip = make(flip=0.0).transforms[0]
    images = spots(200, (0, 30))
    assert torch.equal(flip(images, generator=draw()), images)
    weak, strong = T.weak_and_strong_views(flip=0.0)(images * 500, generator=draw())
    for view in (weak, strong):
        bright = view > 150
        columns = (bright.double().sum(2)[:, 0] @ torch.arange(101).double()) / bright.sum((1, 2, 3))
        assert (columns[bright.flatten(1).any(1)] > 45).float().mean() > 0.9


def test_the_weak_view_is_weaker_than_the_strong(draw):
    images = torch.full((400, 1, 32, 32), 300.0)
    weak, strong = T.weak_and_strong_views()(images, generator=draw())
    assert (weak - images).abs().mean() < 0.5 * (strong - images).abs().mean()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.weak_view(flip=2), "p: expected a number from 0 to 1"),
        (lambda: T.cohen_view(fill=-1024), "fill: expected a number from 0 to 1"),
        (lambda: T.luo_view(size=0), "size: expected a whole number"),
        (lambda: T.pham_views(0), "n: expected a whole number"),
        (lambda: T.pham_views(width=0), "width: expected a whole number"),
        (lambda: T.strong_view(intensity="grey"), "intensity: expected one of"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
