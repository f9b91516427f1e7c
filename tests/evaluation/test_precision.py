"""Average precision, curves and macro means, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn import metrics

from tests.evaluation.cases import NAN, known, random_case
from xrdatasets.evaluation import auc, average_precision, macro_mean, precision_recall_curve, roc_curve


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_scikit_learn_s_on_the_entries_that_are_known(seed, levels):
    codes, scores = random_case(seed, (400, 6), levels=levels)
    want = [metrics.average_precision_score(*pair) for pair in known(codes, scores)]
    np.testing.assert_allclose(average_precision(codes, scores), want, rtol=0, atol=1e-12)


def test_one_column_is_a_float_and_the_same():
    codes, scores = random_case(0, (200, 3))
    values = average_precision(codes, scores)
    assert (values.shape, values.dtype) == ((3,), np.float64)
    assert [average_precision(codes[:, column], scores[:, column]) for column in range(3)] == values.tolist()
    assert type(average_precision(codes[:, 0], scores[:, 0])) is float


def test_known_answers():
    assert average_precision([1, 0, 1, 0], [4, 3, 2, 1]) == (1 + 2 / 3) / 2
    assert average_precision([1, 0, 1, 0], [1, 1, 1, 1]) == 0.5  # ties: the share of positives
    assert average_precision([1, 0, 0, 0], [1, 2, 3, 4]) == 0.25


@pytest.mark.parametrize("codes", [[1, 1, 1], [0, 0, 0], [1, -1, NAN], [0, -1, NAN], [-1] * 3, [NAN] * 3])
def test_one_class_is_no_number_and_no_warning(codes):
    assert np.isnan(average_precision(codes, [0.1, 0.5, 0.9]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
def test_nothing_at_all_is_no_number(shape):
    value = np.asarray(average_precision(np.zeros(shape), np.zeros(shape)))
    assert value.shape == shape[1:]
    assert np.isnan(value).all()


@pytest.mark.parametrize("levels", [None, 4])
def test_curves_are_scikit_learn_s(levels):
    codes, scores = random_case(1, (300, 3), levels=levels)
    rocs, others = roc_curve(codes, scores), precision_recall_curve(codes, scores)
    for pair, roc, other in zip(known(codes, scores), rocs, others, strict=True):
        false_alarms, sensitivity, thresholds = metrics.roc_curve(*pair, drop_intermediate=False)
        np.testing.assert_allclose(roc[:2], (false_alarms, sensitivity), rtol=0, atol=1e-15)
        np.testing.assert_array_equal(roc.thresholds, thresholds)
        precision, recall, thresholds = metrics.precision_recall_curve(*pair)
        np.testing.assert_allclose(other[:2], (precision[::-1], recall[::-1]), rtol=0, atol=1e-15)
        np.testing.assert_array_equal(other.thresholds[1:], thresholds[::-1])
        assert (roc.positive, roc.negative) == ((pair[0] == 1).sum(), (pair[0] == 0).sum())
        assert roc[3:] == other[3:]


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 0, -1, NAN]), st.sampled_from([-np.inf, 0, 0.5, 1, NAN])), max_size=25
    )
)
def test_the_area_below_the_curve_is_the_auc(cells):
    codes, scores = np.array(cells, dtype=float).reshape(-1, 2).T
    curve = roc_curve(codes, scores)
    if curve.positive and curve.negative:
        np.testing.assert_allclose(
            np.trapezoid(curve.sensitivity, curve.false_alarms), auc(codes, scores), atol=1e-14
        )
        assert (curve.false_alarms[-1], curve.sensitivity[-1]) == (1, 1)
    else:
        assert np.isnan(curve.false_alarms).all() or np.isnan(curve.sensitivity).all()


def test_a_curve_of_one_class_says_what_it_can():
    curve = roc_curve([1, 1, -1], [0.2, 0.8, 0.5])
    assert np.isnan(curve.false_alarms).all()
    assert curve.sensitivity.tolist() == [0, 0.5, 1]
    assert (curve.positive, curve.negative) == (2, 0)
    other = precision_recall_curve([0, 0, NAN], [0.2, 0.8, 0.5])
    assert other.precision.tolist() == [1, 0, 0]
    assert np.isnan(other.recall).all()


def test_macro_means_are_over_the_same_findings():
    means, findings = macro_mean([[0.8, 0.6, NAN, 0.5], [0.7, 0.9, 0.5, NAN]])
    np.testing.assert_allclose(means, [0.7, 0.8], rtol=1e-15)
    assert findings.tolist() == [True, True, False, False]
    assert macro_mean([0.5, NAN]).means == 0.5
    assert np.isnan(macro_mean([[0.5, NAN], [NAN, 0.5]]).means).tolist() == [True, True]
    with pytest.raises(ValueError, match=r"values: expected the shape \(L,\) or \(M, L\), got \(1, 1, 1\)"):
        macro_mean([[[1.0]]])


def test_targets_of_a_policy_are_refused():
    for function in (average_precision, roc_curve, precision_recall_curve):
        with pytest.raises(ValueError, match=r"codes: expected 1, 0, -1 or NaN, got 0\.7"):
            function([1, 0.7], [0.1, 0.2])
