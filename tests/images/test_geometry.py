from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import skimage.transform
from hypothesis import given, settings, strategies as st

from xrdatasets.images import center_crop, geometry, normalize, read_image, resize
from xrdatasets.images.geometry import _operator, _Scratch

ENGINES = ("area", "gaussian")
sides = st.integers(1, 60)


def peer(img, size, mode):
    """torchxrayvision's resize, on its scale."""
    return skimage.transform.resize(img, (1, size, size), mode=mode, preserve_range=True)[0]


@pytest.mark.parametrize(("height", "width"), [(7, 7), (6, 9), (9, 6), (1, 5), (8, 5), (5, 8)])
def test_center_crop_starts_where_torchxrayvisions_does(height, width):
    pixels = np.arange(2 * height * width).reshape(2, height, width)
    side = min(height, width)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    crop = center_crop(pixels)
    np.testing.assert_array_equal(crop, pixels[:, top : top + side, left : left + side])
    assert np.shares_memory(crop, pixels)


@pytest.mark.parametrize("size", [224, 128, 100, 64, 320])
@pytest.mark.parametrize("n", [256, 301, 512])
def test_gaussian_is_skimages_resize_with_a_replicated_edge_everywhere(n, size):
    img = np.random.default_rng(n).uniform(-1024, 1024, (1, n, n)).astype(np.float32)
    assert np.abs(resize(img, size, engine="gaussian")[0] - peer(img, size, "edge")).max() < 0.01


@pytest.mark.parametrize(("n", "size"), [(1024, 224), (300, 112), (257, 224), (100, 224), (64, 320)])
def test_xrv_is_skimages_resize_with_its_frame_everywhere(n, size):
    img = np.random.default_rng(n).uniform(-1024, 1024, (1, n, n)).astype(np.float32)
    assert np.abs(resize(img, size, engine="xrv")[0] - peer(img, size, "constant")).max() < 0.01


