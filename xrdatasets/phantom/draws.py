"""Phantom's tools: random numbers that depend on what is drawn, never on when or where.

Every part of an image has a stream of its own: the key of the patient or of the image, and a word for the
part. So a new part changes no old one, and the same (hospital, seed, index) gives the same image on any
worker, in any order and on any machine.
"""

from __future__ import annotations

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from xrdatasets.labels.draws import mix

__all__ = ["Draws"]

# the increment of SplitMix64's counter, 2^64 divided by the golden ratio: Steele, Lea & Flood, OOPSLA 2014
GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
UNIT = 2.0**-53  # the 53 bits of a float64 fraction
LEVELS = 1 << 16  # values of a coarse normal number
NORMAL = NormalDist()

Floats = npt.NDArray[np.float64]


class Draws:
    """A stream of random numbers: SplitMix64, counted from a key and a word.

    Args:
        key: of the patient or the image, 64 bits.
        part: a word for what is drawn.

    Example:
        >>> Draws(7, "heart").uniform(0, 1) == Draws(7, "heart").uniform(0, 1)
        True
        >>> Draws(7, "heart").uniform(0, 1) == Draws(7, "aorta").uniform(0, 1)
        False
    """

    def __init__(self, key: int, part: str) -> None:
        self._key, self._part = key, part
        self._state = _mixed((int(key) ^ _word(part)) & MASK)

    def branch(self, part: str | int) -> Draws:
        """A stream for a part of this part; it takes nothing from this one."""
        return Draws(self._key, f"{self._part}/{part}")

    def uniforms(self, low: float, high: float, count: int) -> Floats:
        """(count,) float64 in [low, high)."""
        return low + (high - low) * ((self._bits(count) >> np.uint64(11)).astype(np.float64) * UNIT)

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        self._state = (self._state + GOLDEN) & MASK
        return low + (high - low) * ((_mixed(self._state) >> 11) * UNIT)

    def normal(self, mean: float, deviation: float, *, widest: float = 2.0) -> float:
        """One number of a normal distribution, cut at `widest` deviations."""
        place = NORMAL.inv_cdf(self.uniform(1e-9, 1))
        return mean + deviation * min(max(place, -widest), widest)

    def below(self, count: int) -> int:
        """One of 0 to count - 1."""
        return int(self.uniform(0, count))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform(0, 1) < probability

    def side(self) -> int:
        """-1 (the patient's right, left in the image) or 1."""
        return -1 if self.chance(0.5) else 1

    def noise(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """(height, width) float32, normal numbers in 65,536 steps."""
        words = self._bits(-(-height * width // 4)).view("<u2")[: height * width]
        numbers: npt.NDArray[np.float32] = _quantiles()[words].reshape(height, width)
        return numbers

    def _bits(self, count: int) -> npt.NDArray[np.uint64]:
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        start, self._state = self._state, (self._state + count * GOLDEN) & MASK
        return mix(steps + np.uint64(start))


def _mixed(value: int) -> int:
    """`mix` of one number: numpy takes ten times as long for it."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


@cache
def _word(part: str) -> int:
    return int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")


@cache
def _quantiles() -> npt.NDArray[np.float32]:
    from scipy.special import ndtri

    middles: Floats = (np.arange(LEVELS) + 0.5) / LEVELS
    return ndtri(middles).astype(np.float32)
