"""The transforms against the libraries that torchxrayvision calls, and masks that go where the image goes."""

import random

import numpy as np
import pytest
import torch
from skimage.transform import resize

import xrdatasets.legacy as xrv
from xrdatasets.legacy import datasets

IMAGE = np.random.default_rng(0).uniform(-1024, 1024, (1, 96, 120)).astype(np.float32)


@pytest.mark.parametrize("size", [32, 200])
def test_the_default_resizer_gives_skimage_s_numbers(size):
    expected = resize(IMAGE, (1, size, size), mode="constant", preserve_range=True)
    made = datasets.XRayResizer(size)(IMAGE)
    assert (made.shape, made.dtype) == ((1, size, size), np.float32)
    np.testing.assert_allclose(made, expected, atol=0.002)


def test_the_other_engine_is_the_mean_over_areas():
    made = datasets.XRayResizer(24, engine="cv2")(np.ascontiguousarray(IMAGE[:, :, :96]))
    np.testing.assert_allclose(made[0], IMAGE[0, :, :96].reshape(24, 4, 24, 4).mean(axis=(1, 3)), atol=1e-3)


def test_an_unknown_engine_is_refused_when_the_transform_is_made():
    with pytest.raises(ValueError, match="engine: expected 'skimage' or 'cv2', got 'pil'"):
        datasets.XRayResizer(224, engine="pil")


def test_crop_keeps_the_centre_square():
    np.testing.assert_array_equal(datasets.XRayCenterCrop()(IMAGE), IMAGE[:, :, 12:108])


def test_pil_image_keeps_the_numbers():
    picture = datasets.ToPILImage()(IMAGE)
    assert picture.mode == "F"
    np.testing.assert_array_equal(np.asarray(picture), IMAGE[0])


def flip(array):
    """Turns left to right, or not, by both generators."""
    return array[..., ::-1] if random.random() + torch.rand(1).item() > 1 else array


@pytest.mark.parametrize("seed", range(8))
def test_masks_go_where_the_image_goes(seed):
    random.seed(seed)
    torch.manual_seed(seed)
    image = np.arange(4.0).reshape(1, 2, 2)
    sample = {"img": image, "pathology_masks": {0: image.copy(), 3: image.copy()}}
    datasets.apply_transforms(sample, flip)
    for mask in sample["pathology_masks"].values():
        np.testing.assert_array_equal(mask, sample["img"])


def test_masks_do_not_change_what_comes_after():
    """The generators move on as if there were no masks."""
    numbers = []
    for masks in ({}, {"pathology_masks": {0: IMAGE}, "semantic_masks": {"Lungs": IMAGE}}):
        random.seed(3)
        torch.manual_seed(3)
        datasets.apply_transforms({"img": IMAGE, **masks}, flip)
        numbers.append((random.random(), torch.rand(1).item()))
    assert numbers[0] == numbers[1]


def test_a_seed_repeats_a_transform_and_leaves_the_generators_alone():
    before = random.getstate(), torch.get_rng_state()
    made = [datasets.apply_transforms({"img": IMAGE}, lambda _: random.random(), seed=5)["img"] for _ in "ab"]
    assert made[0] == made[1] == random.Random(5).random()
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_no_transform_is_none():
    sample = {"img": IMAGE}
    assert datasets.apply_transforms(sample, None) is sample


def test_nothing_global_is_touched_by_the_import(fake):
    """Neither the path of modules nor numpy's generator (PEP 8 names of neither are taken)."""
    import sys

    before = list(sys.path)
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    xrv.datasets.NIH_Dataset(fake("nih") / "images", seed=3)[0]
    assert np.random.rand() == expected  # noqa: NPY002
    assert sys.path == before
