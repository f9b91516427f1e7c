"""From attenuation to grey values: exposure, scatter, noise, letters and the collimator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xrdatasets.phantom.anatomy import Case
from xrdatasets.phantom.detector import HARDNESS, LETTERS, develop
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.hospitals import HOSPITALS

hospitals = pytest.mark.parametrize("hospital", HOSPITALS)
BARE = {"noise": 0.0, "exposure": 0.0, "scatter": 0.0, "blur": 0.0, "collimation": 0.0}
NO_LETTERS = {"letter_size": 1e-9, "tag": False, "words": ""}


def a_case(number=0, *, supine=False):
    return Case(number, 7, female=False, age=50.0, supine=supine, grades={})


def detector(hospital, **changes):
    return dataclasses.replace(HOSPITALS[hospital].detector, **changes)


def flat(attenuation, size=64):
    return np.full((size, size), attenuation, dtype=np.float32)


def shot(attenuation, one, number=0, *, supine=False):
    """The image, as numbers."""
    grid = Grid.of(attenuation.shape[0])
    before = attenuation.copy()
    grey = develop(attenuation, a_case(number, supine=supine), one, grid)
    np.testing.assert_array_equal(attenuation, before)  # it is not changed in place
    assert (grey.dtype, grey.shape) == (np.uint8, attenuation.shape)
    return grey.astype(int)


def middle(grey):
    """Without the borders, where letters and the collimator are."""
    quarter = grey.shape[0] // 4
    return grey[quarter:-quarter, quarter:-quarter]


@hospitals
def test_denser_is_brighter_from_black_to_white(hospital):
    one = detector(hospital, **BARE, **NO_LETTERS)
    ramp = flat(1) * np.linspace(0, 2.5, 64, dtype=np.float32)
    grey = shot(ramp, one)
    line = grey[32]
    assert (np.diff(line) >= 0).all()
    assert (grey == line).all()
    assert (line[0], line[-1]) == (0, 255)
    assert len(np.unique(line)) > 30
    # half is what it says, but for the shoulder
    half = line[np.abs(ramp[0] - one.half).argmin()]
    assert half == pytest.approx(0.55 * 255, abs=12)


def test_more_contrast_is_steeper_and_more_half_is_darker():
    tissue = flat(0.6) + np.linspace(-0.2, 0.2, 64, dtype=np.float32)
    ranges = [np.ptp(shot(tissue, detector("A", **BARE, contrast=contrast))[32]) for contrast in (1.5, 2.5)]
    assert ranges[0] * 1.3 < ranges[1]
    means = [middle(shot(flat(0.6), detector("A", **BARE, half=half))).mean() for half in (0.4, 0.6, 0.8)]
    assert (np.diff(means) < -20).all()


@hospitals
def test_the_same_shot_is_the_same_image(hospital):
    one, body = detector(hospital), flat(0.7)
    np.testing.assert_array_equal(shot(body, one, 3), shot(body, one, 3))
    assert not np.array_equal(shot(body, one, 3), shot(body, one, 4))


@hospitals
def test_exposure_varies_from_shot_to_shot(hospital):
    one = detector(hospital, noise=0.0)
    means = [middle(shot(flat(0.7), one, number)).mean() for number in range(40)]
    assert 2 < np.std(means) < 40
    still = dataclasses.replace(one, exposure=0.0)
    assert np.std([middle(shot(flat(0.7), still, number)).mean() for number in range(5)]) == 0


def test_scatter_takes_contrast_and_most_of_it_behind_dense_parts():
    clear = detector("A", **BARE, **NO_LETTERS)
    veiled = dataclasses.replace(clear, scatter=0.4)
    body = flat(1.0, 112)
    body[:, 40:72] = 0.4  # a lung in a thick body
    body[50:62, 20:30] += 0.1  # the same detail in both
    body[50:62, 50:60] += 0.1
    steps = np.linspace(0, 2, 112, dtype=np.float32)
    seen = shot(flat(1, 112) * steps, clear)[56]

    def details(one):
        """How much denser each detail looks than what is beside it."""
        looks = np.interp(shot(body, one)[56], seen[:80], steps[:80])
        return looks[25] - looks[14], looks[55] - looks[45]

    assert details(clear) == pytest.approx((0.1, 0.1), abs=0.02)
    dense, thin = details(veiled)
    assert dense < thin < 0.1
    assert dense < 0.07


def test_blur_is_as_wide_as_it_says():
    edge = flat(0.75, 256)
    edge[:, 128:] = 0.85
    sharp, soft = (
        shot(edge, detector("A", **{**BARE, "blur": blur, "contrast": 1.0}))[128] for blur in (0.0, 0.03)
    )
    assert np.count_nonzero(np.diff(sharp)) == 1
    # of a Gaussian's edge, 16 to 84 % lie within one deviation to either side
    t = (soft - soft[0]) / (soft[-1] - soft[0])
    wide = np.interp(0.84, t[100:156], np.arange(56)) - np.interp(0.16, t[100:156], np.arange(56))
    assert wide * (2 / 256) == pytest.approx(2 * 0.03, rel=0.2)


def test_photons_are_counted():
    """The deviation in the attenuation is as 1 over the root of the light, as counts have it."""
    one = detector("A", **{**BARE, "noise": 0.04}, **NO_LETTERS)
    clean = dataclasses.replace(one, noise=0.0)

    def deviation(attenuation, size=128):
        grey = middle(shot(flat(attenuation, size), one, 5))
        up, down = (middle(shot(flat(attenuation + step), clean))[0, 0] for step in (0.05, -0.05))
        return grey.std() / ((up - down) / 0.1)

    found = [deviation(attenuation) for attenuation in (0.3, 0.5, 0.7, 0.9)]
    ratios = np.array(found[1:]) / found[:-1]
    assert ratios == pytest.approx(np.exp(HARDNESS * 0.2 / 2), rel=0.15)
    # a pixel of twice the side counts four times as many photons
    assert deviation(0.5, 64) == pytest.approx(found[1] / 2, rel=0.15)


@pytest.mark.parametrize("size", [64, 112, 224, 448])
@hospitals
def test_the_grain_leaves_the_noise_as_strong(hospital, size):
    one = detector(hospital, **{**BARE, "noise": 0.01}, **NO_LETTERS)
    fine = middle(shot(flat(0.6, size), dataclasses.replace(one, grain=0.0)))
    assert middle(shot(flat(0.6, size), one)).std() == pytest.approx(fine.std(), rel=0.25)
    assert np.corrcoef(fine[:, 1:].ravel(), fine[:, :-1].ravel())[0, 1] < 0.1


def test_coarse_grain_joins_neighbours():
    one = detector("B", **{**BARE, "noise": 0.02}, **NO_LETTERS)
    grey = middle(shot(flat(0.6, 224), one))
    assert np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1] > 0.3


def written(hospital, number, size=512, *, supine=False, attenuation=0.5, **changes):
    """Where the letters are: rows, columns, and the image."""
    one = detector(hospital, **BARE, **changes)
    body = flat(attenuation, size)
    grey = shot(body, one, number, supine=supine)
    plain = shot(body, dataclasses.replace(one, **NO_LETTERS), number, supine=supine)
    rows, columns = np.nonzero(np.abs(grey - np.median(plain)) > 2)
    return rows, columns, grey


@pytest.mark.parametrize("hospital", ["A", "C"])
def test_a_letter_stands_white_on_the_patient_s_left(hospital):
    grid, one = Grid.of(1024), HOSPITALS[hospital].detector
    for number in range(4):
        rows, columns, grey = written(hospital, number, 1024)
        x, y = grid.x[0, columns], grid.y[rows, 0]
        assert 0.78 < x.min() < x.max() < 0.97  # the patient's left is on the right
        assert -0.95 < y.min() < y.max() < -0.6
        assert np.ptp(y) == pytest.approx(one.letter_size, abs=2 * grid.pixel)
        assert np.ptp(x) == pytest.approx(one.letter_size * 5 / 7, abs=2 * grid.pixel)
        assert set(grey[rows, columns]) == {255}
        # each dot of the letter is in its place
        down = rows.min() + ((np.arange(7) + 0.5) / 7 * np.ptp(rows)).astype(int)
        across = columns.min() + ((np.arange(5) + 0.5) / 5 * np.ptp(columns)).astype(int)
        dots = np.array([[dot == "1" for dot in row] for row in LETTERS[one.letter]])
        np.testing.assert_array_equal(grey[np.ix_(down, across)] == 255, dots)


def test_b_s_letter_stands_dark_in_a_bright_tag_on_the_right():
    for number in range(8):
        rows, columns, grey = written("B", number)
        grid = Grid.of(512)
        assert -0.97 < grid.x[0, columns.min()] < grid.x[0, columns.max()] < -0.7
        tag = grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert tag.min() < 80
        assert np.median(tag) == pytest.approx(0.92 * 255, abs=2)
        assert tag[[0, -1]].min() > 200  # it has a rim
        assert 0.1 < (tag < 80).mean() < 0.4


def test_words_are_on_c_s_images_of_patients_who_lie_and_nowhere_else():
    for hospital in HOSPITALS:
        counts = [len(written(hospital, 2, supine=supine)[0]) for supine in (False, True)]
        assert (counts[1] > counts[0] + 200) == (hospital == "C")
        assert counts[0] == counts[1] or hospital == "C"
    rows, columns, *_ = written("C", 2, supine=True)
    grid = Grid.of(512)
    assert 0.4 < grid.x[0, columns.min()] < grid.x[0, columns.max()] < 0.97
    assert grid.y[rows.max(), 0] < -0.45


def test_letters_move_from_shot_to_shot():
    corners = {tuple(np.min(written("A", number)[:2], axis=1)) for number in range(10)}
    assert len(corners) > 7


@pytest.mark.parametrize("hospital", ["A", "C"])
def test_an_l_has_a_foot_at_the_usual_size(hospital):
    for number in range(40):
        columns = written(hospital, number, 224)[1]
        assert np.ptp(columns) * (2 / 224) > 0.5 * HOSPITALS[hospital].detector.letter_size


def test_the_collimator_leaves_black_borders_in_b():
    sides = np.zeros(4, dtype=bool)
    for number in range(30):
        one = detector("B", noise=0.0, **NO_LETTERS)
        grey = shot(flat(0.7, 128), one, number)
        black = grey == 0
        assert not middle(black).any()
        edges = np.array([black[:, 0].all(), black[:, -1].all(), black[0].all(), black[-1].all()])
        sides |= edges
        # no more than it may cut, and the tilt
        grid = Grid.of(128)
        rows, columns = np.nonzero(black)
        depth = 1 - np.maximum(np.abs(grid.x[0, columns]), np.abs(grid.y[rows, 0]))
        assert depth.max(initial=0) < 0.07 + 0.06
    assert sides.all()
    for hospital in "AC":
        one = detector(hospital, noise=0.0, **NO_LETTERS)
        share = np.mean([(shot(flat(0.7), one, number) == 0).mean() for number in range(20)])
        assert share == 0 if hospital == "A" else 0 < share < 0.1


@hospitals
@pytest.mark.parametrize("size", [1, 2, 16, 27, 28, 29, 100])
def test_any_size_is_developed(hospital, size):
    for supine in (False, True):
        grey = shot(flat(0.7, size), detector(hospital), supine=supine)
        assert grey.max() <= 255


def test_a_finer_detector_sees_the_same():
    coarse = flat(0.4, 64) + 0.6 * (np.hypot(Grid.of(64).x, Grid.of(64).y) < 0.5)
    fine = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
    for hospital in HOSPITALS:
        one = detector(hospital, noise=0.0, **NO_LETTERS)
        means = shot(fine.astype(np.float32), one).reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert np.abs(means - shot(coarse.astype(np.float32), one)).mean() < 3


def test_letters_are_five_by_seven_and_spell_what_is_written():
    assert {(len(dots), len(dots[0])) for dots in LETTERS.values()} == {(7, 5)}
    assert all(set("".join(dots)) <= {"0", "1"} for dots in LETTERS.values())
    assert len(set(LETTERS.values())) == len(LETTERS)
    for hospital in HOSPITALS.values():
        assert set(hospital.detector.letter + hospital.detector.words) <= set(LETTERS)
