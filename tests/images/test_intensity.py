from __future__ import annotations

import numpy as np
import pytest

from xrdatasets.images import RawImage, normalize


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_every_value_is_the_formula_in_float64_rounded_once(dtype, top):
    values = np.arange(top + 1, dtype=dtype).reshape(1, -1)
    raw = RawImage(values, top)
    exact = values.astype(np.float64)
    np.testing.assert_array_equal(normalize(raw, "unit")[0], (exact / top).astype(np.float32))
    np.testing.assert_allclose(normalize(raw)[0], (2 * exact / top - 1) * 1024, rtol=2**-24, atol=0)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_the_ends_are_exact_so_that_a_range_check_holds(dtype, top):
    raw = RawImage(np.array([[0, top]], dtype), top)
    assert normalize(raw).tolist() == [[[-1024.0, 1024.0]]]
    assert normalize(raw, "unit").tolist() == [[[0.0, 1.0]]]


def test_shape_dtype_and_source_are_as_promised(radiograph):
    before = radiograph.copy()
    img = normalize(RawImage(radiograph, 255))
    assert (img.shape, img.dtype, img.flags.c_contiguous) == ((1, 96, 80), np.float32, True)
    np.testing.assert_array_equal(radiograph, before)


def test_an_unknown_intensity_is_named(radiograph):
    with pytest.raises(ValueError, match=r"intensity: expected one of \('xrv', 'unit'\), got 'imagenet'"):
        normalize(RawImage(radiograph, 255), "imagenet")
