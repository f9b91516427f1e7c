"""The shapes that everything is drawn with: their geometry, at any size and beyond the borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import betainc

from xrdatasets.phantom.draws import Draws
from xrdatasets.phantom.grid import Grid, bump, chord, cloud, ramp, strokes, tube

sizes = st.sampled_from([1, 2, 5, 16, 17, 64, 100])
places = st.floats(-2.5, 2.5)
lengths = st.floats(0, 1.5)


def line(low, high, count=1001):
    return np.linspace(low, high, count, dtype=np.float32)


def shrunk(field, times):
    """Means of blocks of times x times pixels."""
    rows, columns = (length // times for length in field.shape)
    return field.reshape(rows, times, columns, times).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [1, 5, 64, 100])
def test_pixels_fill_the_detector(size):
    grid = Grid.of(size)
    assert grid is Grid.of(size)
    assert (grid.x.shape, grid.y.shape, grid.empty().shape) == ((1, size), (size, 1), (size, size))
    assert {grid.x.dtype, grid.y.dtype, grid.empty().dtype} == {np.dtype(np.float32)}
    assert grid.pixel * size == 2
    np.testing.assert_allclose(grid.x[0], -1 + grid.pixel * (np.arange(size) + 0.5), atol=1e-6)
    np.testing.assert_array_equal(grid.y[:, 0], grid.x[0])


def test_a_ramp_is_the_cubic_step_in_either_direction():
    place = line(-1, 3)
    up, down = ramp(place, 0.5, 2.0), ramp(place, 2.0, 0.5)
    # the cubic 3t^2 - 2t^3 is the distribution function of Beta(2, 2)
    np.testing.assert_allclose(up, betainc(2, 2, np.clip((place - 0.5) / 1.5, 0, 1)), atol=1e-5)
    np.testing.assert_allclose(down, 1 - up, atol=1e-5)
    assert up.dtype == np.float32
    assert (place[0], place[-1]) == (-1, 3)  # it is not changed in place


def test_a_bump_is_smooth_and_has_an_end():
    r = line(0, 2)
    found = bump(r * r)
    assert found.dtype == np.float32
    assert (found[0], found[r >= 1].max()) == (1, 0)
    assert (np.diff(found) <= 0).all()
    steps = np.abs(np.diff(found)) / (r[1] - r[0])
    assert steps[np.abs(r[1:] - 1) < 0.01].max() < 0.1  # flat where it ends
    assert 1 < steps.max() < 2


def test_chords_add_up_to_a_ball():
    grid = Grid.of(400)
    half = chord((grid.x * grid.x + grid.y * grid.y) * np.float32(1 / 0.7**2))
    assert half.dtype == np.float32
    assert half.max() == pytest.approx(1, abs=1e-4)
    # the path is 2 r chord
    volume = half.sum(dtype=np.float64) * 2 * 0.7 * grid.pixel**2
    assert volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=1e-3)
    assert half[0, 0] == 0


def test_a_bone_has_a_bright_cortex_around_a_thin_marrow():
    distance = line(-2, 2)
    bone = tube(distance, 0.8, 0.5)
    assert bone.dtype == np.float32
    np.testing.assert_allclose(bone, bone[::-1], atol=1e-5)
    middle, rim = bone[500], bone.max()
    assert middle < 0.8 * rim
    assert 0.5 < abs(distance[bone.argmax()]) / 0.8 < 0.9
    assert rim < 1.05
    assert bone[np.abs(distance) > 0.8 * 1.1].max() == 0
    # all marrow: the chord of a round rod; all cortex: none in the middle
    np.testing.assert_allclose(tube(distance, 0.8, 0.0), chord((distance / 0.8) ** 2), atol=1e-5)
    assert tube(distance, 0.8, 1.0)[500] == 0


@pytest.mark.parametrize("cells", [3, 7, 26])
def test_clouds_are_as_rough_as_each_other_and_smooth(cells):
    found = np.array([cloud(Draws(key, "cloud"), (96, 96), cells) for key in range(150)])
    assert found.dtype == np.float32
    assert abs(found.mean()) < 0.08
    assert 0.55 < found.std() < 0.85
    # as steep as a wave with as many bumps, no steeper
    slope = np.diff(found, axis=2).std() / (found.std() * cells / 96)
    assert 1 < slope < 2.2


@pytest.mark.parametrize("shape", [(256, 256), (256, 100), (96, 256)])
def test_a_cloud_has_the_same_bumps_at_any_size(shape):
    fine = cloud(Draws(3, "cloud"), shape, 7)
    coarse = cloud(Draws(3, "cloud"), (shape[0] // 4, shape[1] // 4), 7)
    assert fine.shape == shape
    assert np.corrcoef(shrunk(fine, 4).ravel(), coarse.ravel())[0, 1] > 0.99


def test_a_cloud_takes_nothing_from_its_stream():
    one, other = Draws(3, "patch"), Draws(3, "patch")
    clouds = [cloud(one, (size, size + 3), 5) for size in (4, 9, 30)]
    assert one.uniform(0, 1) == other.uniform(0, 1)
    assert not np.array_equal(cloud(one, (9, 12), 6), clouds[1])


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (5, 1), (1, 0)])
def test_a_cloud_of_few_or_no_pixels(shape):
    found = cloud(Draws(3, "cloud"), shape, 5)
    assert found.shape == shape
    assert np.isfinite(found).all()


@given(sizes, places, places, lengths, lengths)
def test_a_box_holds_all_pixels_of_its_rectangle(size, left, top, wide, tall):
    grid = Grid.of(size)
    rows, columns = grid.box(left, top, left + wide, top + tall)
    for part, axis, low, high in (
        (rows, grid.y[:, 0], top, top + tall),
        (columns, grid.x[0], left, left + wide),
    ):
        assert part.start >= 0
        assert 0 <= part.stop <= size
        inside = np.zeros(size, dtype=bool)
        inside[part] = True
        assert inside[(axis >= low + 1e-6) & (axis <= high - 1e-6)].all()
        # and no pixel that is a whole one away
        assert not inside[(axis < low - 1.51 * grid.pixel) | (axis > high + 1.51 * grid.pixel)].any()


@given(sizes, places, places, st.floats(0.001, 1), st.none() | st.floats(0.001, 1))
def test_around_measures_from_the_point(size, x, y, reach, reach_y):
    grid = Grid.of(size)
    box, dx, dy = grid.around(x, y, reach, reach_y)
    whole = grid.empty()
    assert whole[box].shape == (dx + dy).shape == (dy.shape[0], dx.shape[1])
    np.testing.assert_allclose(dx, grid.x[:, box[1]] - x, atol=1e-6)
    np.testing.assert_allclose(dy, grid.y[box[0]] - y, atol=1e-6)
    # nothing of what reaches no farther is cut off
    whole[box] = 1
    reach_y = reach if reach_y is None else reach_y
    near = (np.abs(grid.x - x) < reach - 1e-5) & (np.abs(grid.y - y) < reach_y - 1e-5)
    assert (whole[near] == 1).all()


def curve(count, cords=1):
    """Points of cords that bend, and their length."""
    t = np.linspace(0, 1, count)[np.newaxis] * np.ones((cords, 1))
    bend = np.linspace(0.1, 0.3, cords)[:, np.newaxis]
    x, y = -0.5 + 0.9 * t, -0.3 + 0.4 * t + bend * np.sin(3 * t)
    return x, y, np.hypot(np.diff(x, axis=1), np.diff(y, axis=1)).sum()


@pytest.mark.parametrize("size", [64, 100, 256])
@pytest.mark.parametrize("width", [0.008, 0.02, 0.06, 0.15])
def test_a_cord_has_the_volume_of_a_cylinder(size, width):
    x, y, length = curve(600, cords=3)
    found = strokes(Grid.of(size), x, y, width, 2.5)
    assert found.dtype == np.float32
    volume = found.sum(dtype=np.float64) * (2 / size) ** 2
    assert volume == pytest.approx(2.5 * np.pi * width**2 / 4 * length, rel=0.01)


@pytest.mark.parametrize("width", [0.04, 0.1])
def test_a_cord_is_as_thick_and_as_wide_as_it_says(width):
    grid = Grid.of(256)
    t = np.linspace(-0.8, 0.8, 800)[np.newaxis]
    across = strokes(grid, t, 0 * t, width, 1.0)[:, 128]
    assert across.max() == pytest.approx(width, rel=0.1)
    assert abs(grid.y[:, 0] @ across) / across.sum() < 0.01 * width
    share = across[np.abs(grid.y[:, 0]) < width / 2 + grid.pixel / 2].sum() / across.sum()
    assert share > 0.8


def test_several_cords_are_the_sum_of_each():
    grid = Grid.of(64)
    x, y, _ = curve(300, cords=3)
    each = sum(strokes(grid, x[[row]], y[[row]], 0.05) for row in range(3))
    np.testing.assert_allclose(strokes(grid, x, y, 0.05), each, atol=1e-6)


@settings(max_examples=40)
@given(st.sampled_from([1, 2, 16, 64]), st.sampled_from([-1, 1]), st.booleans(), st.floats(0, 3))
def test_a_cord_off_the_detector_draws_nothing(size, side, upright, far):
    t = np.linspace(-3, 3, 50)[np.newaxis]
    beyond = np.full_like(t, side * (1 + far))
    x, y = (beyond, t) if upright else (t, beyond)
    found = strokes(Grid.of(size), x, y, 0.05)
    assert (found.shape, found.max()) == ((size, size), 0)


def test_a_cord_is_drawn_as_far_as_it_lies_on_the_detector():
    t = np.linspace(-3, 1, 2000)[np.newaxis]
    found = strokes(Grid.of(64), t, 0 * t, 0.1)
    volume = found.sum(dtype=np.float64) * (2 / 64) ** 2
    assert volume == pytest.approx(np.pi * 0.1**2 / 4 * 2, rel=0.05)
