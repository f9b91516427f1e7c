"""Readers on a ROC curve, and answers by the mean over findings."""

import numpy as np
import pytest
from sklearn.metrics import recall_score

from tests.evaluation.cases import NAN
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.evaluation import MAJKOWSKA, RocCurve, below_curve, mean_over, reader_points, roc_curve

MAJKOWSKA_SCORES = {
    "Edema": 0.10,
    "Consolidation": 0.20,
    "Mass": 0.30,
    "Nodule": 0.40,
    "Pneumonia": 0.05,
    "Atelectasis": 0.25,
    "Infiltration": 0.45,
}


def curve_of(false_alarms, sensitivity):
    thresholds = np.linspace(1, 0, len(false_alarms))
    return RocCurve(np.array(false_alarms), np.array(sensitivity), thresholds, positive=10, negative=10)


def test_p13_a_reader_below_the_straight_lines_of_the_curve():
    curve = curve_of([0, 0.1, 0.4, 1], [0, 0.6, 0.9, 1])
    # the curve is 0.75 high at 0.25, and 0.3 at 0.05
    below = below_curve(curve, [0.25, 0.25, 0.25, 0.05], [0.70, 0.7499, 0.7501, 0.40])
    assert below.tolist() == [True, True, False, False]


def test_p13_on_the_curve_is_not_below_it():
    curve = roc_curve([0, 0, 1, 0, 1, 1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.9, 0.9])
    tops = np.append(np.diff(curve.false_alarms) > 0, True)
    assert not below_curve(curve, curve.false_alarms[tops], curve.sensitivity[tops]).any()
    between = (
        (curve.false_alarms[1:] + curve.false_alarms[:-1]) / 2,
        (curve.sensitivity[1:] + curve.sensitivity[:-1]) / 2,
    )
    slanted = np.diff(curve.false_alarms) > 0
    assert not below_curve(curve, *(part[slanted] for part in between)).any()


def test_p13_where_the_curve_rises_straight_up_its_height_is_the_top():
    curve = curve_of([0, 0, 0.5, 0.5, 1], [0, 0.6, 0.6, 0.9, 1])
    assert below_curve(curve, [0, 0, 0.5, 0.5], [0.5, 0.6, 0.7, 0.95]).tolist() == [True, False, True, False]


def test_p13_what_has_no_place_is_not_below():
    curve = curve_of([0, 0.5, 1], [0, 0.9, 1])
    assert below_curve(curve, [NAN, 0.5], [0.1, NAN]).tolist() == [False, False]
    one_class = roc_curve([1, 1], [0.2, 0.8])
    assert below_curve(one_class, [0.5], [0.1]).tolist() == [False]
    with pytest.raises(
        ValueError, match=r"sensitivity: expected the shape of false_alarms, \(2,\), got \(1,\)"
    ):
        below_curve(curve, [0.1, 0.2], [0.3])


def test_readers_points_are_scikit_learn_s_over_what_each_called():
    generator = np.random.default_rng(0)
    codes = generator.choice([1.0, 0.0, -1.0, NAN], (80, 2))
    calls = generator.choice([1.0, 0.0, NAN], (3, 80, 2), p=[0.4, 0.5, 0.1])
    points = reader_points(codes, calls)
    assert points.false_alarms.shape == (3, 2)
    for reader in range(3):
        for finding in range(2):
            call = calls[reader, :, finding]
            used = (codes[:, finding] >= 0) & ~np.isnan(call)
            truth, call = codes[used, finding], call[used]
            place = reader, finding
            assert points.sensitivity[place] == pytest.approx(recall_score(truth, call), abs=1e-12)
            assert points.false_alarms[place] == pytest.approx(
                1 - recall_score(truth, call, pos_label=0), abs=1e-12
            )
            assert (points.positive[place], points.negative[place]) == (
                (truth == 1).sum(),
                (truth == 0).sum(),
            )


def test_a_reader_who_copies_the_model_stands_on_its_curve():
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 2, 70)
    scores = np.round(generator.random(70) + 0.3 * codes, 1)
    curve = roc_curve(codes, scores)
    calls = np.array([scores >= threshold for threshold in curve.thresholds])
    points = reader_points(codes, calls)
    # to the last bit, as a step of the curve has no width
    np.testing.assert_array_equal(points.false_alarms, curve.false_alarms)
    np.testing.assert_array_equal(points.sensitivity, curve.sensitivity)
    # where the curve rises straight up, only its top is not below
    tops = np.append(np.diff(curve.false_alarms) > 0, True)
    below = below_curve(curve, points.false_alarms, points.sensitivity)
    np.testing.assert_array_equal(below, ~tops)


def test_readers_of_one_class_nobody_and_wrong_calls():
    points = reader_points([1, 1], [[1, 0]])
    assert (points.sensitivity.tolist(), np.isnan(points.false_alarms).tolist()) == ([0.5], [True])
    assert reader_points([1, 0], np.empty((0, 2))).false_alarms.shape == (0,)
    assert reader_points(np.full((4, 3), NAN), np.ones((2, 4, 3))).sensitivity.shape == (2, 3)
    with pytest.raises(ValueError, match=r"calls: expected 1, 0 or NaN, got 0\.5"):
        reader_points([1, 0], [[0.5, 1]])
    with pytest.raises(ValueError, match=r"calls: expected the shape \(R, N\) or \(R, N, L\), got \(2,\)"):
        reader_points([1, 0], [1, 0])
    with pytest.raises(ValueError, match=r"calls: expected the shape of the codes, \(2,\), got \(3,\)"):
        reader_points([1, 0], [[1, 0, 1]])


def test_l9_majkowska_s_findings_are_means_of_ours():
    names, scores = list(MAJKOWSKA_SCORES), list(MAJKOWSKA_SCORES.values())
    found = mean_over([scores], names)
    assert list(MAJKOWSKA) == ["Airspace opacity", "Nodule or mass"]
    np.testing.assert_allclose(found, [[0.25, 0.35]], rtol=0, atol=1e-15)
    turned = mean_over([scores[::-1]], names[::-1])
    np.testing.assert_allclose(turned, found, rtol=0, atol=1e-15)


def test_l9_a_mean_over_fewer_findings_is_no_answer():
    names = list(MAJKOWSKA_SCORES)
    scores = np.array([list(MAJKOWSKA_SCORES.values())])
    scores[0, names.index("Edema")] = NAN
    np.testing.assert_allclose(mean_over(scores, names), [[NAN, 0.35]], rtol=0, atol=1e-15)
    with pytest.raises(LabelNotFoundError, match=r"Airspace opacity: .* got none for Infiltration"):
        mean_over(scores[:, :-1], names[:-1])


def test_l9_other_groups_and_wrong_arguments():
    found = mean_over([[0.2, 0.4], [0.6, 0.6]], ["a", "b"], groups={"both": ["a", "b"], "one": ["b"]})
    np.testing.assert_allclose(found, [[0.3, 0.4], [0.6, 0.6]], rtol=0, atol=1e-15)
    assert mean_over(np.empty((0, 1)), ["a"], groups={"x": ["a"]}).shape == (0, 1)
    with pytest.raises(
        ValueError, match=r"probabilities: expected the shape \(N, 1\), a column for each name"
    ):
        mean_over([[0.2, 0.4]], ["a"])
    with pytest.raises(ValueError, match="groups: expected at least one finding for none, got none"):
        mean_over([[0.2]], ["a"], groups={"none": []})
