"""Soft tissue, air and vessels along the rays: what lies where, as anatomy has it."""

from __future__ import annotations

import numpy as np
import pytest

from xrdatasets.phantom.anatomy import Anatomy, Case
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.thorax import Thorax
from xrdatasets.phantom.vessels import draw_vessels, hilum

ORGANS = ("Cardiomegaly", "Enlarged Cardiomediastinum", "Emphysema", "Fibrosis", "Edema")
WORST = dict.fromkeys(ORGANS, 1.0)
N = 30


def thorax(number, size=128, *, supine=False, female=None, age=None, **grades):
    female = number % 2 == 1 if female is None else female
    age = 20.0 + 7 * number % 70 if age is None else age
    case = Case(1000 + number, 77_000 + number, female=female, age=age, supine=supine, grades=grades)
    return Thorax(Grid.of(size), Anatomy.of(case), case)


def whole(found, grid):
    """A part in its box, laid on the detector."""
    box, part = found
    out = grid.empty()
    out[box] = part
    return out


def wide(there):
    """Greatest width of what is there, in pixels."""
    return max(np.ptp(np.flatnonzero(row)) + 1 for row in there if row.any())


def middle(field, axis):
    """Where the mass of a field lies on an axis."""
    return float((field * axis).sum() / field.sum())


views = pytest.mark.parametrize("supine", [False, True])


@views
def test_maps_are_float32(supine):
    for grades in ({}, WORST):
        one = thorax(3, 64, supine=supine, **grades)
        lines = (one.x, one.out, one.left, one.height, one.wall, one.across, one.floor)
        parts = [one.heart(), one.great_vessels(), one.airways(), *one.bowel()]
        maps = [one.air, one.mediastinum, one.body(), draw_vessels(one)]
        assert {found.dtype for found in (*lines, *maps, *(part for _, part in parts))} == {
            np.dtype("float32")
        }
        assert all(found.shape == (64, 64) for found in maps)
        assert all(np.isfinite(found).all() and found.min() >= 0 for found in maps)


@views
def test_air_is_in_the_rib_cage_alone(supine):
    for number in range(N):
        one = thorax(number, 64, supine=supine)
        assert one.air.max() > 0.3
        assert one.air[np.broadcast_to(one.out > one.wall, one.air.shape)].max() == 0
        assert one.air[one.grid.y[:, 0] < one.anatomy.apex].max() == 0
        # below the diaphragm there is as much as the lung's thin edge behind it has
        assert one.air[one.grid.y > one.floor + 0.02].max() < 0.5 * one.air.max()
        assert one.air[one.grid.y > one.floor + 0.3].max(initial=0) == 0


def test_the_box_cuts_no_air():
    for number in range(N):
        one, other = (thorax(number, 64, supine=True) for _ in range(2))
        other.__dict__["box"] = (slice(0, 64), slice(0, 64))
        np.testing.assert_array_equal(one.air, other.air)


@views
def test_no_air_in_the_middle_of_the_heart(supine):
    for number in range(N):
        one = thorax(number, supine=supine)
        heart = whole(one.heart(), one.grid)
        thick = heart > 0.97 * heart.max()
        # in front of it, and behind, lies a little lung
        assert one.air[thick].max() < 0.15 * one.air.max()
        # where the heart is, the lung has given way to it
        beside = (heart == 0) & (one.air > 0.02)
        assert one.air[heart > 0.3 * heart.max()].mean() < 0.4 * one.air[beside].mean()
        spine = one.air[:, np.abs(one.x[0]) < 0.03]
        assert spine.max() < 0.02


@views
def test_both_lungs_are_of_similar_size(supine):
    areas = []
    for number in range(N):
        one = thorax(number, supine=supine)
        lung = one.air > 0.02
        areas.append([(lung & side).sum() * one.grid.pixel**2 * 400 for side in (one.x < 0, one.x > 0)])
    right, left = np.array(areas).T
    assert (right / left).min() > 0.85
    assert (right / left).max() < 1.3
    assert (right > left).mean() > 0.7  # the heart takes its place from the left one
    total = right + left
    # square centimetres in the image; of a PA view of adults some 400 to 900
    assert 350 < total.min() < total.max() < 950


def ratio(one):
    """The cardiothoracic ratio: greatest width of the heart over that of the lungs."""
    return wide(whole(one.heart(), one.grid) > 0) / wide(one.air > 0.02)


