"""What holds for every transform: shapes, range, chance, masks, and refusals that name the argument."""

import copy
import pickle
import random
from typing import get_args

import numpy as np
import pytest
import torch

import xrdatasets as xr
from xrdatasets import transforms as T
from xrdatasets.images import Intensity
from xrdatasets.transforms.checks import RANGES

CHANGES = {
    "affine": lambda i: T.RandomAffine(45, 0.15, (0.85, 1.15), 5, intensity=i),
    "flip": lambda i: T.RandomHorizontalFlip(),
    "upside down": lambda i: T.RandomVerticalFlip(),
    "tones": lambda i: T.ToneJitter(0.5, 0.5, (0.5, 2.0), intensity=i),
    "tones about the mean": lambda i: T.ToneJitter(0.5, 0.5, center="mean", intensity=i),
    "noise": lambda i: T.GaussianNoise((0.01, 0.2), p=0.7, intensity=i),
    "salt and pepper": lambda i: T.SaltAndPepper(0.2, p=0.7, intensity=i),
    "blur": lambda i: T.GaussianBlur((0.3, 1.5), p=0.7, intensity=i),
    "erasing": lambda i: T.RandomErasing(p=0.8, intensity=i),
    "center crop": lambda i: T.CenterCrop((11, 12)),
    "crop": lambda i: T.RandomCrop((11, 12)),
    "resized crop": lambda i: T.RandomResizedCrop((11, 12)),
    "ten crop": lambda i: T.TenCrop((11, 12)),
    "weak": lambda i: T.weak_view(intensity=i),
    "strong": lambda i: T.strong_view(intensity=i),
    "cohen": lambda i: T.cohen_view(intensity=i),
    "luo": lambda i: T.luo_view(size=11),
    "pham": lambda i: T.pham_views(3, intensity=i),
}
every = pytest.mark.parametrize("make", CHANGES.values(), ids=CHANGES.keys())
both = pytest.mark.parametrize("intensity", ["xrv", "unit"])
ENDS = {"xrv": (-1024, 1024), "unit": (0, 1)}


