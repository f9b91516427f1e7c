"""DeLong's variance: the sums of the paper, pair by pair, and scipy's Mann-Whitney."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import mannwhitneyu, norm

from tests.evaluation.cases import NAN, known, random_case
from xrdatasets.evaluation import auc, auc_difference, auc_interval

# albumin, total protein, 10 - K-G score, whether surgery helped: the 43 whole rows of the ovarian cancer
# patients that DeLong, DeLong & Clarke-Pearson (Biometrics 44, 1988) compare three tests on
PATIENTS = """
3.0 5.8 0 0  3.2 6.3 5 1  3.9 6.8 7 1  2.8 4.8 4 0  3.2 5.8 7 1  0.9 4.0 5 0  2.5 5.7 2 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 4 1  3.2 5.4 6 1  3.8 6.6 4 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 6 1  3.6 6.7 6 0
2.3 4.4 4 1  4.2 7.6 6 0  4.0 6.6 4 0  3.5 5.8 4 1  3.8 6.8 3 1  3.0 4.7 2 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 4 1  4.1 8.2 4 1  4.3 7.0 5 1  4.3 6.5 6 1  3.2 5.1 5 1  2.6 4.7 4 1  3.3 6.8 4 0  1.7 4.0 3 0
3.7 6.1 5 1  3.3 6.3 3 1  4.2 7.7 4 1  3.5 6.2 5 1  2.9 5.7 1 0  2.1 4.8 3 1  2.8 6.2 2 0  4.0 7.0 3 1
3.3 5.7 4 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def patients():
    """Truth, and albumin, K-G score and total protein side by side."""
    table = np.array(PATIENTS.split(), dtype=float).reshape(-1, 4)
    return table[:, 3], table[:, [0, 2, 1]]


def components(truth, scores):
    """The paper's V10 and V01, from the whole table of pairs."""
    positive, negative = scores[truth == 1][:, np.newaxis], scores[truth == 0]
    wins = (positive > negative) + 0.5 * (positive == negative)
    return wins.mean(axis=1), wins.mean(axis=0)


def covariance(truth, *several):
    """S10 / m + S01 / n over any number of scores."""
    tens, ones = zip(*(components(truth, scores) for scores in several), strict=True)
    return np.cov(tens) / len(tens[0]) + np.cov(ones) / len(ones[0])


@pytest.mark.parametrize("levels", [None, 3, 10])
def test_it_is_the_sum_over_all_pairs(levels):
    codes, first = random_case(0, (200, 4), levels=levels)
    moved = np.random.default_rng(1).random(first.shape) < 0.5
    second = np.where(moved & ~np.isnan(first), 0.5, first)
    single, found = auc_interval(codes, first), auc_difference(codes, first, second)
    np.testing.assert_allclose(single.auc, auc(codes, first), rtol=0, atol=1e-15)
    pairs = zip(known(codes, first), known(codes, second), strict=True)
    for column, ((truth, ours), (_, theirs)) in enumerate(pairs):
        table = covariance(truth, ours, theirs)
        assert single.variance[column] == pytest.approx(table[0, 0], abs=1e-12)
        want = table[0, 0] + table[1, 1] - 2 * table[0, 1]
        assert found.variance[column] == pytest.approx(want, abs=1e-12)


def test_the_paper_s_patients():
    truth, tests = patients()
    found = auc_interval(np.repeat(truth[:, np.newaxis], 3, axis=1), tests)
    assert (found.positive[0], found.negative[0]) == (31, 12)
    for column, scores in enumerate(tests.T):
        statistic = mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic
        assert found.auc[column] == pytest.approx(statistic / (31 * 12), abs=1e-12)
        assert found.variance[column] == pytest.approx(float(covariance(truth, scores)), abs=1e-12)
    table = covariance(truth, *tests.T)
    for other in (0, 2):  # each against the K-G score
        pair = auc_difference(truth, tests[:, other], tests[:, 1])
        variance = table[other, other] + table[1, 1] - 2 * table[other, 1]
        difference = found.auc[other] - found.auc[1]
        assert pair.difference == pytest.approx(difference, abs=1e-12)
        assert pair.variance == pytest.approx(variance, abs=1e-12)
        assert pair.z == pytest.approx(difference / variance**0.5, abs=1e-10)
        assert pair.p == pytest.approx(2 * norm.sf(abs(pair.z)), abs=1e-10)
        ends = difference + norm.ppf([0.025, 0.975]) * variance**0.5
        np.testing.assert_allclose([pair.low, pair.high], ends, rtol=0, atol=1e-10)


def test_a_small_case_by_hand():
    # positives beat 1, 2, 2 of the two negatives; the negatives lose to 3 and 2 of the three positives
    found = auc_interval([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.7, 0.9])
    assert found.auc == pytest.approx(5 / 6, abs=1e-15)
    assert found.variance == pytest.approx((1 / 12) / 3 + (1 / 18) / 2, abs=1e-15)


def test_equal_models_differ_by_exactly_nothing():
    codes, scores = random_case(2, (300, 3), levels=7)
    found = auc_difference(codes, scores, 2 * scores + 5)
    assert found.difference.tolist() == found.variance.tolist() == [0, 0, 0]
    assert found.p.tolist() == [1, 1, 1]
    assert np.isnan(found.z).all()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 0, -1, NAN]), st.sampled_from([0, 1, 2, NAN]), st.sampled_from([0, 1, 2, NAN])
        ),
        max_size=20,
    )
)
def test_the_order_of_the_models_is_a_sign(cells):
    codes, first, second = np.array(cells, dtype=float).reshape(-1, 3).T
    one, other = auc_difference(codes, first, second), auc_difference(codes, second, first)
    np.testing.assert_allclose(one.difference, -other.difference, rtol=0, atol=1e-15)
    np.testing.assert_allclose(one.variance, other.variance, rtol=0, atol=1e-15)
    np.testing.assert_allclose([one.p, one.low], [other.p, -other.high], rtol=0, atol=1e-12)


def test_models_are_compared_over_the_same_entries():
    codes = np.array([1, 1, 1, 0, 0, 0, 1, 0])
    first = np.array([3.0, 2, 5, 1, 2, 0, NAN, 9])
    second = np.array([1.0, 2, 2, 2, 0, 1, 7, NAN])
    found = auc_difference(codes, first, second)
    assert found == auc_difference(codes[:6], first[:6], second[:6])
    assert (found.positive, found.negative) == (3, 3)


@pytest.mark.parametrize("codes", [[1, 1, 1], [0, 0, -1], [NAN] * 3, []])
def test_one_class_is_no_number(codes):
    scores = [0.1, 0.5, 0.9][: len(codes)]
    for found in (auc_interval(codes, scores), auc_difference(codes, scores, scores)):
        assert np.isnan(found[:-2]).all()
        assert found[-2:] == (codes.count(1), codes.count(0))


def test_one_of_a_class_has_an_auc_and_no_variance():
    found = auc_interval([1, 0, 0], [0.5, 0.1, 0.9])
    assert found.auc == 0.5
    assert np.isnan(found[1:4]).all()


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_empty_tables_keep_their_findings(shape):
    codes = np.full(shape, NAN)
    for found in (auc_interval(codes, codes), auc_difference(codes, codes, codes)):
        assert {np.shape(part) for part in found} == {shape[1:]}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"level: expected a number inside \(0, 1\), got 95"):
        auc_interval([1, 0], [0.1, 0.2], level=95)
    with pytest.raises(ValueError, match=r"second: expected the shape of the codes, \(2,\), got \(1,\)"):
        auc_difference([1, 0], [0.1, 0.2], [0.1])
