"""Legacy: two datasets in which the dataset tells of a label as much as one wants."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.legacy.base import Dataset
from xrdatasets.legacy.wrapped import as_row

__all__ = ["CovariateDataset"]

Mode = Literal["train", "valid", "test"]
ORDER = ((0, 0), (0, 1), (1, 0), (1, 1))  # dataset and label of the four groups, one after the other


class CovariateDataset(Dataset):
    """Images of two datasets, drawn so that dataset and label go together in a chosen degree.

    Of each dataset as many positives and negatives are drawn as the smallest group allows. For training the
    share `ratio` of the positives comes from the second dataset and of the negatives from the first; for
    ``valid`` it is 1 - `ratio`, and ``test`` has what neither took. `xrdatasets.covariate` is the same for
    our datasets.

    Args:
        d1, d2: the datasets.
        d1_target, d2_target: (N,) 1 or 0 for each of their images.
        ratio: from 0 to 1.
        mode: ``train``, ``valid`` or ``test``; the three share no image.
        seed: of the draw, which touches no global generator; torchxrayvision draws other images.
        nsamples: at most about so many images, None for all.
        splits: shares of train, valid and test, adding up to 1.
        verbose: taken and not used: nothing is printed.

    Attributes:
        site: (N,) 0 or 1, the dataset of each row; also in a sample, beside ``lab-old``.
        imageids: (N,) its row there.

    Raises:
        ValueError: an argument is none of these, or `ratio` and `splits` want more images than there are.
    """

    def __init__(
        self,
        d1: Dataset,
        d1_target: npt.ArrayLike,
        d2: Dataset,
        d2_target: npt.ArrayLike,
        ratio: float = 0.5,
        mode: Mode = "train",
        seed: int = 0,
        nsamples: int | None = None,
        splits: Sequence[float] = (0.5, 0.25, 0.25),
        verbose: bool = False,
    ) -> None:
        _check(ratio, mode, splits)
        self.d1, self.d2 = d1, d2
        targets = [_targets(target, d) for target, d in ((d1_target, d1), (d2_target, d2))]
        rng = np.random.default_rng(seed)
        least = min(int((targets[site] == label).sum()) for site, label in ORDER)
        groups = []
        for site, label in ORDER:
            rows = rng.permutation(np.flatnonzero(targets[site] == label))[:least]
            share = ratio if site == label else 1 - ratio
            groups.append(_part(rows, share, mode, splits))
        if nsamples:
            # half of each of the two labels; an odd rest goes to the groups in the middle
            sizes = (nsamples // 4, -(-nsamples // 4), -(-nsamples // 4), nsamples // 4)
            groups = [rows[:size] for rows, size in zip(groups, sizes, strict=True)]
        counts = [len(rows) for rows in groups]
        self.imageids = np.concatenate(groups)
        self.site = np.repeat([site for site, _ in ORDER], counts)
        self.labels = np.repeat([label for _, label in ORDER], counts).reshape(-1, 1).astype(np.float32)
        self.pathologies = ["Custom"]
        both = pd.concat([d1.csv, d2.csv], ignore_index=True)
        rows = self.imageids + np.where(self.site == 1, len(d1), 0)
        self.csv = both.iloc[rows].reset_index(drop=True).assign(site=self.site, label=self.labels[:, 0])

    def __getitem__(self, idx: int) -> dict[str, Any]:
        row = as_row(idx, len(self))
        site = int(self.site[row])
        sample = (self.d1, self.d2)[site][int(self.imageids[row])]
        return sample | {"lab-old": sample["lab"], "lab": self.labels[row].copy(), "site": site}


def _check(ratio: float, mode: str, splits: Sequence[float]) -> None:
    if mode not in get_args(Mode):
        msg = f"mode: expected {', '.join(get_args(Mode))}, got {mode!r}."
        raise ValueError(msg)
    if not 0 <= ratio <= 1:
        msg = f"ratio: expected a number from 0 to 1, got {ratio!r}."
        raise ValueError(msg)
    if len(splits) != len(get_args(Mode)) or not isclose(sum(splits), 1) or min(splits) < 0:
        msg = f"splits: expected three shares that add up to 1, got {splits!r}."
        raise ValueError(msg)


def _targets(target: npt.ArrayLike, dataset: Dataset) -> npt.NDArray[Any]:
    values = np.asarray(target).ravel()
    if len(values) != len(dataset):
        msg = f"d1_target, d2_target: expected one for each of {len(dataset):,} images, got {len(values):,}."
        raise ValueError(msg)
    return values


def _part(
    rows: npt.NDArray[np.intp], share: float, mode: Mode, splits: Sequence[float]
) -> npt.NDArray[np.intp]:
    """The rows of a group that a mode gets: train by the share, valid by its rest, test what is left."""
    # twice, because two of the four groups share a label
    train = int(len(rows) * share * splits[0] * 2)
    valid = int(len(rows) * (1 - share) * splits[1] * 2)
    if train + valid > len(rows):
        msg = (
            f"ratio and splits: expected at most the {len(rows):,} images of a group, got {train:,} for "
            f"train and {valid:,} for valid. Choose a ratio nearer to 0.5, or a smaller first share."
        )
        raise ValueError(msg)
    parts = np.split(rows, [train, train + valid])
    return parts[get_args(Mode).index(mode)]
