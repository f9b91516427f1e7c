"""Datasets, step 6: whole batches of datasets whose images are read as from memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.single import Single

__all__ = ["Batches"]


class Batches:
    """What a DataLoader asks for rows and gets a batch from, in place of samples to put together.

    Args:
        dataset: a dataset of parts that are all in memory, of one size, and have no transform.
        raw: pixels as they are stored.
    """

    def __init__(self, dataset: Collection, *, raw: bool) -> None:
        self._parts, self._labels, self._raw = dataset.parts, dataset.labels, raw
        several = not isinstance(dataset, Single)
        self._source = dataset._table["source"].to_numpy() if several else None
        rows = dataset.rows
        self._rows: npt.NDArray[np.integer[Any]] = (
            rows[0] if self._source is None else rows[self._source, np.arange(len(dataset))]
        )

    @classmethod
    def of(cls, dataset: Collection, *, raw: bool) -> Batches | None:
        """Whole batches of a dataset that can give them, None for any other.

        Raises:
            ValueError: `raw` of a dataset that cannot give its pixels as they are stored.
        """
        parts = dataset.parts
        able = all(part.in_memory and part.options.transform is None for part in parts)
        alike = len({part.options.size for part in parts}) == 1
        if able and alike and (not raw or len(_stored_types(parts)) == 1):
            return cls(dataset, raw=raw)
        if raw:
            what = "be packed (xrdatasets.pack), and have no transform"
            if able:
                what = "have one type of pixels (uint8 or uint16)" if alike else "have one size"
            msg = f"raw: expected False, got True for {dataset!r}: all its parts have to {what}."
            raise ValueError(msg)
        return None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """A batch of one; torch asks for many (`__getitems__`)."""
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> dict[str, Any]:
        """A batch of rows: ``img``, ``lab``, ``idx``, and ``source`` of joined datasets."""
        import torch

        chosen = np.asarray(rows, dtype=np.int64)
        batch: dict[str, Any] = {
            "img": torch.from_numpy(self._images(chosen)),
            "lab": torch.from_numpy(self._labels[chosen]),
            "idx": torch.from_numpy(chosen),
        }
        if self._source is not None:
            batch["source"] = torch.from_numpy(self._source[chosen].astype(np.int64))
        return batch

    def _images(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        own: npt.NDArray[np.integer[Any]] = self._rows[rows]
        if self._source is None:
            return self._parts[0].read_many(own, raw=self._raw)
        source = self._source[rows]
        there = np.unique(source)
        if len(there) == 1:
            return self._parts[int(there[0])].read_many(own, raw=self._raw)
        where = [source == part for part in there]
        found = [
            self._parts[part].read_many(own[here], raw=self._raw)
            for part, here in zip(there, where, strict=True)
        ]
        out: npt.NDArray[Any] = np.empty((len(rows), *found[0].shape[1:]), found[0].dtype)
        for here, images in zip(where, found, strict=True):
            out[here] = images
        return out


def _stored_types(parts: Sequence[Single]) -> set[np.dtype[Any]]:
    """Types of the stored pixels."""
    nothing = np.empty(0, dtype=np.intp)
    return {part.read_many(nothing, raw=True).dtype for part in parts}
