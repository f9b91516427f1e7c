"""Transforms, step 0: arguments, refused where they are given and by their name."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Literal, TypeGuard, get_args

import numpy as np

__all__ = [
    "RANGES",
    "Intensity",
    "Span",
    "check_choice",
    "check_fraction",
    "check_pair",
    "check_sides",
    "check_span",
    "check_whole",
]

Intensity = Literal["xrv", "unit"]  # the words of xrdatasets.images, which this room does not import
Span = float | tuple[float, float]

RANGES: dict[str, tuple[float, float]] = {"xrv": (-1024.0, 1024.0), "unit": (0.0, 1.0)}
"""Least and greatest value of an image: black and white."""


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse what is not among the words of a literal type.

    Args:
        name: of the argument.
        value: what the caller passed.
        choices: a `typing.Literal`.

    Raises:
        ValueError: another word.

    Example:
        >>> check_choice("intensity", "unit", Intensity)
    """
    if value not in get_args(choices):
        msg = f"{name}: expected one of {get_args(choices)}, got {value!r}."
        raise ValueError(msg)


def check_fraction(name: str, value: object) -> float:
    """Refuse what is no number from 0 to 1.

    Args:
        name: of the argument.
        value: what the caller passed.

    Returns:
        The number.

    Raises:
        ValueError: anything else, NaN too.

    Example:
        >>> check_fraction("p", 0.5)
        0.5
    """
    number = _number(value)
    if not 0 <= number <= 1:
        msg = f"{name}: expected a number from 0 to 1, got {value!r}."
        raise ValueError(msg)
    return number


def check_span(
    name: str,
    value: object,
    *,
    around: float | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> tuple[float, float]:
    """A range to draw from, out of a number or a pair.

    Args:
        name: of the argument.
        value: ``(low, high)``, both finite; or one number of at least 0, which means from ``around - value``
            (or `least`, if that is more) to ``around + value``.
        around: the middle of what one number means; None where it means itself.
        least: no end may be less.
        most: no end may be more.
        above: both ends have to be more.

    Returns:
        ``(low, high)``.

    Raises:
        ValueError: no such range, ends in the wrong order or out of bounds.

    Example:
        >>> check_span("degrees", 45, around=0)
        (-45.0, 45.0)
        >>> check_span("brightness", (0.5, 2.0), around=1, least=0)
        (0.5, 2.0)
    """
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = (_number(end) for end in value)
    elif around is None:
        low = high = _number(value)
    else:
        size = _number(value)
        size = size if size >= 0 else math.nan
        low, high = max(around - size, least), around + size
    if above < low and least <= low <= high <= most and high < math.inf:
        return low, high
    one = "a number" if around is None else "a number of at least 0"
    bounds = f" above {above:g}" * (above > -math.inf)
    bounds += f" of at least {least:g}" * (least > -math.inf) + f" and at most {most:g}" * (most < math.inf)
    msg = f"{name}: expected {one}, or finite (low, high){bounds}, got {value!r}."
    raise ValueError(msg)


def check_pair(name: str, value: object) -> tuple[float, float]:
    """Horizontal and vertical share, out of one or two numbers.

    Args:
        name: of the argument.
        value: what the caller passed.

    Returns:
        ``(horizontal, vertical)``, each from 0 to 1.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_pair("translate", 0.15)
        (0.15, 0.15)
    """
    pair = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(pair) != 2:
        msg = f"{name}: expected a number from 0 to 1, or (horizontal, vertical), got {value!r}."
        raise ValueError(msg)
    return check_fraction(name, pair[0]), check_fraction(name, pair[1])


def check_sides(name: str, value: object) -> tuple[int, int]:
    """Height and width, out of one side of a square or a pair.

    Args:
        name: of the argument.
        value: what the caller passed.

    Returns:
        ``(height, width)``.

    Raises:
        ValueError: no whole numbers of at least 1.

    Example:
        >>> check_sides("size", 224)
        (224, 224)
    """
    pair = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    sides = [operator.index(side) for side in pair if _is_whole(side)]
    if len(pair) == len(sides) == 2 and min(sides) >= 1:
        return sides[0], sides[1]
    msg = f"{name}: expected a whole number of at least 1, or (height, width), got {value!r}."
    raise ValueError(msg)


def check_whole(name: str, value: object) -> int:
    """Refuse what is no whole number of at least 1.

    Args:
        name: of the argument.
        value: what the caller passed.

    Returns:
        The number.

    Raises:
        ValueError: anything else.

    Example:
        >>> check_whole("n", 10)
        10
    """
    if _is_whole(value) and operator.index(value) >= 1:
        return operator.index(value)
    msg = f"{name}: expected a whole number of at least 1, got {value!r}."
    raise ValueError(msg)


def _is_whole(value: object) -> TypeGuard[int | np.integer[Any]]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _number(value: object) -> float:
    """NaN for what is none, so that every comparison refuses it."""
    try:
        return math.nan if isinstance(value, (bool, str)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
