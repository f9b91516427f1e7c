"""Operating points: scikit-learn's measures, and the traps of Youden's."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn import metrics

from tests.evaluation.cases import NAN, known, random_case
from xrdatasets.evaluation import calls_at, operating_point_map, performance_at, youden_point

WORKED = [0, 0, 1, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.9]


def test_c4_the_operating_point_is_a_score_and_the_first_maximum_from_the_top():
    found = youden_point(*WORKED)  # 0.3 reaches the same index
    assert (found.threshold, found.informedness) == (0.5, 0.5)
    assert (found.sensitivity, found.specificity) == (0.75, 0.75)
    assert (found.positive, found.negative) == (4, 4)


def test_c4_the_score_that_defines_the_point_is_called():
    codes, scores = (np.array(part) for part in WORKED)
    assert performance_at(codes, scores, 0.5).sensitivity == 0.75
    assert (scores[codes == 1] > 0.5).mean() == 0.5  # what a strict comparison would give


def test_c4_a_wrong_ranking_gives_the_smallest_score_and_never_infinity():
    codes, scores = [1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]
    thresholds = metrics.roc_curve(codes, scores)[2]
    assert np.isinf(thresholds[0])
    found = youden_point(codes, scores)
    assert (found.threshold, found.informedness, found.sensitivity) == (0.1, 0, 1)


def test_c4_equal_indices_are_equal_in_whole_numbers():
    # 2/3 - 1/3 and 1 - 2/3 differ in the last bit of float64
    codes, scores = [0, 1, 1, 0, 1, 0], [0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    gains = [2 / 3 - 1 / 3, 1 - 2 / 3]
    assert gains[0] != gains[1]
    assert youden_point(codes, scores).threshold == 0.5


@pytest.mark.parametrize("levels", [None, 10])
def test_the_index_is_the_highest_on_scikit_learn_s_curve(levels):
    codes, scores = random_case(0, (300, 5), levels=levels)
    found = youden_point(codes, scores)
    best = [np.max(np.subtract(*metrics.roc_curve(*pair)[1::-1])) for pair in known(codes, scores)]
    np.testing.assert_allclose(found.informedness, best, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found.sensitivity + found.specificity - 1, found.informedness, rtol=0, atol=1e-12
    )
    at = performance_at(codes, scores, found.threshold)
    np.testing.assert_allclose(at.sensitivity, found.sensitivity, rtol=0, atol=1e-15)
    np.testing.assert_allclose(at.specificity, found.specificity, rtol=0, atol=1e-15)


def test_measures_are_scikit_learn_s():
    codes, scores = random_case(1, (300, 4), levels=10)
    points = np.array([0.2, 0.5, 0.6, 0.9])
    found = performance_at(codes, scores, points)
    for column, (truth, score) in enumerate(known(codes, scores)):
        calls = score >= points[column]
        want = (
            metrics.recall_score(truth, calls),
            metrics.recall_score(truth, calls, pos_label=0),
            metrics.precision_score(truth, calls),
            metrics.f1_score(truth, calls),
            metrics.balanced_accuracy_score(truth, calls),
            (truth == 1).sum(),
            (truth == 0).sum(),
        )
        np.testing.assert_allclose([part[column] for part in found], want, rtol=0, atol=1e-12)


def test_what_is_undefined_is_no_number():
    only = performance_at([1, 1, -1], [0.9, 0.1, 0.5], 0.5)
    assert (only.sensitivity, only.precision, only.f1) == (0.5, 1, 2 / 3)
    assert np.isnan([only.specificity, only.balanced_accuracy]).all()
    only = performance_at([0, 0, NAN], [0.9, 0.1, 0.5], 0.5)
    assert (only.specificity, only.precision) == (0.5, 0)
    assert np.isnan([only.sensitivity, only.f1]).all()
    assert np.isnan(performance_at([1, 0], [0.1, 0.1], 0.5).precision)
    without = performance_at([1, 0], [0.1, 0.9], NAN)
    assert np.isnan(without[:5]).all()
    assert without[5:] == (1, 1)


@pytest.mark.parametrize("codes", [[1, 1], [0, 0], [-1, 0], [NAN, NAN], []])
def test_one_class_has_no_operating_point(codes):
    found = youden_point(codes, [0.1, 0.9][: len(codes)])
    assert np.isnan(found[:4]).all()
    assert found[4:] == (codes.count(1), codes.count(0))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_nothing_at_all_is_no_number(shape):
    codes = np.full(shape, NAN)
    for found in (youden_point(codes, codes), performance_at(codes, codes, 0.5)):
        assert {np.shape(part) for part in found} == {shape[1:]}
        assert np.isnan(found[0]).all()


def test_calls_keep_what_is_unknown():
    scores = [[0.5, 0.5], [0.4, 0.9], [NAN, 0.1]]
    np.testing.assert_array_equal(calls_at(scores, [0.5, NAN]), [[1, NAN], [0, NAN], [NAN, NAN]])
    with pytest.raises(
        ValueError, match=r"points: expected one, or one for each finding, \(2,\), got .*\(3,"
    ):
        calls_at(scores, [0.5, 0.5, 0.5])


def test_c3_the_map():
    found = operating_point_map([0, 0.1, 0.2, 0.6, 1], 0.2)
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 0.75, 1], rtol=0, atol=1e-15)
    assert operating_point_map([0, 0.1, 0.7, 1], NAN).tolist() == [0.5] * 4
    np.testing.assert_allclose(operating_point_map([0, 0.4, 1], 0), [0.5, 0.7, 1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(operating_point_map([0, 0.4, 1], 1), [0, 0.2, 0.5], rtol=0, atol=1e-15)
    np.testing.assert_allclose(
        operating_point_map([0, 0.3, 0.5, 0.8], 0.5), [0, 0.3, 0.5, 0.8], rtol=0, atol=1e-15
    )


def test_c3_no_answer_stays_none():
    found = operating_point_map([[NAN, 0.2], [0.4, NAN]], [0.4, NAN])
    np.testing.assert_array_equal(found, [[NAN, 0.5], [0.5, NAN]])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.data())
def test_c3_the_map_keeps_the_decision_and_the_order(scores, data):
    point = data.draw(st.floats(0, 1) | st.sampled_from(scores))
    scores = np.sort(scores)
    mapped = operating_point_map(scores, point)
    np.testing.assert_array_equal(mapped >= 0.5, scores >= point)
    assert (np.diff(mapped) >= 0).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


@pytest.mark.parametrize(
    ("scores", "points", "message"),
    [
        ([0.1, 1.2], 0.5, r"probabilities: expected values in \[0, 1\], got 1\.2\. Logits become"),
        ([0.1, 0.2], -1, r"points: expected values in \[0, 1\], got -1"),
        ([0.1, 0.2], [0.1, 0.2], r"points: expected one .* or one for each finding, got \(2,\) for \(2,\)"),
    ],
)
def test_c3_wrong_arguments_are_named(scores, points, message):
    with pytest.raises(ValueError, match=message):
        operating_point_map(scores, points)