def test_the_cardiothoracic_ratio_is_that_of_patients():
    ratios = {
        grade: np.array([ratio(thorax(number, 256, Cardiomegaly=grade)) for number in range(N)])
        for grade in (-1.0, -0.1, 0.1, 0.5, 1.0)
    }
    healthy = ratios[-1.0]
    assert 0.38 < healthy.min() < healthy.max() < 0.60
    assert 0.42 < healthy.mean() < 0.5  # the textbook's limit is one half
    assert (np.diff([found.mean() for found in ratios.values()]) > 0).all()
    assert ratios[0.5].mean() > 0.5
    assert ratios[1.0].min() > 0.5
    lying = np.mean([ratio(thorax(number, 256, supine=True)) for number in range(N)])
    assert lying > healthy.mean() + 0.02
    thin = np.mean([ratio(thorax(number, 256, Emphysema=0.9)) for number in range(N)])
    assert thin < healthy.mean() - 0.02


def test_two_thirds_of_the_heart_are_on_the_left():
    shares = []
    for number in range(N):
        one = thorax(number)
        heart = whole(one.heart(), one.grid) > 0
        shares.append((heart & (one.x > 0)).sum() / heart.sum())
        assert heart[one.grid.y[:, 0] < one.anatomy.apex].sum() == 0
    assert 0.6 < np.mean(shares) < 0.75
    assert min(shares) > 0.5


def test_boxes_hold_all_of_the_heart_and_the_airways():
    """Nothing is cut off at the edge of a box."""
    for number in range(N):
        one = thorax(number, 64, Cardiomegaly=1.0)
        for box, part in (one.heart(), one.great_vessels(), one.airways()):
            assert part.shape == one.grid.empty()[box].shape
            assert part[:, [0, -1]].max() == 0
        assert one.heart()[1][[0, -1]].max() == 0


def test_the_aortic_arch_is_on_the_left():
    for number in range(N):
        one = thorax(number)
        vessels = whole(one.great_vessels(), one.grid) > 0
        row = np.abs(one.grid.y[:, 0] - one.anatomy.apex - 0.40).argmin()
        x = one.x[0][vessels[row]]
        assert x.max() > -x.min() + 0.02


def test_the_windpipe_is_in_the_middle_and_its_right_branch_is_the_steeper():
    for number in range(N):
        one = thorax(number, 256)
        air, y = whole(one.airways(), one.grid), one.grid.y[:, 0]
        fork = one.anatomy.apex + 0.53
        above = (y > one.anatomy.apex) & (y < fork - 0.06)
        assert abs(middle(air[above], one.x)) < 0.03
        assert (air[above].max(axis=1) > 0).all()
        low = (y > fork + 0.06) & (y < fork + 0.10)
        right, left = (middle(air[low] * side, one.out) for side in (one.x < 0, one.x > 0))
        assert right < left
        assert air[y > fork + 0.2].max() == 0


def test_the_diaphragm_falls_to_the_wall_and_is_higher_on_the_right():
    for number in range(N):
        one = thorax(number)
        floor, x = one.floor[0], one.x[0]
        tops = [floor[(np.abs(x - side * 0.36)).argmin()] for side in (-1, 1)]
        walls = [floor[(np.abs(x - side * one.anatomy.chest)).argmin()] for side in (-1, 1)]
        assert tops[0] < tops[1]
        assert tops == pytest.approx(one.anatomy.dome, abs=0.01)
        assert min(np.subtract(walls, tops)) > 0.05
        flat = thorax(number, Emphysema=1.0)
        steep = flat.floor[0][(np.abs(flat.x[0] - flat.anatomy.chest)).argmin()] - flat.anatomy.dome[1]
        assert steep < walls[1] - tops[1]


@views
def test_the_body_is_thickest_in_the_trunk_and_open_air_is_left_beside_it(supine):
    for number in range(N):
        one = thorax(number, 64, supine=supine)
        body = one.body()
        assert body[0, [0, -1]].max() == 0
        trunk = body[40:, np.abs(one.x[0]) < 0.5]
        assert trunk.min() > 0.5
        assert body[:, np.abs(one.x[0]) < 0.03].min() > 0.1  # neck, trunk, belly
        assert body.max() < 2
        # air takes no more than there is
        assert (body - one.air).min() >= 0


