"""Legacy: datasets made of datasets, and their labels in one order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.labels.matrix import as_rows
from xrdatasets.legacy.base import Dataset
from xrdatasets.legacy.wrapped import as_row

__all__ = ["FilterDataset", "MergeDataset", "SubsetDataset", "relabel_dataset"]

logger = logging.getLogger(__name__)

FIXED = ("transform", "data_aug", "labels", "pathologies", "targets")


def relabel_dataset(pathologies: Sequence[str], dataset: Dataset, silent: bool = False) -> None:
    """Give the labels of a dataset these columns in this order, in place.

    Args:
        pathologies: names of columns; one that the dataset lacks becomes NaN.
        dataset: it is changed.
        silent: do not log which columns are dropped and added.
    """
    own = list(dataset.pathologies)
    wanted = [str(name) for name in pathologies]
    dropped, added = (
        [name for name in own if name not in wanted],
        [name for name in wanted if name not in own],
    )
    if not silent and (dropped or added):
        logger.info("dropped: %s; added as NaN: %s", ", ".join(dropped) or "none", ", ".join(added) or "none")
    labels = np.full((len(dataset.labels), len(wanted)), np.nan, dtype=np.float32)
    for column, name in enumerate(wanted):
        if name in own:
            labels[:, column] = dataset.labels[:, own.index(name)]
    dataset.labels, dataset.pathologies = labels, wanted


class Fixed(Dataset):
    """A dataset made of others, whose labels and transforms are changed there."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in FIXED and "csv" in self.__dict__:
            msg = (
                f"{name} cannot be set on a {type(self).__name__}: that would change the datasets it is "
                "made of. Set it on them, then make it anew."
            )
            raise NotImplementedError(msg)
        super().__setattr__(name, value)


class MergeDataset(Fixed):
    """Datasets one below the other.

    Args:
        datasets: they have the same `pathologies`.
        seed: taken and not used.
        label_concat: give each dataset columns of its own, NaN for the others.

    Attributes:
        which_dataset: (N,) number of the dataset of each row; ``source`` in a sample.
        offset: (N,) number of its first row.

    Raises:
        ValueError: no datasets, or ones whose labels differ.
    """

    def __init__(self, datasets: Sequence[Dataset], seed: int = 0, label_concat: bool = False) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("datasets: expected at least one, got none.")
        pathologies = list(self.datasets[0].pathologies)
        for number, dataset in enumerate(self.datasets):
            if list(dataset.pathologies) != pathologies:
                msg = (
                    f"datasets: dataset {number} has the labels {list(dataset.pathologies)}, the first has "
                    f"{pathologies}. Call relabel_dataset on each of them with one list."
                )
                raise ValueError(msg)
        sizes = [len(dataset) for dataset in self.datasets]
        self.length = sum(sizes)
        self.which_dataset = np.repeat(np.arange(len(sizes)), sizes)
        self.offset = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
        labels = [dataset.labels for dataset in self.datasets]
        self.pathologies = pathologies * len(sizes) if label_concat else pathologies
        self.labels = _side_by_side(labels) if label_concat else np.concatenate(labels)
        self.csv = pd.concat([dataset.csv for dataset in self.datasets], ignore_index=True)

    def string(self) -> str:
        """The dataset and its parts, as a tree."""
        lines = [super().string()]
        for number, dataset in enumerate(self.datasets):
            last = number == len(self.datasets) - 1
            inner = dataset.string().replace("\n", "\n   " if last else "\n|  ")
            lines.append(f"{'└' if last else '├'}{number} {inner}")
        return "\n".join(lines) + "\n"

    def __getitem__(self, idx: int) -> dict[str, Any]:
        row = as_row(idx, len(self))
        source = int(self.which_dataset[row])
        item = self.datasets[source][row - int(self.offset[row])]
        return item | {"lab": self.labels[row].copy(), "source": source}


class SubsetDataset(Fixed):
    """Some rows of a dataset.

    Args:
        dataset: it.
        idxs: row numbers in the order wanted, or a mask of N booleans.

    Raises:
        ValueError: neither.
        IndexError: there is no such row.
    """

    def __init__(self, dataset: Dataset, idxs: npt.ArrayLike) -> None:
        self.dataset = dataset
        self.idxs = as_rows(idxs, len(dataset))
        self.pathologies = list(dataset.pathologies)
        self.labels = dataset.labels[self.idxs]
        if hasattr(dataset, "which_dataset"):
            self.which_dataset = dataset.which_dataset[self.idxs]
        self.csv = dataset.csv.iloc[self.idxs].reset_index(drop=True)

    def string(self) -> str:
        """The dataset and what it is of."""
        return f"{super().string()}\n└ of " + self.dataset.string().replace("\n", "\n  ")

    def __getitem__(self, idx: int) -> dict[str, Any]:
        return self.dataset[int(self.idxs[as_row(idx, len(self))])]


class FilterDataset(SubsetDataset):
    """The images that are positive for at least one of some labels, each once.

    Args:
        dataset: it.
        labels: columns of its labels; none of them leaves no image.

    Raises:
        ValueError: the dataset has no such column.
    """

    def __init__(self, dataset: Dataset, labels: Sequence[str] | None = None) -> None:
        own = list(dataset.pathologies)
        wanted = list(labels or ())
        if unknown := [name for name in wanted if name not in own]:
            msg = f"labels: expected some of {own}, got {unknown[0]!r}."
            raise ValueError(msg)
        found = [np.flatnonzero(dataset.labels[:, own.index(name)] == 1) for name in wanted]
        # by label, then by row, as ever; but an image that is positive for two of them once
        rows = list(dict.fromkeys(np.concatenate(found).tolist())) if found else []
        super().__init__(dataset, rows)


def _side_by_side(labels: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """(N, D L): the labels of each of D datasets in columns of its own."""
    width = labels[0].shape[1]
    out = np.full((sum(map(len, labels)), width * len(labels)), np.nan, dtype=np.float32)
    start = 0
    for number, block in enumerate(labels):
        out[start : start + len(block), number * width : (number + 1) * width] = block
        start += len(block)
    return out
