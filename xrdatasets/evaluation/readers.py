"""Evaluation: readers' points on a model's ROC curve, and which of them lie below it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xrdatasets.evaluation.entries import Bools, Counts, Floats, checked, numbers, ratio
from xrdatasets.evaluation.precision import RocCurve

__all__ = ["ReaderPoints", "below_curve", "reader_points"]

# heights this close are equal: a point on a slanted piece of the curve is neither below nor above
ROUNDING = 1e-12


class ReaderPoints(NamedTuple):
    """Where readers stand beside a ROC curve; each (R,), or (R, L).

    Attributes:
        false_alarms: false-positive rate, 1 - specificity; NaN without negatives.
        sensitivity: true-positive rate; NaN without positives.
        positive: how many positives the reader called.
        negative: how many negatives.
    """

    false_alarms: Floats
    sensitivity: Floats
    positive: Counts
    negative: Counts


def reader_points(codes: npt.ArrayLike, calls: npt.ArrayLike) -> ReaderPoints:
    """Sensitivity and 1 - specificity of each reader, over what that reader called.

    Args:
        codes: (N,) or (N, L), the truth: 1 positive, 0 negative; -1 and NaN are left out.
        calls: (R, N) or (R, N, L): 1 or 0 of each reader; NaN is left out.

    Returns:
        One point for each reader.

    Raises:
        ValueError: the shapes do not fit, or something is none of what it may be.

    Example:
        >>> points = reader_points([1, 1, 0, 0], [[1, 0, 0, 0], [1, 1, 1, 0]])
        >>> points.false_alarms, points.sensitivity
        (array([0. , 0.5]), array([0.5, 1. ]))
    """
    array = numbers("calls", calls)
    if array.ndim not in (2, 3):
        msg = f"calls: expected the shape (R, N) or (R, N, L), got {array.shape}."
        raise ValueError(msg)
    other = array[~(np.isin(array, (0, 1)) | np.isnan(array))]
    if other.size:
        msg = (
            f"calls: expected 1, 0 or NaN, got {other[0]:g}. A reader who is not sure has no point: give NaN."
        )
        raise ValueError(msg)
    like = array[0] if len(array) else np.full(array.shape[1:], np.nan)
    codes, _ = checked(codes, like, name="calls")
    answered = ~np.isnan(array)
    positive, negative = ((answered & (codes == code)).sum(axis=1, dtype=np.int64) for code in (1, 0))
    right, wrong = (((array == 1) & (codes == code)).sum(axis=1) for code in (1, 0))
    # the quotient that `roc_curve` makes too, as 1 - specificity may differ from it in the last bit
    return ReaderPoints(ratio(wrong, negative), ratio(right, positive), positive, negative)


def below_curve(curve: RocCurve, false_alarms: npt.ArrayLike, sensitivity: npt.ArrayLike) -> Bools:
    """Which points lie below a ROC curve, the curve being straight from point to point.

    A reader below it is beaten at that reader's own specificity (Pham et al., arXiv 1911.06475).
    Where the curve rises straight up its height is the top, and a point at that height is not below it. How
    many lie below is ``below_curve(…).sum()``.

    Args:
        curve: of one finding, as `roc_curve` gives it.
        false_alarms: (R,) false-positive rate of each reader.
        sensitivity: (R,) true-positive rate.

    Returns:
        (R,) bool; False where a number is NaN.

    Raises:
        ValueError: the shapes differ, or something is no number.

    Example:
        >>> from xrdatasets.evaluation import roc_curve
        >>> curve = roc_curve([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
        >>> below_curve(curve, [0.5, 0.0], [0.8, 0.6])
        array([ True, False])
    """
    across, up = numbers("false_alarms", false_alarms), numbers("sensitivity", sensitivity)
    if across.shape != up.shape:
        msg = f"sensitivity: expected the shape of false_alarms, {across.shape}, got {up.shape}."
        raise ValueError(msg)
    if not (curve.positive and curve.negative):
        return np.zeros(across.shape, dtype=np.bool_)
    return np.asarray(up < np.interp(across, curve.false_alarms, curve.sensitivity) - ROUNDING)