def test_breasts_lie_over_the_lower_lungs_on_both_sides():
    flat, full = (thorax(2, female=female) for female in (True, True))
    flat.anatomy.breast = 0.0
    more = full.body() - flat.body()
    assert full.anatomy.breast > 0.03
    assert more.max() == pytest.approx(full.anatomy.breast, rel=0.05)
    assert full.grid.y[more.max(axis=1) > 1e-3].min() > -0.2
    right, left = (more[:, side].sum() for side in (full.x[0] < 0, full.x[0] > 0))
    assert right == pytest.approx(left, rel=0.1)
    assert more[:, np.abs(full.x[0]) < 0.05].max() == 0


def test_fat_patients_are_thicker_and_wider():
    thin, fat = thorax(2), thorax(2)
    thin.anatomy.fat, fat.anatomy.fat = 0.7, 1.4
    thin, fat = thin.body(), fat.body()
    assert fat[64, 64] > thin[64, 64] + 0.05
    assert (fat[64] > 0.5).sum() > (thin[64] > 0.5).sum() + 2


def test_the_stomach_s_gas_is_below_the_left_dome():
    found = set()
    for number in range(N):
        one = thorax(number)
        gases = [whole(gas, one.grid) for gas in one.bowel()]
        found.add(len(gases))
        assert middle(gases[0], one.x) > 0.2
        for gas in gases:
            assert 0 < gas.max() < 0.3
            assert middle(gas, one.grid.y) > one.anatomy.dome[1] + 0.05
    assert found == {1, 2, 3}


@pytest.mark.parametrize("grades", [{}, WORST])
def test_maps_are_the_same_at_any_size(grades):
    fine, coarse = thorax(4, 256, **grades), thorax(4, 64, **grades)
    for one, other in (
        (fine.air, coarse.air),
        (fine.mediastinum, coarse.mediastinum),
        (fine.body(), coarse.body()),
    ):
        means = one.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert np.abs(means - other).mean() < 0.01
        assert np.corrcoef(means.ravel(), other.ravel())[0, 1] > 0.995


def test_turning_moves_what_lies_in_front_against_the_spine():
    middles = []
    for rotation in (-0.5, 0.0, 0.5):
        one = thorax(1)
        one.anatomy.rotation = rotation
        heart = whole(one.heart(), one.grid)
        right, left = (one.air[:, side].sum() for side in (one.x[0] < 0, one.x[0] > 0))
        middles.append([middle(heart, one.x), middle(whole(one.airways(), one.grid), one.x), left / right])
    assert (np.diff(middles, axis=0) > 0).all()


def test_the_left_hilum_is_the_higher_and_vessels_thin_out_from_there():
    for number in range(10):
        one = thorax(number)
        vessels = draw_vessels(one)
        (right, right_y), (left, left_y) = hilum(one, -1), hilum(one, 1)
        assert right_y - 0.15 < left_y < right_y  # by up to 3 cm
        assert one.anatomy.apex < left_y < right_y < one.anatomy.dome[0]
        for side, x, y in ((-1, right, right_y), (1, left, left_y)):
            far = np.sqrt((one.x * side - x) ** 2 + (one.grid.y - y) ** 2)
            here = (one.x * side > x) & (one.air > 0.05)
            rings = [vessels[here & (far > low) & (far < low + 0.15)].mean() for low in (0.0, 0.2, 0.45)]
            assert rings[0] > 1.5 * rings[1] > 0
            assert rings[1] > 1.2 * rings[2]
        share = vessels[:, one.x[0] < 0].sum() / vessels.sum()
        assert 0.4 < share < 0.6


def test_vessels_belong_to_the_patient_and_widen_with_edema():
    one = thorax(2)
    again = Thorax(one.grid, one.anatomy, Case(5, one.case.patient_key, one.case.female, 50.0, False, {}))
    np.testing.assert_array_equal(draw_vessels(one), draw_vessels(again))
    assert not np.array_equal(draw_vessels(one), draw_vessels(thorax(3)))
    amounts = [draw_vessels(thorax(2, Edema=grade)).sum() for grade in (-1.0, 0.3, 1.0)]
    assert (np.diff(amounts) > 0).all()
    assert draw_vessels(thorax(2, Emphysema=0.9)).sum() < 0.7 * amounts[0]


@pytest.mark.parametrize("size", [32, 64, 300])
def test_vessels_have_about_the_same_volume_at_any_size(size):
    volume = draw_vessels(thorax(2, 128)).sum() / 128**2
    assert draw_vessels(thorax(2, size)).sum() / size**2 == pytest.approx(volume, rel=0.25)
