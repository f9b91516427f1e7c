"""Perceptual hashes: what they do not change with, what they do, and how near ones are found."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.fft import dctn

import xrdatasets as xr
from xrdatasets.datasets.image_hash import BITS, NEAR, hash_images, hash_pixels, near_pairs
from xrdatasets.images import RawImage
from xrdatasets.images.pipeline import prepare


def hash_of(image):
    raw = RawImage(np.asarray(image), 255)
    return hash_pixels(prepare(raw, size=32, crop=False, engine="area", intensity="unit")[0])


def apart(one, two):
    return int(np.bitwise_count(one ^ two).sum())


def as_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.fixture(scope="module")
def radiographs():
    """Drawn radiographs of eight patients, 256 pixels."""
    ds = xr.Phantom(n=8, size=256, seed=5, intensity="unit", views="*")
    return [Image.fromarray((ds[row]["img"][0].numpy() * 255).round().astype(np.uint8)) for row in range(8)]


def test_bits_are_those_of_scipy_s_cosine_transform():
    pixels = np.random.default_rng(1).random((32, 32))
    waves = dctn(pixels)[:16, :16] / 4
    expected = np.packbits((waves > np.median(waves)).ravel()).view(np.uint64)
    assert apart(hash_pixels(pixels), expected) == 0
    assert hash_pixels(pixels).shape == (BITS // 64,)


@pytest.mark.parametrize(
    "stored_anew",
    [
        lambda image: image.resize((128, 128), Image.Resampling.BICUBIC),
        lambda image: image.resize((512, 512), Image.Resampling.BILINEAR),
        lambda image: image.resize((180, 256), Image.Resampling.BILINEAR),
        lambda image: as_jpeg(image, 50),
        lambda image: as_jpeg(image.resize((224, 224)), 75),
        lambda image: image.point([v * 3 // 4 + 20 for v in range(256)]),
    ],
    ids=["half", "double", "squeezed", "jpeg 50", "jpeg 75 of 224", "brightness and contrast"],
)
def test_a_copy_is_near(radiographs, stored_anew):
    assert max(apart(hash_of(image), hash_of(stored_anew(image))) for image in radiographs) <= NEAR


@pytest.mark.parametrize(
    "other", [ImageOps.mirror, ImageOps.invert, lambda image: image.crop((20, 20, 236, 236))]
)
def test_another_picture_is_far(radiographs, other):
    assert min(apart(hash_of(image), hash_of(other(image))) for image in radiographs) > NEAR


def test_other_patients_are_far(radiographs):
    hashes = np.stack([hash_of(image) for image in radiographs])
    rows, others, _ = near_pairs(hashes, hashes)
    assert rows.tolist() == others.tolist() == list(range(8))


class TestNearPairs:
    def test_by_hand(self):
        one = np.array([[0, 0, 0, 0], [0b1011, 0, 0, 1 << 63]], dtype=np.uint64)
        two = np.array([[0, 0, 0, 0], [0b0001, 0, 0, 0], [0b1111, 0, 0, 1 << 63]], dtype=np.uint64)
        rows, others, bits = near_pairs(one, two, distance=3)
        assert list(zip(rows.tolist(), others.tolist(), bits.tolist(), strict=True)) == [
            (0, 0, 0), (0, 1, 1), (1, 1, 3), (1, 2, 1),
        ]  # fmt: skip

    def test_the_opposite_is_256_apart_not_0(self):
        nothing = np.zeros((1, 4), dtype=np.uint64)
        assert len(near_pairs(nothing, ~nothing, distance=255)[0]) == 0
        assert near_pairs(nothing, ~nothing, distance=256)[2].tolist() == [256]

    def test_in_blocks(self, monkeypatch):
        hashes = np.random.default_rng(2).integers(0, 1 << 63, (50, 4), dtype=np.uint64)
        whole = near_pairs(hashes, hashes[::2], distance=110)
        monkeypatch.setattr("xrdatasets.datasets.image_hash._BLOCK", 60)
        for one, two in zip(whole, near_pairs(hashes, hashes[::2], distance=110), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_nothing(self):
        none = np.empty((0, 4), dtype=np.uint64)
        assert [len(found) for found in near_pairs(none, none)] == [0, 0, 0]
        assert [len(found) for found in near_pairs(np.zeros((2, 4), np.uint64), none)] == [0, 0, 0]


class TestHashImages:
    def test_options_of_the_dataset_do_not_matter(self, fake):
        root = fake("nih")
        plain = hash_images(xr.NIH(root))
        other = hash_images(xr.NIH(root, size=8, intensity="unit", masks=True, transform=lambda sample: None))
        np.testing.assert_array_equal(plain, other)
        assert plain.shape == (5, 4)

    def test_rows_of_a_selection(self, fake):
        ds = xr.NIH(fake("nih"))
        np.testing.assert_array_equal(hash_images(ds.select([3, 1]), workers=3), hash_images(ds)[[3, 1]])

    def test_a_missing_image(self, fake, tmp_path):
        root = fake("nih")
        (root / "images" / "00000002_000.png").unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"no image file '00000002_000'"):
            hash_images(xr.NIH(root, missing="keep"))
