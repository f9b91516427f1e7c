"""Labels, step 5: random numbers that depend on what a cell is, never on where it stands.

A smoothed label is drawn once for (seed, epoch, image key, finding), through a hash and a
counter-based generator, so that it stays the same after select, concat and relabel, on any number
of workers and on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array

__all__ = ["hash_keys", "mix", "uniform"]

Hashes = npt.NDArray[np.uint64]

# constants of SplitMix64's finaliser: Steele, Lea & Flood, "Fast splittable pseudorandom number
# generators", OOPSLA 2014, with Stafford's variant 13
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
_MASK = (1 << 64) - 1
_UNIT = 2.0**-53  # the 53 bits of a float64 fraction


def hash_keys(keys: Sequence[str] | npt.NDArray[np.generic]) -> Hashes:
    """(N,) uint64 hash of each key: pandas' SipHash, finalised by SplitMix64, the same everywhere."""
    hashes: Hashes = hash_array(np.asarray(keys, dtype=object), categorize=False)
    return hashes


def uniform(keys: Hashes, *, label: str, seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) for each image.

    Args:
        keys: (N,) uint64 hashes of the images' keys.
        label: canonical name of the finding.
        seed: the policy's seed.
        epoch: the epoch; 0 for targets that stay as they are.

    Returns:
        (N,) float64 in [0, 1).
    """
    text = f"{seed}\x00{epoch}\x00{label}".encode()
    stream = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
    mixed = mix(keys ^ np.uint64(stream & _MASK))
    return (mixed >> np.uint64(11)).astype(np.float64) * _UNIT


def mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser: each input bit changes each output bit with probability one half.

    Args:
        values: (N,) uint64.

    Returns:
        (N,) uint64, a permutation of all 64-bit numbers; 0 stays 0.

    Example:
        >>> mix(np.array([0, 1, 2], dtype=np.uint64))
        array([                   0,  6238072747940578789, 15839785061582574730],
              dtype=uint64)
    """
    for shift, factor in _MIX:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(_LAST_SHIFT))
