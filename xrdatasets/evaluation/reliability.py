"""Evaluation: whether probabilities mean what they say: reliability curve, calibration error, Brier score."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Column, Floats, checked, columns, fractions, ratio, shaped

__all__ = [
    "BrierParts",
    "ReliabilityCurve",
    "brier_parts",
    "brier_score",
    "calibration_error",
    "reliability_curve",
]

Bins = Literal["width", "mass"]


class ReliabilityCurve(NamedTuple):
    """Predicted against observed, bin by bin; each (B, L), or (B,) for (N,).

    Attributes:
        predicted: mean probability of the bin; NaN where it is empty.
        observed: share of positives; NaN where it is empty.
        counts: int64, entries of the bin.
    """

    predicted: Floats
    observed: Floats
    counts: Any


class BrierParts(NamedTuple):
    """The Brier score and what adds up to it: reliability - resolution + uncertainty + within.

    Each (L,), or a float for (N,).

    Attributes:
        brier: mean squared distance of probability and code.
        reliability: how far the bins lie from the diagonal; 0 is perfect.
        resolution: how far the bins' shares of positives lie from the overall share; higher is better.
        uncertainty: s (1 - s) of the overall share s: the data's own.
        within: what the probabilities do inside the bins; 0 where a bin holds one value.
    """

    brier: Any
    reliability: Any
    resolution: Any
    uncertainty: Any
    within: Any


def reliability_curve(
    codes: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 10, by: Bins = "width"
) -> ReliabilityCurve:
    """Mean probability and share of positives, bin by bin.

    A bin holds its upper edge and not its lower one; the first holds 0 too.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        probabilities: of the same shape, in [0, 1]; NaN is left out.
        bins: how many.
        by: "width" for bins of one width, "mass" for quantiles: as many entries in each, tied ones together.

    Returns:
        The curve; all NaN where nothing is left.

    Raises:
        ValueError: as for `auc`; a value outside [0, 1]; no bin; another `by`.

    Example:
        >>> curve = reliability_curve([0, 1, 1, 1], [0.2, 0.4, 0.6, 0.8], bins=2)
        >>> curve.predicted.round(2), curve.observed
        (array([0.3, 0.7]), array([0.5, 1. ]))
    """
    codes, probabilities, used = _read(codes, probabilities, bins, by)
    sums = (
        np.stack([_bin_sums(column, bins, by) for column in used], axis=-1)
        if used
        else np.zeros((3, bins, 0))
    )
    counts, predicted, observed = (shaped(part, codes) for part in sums)
    return ReliabilityCurve(ratio(predicted, counts), ratio(observed, counts), counts.astype(np.int64))


def calibration_error(
    codes: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 10, by: Bins = "width"
) -> Any:
    """Expected calibration error of the positive class: the curve's mean distance from the diagonal.

    Each bin counts by its entries (Naeini et al., AAAI 2015, on the probability of the finding rather than
    on the confidence of the more likely answer). It falls with fewer bins and rises with fewer images, so
    compare like with like.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        probabilities: of the same shape, in [0, 1]; NaN is left out.
        bins: as for `reliability_curve`.
        by: as for `reliability_curve`.

    Returns:
        A float for (N,); (L,) float64 for (N, L); NaN where nothing is left.

    Raises:
        ValueError: as for `reliability_curve`.

    Example:
        >>> calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
        0.25
    """
    codes, probabilities, used = _read(codes, probabilities, bins, by)
    values = []
    for column in used:
        _, predicted, observed = _bin_sums(column, bins, by)
        values.append(ratio(np.abs(predicted - observed).sum(), len(column.truth)))
    return shaped(np.array(values, dtype=np.float64), codes)


def brier_score(codes: npt.ArrayLike, probabilities: npt.ArrayLike) -> Any:
    """Mean squared distance of probability and code (Brier, Monthly Weather Review 78, 1950).

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        probabilities: of the same shape, in [0, 1]; NaN is left out.

    Returns:
        A float for (N,); (L,) float64 for (N, L); 0 is perfect; NaN where nothing is left.

    Raises:
        ValueError: as for `auc`; a value outside [0, 1].

    Example:
        >>> brier_score([1, 0, -1], [0.5, 0.5, 0.9])
        0.25
    """
    codes, probabilities, used = _read(codes, probabilities, 1, "width")
    return shaped(np.array([_brier(column) for column in used], dtype=np.float64), codes)


def brier_parts(
    codes: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 10, by: Bins = "width"
) -> BrierParts:
    """The Brier score taken apart, over bins.

    Murphy (Journal of Applied Meteorology 12, 1973) with the two terms for what varies inside a bin
    (Stephenson, Coelho & Jolliffe, Weather and Forecasting 23, 2008), so that the parts always add up.

    Args:
        codes: (N,) or (N, L): 1 positive, 0 negative; -1 and NaN are left out.
        probabilities: of the same shape, in [0, 1]; NaN is left out.
        bins: as for `reliability_curve`.
        by: as for `reliability_curve`.

    Returns:
        The score and its parts; NaN where nothing is left.

    Raises:
        ValueError: as for `reliability_curve`.

    Example:
        >>> parts = brier_parts([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
        >>> parts.brier, parts.reliability, parts.resolution, parts.uncertainty, parts.within
        (0.1875, 0.0625, 0.0625, 0.1875, 0.0)
    """
    codes, probabilities, used = _read(codes, probabilities, bins, by)
    parts = np.array([_parts(column, bins, by) for column in used], dtype=np.float64).reshape(-1, 5).T
    return BrierParts(*(shaped(part, codes) for part in parts))


def _read(
    codes: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int, by: str
) -> tuple[Floats, Floats, list[Column]]:
    codes, probabilities = checked(codes, fractions("probabilities", probabilities), name="probabilities")
    if bins < 1:
        msg = f"bins: expected 1 or more, got {bins}."
        raise ValueError(msg)
    if by not in ("width", "mass"):
        msg = f"by: expected 'width' or 'mass', got {by!r}."
        raise ValueError(msg)
    return codes, probabilities, columns(codes, probabilities)


def _bin_of(column: Column, bins: int, by: str) -> npt.NDArray[np.intp]:
    shares = np.linspace(0, 1, bins + 1)
    edges = np.quantile(column.scores, shares) if by == "mass" and len(column.scores) else shares
    return np.searchsorted(edges[1:-1], column.scores)


def _bin_sums(column: Column, bins: int, by: str) -> Floats:
    """(3, B): entries, their probabilities' sum, their positives."""
    places = _bin_of(column, bins, by)
    weights = (None, column.scores, column.truth.astype(np.float64))
    return np.stack([np.bincount(places, weight, minlength=bins) for weight in weights]).astype(np.float64)


def _brier(column: Column) -> float:
    return float(ratio(((column.scores - column.truth) ** 2).sum(), len(column.truth)))


def _parts(column: Column, bins: int, by: str) -> tuple[float, ...]:
    total = len(column.truth)
    if not total:
        return (float("nan"),) * 5
    counts, predicted, observed = _bin_sums(column, bins, by)
    held = counts > 0
    counts, predicted, observed = counts[held], predicted[held] / counts[held], observed[held] / counts[held]
    places = np.cumsum(held)[_bin_of(column, bins, by)] - 1
    share = column.truth.mean()
    away, missed = column.scores - predicted[places], column.truth - observed[places]
    return (
        _brier(column),
        float((counts * (predicted - observed) ** 2).sum() / total),
        float((counts * (observed - share) ** 2).sum() / total),
        float(share * (1 - share)),
        float((away**2 - 2 * away * missed).sum() / total),
    )
