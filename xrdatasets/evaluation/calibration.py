"""Evaluation: probabilities that mean what they say: operating-point map, temperature, isotonic regression.

What is fitted is fitted on known entries only, finding by finding, and applied to any others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Column, Floats, checked, columns, fractions, numbers, shaped

__all__ = ["Isotonic", "Temperature", "operating_point_map"]

# temperatures searched: beyond them every probability is 0.5, or 0 or 1, to two digits for logits of size 1
COLDEST, HOTTEST = 1e-3, 1e3


def operating_point_map(probabilities: npt.ArrayLike, points: npt.ArrayLike) -> Floats:
    """Move each finding's operating point to 0.5, by two straight lines.

    ``x / 2t`` up to the point t and ``1 - (1 - x) / 2(1 - t)`` above it (Cohen et al., MIDL 2020,
    equation 1). It rises with x, so no ranking changes, and ``x >= t`` exactly where the result is at least
    0.5. With t = 0 only the upper line is left, with t = 1 only the lower one.

    Args:
        probabilities: (N,) or (N, L), in [0, 1]; NaN stays NaN.
        points: () or (L,), in [0, 1]; NaN, no operating point, gives 0.5: no opinion.

    Returns:
        Of the same shape, float64 in [0, 1].

    Raises:
        ValueError: something is no number or outside [0, 1], or the points are neither one nor one for each
            finding.

    Example:
        >>> operating_point_map([0, 0.1, 0.2, 0.6, 1], 0.2)
        array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    values, points = fractions("probabilities", probabilities), fractions("points", points)
    _same_findings("points", points.shape, values.shape)
    # a line that is not taken must not divide by 0
    lower = values / (2 * np.where(points > 0, points, 0.5))
    upper = 1 - (1 - values) / (2 * (1 - np.where(points < 1, points, 0.5)))
    # at t = 0 the upper line also holds at 0, where there is no lower one
    mapped = np.where(((values <= points) & (points > 0)) | (points == 1), lower, upper)
    mapped = np.where(np.isnan(points), 0.5, mapped)
    return np.where(np.isnan(values), np.nan, mapped)


@dataclass(frozen=True, eq=False)
class Temperature:
    """Probabilities ``sigmoid(logit / T)``, with one T for each finding.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, for two classes. It moves no ranking.

    Attributes:
        temperatures: () or (L,) float64, above 0; NaN where nothing could be fitted.

    Example:
        >>> codes, logits = [1, 1, 0, 0, 1, 0], [4.0, 3.0, -4.0, 3.0, -3.0, -2.0]
        >>> scaling = Temperature.fit(codes, logits)
        >>> bool(scaling.temperatures > 1)  # it was too sure
        True
    """

    temperatures: Floats

    @classmethod
    def fit(cls, codes: npt.ArrayLike, logits: npt.ArrayLike) -> Temperature:
        """Find the temperature with the least cross-entropy.

        Args:
            codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
            logits: of the same shape, log-odds; NaN is left out.

        Returns:
            The scaling, 0.001 <= T <= 1000; NaN where only one class, or nothing, is left.

        Raises:
            ValueError: as for `auc`; an infinite logit of a known entry.
        """
        codes, logits = checked(codes, logits, name="logits")
        found = np.array([_temperature(column) for column in _finite("logits", codes, logits)], np.float64)
        return cls(np.asarray(shaped(found, codes), dtype=np.float64))

    def __call__(self, logits: npt.ArrayLike) -> Floats:
        """Calibrated probabilities.

        Args:
            logits: (N,) or (N, L) log-odds of the same findings.

        Returns:
            Of the same shape, float64 in [0, 1]; NaN where logit or temperature is NaN.

        Raises:
            ValueError: other findings, or something is no number.
        """
        from scipy.special import expit  # costs a second

        values = numbers("logits", logits)
        _same_findings("logits", self.temperatures.shape, values.shape)
        return np.asarray(expit(values / self.temperatures), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Probabilities by the rising step function that is closest to the codes, linear between its knots.

    Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD
    2002. Scores beyond the fitted ones get the value of the nearest. It may tie scores that were apart.

    Attributes:
        knots: for each finding the distinct scores, rising, and their probabilities, each (K,); empty where
            nothing could be fitted.
        single: whether it was fitted on (N,).

    Example:
        >>> Isotonic.fit([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9])([0.1, 0.5, 0.75])
        array([0.  , 0.5 , 0.75])
    """

    knots: tuple[tuple[Floats, Floats], ...]
    single: bool

    @classmethod
    def fit(cls, codes: npt.ArrayLike, scores: npt.ArrayLike) -> Isotonic:
        """Fit by least squares; tied scores are one knot.

        Args:
            codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
            scores: of the same shape, probabilities or logits; NaN is left out.

        Returns:
            The function; without knots where only one class, or nothing, is left.

        Raises:
            ValueError: as for `auc`; an infinite score of a known entry.
        """
        codes, scores = checked(codes, scores)
        knots = tuple(_isotonic(column) for column in _finite("scores", codes, scores))
        return cls(knots, codes.ndim == 1)

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Calibrated probabilities.

        Args:
            scores: (N,) or (N, L), of the same findings and in the same unit.

        Returns:
            Of the same shape, float64 in [0, 1]; NaN where the score is NaN or the finding has no knots.

        Raises:
            ValueError: other findings, or something is no number.
        """
        values = numbers("scores", scores)
        shape = () if self.single else (len(self.knots),)
        if values.ndim != len(shape) + 1 or values.shape[1:] != shape:
            msg = f"scores: expected the shape (N, …) with {shape} findings, got {values.shape}."
            raise ValueError(msg)
        table = values[:, np.newaxis] if self.single else values
        mapped = np.full(table.shape, np.nan)
        for finding, (places, heights) in enumerate(self.knots):
            if len(places):
                mapped[:, finding] = np.interp(table[:, finding], places, heights)
        return mapped.reshape(values.shape)


def _same_findings(name: str, own: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if own not in ((), shape[1:]):
        msg = f"{name}: expected one point or temperature, or one for each finding, got {own} for {shape}."
        raise ValueError(msg)


def _finite(name: str, codes: Floats, scores: Floats) -> list[Column]:
    used = columns(codes, scores)
    if any(np.isinf(column.scores).any() for column in used):
        msg = f"{name}: expected finite numbers, got inf. Give what the model gave, not log-odds of 0 or 1."
        raise ValueError(msg)
    return used


def _one_class(column: Column) -> bool:
    return not column.truth.any() or bool(column.truth.all())


def _temperature(column: Column) -> float:
    from scipy.optimize import brentq
    from scipy.special import expit

    if _one_class(column):
        return float("nan")

    def slope(sharpness: float) -> float:
        """Of the cross-entropy by 1 / T: it rises, as the cross-entropy is convex in it."""
        return float(np.sum((expit(sharpness * column.scores) - column.truth) * column.scores))

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return 1 / float(brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-14, rtol=1e-14))


def _isotonic(column: Column) -> tuple[Floats, Floats]:
    from scipy.optimize import isotonic_regression

    if _one_class(column):
        return np.empty(0), np.empty(0)
    places, which = np.unique(column.scores, return_inverse=True)
    counts = np.bincount(which)
    shares = np.bincount(which, column.truth) / counts
    return places, np.asarray(isotonic_regression(shares, weights=counts).x, dtype=np.float64)
