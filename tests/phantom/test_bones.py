"""Bones along the rays: how many ribs, where they run, and what a break changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from xrdatasets.phantom.anatomy import Anatomy, Case
from xrdatasets.phantom.bones import Break, draw_bones, rib_y
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.thorax import Thorax

N = 20


def thorax(number, size=256, *, supine=False, age=50.0):
    female = number % 2 == 1
    case = Case(1000 + number, 77_000 + number, female=female, age=age, supine=supine, grades={})
    return Thorax(Grid.of(size), Anatomy.of(case), case)


def on_a_line(one, out, side):
    """Bones on a vertical line at a distance from the midline, ribs smoothed to one peak each."""
    column = np.abs(one.x[0] - side * out).argmin()
    return gaussian_filter1d(draw_bones(one)[:, column], one.anatomy.ribs * 0.12 / one.grid.pixel)


views = pytest.mark.parametrize("supine", [False, True])


@views
def test_bones_are_float32_and_nowhere_negative(supine):
    for size in (16, 64, 100):
        bones = draw_bones(thorax(1, size, supine=supine), [Break(1, 5, 0.5, 0.05, 0.02)])
        assert bones.dtype == np.float32
        assert bones.shape == (size, size)
        assert 0 == bones.min() < 0.1 < bones.max() < 1


def test_eight_to_ten_ribs_are_above_the_diaphragm_after_a_full_breath():
    """The textbook's measure of a good breath, on the right."""
    counts = {}
    for supine in (False, True):
        people = [thorax(number, 16, supine=supine).anatomy for number in range(100)]
        counts[supine] = [sum(rib_y(a, 0.36, rib) < a.dome[0] for rib in range(12)) for a in people]
    assert set(counts[False]) <= {7, 8, 9, 10}
    assert np.mean(counts[True]) < np.mean(counts[False]) - 0.3


@pytest.mark.parametrize("side", [-1, 1])
def test_each_rib_is_the_brightest_line_around_its_place(side):
    for number in range(N):
        one = thorax(number)
        a, y = one.anatomy, one.grid.y[:, 0]
        out = 0.3 * a.chest  # where ribs in front are cartilage
        line = on_a_line(one, out, side)
        within = (y > rib_y(a, out, 3) - a.ribs / 2) & (y < rib_y(a, out, 8) + a.ribs / 2)
        peaks, _ = find_peaks(np.where(within, line, 0), prominence=0.1 * line[within].max())
        expected = [rib_y(a, out, rib) for rib in range(3, 9)]
        assert y[peaks] == pytest.approx(expected, abs=0.12 * a.ribs)


def test_ribs_are_evenly_spaced_and_fall_along_the_wall():
    a = thorax(1).anatomy
    places = np.array([[rib_y(a, out, rib) for rib in range(10)] for out in (0.15, 0.3, 0.45, 0.6, 0.7)])
    np.testing.assert_allclose(np.diff(places, axis=1), a.ribs)
    assert (np.diff(places[1:], axis=0) > 0).all()
    assert places[-1, 0] - places[0, 0] > 0.1


def test_both_sides_are_alike():
    one = thorax(2)
    one.anatomy.midline = one.anatomy.rotation = 0.0
    bones = draw_bones(one)
    np.testing.assert_allclose(bones, bones[:, ::-1], atol=0.02)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("rib", [3, 5, 7])
def test_a_gap_is_where_the_rib_is(side, rib):
    for number in range(N):
        one = thorax(number)
        a, out = one.anatomy, 0.6 * one.anatomy.chest
        lost = draw_bones(one) - draw_bones(one, [Break(side, rib, out, 0.0, 0.03)])
        assert lost.min() > -1e-6
        rows, columns = np.nonzero(lost > 0.2 * lost.max())
        assert lost.max() > 0.04
        assert one.grid.y[rows, 0].mean() == pytest.approx(rib_y(a, out, rib), abs=0.15 * a.ribs)
        assert one.x[0, columns].mean() == pytest.approx(side * out, abs=0.01)
        assert np.ptp(one.x[0, columns]) < 2 * 0.03 + one.grid.pixel


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 50),
    st.sampled_from([16, 64, 96]),
    st.booleans(),
    st.sampled_from([-1, 1]),
    st.integers(0, 9),
    st.floats(0.2, 0.9),
    st.floats(-0.07, 0.07),
)
def test_a_break_changes_its_neighbourhood_alone(number, size, supine, side, rib, place, shift):
    one = thorax(number, size, supine=supine)
    a, out = one.anatomy, place * one.anatomy.chest
    change = np.abs(draw_bones(one, [Break(side, rib, out, shift, 0.02)]) - draw_bones(one))
    rows, columns = np.nonzero(change > 1e-6)
    assert (np.abs(one.x[0, columns] - side * out) < 0.16 + 1.5 * one.grid.pixel).all()
    reach = a.ribs * 0.55 + 1.5 * one.grid.pixel
    assert (np.abs(one.grid.y[rows, 0] - rib_y(a, out, rib) - shift / 2) < reach).all()


