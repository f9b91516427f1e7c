"""Legacy: what every dataset of torchxrayvision has: labels, table, totals, and its one line of text."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["MASKS", "Dataset", "apply_transforms"]

MASKS = ("pathology_masks", "semantic_masks")
"""The dicts of masks that a sample may carry."""

Change = Callable[[Any], Any]


class Dataset:
    """Images with labels, as torchxrayvision has them: everything may be written to.

    Attributes:
        pathologies: names of the L columns of labels.
        labels: (N, L) float32, 1, 0 or NaN.
        csv: one row for each image.
    """

    pathologies: list[str]
    labels: npt.NDArray[np.float32]
    csv: pd.DataFrame

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def totals(self) -> dict[str, dict[float, int]]:
        """How often each value of each label is there, the most frequent first; NaN is not counted."""
        columns = (column[~np.isnan(column)] for column in np.asarray(self.labels, dtype=float).T)
        counts = [dict(Counter(column.tolist()).most_common()) for column in columns]
        return dict(zip(self.pathologies, counts, strict=True))

    def string(self) -> str:
        """The dataset in a line."""
        return f"{type(self).__name__} num_samples={len(self)}"

    def __repr__(self) -> str:
        return self.string()


def apply_transforms(
    sample: dict[str, Any], transform: Change | None, seed: int | None = None
) -> dict[str, Any]:
    """Transform the image of a sample, and its masks in the same way.

    Random transforms draw from the generators of `random` and torch; for each mask they are put back to where
    they stood before the image. Afterwards they stand as if there had been no mask.

    Args:
        sample: with ``img`` and perhaps ``pathology_masks`` or ``semantic_masks``; it is changed.
        transform: called with (1, H, W) arrays, None for none.
        seed: of the generators, for this sample alone; None leaves them as they are.

    Returns:
        The same sample.
    """
    if transform is None:
        return sample
    masks = [sample[name] for name in MASKS if name in sample]
    if seed is None and not any(masks):
        sample["img"] = transform(sample["img"])
        return sample
    with _generators(seed) as rewind:
        for mask in masks:
            for key in mask:
                mask[key] = transform(mask[key])
                rewind()
        sample["img"] = transform(sample["img"])
    return sample


@contextmanager
def _generators(seed: int | None) -> Iterator[Callable[[], None]]:
    """A way back to where the generators stand now, or by the seed; with a seed they end as they began."""
    import torch

    before = random.getstate(), torch.get_rng_state()
    if seed is not None:
        random.seed(seed)
        torch.manual_seed(seed)
    start = random.getstate(), torch.get_rng_state()

    def rewind(to: tuple[Any, Any] = start) -> None:
        random.setstate(to[0])
        torch.set_rng_state(to[1])

    try:
        yield rewind
    finally:
        if seed is not None:
            rewind(before)