def circles(batch, height, width):
    """Masks of two findings."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    radius = torch.arange(3, 3 + 2 * batch).view(batch, 2, 1, 1)
    return ((rows - height / 2) ** 2 + (columns - width / 3) ** 2 < radius**2).to(torch.uint8)


@both
@every
def test_shape_dtype_and_range_stay(make, intensity, noise, draw):
    change = make(intensity)
    images, masks = noise(6, intensity=intensity), circles(6, 20, 30)
    before = images.clone(), masks.clone()
    made = change({"img": images, "mask": masks, "lab": "kept", "idx": 7}, generator=draw())
    out, moved = made["img"], made["mask"]
    assert (out.dtype, moved.dtype, made["lab"], made["idx"]) == (torch.float32, torch.uint8, "kept", 7)
    assert len(out) == len(moved) == 6
    assert out.ndim == moved.ndim == (5 if change.stacks else 4)
    assert (out.shape[-3], moved.shape[-3]) == (1, 2)
    assert out.shape[-2:] == moved.shape[-2:] == ((20, 30) if images.shape == out.shape else out.shape[-2:])
    assert change.keeps_shape == (out.shape == images.shape)
    low, high = ENDS[intensity]
    assert low <= out.min()
    assert out.max() <= high
    assert set(moved.unique().tolist()) <= {0, 1}
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])


@every
def test_a_tensor_gives_the_tensor_that_a_batch_gives(make, noise, draw):
    images = noise(4)
    alone = make("xrv")(images, generator=draw())
    assert torch.equal(
        alone, make("xrv")({"img": images, "mask": circles(4, 20, 30)}, generator=draw())["img"]
    )


@every
def test_the_seed_decides_and_nothing_else_is_touched(make, noise, draw):
    images, change = noise(8), make("xrv")
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = change(images, generator=draw(1))
    change(images)
    again = change(images, generator=draw(1))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    if not isinstance(change, (T.CenterCrop, T.TenCrop)):
        assert not torch.equal(first, change(images, generator=draw(2)))


@every
def test_batches_may_be_cut_anywhere(make, noise, draw):
    """The i-th image after a state of the generator is changed in the same way, whatever stands beside it."""
    images, change = noise(7), make("xrv")
    whole, generator = change(images, generator=draw()), draw()
    parts = [change(part, generator=generator) for part in images.split((1, 4, 2))]
    torch.testing.assert_close(
        torch.cat(parts), whole, rtol=0, atol=1e-3
    )  # sums of other lengths, other orders


@every
def test_seeds_of_images_do_not_depend_on_place_and_batch(make, noise):
    images, change, idx = noise(6), make("xrv"), torch.tensor([5, 40, 2, 9, 11, 0])
    whole = change(images, seeds=T.image_seeds(idx, seed=3, epoch=1))
    order = torch.tensor([4, 1, 3])
    some = change(images[order], seeds=T.image_seeds(idx[order], seed=3, epoch=1))
    torch.testing.assert_close(some, whole[order], rtol=0, atol=1e-3)


@every
def test_no_image_and_one_image(make, noise, draw):
    change, images = make("xrv"), noise(3)
    three, none = change(images, generator=draw()), change(images[:0])
    assert none.shape == (0, *three.shape[1:])
    torch.testing.assert_close(change(images[:1], generator=draw()), three[:1], rtol=0, atol=1e-3)
    nothing = change({"img": images[:0], "mask": circles(0, 20, 30)})
    assert nothing["mask"].shape == (0, *three.shape[1:-3], 2, *three.shape[-2:])


@every
def test_images_smaller_than_a_kernel_pass(make, draw):
    change = make("unit")
    if change.keeps_shape:
        for shape in ((2, 1, 2, 2), (2, 1, 2, 5), (2, 1, 3, 2)):
            out = change(torch.full(shape, 0.25), generator=draw())
            assert out.shape == shape
            assert out.isfinite().all()


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_come_back_as_sixteen_bits(make, dtype, noise, draw):
    images = noise(4, intensity="unit").to(dtype)
    out = make("unit")(images, generator=draw())
    assert out.dtype == dtype
    assert torch.equal(out, make("unit")(images.float(), generator=draw()).to(dtype))


@every
def test_autocast_does_not_coarsen_anything(make, noise, draw):
    images, change = noise(4), make("xrv")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = change(images, generator=draw())
    assert torch.equal(made, change(images, generator=draw()))


@every
def test_gradients_flow_and_are_numbers(make, noise, draw):
    images = noise(4, intensity="unit")
    images[:, :, :5] = 0.0  # black is where powers have no slope
    images.requires_grad_()
    make("unit")(images, generator=draw()).sum().backward()
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


@every
def test_transforms_are_values(make):
    change = make("xrv")
    assert change == make("xrv") == copy.deepcopy(change) == pickle.loads(pickle.dumps(change))
    assert hash(change) == hash(make("xrv"))
    with pytest.raises(AttributeError):
        change.p = 0.3


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 20, 30),
        torch.zeros(2, 3, 20, 30),
        torch.zeros(2, 1, 0, 30),
        torch.zeros(2, 1, 20, 30, dtype=torch.uint8),
        torch.zeros(2, 1, 20, 30, dtype=torch.float64),
        np.zeros((2, 1, 20, 30), np.float32),
        None,
        {"lab": torch.zeros(2, 14)},
    ],
    ids=["one image", "three channels", "empty", "bytes", "double", "numpy", "None", "no img"],
)
@every
def test_wrong_images_are_named(make, images):
    with pytest.raises(ValueError, match=r"images: expected \(B, 1, H, W\) of float32"):
        make("xrv")(images)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@every
def test_nan_and_infinity_are_named(make, value, noise):
    images = noise(2)
    images[1, 0, 3, 4] = value
    with pytest.raises(ValueError, match="images: expected numbers"):
        make("xrv")(images)


@both
def test_images_of_another_range_are_named(intensity):
    images = torch.full((2, 1, 20, 30), 1.1 * ENDS[intensity][1])
    with pytest.raises(
        ValueError, match=rf"images: expected numbers from .* \(intensity='{intensity}'\), got"
    ):
        T.weak_view(intensity=intensity)(images)


def test_rounding_beyond_the_range_is_no_error():
    images = torch.full((2, 1, 20, 30), 1.0000005)
    assert T.weak_view(intensity="unit")(images).shape == images.shape


@pytest.mark.parametrize(
    "masks",
    [
        torch.zeros(3, 1, 20, 30),
        torch.zeros(3, 20, 30, dtype=torch.uint8),
        torch.zeros(2, 1, 20, 30, dtype=torch.uint8),
        torch.zeros(3, 1, 30, 20, dtype=torch.uint8),
        "mask",
    ],
    ids=["float", "three axes", "fewer", "turned", "text"],
)
def test_wrong_masks_are_named(masks, noise):
    with pytest.raises(
        ValueError, match=r"masks: expected \(3, L, 20, 30\) of uint8, as the images are, got"
    ):
        T.RandomHorizontalFlip()({"img": noise(3), "mask": masks})


@pytest.mark.parametrize("seeds", [3, torch.zeros(3), torch.zeros(2).long(), torch.zeros(3, 1).long()])
def test_wrong_seeds_are_named(seeds, noise):
    with pytest.raises(ValueError, match="seeds: expected 3 of int64"):
        T.RandomHorizontalFlip()(noise(3), seeds=seeds)


def test_generator_and_seeds_at_once_are_refused(noise, draw):
    with pytest.raises(ValueError, match="generator, seeds: expected one of the two, got both"):
        T.RandomHorizontalFlip()(noise(1), generator=draw(), seeds=torch.tensor([1]))


@pytest.mark.parametrize("p", [-0.1, 1.1, torch.nan, "0.5", None, True])
@pytest.mark.parametrize(
    "kind",
    [
        *(T.RandomAffine, T.RandomHorizontalFlip, T.RandomVerticalFlip, T.ToneJitter, T.GaussianNoise),
        *(T.SaltAndPepper, T.GaussianBlur, T.RandomErasing),
    ],
)
def test_a_wrong_probability_is_named(kind, p):
    with pytest.raises(ValueError, match="p: expected a number from 0 to 1, got"):
        kind(p=p)


@pytest.mark.parametrize(
    "name", ["RandomAffine", "ToneJitter", "GaussianNoise", "SaltAndPepper", "GaussianBlur", "RandomErasing"]
)
def test_a_wrong_intensity_is_named(name):
    with pytest.raises(ValueError, match=r"intensity: expected one of \('xrv', 'unit'\), got 'uint8'"):
        getattr(T, name)(intensity="uint8")


@every
def test_never_is_never(make, noise):
    change, images = make("xrv"), noise(5)
    if hasattr(change, "p"):
        off = type(change)(**{**vars(change), "p": 0.0})
        assert torch.equal(off(images), images)


@pytest.mark.parametrize("name", ["RandomHorizontalFlip", "GaussianNoise", "SaltAndPepper", "RandomErasing"])
def test_p_is_the_share_of_images_that_change(name, draw):
    images = torch.linspace(-900, 900, 400).view(1, 1, 20, 20).expand(2000, -1, -1, -1)
    changed = (getattr(T, name)(p=0.3)(images, generator=draw()) != images).flatten(1).any(1)
    assert abs(changed.float().mean() - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5


@every
def test_the_number_of_threads_does_not_matter(make, noise, draw):
    images, change = noise(20), make("xrv")
    one = change(images, generator=draw())
    torch.set_num_threads(3)
    torch.testing.assert_close(change(images, generator=draw()), one, rtol=0, atol=1e-3)


def test_ranges_are_those_of_the_images():
    ends = xr.RawImage(np.array([[0, 255]], np.uint8), 255)
    assert set(RANGES) == set(get_args(Intensity)) == {"xrv", "unit"}
    for intensity, (low, high) in RANGES.items():
        assert xr.normalize(ends, intensity).flatten().tolist() == [low, high]


def test_the_batches_of_a_loader_pass(draw):
    ds = xr.Phantom(5, size=32)
    for batch in xr.loader(ds, batch_size=3, workers=0):
        made = T.weak_view()(batch, seeds=T.image_seeds(batch["idx"]))
        assert made["img"].shape == batch["img"].shape
        assert made["lab"] is batch["lab"]
        assert set(made) == set(batch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@both
@every
def test_a_gpu_gives_what_the_processor_gives(make, intensity, noise, draw):
    batch = {"img": noise(6, intensity=intensity), "mask": circles(6, 20, 30)}
    there = {name: tensor.cuda() for name, tensor in batch.items()}
    ours, theirs = make(intensity)(batch, generator=draw()), make(intensity)(there, generator=draw())
    assert theirs["img"].is_cuda
    tolerance = 2e-3 * (ENDS[intensity][1] - ENDS[intensity][0])
    torch.testing.assert_close(theirs["img"].cpu(), ours["img"], rtol=0, atol=tolerance)
    assert (theirs["mask"].cpu() != ours["mask"]).float().mean() < 0.01  # ties of the nearest pixel