def test_a_break_at_the_edge_of_the_detector_changes_little():
    for number in range(50):
        one = thorax(number, 96, supine=True)
        bones = draw_bones(one, [Break(1, 10, 0.95 * one.anatomy.chest, 0.07, 0.02)])
        assert np.abs(bones - draw_bones(one)).max() < 0.1


def test_the_outer_end_slips():
    one = thorax(3)
    a, out, y = one.anatomy, 0.5 * one.anatomy.chest, one.grid.y[:, 0]
    for shift in (-0.06, 0.06):
        bones = draw_bones(one, [Break(1, 5, out, shift, 0.01)])
        moved = []
        for beyond in (-0.04, 0.04):
            column = np.abs(one.x[0] - out - beyond).argmin()
            line = gaussian_filter1d(bones[:, column], a.ribs * 0.12 / one.grid.pixel)
            there = rib_y(a, out + beyond, 5)
            near = np.abs(y - there) < 0.45 * a.ribs
            moved.append(y[near][line[near].argmax()] - there)
        assert moved[0] == pytest.approx(0, abs=0.02)
        # ribs in front cross it, so that the brightest line is a little off
        assert moved[1] == pytest.approx(shift, abs=0.03)


def test_bones_are_as_dense_as_the_patient_s():
    young, old = thorax(4), thorax(4)
    young.anatomy.bone, old.anatomy.bone = 1.2, 0.6
    np.testing.assert_allclose(draw_bones(old) * 2, draw_bones(young), rtol=1e-5)
    assert draw_bones(thorax(4, age=85.0)).sum() < 0.8 * draw_bones(thorax(4, age=30.0)).sum()


def test_the_spine_runs_all_the_way_and_has_vertebrae():
    for number in range(N):
        one = thorax(number)
        bones = draw_bones(one)
        spine = bones[:, np.abs(one.x[0]) < 0.06].mean(axis=1)
        assert spine.min() > 0.03
        # the discs between vertebrae: about 4 cm apart and less
        peaks, _ = find_peaks(-gaussian_filter1d(spine, 2), prominence=0.02)
        apart = np.diff(one.grid.y[peaks, 0])
        assert 1.5 / 20 < apart.min() <= apart.max() < 4.5 / 20
        assert bones[:, np.abs(one.x[0]) < 0.03].mean() > 2 * bones.mean()


def test_clavicles_cross_the_tops_of_the_lungs():
    for number in range(N):
        one = thorax(number)
        a, y = one.anatomy, one.grid.y[:, 0]
        rise = []
        for out in (0.15, 0.8):
            column = np.abs(one.x[0] - out).argmin()
            near = (y > a.apex - 0.05) & (y < a.apex + 0.32)
            line = gaussian_filter1d(draw_bones(one)[:, column], 3)
            rise.append(y[near][line[near].argmax()])
        assert a.apex < rise[0] < a.apex + 0.32
        assert rise[1] < rise[0] + 0.05  # the outer end is the higher, or level


def test_lying_down_the_blades_lie_over_the_lungs():
    share = {}
    for supine in (False, True):
        inner = []
        for number in range(N):
            one = thorax(number, 128, supine=supine)
            one.anatomy.bone = 1.0
            bones, y = draw_bones(one), one.grid.y[:, 0]
            rows = (y > one.anatomy.apex + 0.35) & (y < one.anatomy.apex + 0.6)
            columns = (one.out[0] > 0.62) & (one.out[0] < 0.72)
            inner.append(bones[rows][:, columns].mean())
        share[supine] = np.mean(inner)
    assert share[True] > 1.2 * share[False]


def test_the_same_bones_at_any_size():
    fine, coarse = (draw_bones(thorax(5, size), [Break(-1, 6, 0.5, 0.05, 0.03)]) for size in (256, 64))
    means = fine.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.93
