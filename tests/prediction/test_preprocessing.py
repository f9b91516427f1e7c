"""Whatever a file's size, depth, colours and polarity: the network gets what a radiologist sees."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fakes import write_dicom
from tests.prediction.conftest import make_classifier
from xrdatasets.models import InputSpec

SIZE = 32
HALF_A_STEP = 1024 / 255  # of 8 bits, on the scale of [-1024, 1024]


def chest(height, width, levels=256):
    """A formula's picture: a bright middle between two dark fields, a gradient, and one corner marked."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    field = 0.55 - 0.35 * np.exp(-(((x - 0.28) / 0.15) ** 2) - ((y - 0.5) / 0.3) ** 2)
    field -= 0.35 * np.exp(-(((x - 0.72) / 0.15) ** 2) - ((y - 0.5) / 0.3) ** 2)
    field += 0.3 * y * (x > 0.9)
    return np.floor(field.clip(0, 1) * (levels - 1)).astype(np.uint16 if levels > 256 else np.uint8)


def by_hand(pixels, largest, size=SIZE, crop=True):
    """Crop, mean over the area of each output pixel, range: in float64, weight by weight."""
    pixels = pixels.astype(np.float64)
    if crop:
        height, width = pixels.shape
        side = min(height, width)
        top, left = height // 2 - side // 2, width // 2 - side // 2
        pixels = pixels[top : top + side, left : left + side]
    for axis in (0, 1):
        count = pixels.shape[axis]
        weights = np.zeros((size, count))
        for row in range(size):
            begin, end = row * count / size, (row + 1) * count / size
            for tap in range(count):
                weights[row, tap] = max(0.0, min(end, tap + 1) - max(begin, tap)) * size / count
        pixels = weights @ pixels if axis == 0 else pixels @ weights.T
    return (2 * pixels / largest - 1) * 1024


@pytest.fixture(scope="module")
def classifier():
    return make_classifier()


def save(pixels, path, mode=None, **options):
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def assert_same(got, wanted, within):
    assert got.shape == (1, 1, SIZE, SIZE)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got[0, 0].numpy(), wanted, rtol=0, atol=within)


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (100, 100), (47, 61), (61, 47), (300, 33), (33, 301)])
def test_other_sizes_are_cut_in_the_middle_and_averaged(classifier, tmp_path, shape):
    pixels = chest(*shape)
    path = save(pixels, tmp_path / "a.png")
    assert_same(classifier.preprocess(path), by_hand(pixels, 255), 1e-3)


def test_without_crop_both_sides_are_squeezed(tmp_path):
    pixels = chest(40, 96)
    spec = InputSpec(size=SIZE, crop=False)
    assert_same(spec.load(save(pixels, tmp_path / "a.png")), by_hand(pixels, 255, crop=False), 1e-3)


