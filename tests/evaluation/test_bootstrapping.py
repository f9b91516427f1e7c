"""Bootstrap: the same as drawing patients by hand and asking scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.evaluation.cases import NAN, known, random_case
from xrdatasets.evaluation import auc, average_precision, bootstrap, bootstrapping

REFERENCE = {"auc": roc_auc_score, "ap": average_precision_score}


def by_hand(codes, scores, patients, *, replicates, seed, metric):
    """Draw patients, gather all rows of each as often as drawn, and ask scikit-learn."""
    names = list(dict.fromkeys(patients.tolist()))
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(replicates):
        drawn = generator.integers(len(names), size=len(names))
        rows = np.concatenate([np.flatnonzero(patients == names[number]) for number in drawn])
        samples.append(
            [
                REFERENCE[metric](*pair) if len(np.unique(pair[0])) == 2 else NAN
                for pair in known(codes[rows], scores[rows])
            ]
        )
    return np.array(samples)


@pytest.mark.parametrize("metric", ["auc", "ap"])
@pytest.mark.parametrize("levels", [None, 5])
def test_it_is_resampling_by_hand_with_scikit_learn(metric, levels):
    codes, scores = random_case(0, (150, 3), levels=levels)
    patients = np.random.default_rng(1).choice([f"patient {number}" for number in range(40)], 150)
    options = {"replicates": 30, "seed": 5, "metric": metric}
    found = bootstrap(codes, scores, groups=patients, **options)
    want = by_hand(codes, scores, patients, **options)
    np.testing.assert_allclose(found.samples, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.low, np.percentile(want, 2.5, axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.high, np.percentile(want, 97.5, axis=0), rtol=0, atol=1e-12)
    macro = np.percentile(want.mean(axis=1), [2.5, 97.5])
    np.testing.assert_allclose([found.macro_low, found.macro_high], macro, rtol=0, atol=1e-12)
    value = (auc if metric == "auc" else average_precision)(codes, scores)
    np.testing.assert_array_equal(found.value, value)
    assert found.macro == pytest.approx(value.mean(), abs=1e-15)


def test_without_groups_images_are_drawn():
    codes, scores = random_case(2, (60, 2))
    found = bootstrap(codes, scores, replicates=10, seed=3)
    want = by_hand(codes, scores, np.arange(60), replicates=10, seed=3, metric="auc")
    np.testing.assert_allclose(found.samples, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", ["auc", "ap"])
def test_a_rare_finding_s_replicates_without_it_are_counted_and_left_out(metric):
    codes, scores = random_case(4, (12, 2))
    codes[:, 0] = [1, *[0] * 11]
    scores[:, 0] = np.linspace(1, 0, 12)
    options = {"replicates": 40, "seed": 0, "metric": metric}
    found = bootstrap(codes, scores, **options)
    want = by_hand(codes, scores, np.arange(12), **options)
    np.testing.assert_allclose(found.samples, want, rtol=0, atol=1e-12)
    assert found.undefined.tolist() == np.isnan(want).sum(axis=0).tolist()
    assert 0 < found.undefined[0] < 40
    assert (found.low[0], found.high[0]) == (1, 1)
    # a mean over the other finding alone would be another mean
    both = want[~np.isnan(want).any(axis=1)].mean(axis=1)
    np.testing.assert_allclose(found.macro_low, np.percentile(both, 2.5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", ["auc", "ap"])
def test_chunks_change_nothing(monkeypatch, metric):
    codes, scores = random_case(5, (50, 2), levels=6)
    whole = bootstrap(codes, scores, replicates=13, metric=metric).samples
    monkeypatch.setattr(bootstrapping, "CELLS", 100)
    np.testing.assert_array_equal(bootstrap(codes, scores, replicates=13, metric=metric).samples, whole)


def test_a_patient_s_images_stay_together():
    # every image thrice: as patients they are the plain bootstrap of the images, only images look surer
    codes, scores = random_case(6, (40, 1))
    patients = np.repeat(np.arange(40), 3)
    thrice = np.repeat(codes, 3, axis=0), np.repeat(scores, 3, axis=0)
    plain = bootstrap(codes, scores, replicates=50)
    grouped = bootstrap(*thrice, groups=patients, replicates=50)
    np.testing.assert_allclose(grouped.samples, plain.samples, rtol=0, atol=1e-15)
    careless = bootstrap(*thrice, replicates=50)
    assert careless.high - careless.low < grouped.high - grouped.low


def test_two_models_share_their_draws():
    codes, scores = random_case(7, (60, 2))
    first, second = bootstrap(codes, scores, replicates=20), bootstrap(codes, 1 - scores, replicates=20)
    np.testing.assert_allclose(first.samples + second.samples, 1, rtol=0, atol=1e-14)


def test_one_column_is_plain_numbers():
    codes, scores = random_case(8, (60, 2))
    one, both = bootstrap(codes[:, 0], scores[:, 0], replicates=20), bootstrap(codes, scores, replicates=20)
    assert (one.value, one.low, one.positive) == (both.value[0], both.low[0], both.positive[0])
    assert (type(one.low), type(one.positive), one.samples.shape) == (float, int, (20,))


@pytest.mark.parametrize("codes", [[1, 1, 1], [0, 0, -1], [-1, -1, -1], [NAN, NAN, NAN], []])
@pytest.mark.parametrize("metric", ["auc", "ap"])
def test_what_is_undefined_has_no_interval(codes, metric):
    found = bootstrap(codes, [0.5] * len(codes), replicates=5, metric=metric)
    assert np.isnan([found.value, found.low, found.high, found.macro, found.macro_low]).all()
    assert (found.undefined, found.positive, found.negative) == (5, codes.count(1), codes.count(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": [1, 2]}, r"groups: expected one for each of the 3 rows, got the shape \(2,\)"),
        ({"groups": ["a", None, "b"]}, "groups: expected a patient in every row, got none in row 1"),
        ({"groups": [1.0, 2.0, NAN]}, "groups: expected a patient in every row, got none in row 2"),
        ({"replicates": 0}, "replicates: expected 1 or more, got 0"),
        ({"level": 95}, r"level: expected a number inside \(0, 1\), got 95"),
        ({"metric": "f1"}, "metric: expected 'auc' or 'ap', got 'f1'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap([1, 0, 1], [0.1, 0.2, 0.3], **options)
