"""Datasets, step 5: numbers that stay what they are when an image is stored anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.datasets.collection import Collection

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["BITS", "NEAR", "hash_images", "hash_pixels", "near_pairs"]

SIDE, WAVES = 32, 16
BITS = WAVES * WAVES
"""Bits of a hash. 64, as is common for photographs, leave no room between copies and unlike images: in 64
bits the copies below differ in up to 2, images of unlike patients in 4 or more."""

NEAR = 24
"""Copies differ in no more bits than this. Measured: 34 images of NIH as 1024-pixel PNG and as 256-pixel
JPEG differ in at most 4 of 256 bits; images of unlike patients in 50 or more (3.4 million pairs of 2,626
images), of one patient in 44 or more. Gamma, windowing, strong compression or a turn by a degree cost 12 to
30, and so does a cut of a hundredth of the border; a wider cut or frame, or a mirror, is not recognised."""

# rows of the discrete cosine transform (type II) of 32 samples: Ahmed, Natarajan & Rao, "Discrete cosine
# transform", IEEE Trans Comput 1974;C-23:90-93
_COSINES = np.cos(np.pi * np.arange(WAVES)[:, np.newaxis] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
_BLOCK = 1 << 22  # pairs that are compared at once

Words = npt.NDArray[np.uint64]


def hash_images(dataset: Collection, *, workers: int | None = None, name: str = "") -> Words:
    """(N, 4) uint64: a perceptual hash of each image.

    Args:
        dataset: the images; they are read whole, whatever size and crop the dataset has.
        workers: threads that read; None for as many as Python finds good.
        name: shown at the progress bar.

    Raises:
        DatasetNotFoundError: an image is missing.
        ImageReadError: an image is damaged.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    small = {id(part): _small(part) for part in dataset.parts}
    words = np.empty((len(dataset), BITS // 64), dtype=np.uint64)

    def read(row: int) -> None:
        part, inner = dataset._origin(row)
        image = small[id(part)].read(inner, dataset.space)
        words[row] = hash_pixels(image["img"][0])

    with ThreadPoolExecutor(workers) as pool:
        rows = range(len(dataset))
        for _ in tqdm(pool.map(read, rows), total=len(rows), desc=name, unit="image", disable=None):
            pass
    return words


def hash_pixels(pixels: npt.NDArray[np.floating[Any]]) -> Words:
    """(4,) uint64 hash of an image of (32, 32): which of its 256 lowest frequencies are above their median.

    So it does not change with brightness, hardly with contrast, size and compression, and wholly with what
    the image shows. The method is known as pHash (Zauner, "Implementation and benchmarking of perceptual
    image hash functions", 2010), with 256 bits in place of 64.

    Example:
        >>> ramp = np.linspace(0, 1, 32)[np.newaxis] * np.ones((32, 1))
        >>> int(np.bitwise_count(hash_pixels(ramp) ^ hash_pixels(0.5 * ramp)).sum())
        0
    """
    waves = (_COSINES @ pixels.astype(np.float64) @ _COSINES.T).ravel()
    return np.packbits(waves > np.median(waves)).view(np.uint64)


def near_pairs(
    first: Words, second: Words, *, distance: int = NEAR
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int16]]:
    """Pairs of hashes that differ in few bits.

    Args:
        first: (N, 4) uint64.
        second: (M, 4) uint64.
        distance: the most bits that may differ.

    Returns:
        Rows in `first` (P,), rows in `second` (P,), bits that differ (P,).
    """
    rows: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    others: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    bits: list[npt.NDArray[np.int16]] = [np.empty(0, dtype=np.int16)]
    step = max(1, _BLOCK // max(1, len(second)))
    for start in range(0, len(first), step):
        apart = _differing(first[start : start + step], second)
        row, other = np.nonzero(apart <= distance)
        rows.append(row + start)
        others.append(other)
        bits.append(apart[row, other])
    return np.concatenate(rows), np.concatenate(others), np.concatenate(bits)


def _differing(first: Words, second: Words) -> npt.NDArray[np.int16]:
    apart = np.zeros((len(first), len(second)), dtype=np.int16)  # up to 256, which is too many for a byte
    for word in range(first.shape[1]):
        apart += np.bitwise_count(first[:, word, np.newaxis] ^ second[:, word])
    return apart


def _small(part: Single) -> Single:
    """The same dataset, its images of 32x32, whole."""
    part.warm_up()
    options = replace(
        part.options, size=SIDE, crop=False, intensity="unit", engine="area", masks=False, transform=None
    )
    return part._with(options=options)
