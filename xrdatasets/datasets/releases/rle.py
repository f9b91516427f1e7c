"""Datasets, step 2: COCO's compressed run lengths, a mask written as one word."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrdatasets.images.pixels import MAX_PIXELS

__all__ = ["read_runs_word", "run_lengths"]

Counts = npt.NDArray[np.int64]
FIRST, LAST = ord("0"), ord("0") + 63  # each letter is a number of six bits
LONGEST = 11  # twelve letters hold any number of 60 bits: more of them are damage, and fill no mask
BITS, MORE, SIGN = 0x1F, 0x20, 0x10  # five of the number, one that says that it goes on; its sign


def run_lengths(counts: object, size: object) -> Counts:
    """Run lengths of a mask, from either way that COCO writes them.

    Args:
        counts: a word (compressed) or a list of lengths.
        size: height and width of the mask.

    Returns:
        (R,) lengths of alternating runs of 0 and 1, beginning with 0s, column after column.

    Raises:
        ValueError: they are neither, or do not fill the mask.

    Example:
        >>> run_lengths("112", [2, 2]).tolist()
        [1, 1, 2]
    """
    if isinstance(counts, str):
        runs = read_runs_word(counts).tolist()
    elif isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        runs = counts
    else:
        msg = f"counts: expected a word or a list of lengths, got {str(counts)[:60]}."
        raise ValueError(msg)
    sides = size if isinstance(size, list) and len(size) == 2 else [0, 0]
    good = all(isinstance(side, int) and side > 0 for side in sides)
    # summed up as they are: whole numbers of Python have no end, those of numpy begin anew
    if not good or min(runs, default=0) < 0 or sum(runs) != sides[0] * sides[1] or sum(runs) > MAX_PIXELS:
        msg = (
            f"counts: expected lengths that fill a mask of {str(size)[:60]} (at most {MAX_PIXELS:,} pixels), "
            f"got a sum of {min(sum(runs), 2**63):,}."
        )
        raise ValueError(msg)
    return np.array(runs, dtype=np.int64)


def read_runs_word(word: str) -> Counts:
    """The lengths that a compressed word holds.

    Each length is written in groups of five bits, the lowest first, a letter a group, in two's complement;
    from the fourth on, what is written is the difference to the length two before (COCO API, ``maskApi.c``).

    Raises:
        ValueError: a letter that none of COCO's is, or a word that ends within a number.
    """
    letters = np.frombuffer(word.encode("utf-8"), dtype=np.uint8).astype(np.int64)
    outside = (letters < FIRST) | (letters > LAST)
    if outside.any() or not len(letters) or (letters[-1] - FIRST) & MORE:
        msg = f"counts: expected run lengths as COCO compresses them, got {word[:20]!r}."
        raise ValueError(msg)
    groups = letters - FIRST
    ends = np.flatnonzero((groups & MORE) == 0)
    starts = np.append(0, ends[:-1] + 1)
    place = np.minimum(np.arange(len(groups)) - np.repeat(starts, ends - starts + 1), LONGEST)
    values: Counts = np.add.reduceat((groups & BITS) << (5 * place), starts)
    values -= np.where(groups[ends] & SIGN, 1 << (5 * (place[ends] + 1)), 0)
    # zeros and ones apart, each adds up what came before it; the very first length stands alone
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
