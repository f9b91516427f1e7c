import sys

import numpy as np
import pytest
import scipy.ndimage
import torch

from xrdatasets.transforms import GaussianBlur


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
@pytest.mark.parametrize("shape", [(40, 40), (25, 60), (3, 5)])
def test_blur_is_scipys_gaussian_filter(sigma, shape, noise):
    images = noise(2, *shape)
    made = GaussianBlur(sigma)(images)
    for image, out in zip(images[:, 0].numpy(), made[:, 0].numpy(), strict=True):
        expected = scipy.ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="nearest")
        np.testing.assert_allclose(out, expected, rtol=0, atol=0.02)


def test_blur_is_torchs_convolution(noise):
    """Weights by hand, cut at 4 sigma, one convolution with the whole kernel."""
    images, taps = noise(2, 30, 33), torch.arange(-6, 7).double()
    line = torch.exp(-(taps**2) / (2 * 1.5**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = torch.nn.functional.pad(images.double(), (6, 6, 6, 6), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, kernel[None, None])
    torch.testing.assert_close(GaussianBlur(1.5)(images).double(), expected, rtol=0, atol=0.01)


def test_each_image_has_its_own_sigma(draw):
    points = torch.zeros(200, 1, 1, 41)
    points[..., 20] = 1.0
    made = GaussianBlur((0.5, 2.0), intensity="unit")(points, generator=draw())[:, 0, 0].double()
    sigma = (made @ (torch.arange(41).double() - 20) ** 2).sqrt()
    assert 0.45 < sigma.min() < 0.55
    assert 1.9 < sigma.max() < 2.0


def test_no_sigma_is_the_identical_image(noise):
    assert torch.equal(GaussianBlur(0.0)(noise(3)), noise(3))


@pytest.mark.parametrize("sigma", [-1, (2, 1), (-1, 1), None])
def test_a_wrong_sigma_is_named(sigma):
    with pytest.raises(ValueError, match=r"^sigma: expected"):
        GaussianBlur(sigma)


def test_without_kornia_the_error_names_the_package(monkeypatch, noise):
    for module in [name for name in sys.modules if name.split(".")[0] == "kornia"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(ImportError, match=r"kornia.*pip install 'xrdatasets\[train\]'"):
        GaussianBlur(1.0)(noise(1))
