"""Before step one: the memory of one image is kept for the next, not given back and asked for again."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["keep_memory"]

# glibc adapts its limits to the largest block that it has seen freed, up to 32 MiB where a long has 8 bytes
# (mallopt(3), M_MMAP_THRESHOLD: DEFAULT_MMAP_THRESHOLD_MAX); a block has a head, so this stays below.
LARGEST = 31 * 2**20


@cache
def keep_memory() -> None:
    """Let the C library keep what is freed, once in a process.

    glibc gives large blocks back to the system as soon as they are free, and the next image gets zeroed pages
    anew: a quarter of the time of decoding 3,000 x 2,500 pixels of 16 bits. To free a block of `LARGEST`
    bytes once makes it keep blocks of up to that size, 62 MiB in all; nothing is written to this one, so that
    it costs nothing. Other C libraries do as they always do.

    Example:
        >>> keep_memory()
    """
    block = np.empty(LARGEST, np.uint8)
    del block