@pytest.mark.parametrize("n", [256, 301, 896])
def test_gaussian_is_torchxrayvisions_resize_inside_and_lacks_its_frame(n):
    img = np.full((1, n, n), 1000.0, np.float32)
    img[:, n // 3 : n // 2] -= (
        np.random.default_rng(0).uniform(0, 1500, (1, n // 2 - n // 3, n)).astype(np.float32)
    )
    ours, theirs = resize(img, 112, engine="gaussian")[0], peer(img, 112, "constant")
    assert np.abs(ours - theirs)[2:-2, 2:-2].max() < 0.01
    assert theirs[0, 0] < 900  # zero padding is mid-grey on this scale
    np.testing.assert_allclose(ours[0], 1000, atol=0.01)


@pytest.mark.parametrize("n", [64, 40, 96])
def test_area_is_the_mean_over_the_footprint_in_exact_fractions(n):
    size = 24
    line = np.random.default_rng(n).integers(0, 65_536, n)
    exact = []
    for i in range(size):
        begin, end = Fraction(i * n, size), Fraction((i + 1) * n, size)
        covered = [max(0, min(end, j + 1) - max(begin, j)) for j in range(n)]
        exact.append(float(sum(w * int(v) for w, v in zip(covered, line, strict=True)) / (end - begin)))
    image = np.broadcast_to(line.astype(np.uint16), (n, n))
    np.testing.assert_allclose(resize(image, size), np.broadcast_to(exact, (size, size)), rtol=3e-7)


def test_area_by_an_integer_factor_is_the_block_mean():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    np.testing.assert_array_equal(resize(pixels, 24), pixels.reshape(24, 4, 24, 4).mean(axis=(1, 3)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("n", "size"), [(20, 64), (33, 50), (1, 8), (64, 65)])
def test_enlarging_is_bilinear_with_both_engines(engine, n, size):
    img = np.random.default_rng(n).uniform(0, 255, (n, n))
    reference = skimage.transform.resize(img, (size, size), order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resize(img, size, engine=engine), reference, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_axis_may_shrink_while_the_other_grows(engine):
    img = np.random.default_rng(0).uniform(0, 255, (200, 30))
    out = resize(img, 64, engine=engine)
    assert out.shape == (64, 64)
    if engine == "gaussian":
        reference = skimage.transform.resize(img, (64, 64), mode="edge", anti_aliasing=True)
        np.testing.assert_allclose(out, reference, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [32, 64, 128])  # they divide the image: the ramp stays one with both engines
def test_images_that_are_made_in_bands_have_no_seam(engine, size):
    ramp = np.broadcast_to(np.arange(1_024, dtype=np.float32)[:, np.newaxis], (1_024, 1_024))
    for out in (resize(ramp, size, engine=engine)[:, 0], resize(ramp.T, size, engine=engine)[0]):
        np.testing.assert_allclose(np.diff(out)[3:-3], 1_024 / size, rtol=1e-4)


@pytest.mark.parametrize("engine", [*ENGINES, "xrv"])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (1_024, 1_024, 224),
        (2_000, 1_111, 100),
        (1_111, 2_000, 97),
        (40, 900, 512),
        (900, 40, 512),
        (1, 2_000, 7),
    ],
)
def test_bands_of_any_number_are_the_two_products_of_the_whole(engine, height, width, size):
    pixels = np.random.default_rng(size).integers(0, 65_536, (height, width)).astype(np.uint16)
    rows, columns = (_operator(n, size, engine).toarray().astype(np.float64) for n in (height, width))
    np.testing.assert_allclose(resize(pixels, size, engine=engine), rows @ pixels @ columns.T, atol=0.05)


@pytest.mark.parametrize("engine", ENGINES)
def test_sixteen_bits_keep_their_precision(engine):
    pixels = np.random.default_rng(0).integers(40_000, 40_016, (300, 300)).astype(np.uint16)
    wide = _operator(300, 64, engine).toarray().astype(np.float64)
    np.testing.assert_allclose(resize(pixels, 64, engine=engine), wide @ pixels @ wide.T, atol=0.02)


@given(n=sides, size=sides, engine=st.sampled_from(ENGINES))
@settings(deadline=None)
def test_law_rows_sum_to_one_and_no_weight_is_negative(n, size, engine):
    matrix = _operator(n, size, engine)
    assert matrix.shape == (size, n)
    assert matrix.data.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)


@given(h=sides, w=sides, size=sides, engine=st.sampled_from(ENGINES), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_law_range_flip_and_transpose(h, w, size, engine, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w)).astype(np.uint8)
    out = resize(pixels, size, engine=engine)
    assert out.min() >= pixels.min() - 1e-3
    assert out.max() <= pixels.max() + 1e-3
    np.testing.assert_allclose(resize(pixels[::-1, ::-1], size, engine=engine)[::-1, ::-1], out, atol=1e-3)
    np.testing.assert_allclose(resize(pixels.T, size, engine=engine).T, out, atol=1e-3)


@given(n=sides, size=sides, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_law_area_keeps_the_mean_when_it_shrinks(n, size, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (n, n)).astype(np.uint8)
    if size <= n:
        np.testing.assert_allclose(resize(pixels, size).mean(dtype=np.float64), pixels.mean(), rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_result_is_not_overwritten_by_the_next_image(engine):
    first, second = np.random.default_rng(0).integers(0, 256, (2, 90, 110)).astype(np.uint8)
    kept = resize(first, 16, engine=engine)
    wide = _operator(90, 16, engine).toarray(), _operator(110, 16, engine).toarray()
    resize(second, 16, engine=engine)
    resize(second[:40, :50], 16, engine=engine)
    np.testing.assert_allclose(kept, wide[0] @ first @ wide[1].T, rtol=1e-5)


def test_a_small_image_after_a_large_one_sees_nothing_of_it():
    large, small = np.full((500, 700), 255, np.uint8), np.full((30, 40), 7, np.uint8)
    for pixels in (large, small, large.T, small.T):
        np.testing.assert_allclose(resize(pixels, 20), pixels[0, 0], rtol=1e-6)


def test_threads_do_not_write_into_each_others_image():
    images = [np.full((300 + 8 * i, 500 - 8 * i), i, np.uint8) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for number, out in enumerate(pool.map(lambda pixels: resize(pixels, 64), images * 5)):
            np.testing.assert_allclose(out, number % 40, rtol=1e-6)


def test_what_a_thread_keeps_for_its_next_image_has_a_limit(monkeypatch):
    scratch = _Scratch()
    monkeypatch.setattr(geometry, "KEPT", 4_000)
    for rows, kept in ((100, 4_000), (50, 4_000), (101, 4_000), (10, 4_000)):
        assert scratch.take("strip", rows, 10).shape == (rows, 10)
        assert sum(array.nbytes for array in scratch.kept.values()) == kept


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stack_is_resized_image_by_image(engine):
    stack = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50)).astype(np.uint8)
    out = resize(stack, 16, engine=engine)
    assert (out.shape, out.dtype, out.flags.c_contiguous) == ((2, 3, 16, 16), np.float32, True)
    np.testing.assert_array_equal(out[1, 2], resize(stack[1, 2], 16, engine=engine))


def test_the_same_size_changes_nothing_and_copies(radiograph):
    square = center_crop(radiograph)
    out = resize(square, 80)
    np.testing.assert_array_equal(out, square)
    assert out.dtype == np.float32


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "224", None, np.float32(3)])
def test_a_size_that_is_no_positive_integer_is_named(radiograph, size):
    with pytest.raises(ValueError, match="size: expected a positive integer, got"):
        resize(radiograph, size)


def test_numpys_integers_are_sizes(radiograph):
    assert resize(radiograph, np.int64(5)).shape == (5, 5)


def test_an_unknown_engine_is_named(radiograph):
    with pytest.raises(ValueError, match=r"engine: expected one of \('area', 'gaussian', 'xrv'\), got 'cv2'"):
        resize(radiograph, 5, engine="cv2")


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 5, 0)])
def test_an_empty_or_flat_array_is_refused(shape):
    with pytest.raises(ValueError, match="pixels: expected"):
        resize(np.zeros(shape), 5)


@pytest.mark.data
@pytest.mark.parametrize("size", [224, 256, 512])
def test_real_radiographs_equal_torchxrayvisions_pixels_inside(real_images, size):
    for path in sorted((real_images / "nih_original").rglob("*.png"))[::10]:
        img = normalize(read_image(path))
        difference = np.abs(resize(img, size, engine="gaussian")[0] - peer(img, size, "constant"))
        assert difference[2:-2, 2:-2].max() < 0.01
        assert difference.max() > 1
