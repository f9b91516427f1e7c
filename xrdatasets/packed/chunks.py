"""Packed, step 1: images of some rows, in whatever process or machine they are read."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import DatasetNotFoundError, ImageReadError
from xrdatasets.packed.card import MAX_VALUES

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["Chunk", "plain", "read_chunk", "read_chunks"]

# Chunks that are under way for each worker: it never waits, and the results that wait are few.
AHEAD = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """Images of some rows.

    Attributes:
        rows: (n,) their numbers in the packed file.
        pixels: (n, S, S) uint8 or uint16, zeros where there is no image.
        damaged: numbers of the rows without an image, and why.
    """

    rows: npt.NDArray[np.intp]
    pixels: npt.NDArray[Any]
    damaged: dict[int, str]


def plain(dataset: Single, size: int) -> Single:
    """The same dataset, its images in [0, 1], of one size, without masks and transform."""
    changes = {"size": size, "intensity": "unit", "masks": False, "transform": None}
    return dataset._with(options=dataclasses.replace(dataset.options, **changes))  # type: ignore[arg-type]


def read_chunk(dataset: Single, rows: npt.NDArray[np.intp], dtype: str, drop: bool) -> Chunk:
    """Read the images of a dataset that has these rows alone.

    Args:
        dataset: of n rows (`plain`).
        rows: (n,) their numbers in the packed file.
        dtype: ``uint8`` or ``uint16``.
        drop: whether an image that cannot be read is left out; else it is an error.

    Raises:
        ImageReadError: an image is damaged.
        DatasetNotFoundError: an image is missing.
    """
    size = dataset.options.size or 0
    pixels = np.zeros((len(rows), size, size), dtype)
    damaged: dict[int, str] = {}
    for number, row in enumerate(rows.tolist()):
        try:
            image = dataset.read(number, dataset.space)["img"]
        except (ImageReadError, DatasetNotFoundError) as error:
            if not drop:
                raise
            damaged[row] = str(error)
        else:
            # to the nearest step, half a step off at most
            np.rint(image[0] * np.float32(MAX_VALUES[dtype]), out=pixels[number], casting="unsafe")
    return Chunk(rows, pixels, damaged)


def read_chunks(
    dataset: Single,
    parts: Iterable[npt.NDArray[np.intp]],
    dtype: str,
    *,
    drop: bool,
    executor: Executor | None,
    workers: int,
) -> Iterator[Chunk]:
    """The images of many rows, part by part, a few parts ahead of what is asked for.

    Args:
        dataset: the whole dataset (`plain`).
        parts: the rows of each chunk.
        dtype: ``uint8`` or ``uint16``.
        drop: whether an image that cannot be read is left out.
        executor: where they are read; None for here.
        workers: how many read at once.
    """
    if executor is None:
        for rows in parts:
            yield read_chunk(dataset.select(rows), rows, dtype, drop)
        return
    waiting: deque[Any] = deque()
    try:
        for rows in parts:
            waiting.append(executor.submit(read_chunk, dataset.alone(rows), rows, dtype, drop))
            if len(waiting) >= AHEAD * max(workers, 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
