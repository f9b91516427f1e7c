"""Labels, step 0: the numbers that words become, and the kinds of nothing among them.

Users see *codes*, float32: 1 positive, 0 negative, -1 uncertain, NaN unknown. Inside, a cell is a
*state*, one byte, which also says **why** a code is what it is: a 0 may be written in the source,
follow from a list that does not name the finding, or from "No Finding"; a NaN may stay for ever
or be a blank that a policy may fill. One byte holds all of it, so the two can never disagree.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "ABSENT",
    "CODES",
    "DERIVED_NEGATIVE",
    "DERIVED_POSITIVE",
    "NEGATED",
    "NEGATIVE",
    "NOTHING",
    "POSITIVE",
    "SHARE",
    "SHARES",
    "UNCERTAIN",
    "UNKNOWN",
    "UNMENTIONED",
    "Floats",
    "States",
    "frozen",
]

Array = TypeVar("Array", bound="npt.NDArray[Any]")
States = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

UNKNOWN: Final = 0  # NaN for ever: the dataset does not label this finding here
UNMENTIONED: Final = 1  # NaN that a policy may fill: labelled, but this report is silent
NEGATIVE: Final = 2  # 0: the source says so
POSITIVE: Final = 3  # 1: the source says so
UNCERTAIN: Final = 4  # -1: the source says so
ABSENT: Final = 5  # 0: the source lists what it saw, and this is not in the list
NEGATED: Final = 6  # 0: a term of the source excludes it ("No Finding")
DERIVED_POSITIVE: Final = 7  # 1: closure, from a positive child
DERIVED_NEGATIVE: Final = 8  # 0: closure, from a negative parent

SHARE: Final = 128  # -1: readers disagree; SHARE + k, 0 < k < SHARES: k of SHARES say yes
SHARES: Final = 120  # so that the shares of up to six readers, and of eight, ten and twelve, are exact

CODES: Final[Floats] = np.full(256, np.nan, dtype=np.float32)
"""Code of each state."""
CODES[UNKNOWN : DERIVED_NEGATIVE + 1] = [np.nan, np.nan, 0, 1, -1, 0, 0, 1, 0]
CODES[SHARE + 1 : SHARE + SHARES] = -1

NOTHING: Final = (UNKNOWN, UNMENTIONED)
"""The states whose code is NaN."""


def frozen(array: Array) -> Array:
    """The same array, read-only."""
    array.flags.writeable = False
    return array
