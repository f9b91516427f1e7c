"""Brightness, contrast, gamma: against float64 by hand."""

import numpy as np
import pytest
import scipy.stats
import torch

from xrdatasets.transforms import ToneJitter

ENDS = {"xrv": (-1024.0, 1024.0), "unit": (0.0, 1.0)}
both = pytest.mark.parametrize("intensity", ["xrv", "unit"])


def by_hand(images, intensity, brightness=1.0, contrast=1.0, gamma=1.0, center="range"):
    low, high = ENDS[intensity]
    share = (images.numpy().astype(np.float64) - low) / (high - low)
    share = (share * brightness).clip(0, 1)
    middle = share.mean((2, 3), keepdims=True) if center == "mean" else 0.5
    share = ((share - middle) * contrast + middle).clip(0, 1)
    return share**gamma * (high - low) + low


@both
@pytest.mark.parametrize("center", ["range", "mean"])
@pytest.mark.parametrize(
    ("brightness", "contrast", "gamma"),
    [
        (0.5, 1, 1),
        (1.5, 1, 1),
        (1, 0.5, 1),
        (1, 1.5, 1),
        (1, 1, 0.5),
        (1, 1, 2.2),
        (0.7, 1.3, 1.2),
        (0, 1, 1),
    ],
)
def test_it_is_the_formula(brightness, contrast, gamma, center, intensity, noise):
    images = noise(3, intensity=intensity)
    fixed = {"brightness": (brightness,) * 2, "contrast": (contrast,) * 2, "gamma": (gamma,) * 2}
    made = ToneJitter(**fixed, center=center, intensity=intensity)(images)
    expected = by_hand(images, intensity, brightness, contrast, gamma, center)
    width = ENDS[intensity][1] - ENDS[intensity][0]
    np.testing.assert_allclose(made, expected, rtol=0, atol=2e-6 * width)


@both
def test_contrast_turns_about_the_middle_and_brightness_about_black(intensity):
    low, high = ENDS[intensity]
    black, middle = torch.full((2, 1, 4, 4), low), torch.full((2, 1, 4, 4), (low + high) / 2)
    for contrast in (0.5, 1.5):
        assert torch.equal(ToneJitter(contrast=(contrast,) * 2, intensity=intensity)(middle), middle)
    assert torch.equal(ToneJitter(brightness=0.5, gamma=(0.5, 2), intensity=intensity)(black), black)


def test_nothing_to_do_is_the_identical_image(noise):
    images = noise(4)
    for change in (ToneJitter(), ToneJitter((1, 1), (1, 1), (1, 1)), ToneJitter(0.5, 0.5, (0.5, 2), p=0.0)):
        assert torch.equal(change(images), images)


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_factors_are_uniform_and_each_image_has_its_own(name, draw):
    images = torch.full((2000, 1, 1, 1), 0.25 if name == "brightness" else 0.75)
    made = ToneJitter(**{name: 0.4}, intensity="unit")(images, generator=draw()).flatten().double()
    factors = made / 0.25 if name == "brightness" else (made - 0.5) / 0.25
    assert scipy.stats.kstest(factors, scipy.stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3


def test_exponents_are_uniform_in_their_logarithm(draw):
    images = torch.full((2000, 1, 1, 1), 0.5)
    made = ToneJitter(gamma=(0.5, 2.0), intensity="unit")(images, generator=draw()).flatten().double()
    logarithms = torch.log2(torch.log(made) / np.log(0.5))
    assert scipy.stats.kstest(logarithms, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_a_number_above_one_does_not_turn_an_image_over(draw):
    made = ToneJitter(contrast=3.0, intensity="unit")(torch.full((500, 1, 1, 1), 0.6), generator=draw())
    assert made.min() >= 0.5


def test_gradients_are_the_slopes():
    images = torch.tensor([0.0, 0.2, 0.5, 0.9]).view(1, 1, 1, 4).requires_grad_()
    ToneJitter(contrast=(1.5, 1.5), intensity="unit")(images).sum().backward()
    assert images.grad.flatten().tolist() == [0.0, 1.5, 1.5, 0.0]  # clipped at both ends
    images.grad = None
    ToneJitter(gamma=(0.5, 0.5), intensity="unit")(images).sum().backward()
    expected = [0.0, *(0.5 / value**0.5 for value in (0.2, 0.5, 0.9))]
    np.testing.assert_allclose(images.grad.flatten(), expected, rtol=1e-5)


def test_masks_stay(noise, draw):
    masks = torch.ones(2, 3, 20, 30, dtype=torch.uint8)
    assert ToneJitter(0.5, 0.5)({"img": noise(2), "mask": masks}, generator=draw())["mask"] is masks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("brightness", -0.1),
        ("brightness", (-1, 1)),
        ("contrast", (2, 1)),
        ("contrast", "0.5"),
        ("gamma", (0, 1)),
        ("gamma", (2, 1)),
        ("gamma", None),
        ("center", "median"),
    ],
)
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        ToneJitter(**{name: value})
