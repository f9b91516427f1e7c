"""Agreement: scikit-learn's kappa, published examples, and calls that are unknown."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import cohen_kappa_score

from tests.evaluation.cases import NAN
from xrdatasets.evaluation import bland_altman, cohen_kappa, fleiss_kappa

CALLS = st.sampled_from([1.0, 0.0, -1.0, NAN])


def two_by_two(*counts):
    """Calls of two models with so many cases of (1, 1), (1, 0), (0, 1), (0, 0)."""
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


def test_c6_kappa():
    found = cohen_kappa(*two_by_two(20, 5, 10, 15))
    assert found.kappa == pytest.approx(0.4, abs=1e-12)
    assert (found.observed, found.chance, found.compared) == (0.7, 0.5, 50)


def test_c6_kappa_is_low_at_high_agreement_where_nearly_all_is_one_class():
    found = cohen_kappa(*two_by_two(95, 2, 2, 1))
    assert found.observed == 0.96
    assert found.kappa == pytest.approx(0.3127147766, abs=5e-11)


def test_c6_both_constant_is_no_number():
    assert np.isnan(cohen_kappa([1, 1, 1], [1, 1, 1]).kappa)
    assert np.isnan(cohen_kappa([0, 0, NAN], [0, 0, 1]).kappa)
    assert cohen_kappa([1, 1], [0, 0]).kappa == 0  # constant, and never the same
    assert cohen_kappa([1, 0], [1, 0]).kappa == 1
    assert cohen_kappa([1, 0], [0, 1]).kappa == -1


def test_c6_kappa_is_scikit_learn_s_where_both_have_a_call():
    generator = np.random.default_rng(0)
    first, second = generator.choice([1.0, 0.0, -1.0, NAN], (2, 300, 5), p=[0.3, 0.5, 0.1, 0.1])
    second = np.where(generator.random(first.shape) < 0.5, first, second)
    found = cohen_kappa(first, second)
    for column, both in enumerate(((first >= 0) & (second >= 0)).T):
        want = cohen_kappa_score(first[both, column], second[both, column])
        assert found.kappa[column] == pytest.approx(want, abs=1e-12)
        assert found.compared[column] == both.sum()


@given(st.lists(st.tuples(CALLS, CALLS), max_size=25))
def test_c6_kappa_knows_no_first_and_no_class_one(cells):
    first, second = np.array(cells, dtype=float).reshape(-1, 2).T
    one = cohen_kappa(first, second)
    np.testing.assert_allclose(cohen_kappa(second, first), one, rtol=0, atol=1e-15)
    turned = (np.where(calls >= 0, 1 - calls, NAN) for calls in (first, second))
    np.testing.assert_allclose(cohen_kappa(*turned), one, rtol=0, atol=1e-15)
    assert np.isnan(one.kappa) or -1 <= one.kappa <= one.observed


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
def test_nothing_at_all_is_no_number(shape):
    empty = np.full(shape, NAN)
    for found in (cohen_kappa(empty, empty).kappa, bland_altman(empty, empty).bias):
        assert np.shape(found) == shape[1:]
        assert np.isnan(found).all()
    assert np.shape(fleiss_kappa(np.stack([empty, empty]))) == shape[1:]


def test_fleiss_kappa_of_two_raters_is_scott_s_pi():
    # 50 cases, 35 alike; pooled, 55 of 100 calls are positive
    first, second = two_by_two(20, 5, 10, 15)
    chance = 0.55**2 + 0.45**2
    assert fleiss_kappa([first, second]) == pytest.approx((0.7 - chance) / (1 - chance), abs=1e-12)


def by_the_table(votes):
    """Fleiss' equations 3 to 7, on how many raters chose each category for each case."""
    cases, raters = len(votes), votes[0].sum()
    share = votes.sum(axis=0) / (cases * raters)
    agreement = [(row * (row - 1)).sum() / (raters * (raters - 1)) for row in votes]
    chance = (share**2).sum()
    return (np.mean(agreement) - chance) / (1 - chance)


def test_fleiss_kappa_of_several_categories_and_findings():
    calls = np.random.default_rng(1).integers(0, 3, (5, 40, 2))
    calls[1:3] = calls[0]
    want = [
        by_the_table(np.stack([(calls[..., finding] == category).sum(axis=0) for category in range(3)], 1))
        for finding in range(2)
    ]
    np.testing.assert_allclose(fleiss_kappa(calls), want, rtol=0, atol=1e-12)


def test_fleiss_kappa_leaves_out_cases_that_a_rater_has_no_call_for():
    calls = np.random.default_rng(2).integers(0, 2, (3, 30)).astype(float)
    more = np.concatenate([calls, [[1, 0], [-1, 0], [1, NAN]]], axis=1)
    assert fleiss_kappa(more) == fleiss_kappa(calls)
    assert np.isnan(fleiss_kappa(np.ones((3, 4))))
    assert fleiss_kappa([[1, 0], [1, 0], [1, 0]]) == 1


def test_c7_bland_altman():
    found = bland_altman([0.1, 0.4, 0.5, 0.8, 0.9], [0.2, 0.3, 0.7, 0.7, 1])
    np.testing.assert_allclose(found.mean, [0.15, 0.35, 0.6, 0.75, 0.95], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.difference, [-0.1, 0.1, -0.2, 0.1, -0.1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(
        found[2:], [-0.04, 0.1341640786, -0.3029615942, 0.2229615942, 5], rtol=0, atol=1e-10
    )


def test_c7_unknown_outputs_are_left_out():
    first, second = np.random.default_rng(3).random((2, 20, 2))
    first[3, 0] = second[5, 1] = NAN
    found = bland_altman(first, second)
    for column in range(2):
        difference = (first - second)[:, column]
        difference = difference[~np.isnan(difference)]
        assert found.compared[column] == 19
        assert found.bias[column] == pytest.approx(difference.mean(), abs=1e-14)
        assert found.deviation[column] == pytest.approx(difference.std(ddof=1), abs=1e-14)
    assert np.isnan(found.mean[3, 0])
    one = bland_altman([0.5, NAN], [0.25, 0.5])
    assert (one.bias, one.compared) == (0.25, 1)
    assert np.isnan([one.deviation, one.low]).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"second: expected calls, 1, 0, -1 or NaN, got 0\.7\. `calls_at`"):
        cohen_kappa([1, 0], [0.7, 0.2])
    with pytest.raises(ValueError, match=r"calls: expected the shape \(R, N\) .* with 2 raters or more"):
        fleiss_kappa([[1, 0]])
    with pytest.raises(ValueError, match=r"calls: expected whole numbers from 0 on, -1 or NaN, got 0\.5"):
        fleiss_kappa([[1, 0], [0.5, 1]])
    with pytest.raises(ValueError, match=r"second: expected the shape of the first, \(2,\), got \(1,\)"):
        bland_altman([1, 0], [0.5])
    with pytest.raises(ValueError, match=r"first: expected calls, 1, 0, -1 or NaN, got 2\. `calls_at`"):
        cohen_kappa([1, 2], [1, 0])
    with pytest.raises(ValueError, match=r"first: expected the shape \(N,\) or \(N, L\), got \(\)"):
        cohen_kappa(1, 1)
