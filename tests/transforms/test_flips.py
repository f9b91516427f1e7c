import numpy as np
import pytest
import torch

from xrdatasets.transforms import RandomHorizontalFlip, RandomVerticalFlip


@pytest.mark.parametrize(("flip", "axis"), [(RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)])
def test_flips_are_numpys(flip, axis, noise):
    images = noise(3)
    masks = (noise(3) > 500).to(torch.uint8).expand(-1, 2, -1, -1)
    made = flip(p=1.0)({"img": images, "mask": masks})
    np.testing.assert_array_equal(made["img"], np.flip(images.numpy(), axis))
    np.testing.assert_array_equal(made["mask"], np.flip(masks.numpy(), axis))


@pytest.mark.parametrize("flip", [RandomHorizontalFlip, RandomVerticalFlip])
def test_a_mask_is_flipped_where_its_image_is_and_nowhere_else(flip, noise, draw):
    images = noise(100, 6, 6)
    masks = (images > 0).to(torch.uint8)
    made = flip()({"img": images, "mask": masks}, generator=draw())
    assert torch.equal(made["mask"], (made["img"] > 0).to(torch.uint8))
    changed = (made["img"] != images).flatten(1).any(1)
    assert 30 < changed.sum() < 70
    assert torch.equal(made["img"][~changed], images[~changed])
