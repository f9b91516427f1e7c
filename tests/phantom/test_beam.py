"""Whole radiographs: the same each time, at any size, with the grey levels of a chest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xrdatasets.phantom import DEVICES, HOSPITALS, SIGNS, Population, beam, radiograph
from xrdatasets.phantom.anatomy import FAINT, TRACES, Anatomy, Case
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.layers import Layers
from xrdatasets.phantom.signs import DRAWN
from xrdatasets.phantom.thorax import Thorax

hospitals = pytest.mark.parametrize("hospital", HOSPITALS)
ILL = {"Effusion": 0.7, "Mass": 0.6, "Cardiomegaly": 0.5, "Pneumothorax": 0.8, "Support Devices": 0.9}


def a_case(number, *, supine=None, **grades):
    supine = number % 2 == 1 if supine is None else supine
    age = 25.0 + number % 7 * 10
    return Case(500 + number, 77_000 + number, number % 3 == 0, age, supine, grades, tuple(DEVICES))


def thorax(case, size):
    return Thorax(Grid.of(size), Anatomy.of(case), case)


@pytest.fixture
def rays(monkeypatch):
    """Radiographs before the detector: the attenuation of each ray."""
    caught = []

    def catch(attenuation, case, detector, grid):
        caught.append(attenuation)
        return np.zeros((grid.size, grid.size), dtype=np.uint8)

    monkeypatch.setattr(beam, "develop", catch)

    def draw(case, size=64):
        radiograph(case, HOSPITALS["A"].detector, size)
        return caught.pop()

    return draw


@hospitals
def test_the_same_in_any_order_and_with_any_masks(hospital):
    detector = HOSPITALS[hospital].detector
    cases = [a_case(number, **(ILL if number % 3 else {})) for number in range(6)]
    forward = [radiograph(case, detector, 64)[0] for case in cases]
    backward = [radiograph(case, detector, 64, masks=SIGNS)[0] for case in reversed(cases)][::-1]
    np.testing.assert_array_equal(forward, backward)
    assert len({one.tobytes() for one in forward}) == len(cases)


def test_masks_are_of_what_was_wanted_alone():
    wanted = ["Effusion", "Nodule"]
    masks = radiograph(a_case(1, **ILL), HOSPITALS["A"].detector, 64, masks=iter(wanted))[1]
    assert list(masks) == wanted
    assert {name: mask.any() for name, mask in masks.items()} == {
        "Effusion": True,
        "Nodule": False,
    }
    assert all(mask.dtype == bool and mask.shape == (64, 64) for mask in masks.values())
    every = radiograph(a_case(1, **ILL), HOSPITALS["A"].detector, 64, masks=SIGNS)[1]
    np.testing.assert_array_equal(every["Effusion"], masks["Effusion"])


@hospitals
@pytest.mark.parametrize("size", [2, 16, 17, 64, 100])
def test_any_size_is_drawn(hospital, size):
    for number in range(4):
        grades = dict.fromkeys(SIGNS, 0.9) if number % 2 else {}
        pixels, masks = radiograph(a_case(number, **grades), HOSPITALS[hospital].detector, size, masks=SIGNS)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (size, size))
        assert {mask.shape for mask in masks.values()} == {(size, size)}
        if size > 2:
            assert len(np.unique(pixels)) > 30


grades = st.fixed_dictionaries(
    {},
    optional={
        sign: st.floats(FAINT, 1) if sign in TRACES else st.just(-1.0) | st.floats(0.01, 1) for sign in SIGNS
    },
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.floats(18, 110),
    st.booleans(),
    grades,
    st.lists(st.sampled_from(sorted(DEVICES)), min_size=1, max_size=7, unique=True),
    st.sampled_from(sorted(HOSPITALS)),
    st.integers(2, 48),
)
def test_anyone_can_be_drawn(key, patient_key, female, age, supine, grades, devices, hospital, size):
    case = Case(key, patient_key, female, age, supine, grades, tuple(devices))
    pixels, masks = radiograph(case, HOSPITALS[hospital].detector, size, masks=SIGNS)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (size, size))
    assert not any(mask.any() for sign, mask in masks.items() if case.grade(sign) == 0)


@pytest.mark.parametrize(
    ("grades", "devices", "size", "masks", "message"),
    [
        ({"Lung Opacity": 0.5}, ("tube",), 32, [], r"grades: expected some of .*; got 'Lung Opacity'"),
        ({}, ("tube", "pump"), 32, [], r"devices: expected some of .*; got 'pump'"),
        ({}, (), 32, [], r"devices: expected at least one kind, got none"),
        ({}, ("tube",), 32, ["Mass", "COVID-19"], r"masks: expected some of .*; got 'COVID-19'"),
        ({}, ("tube",), 1, [], r"size: expected at least 2 pixels, got 1"),
    ],
)
def test_what_is_never_drawn_is_named(grades, devices, size, masks, message):
    case = Case(1, 2, False, 50.0, False, grades, devices)
    with pytest.raises(ValueError, match=message):
        radiograph(case, HOSPITALS["A"].detector, size, masks)


def test_what_is_there_has_a_place_at_64_pixels():
    for sign in SIGNS:
        for number in range(12):
            grade = (0.1, 0.5, 1.0)[number % 3]
            mask = radiograph(a_case(number, **{sign: grade}), HOSPITALS["B"].detector, 64, masks=[sign])[1]
            assert mask[sign].any(), (sign, number, grade)


@hospitals
def test_lungs_are_dark_and_heart_spine_and_belly_bright(hospital):
    for number in range(12):
        case = a_case(number)
        body = thorax(case, 128)
        grey = radiograph(case, HOSPITALS[hospital].detector, 128)[0].astype(float)
        y, x, a = body.grid.y, body.x, body.anatomy
        box, heart = body.heart()
        thick = np.zeros((128, 128), dtype=bool)
        thick[box] = heart > 0.5
        means = {
            "lungs": grey[body.air > 0.4].mean(),
            "heart": grey[thick].mean(),
            "spine": grey[(np.abs(x) < 0.04) & (y > a.apex + 0.6) & (y < a.dome[0])].mean(),
            "belly": grey[(np.abs(x) < 0.4) & (y > a.dome[1] + 0.25) & (y < 0.95)].mean(),
            # beside the neck and above the shoulders
            "air": grey[(np.abs(y + 0.97) < 0.03) & (np.abs(x) > 0.55) & (np.abs(x) < 0.72)].mean(),
        }
        for part in ("heart", "spine", "belly"):
            assert means[part] > 1.25 * means["lungs"], part
        assert means["air"] < means["lungs"]
        assert 30 < means["lungs"] < 140
        assert means["heart"] > 130


@hospitals
def test_the_range_of_greys_is_used(hospital):
    for number in range(8):
        grey = radiograph(a_case(number), HOSPITALS[hospital].detector, 96)[0]
        low, high = np.percentile(grey, [1, 99])
        assert low < 10
        assert high > 170
        assert len(np.unique(grey)) > 150
        assert (grey == 255).mean() < 0.2


def test_rays_are_float32_and_nowhere_negative(rays):
    for number in range(4):
        for options in ({}, dict.fromkeys(SIGNS, 1.0)):
            found = rays(a_case(number, **options))
            assert (found.dtype, found.shape) == (np.float32, (64, 64))
            assert found.flags.writeable
            assert 0 <= found.min() <= found.max() < 6
            assert np.isfinite(found).all()


def test_metal_is_added_to_the_rays_that_it_meets(rays):
    """Attenuation along a ray is the sum of what lies on it."""
    for number in range(6):
        case = a_case(number, **{"Support Devices": 0.8})
        metal = Layers(thorax(case, 64))
        DRAWN["Support Devices"](metal, 0.8)
        more = rays(case) - rays(a_case(number))
        assert metal.added.max() > 0.05
        np.testing.assert_allclose(more, metal.added, atol=1e-5)


def test_fluid_takes_the_place_of_air(rays):
    for number in range(6):
        case = a_case(number, Effusion=0.9)
        fluid = Layers(thorax(case, 64))
        DRAWN["Effusion"](fluid, 0.9)
        gone = fluid.thorax.air * (1 - fluid.open)
        more = rays(case) - rays(a_case(number))
        inside = gone > 0.1 * gone.max()
        # but for vessels, which no longer show, and what looks like fluid before
        assert np.corrcoef(more[inside], gone[inside])[0, 1] > 0.9
        assert np.median(more[inside] / gone[inside]) == pytest.approx(1, abs=0.15)
        assert np.abs(more[gone == 0]).max() < 1e-5


def test_vessels_show_in_the_lungs_and_not_where_air_has_left_them(rays, monkeypatch):
    for number in range(6):
        case = a_case(number, Pneumothorax=0.9)
        air = Layers(thorax(case, 64), ["Pneumothorax"])
        DRAWN["Pneumothorax"](air, 0.9)
        there = rays(case)
        with monkeypatch.context() as without:
            without.setattr(beam, "draw_vessels", lambda thorax: thorax.grid.empty())
            seen = there - rays(case)
        assert seen.min() > -1e-6
        lung = air.thorax.air > 0.3
        assert seen[air.vessels == 0].max() < 1e-6
        assert seen[lung & (air.vessels == 1)].mean() > 0.002
        assert seen[air.thorax.air == 0].max() < 1e-6


def test_the_same_patient_at_any_size(rays):
    for number in range(6):
        fine, coarse = (rays(a_case(number, **ILL), size) for size in (256, 64))
        means = fine.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.985
        assert np.abs(means - coarse).mean() < 0.03


def test_chosen_images_are_those_of_the_population():
    people = Population.of("C", 40, seed=2)
    some = people.take(np.array([31, 4, 4]))
    assert [some.case(row) for row in range(3)] == [people.case(row) for row in (31, 4, 4)]
    np.testing.assert_array_equal(some.truth, people.truth[:, [31, 4, 4]])
    assert (some.hospital, len(some)) == ("C", 3)


def test_images_of_one_patient_are_alike_and_not_the_same():
    def shot(key, patient):
        case = Case(key, patient, False, 50.0, False, {})
        return radiograph(case, HOSPITALS["A"].detector, 64)[0].astype(float).ravel()

    same, other = [], []
    for patient in range(12):
        first = shot(1000 + patient, patient)
        same.append(np.corrcoef(first, shot(2000 + patient, patient))[0, 1])
        other.append(np.corrcoef(first, shot(1000 + patient + 1, patient + 1))[0, 1])
    assert max(same) < 1
    assert np.mean(same) > np.mean(other)
    assert np.mean(other) > 0.7  # all are chests


def test_hospitals_show_the_same_patient_in_their_own_way():
    images = {
        hospital: radiograph(a_case(2), each.detector, 96)[0].astype(float)
        for hospital, each in HOSPITALS.items()
    }
    for one, two in (("A", "B"), ("A", "C"), ("B", "C")):
        middle = np.s_[16:-16, 16:-16]
        assert np.corrcoef(images[one][middle].ravel(), images[two][middle].ravel())[0, 1] > 0.9
        assert np.abs(images[one] - images[two]).mean() > 3
