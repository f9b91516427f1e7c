"""Calibration: scikit-learn's curve, Brier score and isotonic regression, torchmetrics' error, and laws."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import minimize_scalar
from sklearn import calibration, isotonic, metrics

from tests.evaluation.cases import NAN, known, random_case
from xrdatasets.evaluation import (
    Isotonic,
    Temperature,
    brier_parts,
    brier_score,
    calibration_error,
    reliability_curve,
)

STRATEGY = {"width": "uniform", "mass": "quantile"}


@pytest.mark.parametrize("by", ["width", "mass"])
@pytest.mark.parametrize("levels", [None, 20])
def test_the_reliability_curve_is_scikit_learn_s(by, levels):
    codes, scores = random_case(0, (400, 4), levels=levels)
    curve = reliability_curve(codes, scores, bins=10, by=by)
    for column, pair in enumerate(known(codes, scores)):
        observed, predicted = calibration.calibration_curve(*pair, n_bins=10, strategy=STRATEGY[by])
        held = curve.counts[:, column] > 0
        np.testing.assert_allclose(curve.observed[held, column], observed, rtol=0, atol=1e-12)
        np.testing.assert_allclose(curve.predicted[held, column], predicted, rtol=0, atol=1e-12)
        assert np.isnan(curve.observed[~held, column]).all()
        assert curve.counts[:, column].sum() == len(pair[0])


@pytest.mark.parametrize("by", ["width", "mass"])
def test_the_calibration_error_is_the_curve_s_mean_distance_from_the_diagonal(by):
    codes, scores = random_case(1, (400, 3), levels=50)
    found = calibration_error(codes, scores, bins=7, by=by)
    for value, (truth, score) in zip(found, known(codes, scores), strict=True):
        observed, predicted = calibration.calibration_curve(truth, score, n_bins=7, strategy=STRATEGY[by])
        edges = np.linspace(0, 1, 8) if by == "width" else np.percentile(score, np.linspace(0, 100, 8))
        counts = np.bincount(np.searchsorted(edges[1:-1], score))
        want = (counts[counts > 0] * np.abs(observed - predicted)).sum() / len(truth)
        assert value == pytest.approx(want, abs=1e-12)


def test_the_calibration_error_is_torchmetrics_away_from_the_edges():
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    codes, scores = random_case(2, (500, 3))
    for value, pair in zip(calibration_error(codes, scores, bins=15), known(codes, scores), strict=True):
        truth, score = (torch.from_numpy(part) for part in pair)
        want = classification.binary_calibration_error(score, truth.long(), n_bins=15, norm="l1")
        assert value == pytest.approx(float(want), abs=1e-6)  # it sums in float32


@pytest.mark.parametrize("levels", [None, 10])
def test_the_brier_score_is_scikit_learn_s(levels):
    codes, scores = random_case(3, (300, 4), levels=levels)
    want = [metrics.brier_score_loss(*pair) for pair in known(codes, scores)]
    np.testing.assert_allclose(brier_score(codes, scores), want, rtol=0, atol=1e-12)
    assert brier_score([1, 1, -1], [0.5, 1.0, 0.0]) == 0.125  # one class is enough


@pytest.mark.parametrize("by", ["width", "mass"])
@pytest.mark.parametrize("levels", [None, 10])
def test_the_brier_score_s_parts_add_up(by, levels):
    codes, scores = random_case(4, (300, 4), levels=levels)
    parts = brier_parts(codes, scores, by=by)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    np.testing.assert_allclose(total, parts.brier, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(parts.brier, brier_score(codes, scores))


def test_murphy_s_three_parts_where_a_bin_holds_one_value():
    # 0.2 said five times and right once, 0.7 said five times and right four times
    parts = brier_parts([1, 0, 0, 0, 0, 1, 1, 1, 1, 0], [0.2] * 5 + [0.7] * 5)
    np.testing.assert_allclose(parts, [0.165, 0.005, 0.09, 0.25, 0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("codes", [[-1, -1], [NAN, NAN], []])
def test_nothing_known_is_no_number(codes):
    scores = [0.2, 0.8][: len(codes)]
    for by in ("width", "mass"):
        assert np.isnan([brier_score(codes, scores), calibration_error(codes, scores, by=by)]).all()
        assert np.isnan(brier_parts(codes, scores, by=by)).all()
        assert np.isnan(reliability_curve(codes, scores, by=by).observed).all()


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_empty_tables_keep_their_findings(shape):
    codes = np.full(shape, NAN)
    assert reliability_curve(codes, codes).counts.shape == (10, shape[1])
    for values in (brier_score(codes, codes), calibration_error(codes, codes), *brier_parts(codes, codes)):
        assert values.shape == shape[1:]
    assert Temperature.fit(codes, codes).temperatures.shape == shape[1:]
    assert Isotonic.fit(codes, codes)(codes).shape == shape


def test_the_ends_0_and_1_are_inside_the_bins():
    curve = reliability_curve([0, 1], [0.0, 1.0], bins=2)
    assert curve.counts.tolist() == [1, 1]
    assert calibration_error([0, 1], [0.0, 1.0]) == 0


def entropy(truth, logits):
    return np.mean(np.logaddexp(0, logits) - truth * logits)


@pytest.mark.parametrize("sharp", [0.2, 1.0, 5.0])
def test_the_temperature_has_the_least_cross_entropy(sharp):
    codes, scores = random_case(5, (400, 3))
    logits = sharp * np.log(scores / (1 - scores))
    scaling = Temperature.fit(codes, logits)
    for temperature, (truth, logit) in zip(scaling.temperatures, known(codes, logits), strict=True):
        found = minimize_scalar(
            lambda log, truth=truth, logit=logit: entropy(truth, logit / np.exp(log)), (-1, 1)
        )
        assert temperature == pytest.approx(np.exp(found.x), rel=1e-5)
        # at the minimum the residuals are orthogonal to the logits
        residual = 1 / (1 + np.exp(-logit / temperature)) - truth
        assert abs(np.mean(residual * logit)) < 1e-10
    want = 1 / (1 + np.exp(-logits / scaling.temperatures))
    np.testing.assert_allclose(scaling(logits), want, rtol=1e-13)


def test_a_temperature_without_an_end_stops():
    assert Temperature.fit([1, 0], [2.0, -2.0]).temperatures == 1e-3  # never sure enough
    assert Temperature.fit([0, 1], [2.0, -2.0]).temperatures == 1e3  # the wrong way round


@pytest.mark.parametrize("levels", [None, 10])
def test_isotonic_regression_is_scikit_learn_s(levels):
    codes, scores = random_case(6, (300, 3), levels=levels)
    other = np.linspace(-0.2, 1.2, 141)
    found = Isotonic.fit(codes, scores)(np.repeat(other[:, np.newaxis], 3, axis=1))
    for column, (truth, score) in enumerate(known(codes, scores)):
        want = isotonic.IsotonicRegression(out_of_bounds="clip").fit(score, truth).predict(other)
        np.testing.assert_allclose(found[:, column], want, rtol=0, atol=1e-12)


@given(st.lists(st.tuples(st.sampled_from([1.0, 0.0, -1.0, NAN]), st.floats(0, 1)), min_size=1, max_size=30))
def test_isotonic_regression_rises_and_keeps_the_share_of_positives(cells):
    codes, scores = np.array(cells).T
    mapped = Isotonic.fit(codes, scores)(scores)
    used = codes >= 0
    if len(np.unique(codes[used])) < 2:
        assert np.isnan(mapped).all()
        return
    assert (np.diff(mapped[np.argsort(scores)]) >= -1e-12).all()
    assert mapped[used].mean() == pytest.approx(codes[used].mean(), abs=1e-12)
    assert brier_score(codes, np.clip(mapped, 0, 1)) <= brier_score(codes, scores) + 1e-12


def test_fits_look_at_known_entries_alone():
    codes, scores = np.array([1, 0, 1, 0, -1, NAN, 1]), np.array([0.9, 0.2, 0.3, 0.4, 0.0, 1.0, NAN])
    few = np.array([0.9, 0.2, 0.3, 0.4])
    other = np.array([0.1, 0.5])
    np.testing.assert_array_equal(Isotonic.fit(codes, scores)(other), Isotonic.fit([1, 0, 1, 0], few)(other))
    with np.errstate(divide="ignore"):
        logits = np.log(scores / (1 - scores))  # infinite where the code is unknown: no matter
    alone = Temperature.fit([1, 0, 1, 0], logits[:4])
    assert Temperature.fit(codes, logits).temperatures == alone.temperatures


@pytest.mark.parametrize("codes", [[1, 1], [0, 0], [-1, NAN]])
def test_one_class_fits_nothing(codes):
    assert np.isnan(Temperature.fit(codes, [0.3, -0.3])([0.5])).all()
    assert np.isnan(Isotonic.fit(codes, [0.3, 0.6])([0.5])).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"probabilities: expected values in \[0, 1\], got -3\. Logits"):
        brier_score([1, 0], [-3.0, 0.2])
    with pytest.raises(ValueError, match="bins: expected 1 or more, got 0"):
        calibration_error([1, 0], [0.3, 0.2], bins=0)
    with pytest.raises(ValueError, match="by: expected 'width' or 'mass', got 'size'"):
        reliability_curve([1, 0], [0.3, 0.2], by="size")
    for kind in (Temperature, Isotonic):
        with pytest.raises(ValueError, match="expected finite numbers, got inf"):
            kind.fit([1, 0], [np.inf, 0.2])
        fitted = kind.fit([[1, 0], [0, 1]], [[0.3, 0.1], [0.1, 0.3]])
        with pytest.raises(ValueError, match="expected"):
            fitted(np.zeros((4, 3)))
