from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from xrdatasets.errors import ImageReadError
from xrdatasets.images import RawImage, center_crop, load_image, normalize, prepare, resize


@pytest.mark.parametrize("engine", ["area", "gaussian"])
@pytest.mark.parametrize("intensity", ["xrv", "unit"])
def test_normalising_last_is_normalising_first(save, radiograph, engine, intensity):
    img = load_image(save(radiograph, "PNG"), size=32, engine=engine, intensity=intensity)
    first = resize(center_crop(normalize(RawImage(radiograph, 255), intensity)), 32, engine=engine)
    np.testing.assert_allclose(img, first, atol=1e-3)
    assert (img.shape, img.dtype, img.flags.c_contiguous) == ((1, 32, 32), np.float32, True)


def test_without_a_size_the_native_image_comes_uncropped(save, radiograph):
    assert load_image(save(radiograph, "PNG")).shape == (1, 96, 80)


def test_without_a_crop_both_axes_are_squeezed(save, radiograph):
    img = load_image(save(radiograph, "PNG"), size=24, crop=False, intensity="unit")
    np.testing.assert_allclose(img[0], resize(radiograph, 24) / 255, atol=1e-6)


@pytest.mark.parametrize("n", [1, 97, 300, 301])
def test_white_and_black_stay_within_the_range_after_any_resize(n):
    for value, end in ((0, -1024), (255, 1024)):
        for engine in ("area", "gaussian"):
            img = prepare(RawImage(np.full((n, n), value, np.uint8), 255), size=113, engine=engine)
            assert abs(img).max() <= 1024
            np.testing.assert_allclose(img, end, atol=1e-3)


def test_the_smallest_image_grows(save):
    img = load_image(save(np.full((2, 2), 255, np.uint8), "PNG"), size=8)
    assert img.tolist() == np.full((1, 8, 8), 1024.0).tolist()


def test_sixteen_bits_use_their_own_range(save, radiograph):
    deep = radiograph.astype(np.uint16) * 257
    np.testing.assert_allclose(
        load_image(save(deep, "PNG"), size=40), load_image(save(radiograph, "PNG"), size=40), atol=1e-3
    )


def test_the_source_is_not_changed(radiograph):
    before = radiograph.copy()
    prepare(RawImage(radiograph, 255), size=20)
    np.testing.assert_array_equal(radiograph, before)


def test_arguments_are_checked_before_the_file_is_opened(tmp_path):
    missing = tmp_path / "none.png"
    for wrong, name in (
        ({"engine": "x"}, "engine"),
        ({"intensity": "x"}, "intensity"),
        ({"size": 0}, "size"),
        ({"reduced": "no"}, "reduced"),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            load_image(missing, **wrong)
    with pytest.raises(ImageReadError, match=r"^vindr: cannot read"):
        load_image(missing, size=5, dataset="vindr")


def test_importing_images_loads_no_decoder_and_no_torch():
    heavy = {"torch", "pandas", "scipy", "imageio", "PIL", "kornia_rs"}
    code = f"import sys, xrdatasets.images; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [8, 40])
def test_the_frame_of_xrv_is_mid_grey_in_either_range(size):
    """Outside the image is 0 in the range of torchxrayvision, so the corner is drawn towards the middle."""
    pixels = np.full((20, 20), 255, np.uint8)
    pixels[-1] = 0  # or it would be clipped to white
    white = RawImage(pixels, 255)
    corner = prepare(white, size=size, engine="xrv")[0, 0, 0]
    assert 0 < corner < 1000
    unit = prepare(white, size=size, engine="xrv", intensity="unit")
    assert unit[0, 0, 0] == pytest.approx((corner / 1024 + 1) / 2, abs=1e-6)
    assert unit[0, size // 2, size // 2] == pytest.approx(1, abs=1e-6)