def test_a_small_image_is_enlarged_between_its_pixels(classifier, tmp_path):
    pixels = np.zeros((2, 2), np.uint8)
    pixels[:, 1] = 255
    got = classifier.preprocess(save(pixels, tmp_path / "a.png"))[0, 0].numpy()
    # bilinear at half-pixel centres: constant up to the middle of the first pixel, then a straight line
    centres = (np.arange(SIZE) + 0.5) * 2 / SIZE - 0.5
    np.testing.assert_allclose(got, np.tile(centres.clip(0, 1) * 2048 - 1024, (SIZE, 1)), atol=1e-3)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_the_same_picture_as_eight(classifier, tmp_path, kind):
    fine = chest(90, 70, levels=65_536)
    coarse = np.rint(fine / 257).astype(np.uint8)
    got = classifier.preprocess(save(fine, tmp_path / f"a.{kind}"))
    assert_same(got, by_hand(fine, 65_535), 1e-3)
    assert_same(got, classifier.preprocess(save(coarse, tmp_path / "b.png"))[0, 0].numpy(), HALF_A_STEP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_colours_is_grey(classifier, tmp_path, mode):
    pixels = chest(90, 70)
    got = classifier.preprocess(save(pixels, tmp_path / "a.png", mode))
    assert_same(got, by_hand(pixels, 255), 1e-3)


def test_transparency_does_not_darken(classifier, tmp_path):
    pixels = chest(64, 64)
    layers = np.dstack([pixels] * 3 + [np.full_like(pixels, 3)])
    got = classifier.preprocess(save(layers, tmp_path / "a.png"))
    assert_same(got, by_hand(pixels, 255), 1e-3)


def test_a_palette_out_of_order_is_not_read_as_its_indices(classifier, tmp_path):
    pixels = chest(64, 64)
    picture = Image.fromarray(255 - pixels, "L").convert("P")
    picture.putdata((255 - pixels).ravel().tolist())
    picture.putpalette([255 - index for index in range(256) for _ in range(3)])
    picture.save(tmp_path / "a.png")
    assert_same(classifier.preprocess(tmp_path / "a.png"), by_hand(pixels, 255), 1e-3)


def test_one_bit_is_black_and_white(classifier, tmp_path):
    pixels = (chest(64, 64) > 100).astype(np.uint8) * np.uint8(255)
    got = classifier.preprocess(save(pixels, tmp_path / "a.png", "1", bits=1))
    assert_same(got, by_hand(pixels, 255), 1e-3)


class TestDicom:
    @pytest.mark.parametrize(("bits", "levels"), [(8, 256), (12, 4_096), (16, 65_536)])
    def test_monochrome1_equals_its_twin(self, classifier, tmp_path, bits, levels):
        pixels = chest(80, 64, levels=levels)
        about = {"BitsStored": bits, "HighBit": bits - 1}
        twin = write_dicom(
            tmp_path / "2.dcm", pixels=pixels, PhotometricInterpretation="MONOCHROME2", **about
        )
        turned = (levels - 1 - pixels).astype(pixels.dtype)
        first = write_dicom(
            tmp_path / "1.dcm", pixels=turned, PhotometricInterpretation="MONOCHROME1", **about
        )
        got = classifier.preprocess(first)
        assert torch.equal(got, classifier.preprocess(twin))
        assert_same(got, by_hand(pixels, levels - 1), 1e-3)

    def test_twelve_bits_are_as_bright_as_eight(self, classifier, tmp_path):
        fine = chest(80, 64, levels=4_096)
        path = write_dicom(tmp_path / "a.dcm", pixels=fine, BitsStored=12, HighBit=11)
        coarse = np.rint(fine / 4_095 * 255).astype(np.uint8)
        got = classifier.preprocess(path)
        assert_same(got, classifier.preprocess(save(coarse, tmp_path / "b.png"))[0, 0].numpy(), HALF_A_STEP)

    @pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
    def test_the_window_is_what_a_viewer_shows(self, classifier, tmp_path, polarity):
        pixels = chest(80, 64, levels=4_096)
        path = write_dicom(
            tmp_path / "a.dcm", pixels=pixels, BitsStored=12, HighBit=11, WindowCenter="1600",
            WindowWidth="1200", PhotometricInterpretation=polarity,
        )  # fmt: skip
        # PS3.3, C.11.2.1.2.1: linear between c - 0.5 - (w - 1) / 2 and c - 0.5 + (w - 1) / 2
        shown = ((pixels - (1600 - 0.5)) / (1200 - 1) + 0.5).clip(0, 1)
        wanted = by_hand(1 - shown if polarity == "MONOCHROME1" else shown, 1)
        assert_same(classifier.preprocess(path), wanted, 1024 / 65_535 + 1e-3)


def slopes(height, width):
    """A picture of whole numbers, the same on every machine: slopes up and down, and a bright corner."""
    y, x = np.mgrid[:height, :width]
    field = np.abs((7 * x + 3 * y) % 510 - 255)
    field[: height // 4, : width // 4] = 255
    return field.astype(np.uint8)


def digest(picture):
    """Of 64 steps of [-1024, 1024]; a picture is moved so that no value lies on the border of a step."""
    steps = np.floor((np.asarray(picture, np.float64) + 1024 + OFFSET) / 32).astype(np.uint8)
    return hashlib.sha256(steps.tobytes()).hexdigest()[:16]


# made by `by_hand` alone, in float64: python -m tests.prediction.test_preprocessing
OFFSET = 9.984
HASHES = {
    (100, 100): "30f3c80287489d1e",
    (47, 61): "d102d2ed167e5c15",
    (61, 47): "5cc90c4a72efa5e4",
    (300, 33): "f50546f547f289c4",
    (33, 301): "ede73c35f60acb6c",
}


@pytest.mark.parametrize("shape", list(HASHES))
def test_reference_crops(classifier, tmp_path, shape):
    path = save(slopes(*shape), tmp_path / "a.png")
    assert digest(classifier.preprocess(path)[0, 0].numpy()) == HASHES[shape]


if __name__ == "__main__":
    for shape in HASHES:
        picture = by_hand(slopes(*shape), 255)
        print(shape, digest(picture))  # noqa: T201
