"""AUC: the outside reference, and the corners where one is undefined."""

import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import roc_auc_score

from xrdatasets.evaluation import auc, auc_counts

NAN = np.nan


def random_case(seed, shape, *, levels=None):
    """Codes of all four kinds and scores, with ties if there are few levels."""
    generator = np.random.default_rng(seed)
    codes = generator.choice([1.0, 0.0, -1.0, NAN], size=shape, p=[0.2, 0.5, 0.1, 0.2])
    scores = generator.normal(size=shape) + np.nan_to_num(codes)
    return codes, scores if levels is None else np.round(scores * levels) / levels


@pytest.mark.parametrize("levels", [None, 2, 10])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learn_s_on_the_entries_that_are_known(seed, levels):
    codes, scores = random_case(seed, (500, 7), levels=levels)
    want = [
        roc_auc_score(codes[used, column], scores[used, column]) for column, used in enumerate((codes >= 0).T)
    ]
    np.testing.assert_allclose(auc(codes, scores), want, rtol=0, atol=1e-12)


def test_one_column_is_a_float_and_the_same():
    codes, scores = random_case(0, (200, 3))
    values = auc(codes, scores)
    assert (values.shape, values.dtype) == ((3,), np.float64)
    assert [auc(codes[:, column], scores[:, column]) for column in range(3)] == values.tolist()
    assert type(auc(codes[:, 0], scores[:, 0])) is float


def test_known_answers():
    codes, scores = [0, 0, 1, 0, 1, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.9]
    assert auc(codes, scores) == 12.5 / 16  # a tie between the classes counts one half
    assert auc([0, 1], [0, 1]) == 1
    assert auc([0, 1], [1, 0]) == 0
    assert auc([0, 1, 1], [0.5, 0.5, 0.5]) == 0.5
    assert auc([0, NAN, 1, 0], [0.1, 0.9, 0.4, 0.4]) == 0.75


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 0, -1, NAN]), st.sampled_from([-np.inf, -2, 0, 0.5, 3, np.inf, NAN])),
        max_size=30,
    )
)
def test_it_is_the_share_of_pairs_in_order(cells):
    codes, scores = np.array(cells, dtype=float).reshape(-1, 2).T
    positive, negative = (scores[(codes == code) & ~np.isnan(scores)] for code in (1, 0))
    above = positive[:, np.newaxis] > negative
    tied = positive[:, np.newaxis] == negative
    pairs = above.size
    want = (above.sum() + tied.sum() / 2) / pairs if pairs else NAN
    np.testing.assert_allclose(auc(codes, scores), want, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "codes", [[1, 1, 1], [0, 0, 0], [1, -1, NAN], [0, -1, NAN], [-1, -1, -1], [NAN, NAN, NAN]]
)
def test_one_class_is_no_number_and_no_warning(codes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(auc(codes, [0.1, 0.5, 0.9]))
        assert np.isnan(auc(np.array([codes]).T, np.array([[0.1, 0.5, 0.9]]).T)).tolist() == [True]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0)])
def test_nothing_at_all_is_no_number(shape):
    value = np.asarray(auc(np.zeros(shape), np.zeros(shape)))
    assert value.shape == shape[1:]
    assert np.isnan(value).all()


def test_infinite_scores_are_the_highest_and_the_lowest():
    assert auc([1, 0, 1, 0], [np.inf, 5, 0, -np.inf]) == 0.75
    assert auc([1, 0], [np.inf, np.inf]) == 0.5


def test_entries_without_a_score_are_left_out_and_counted():
    codes = np.array([1, 0, 1, 0, -1, NAN, NAN, 1])
    scores = np.array([0.9, 0.1, NAN, NAN, NAN, NAN, 0.3, 0.05])
    assert auc(codes, scores) == auc([1, 0, 1], [0.9, 0.1, 0.05])
    assert [int(count) for count in auc_counts(codes, scores)] == [2, 1, 1, 2, 2]
    assert np.isnan(auc(codes, np.full(8, NAN)))


def test_every_entry_is_counted_once():
    codes, scores = random_case(3, (100, 4))
    scores[::7] = NAN
    counts = auc_counts(codes, scores)
    assert {count.shape for count in counts} == {(4,)}
    assert {count.dtype for count in counts} == {np.dtype(np.int64)}
    assert np.sum(counts, axis=0).tolist() == [100] * 4
    assert counts.positive.tolist() == ((codes == 1) & ~np.isnan(scores)).sum(0).tolist()
    assert counts.uncertain.tolist() == (codes == -1).sum(0).tolist()


def test_the_order_is_all_that_counts():
    codes, scores = random_case(1, (300, 2))
    np.testing.assert_array_equal(auc(codes, scores), auc(codes, np.exp(scores)))
    np.testing.assert_allclose(auc(codes, -scores), 1 - auc(codes, scores), rtol=0, atol=1e-15)


def test_many_images_lose_no_digit():
    # 300,000 scores with many ties, against counts of pairs in whole numbers
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2, 300_000)
    scores = generator.integers(0, 50, 300_000)
    positive, negative = (np.bincount(scores[codes == code], minlength=50) for code in (1, 0))
    below = np.cumsum(negative) - negative
    twice = int((positive * (2 * below + negative)).sum())
    assert auc(codes, scores) == twice / 2 / (int(positive.sum()) * int(negative.sum()))


def test_bool_codes_whole_scores_and_read_only_arrays_are_fine():
    codes, scores = np.array([True, False, True]), np.array([3, 1, 2], np.float16)
    codes.flags.writeable = scores.flags.writeable = False
    assert auc(codes, scores) == 1.0


@pytest.mark.parametrize(
    ("codes", "scores", "message"),
    [
        ([1, 0], [0.1], r"scores: expected the shape of the codes, \(2,\), got \(1,\)"),
        ([[1, 0]], [0.1, 0.2], r"scores: expected the shape of the codes, \(1, 2\), got \(2,\)"),
        (1, 0.5, r"codes: expected the shape \(N,\) or \(N, L\), got \(\)"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), r"codes: expected the shape .*, got \(2, 2, 2\)"),
        ([1, 0.7], [0.1, 0.2], r"codes: expected 1, 0, -1 or NaN, got 0.7\. A policy's targets"),
        ([1, np.inf], [0.1, 0.2], "codes: expected 1, 0, -1 or NaN, got inf"),
        (["yes", "no"], [0.1, 0.2], "codes: expected numbers, got <U3"),
        ([1, 0], [0.1, 1j], "scores: expected numbers, got complex128"),
        ([1, 0], [0.1, None], "scores: expected numbers, got object"),
    ],
)
def test_wrong_arguments_are_named(codes, scores, message):
    for function in (auc, auc_counts):
        with pytest.raises(ValueError, match=message):
            function(codes, scores)
