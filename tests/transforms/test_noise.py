import pytest
import scipy.stats
import torch

from xrdatasets.transforms import GaussianNoise, SaltAndPepper

both = pytest.mark.parametrize(("intensity", "low", "width"), [("xrv", -1024, 2048), ("unit", 0, 1)])


@both
def test_noise_is_normal_with_sigma_of_the_range(intensity, low, width, draw):
    images = torch.full((4, 1, 100, 100), low + width / 2)
    noise = (GaussianNoise(0.01, intensity=intensity)(images, generator=draw()) - images) / (0.01 * width)
    assert scipy.stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    # neighbours along either axis, and images, are independent
    for near, far in (
        (noise[1:], noise[:-1]),
        (noise[:, :, 1:], noise[:, :, :-1]),
        (noise[..., 1:], noise[..., :-1]),
    ):
        assert abs((near * far).mean()) < 4 / near.numel() ** 0.5


def test_each_image_has_its_own_sigma(draw):
    images = torch.full((300, 1, 40, 40), 0.5)
    sigma = GaussianNoise((0.01, 0.05), intensity="unit")(images, generator=draw()).flatten(1).std(1)
    assert 0.0093 < sigma.min() < 0.012
    assert 0.048 < sigma.max() < 0.053
    assert scipy.stats.kstest(sigma, scipy.stats.uniform(0.01, 0.04).cdf).pvalue > 1e-3


def test_no_sigma_is_the_identical_image(noise):
    assert torch.equal(GaussianNoise(0.0)(noise(3)), noise(3))


@both
@pytest.mark.parametrize("amount", [0.1, 0.3, 1.0])
def test_salt_and_pepper_have_equal_shares_and_leave_the_rest(amount, intensity, low, width, draw):
    images = torch.linspace(low + 0.1 * width, low + 0.9 * width, 90_000).view(1, 1, 300, 300)
    made = SaltAndPepper(amount, intensity=intensity)(images, generator=draw())
    black, white = made == low, made == low + width
    assert torch.equal(made[~black & ~white], images[~black & ~white])
    for share in (black, white):
        assert abs(share.double().mean() - amount / 2) < 4 * (amount / 2 / 90_000) ** 0.5


def test_nothing_of_salt_and_pepper_is_the_identical_image(noise):
    assert torch.equal(SaltAndPepper(0.0)(noise(3)), noise(3))


@pytest.mark.parametrize(("kind", "name"), [(GaussianNoise, "sigma"), (SaltAndPepper, "amount")])
@pytest.mark.parametrize("value", [-0.1, float("nan"), "1", None])
def test_wrong_arguments_are_named(kind, name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        kind(**{name: value})
