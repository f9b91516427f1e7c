"""Datasets, step 2: tables with a row for each image and reader."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["READER", "by_image", "one_per_image"]

READER = "reader_id"
"""The column that says who read the image."""


def one_per_image(readings: pd.DataFrame) -> pd.DataFrame:
    """The first row of each image, in first-seen order, and ``readers``: how many read it."""
    first = readings[~readings["image_id"].duplicated()].reset_index(drop=True)
    counts = readings["image_id"].value_counts()
    return first.assign(readers=counts.reindex(first["image_id"]).to_numpy(dtype=np.int16))


def by_image(readings: pd.DataFrame, images: pd.Series) -> tuple[pd.DataFrame, npt.NDArray[np.intp]]:
    """The readings of these images, those of one image together.

    Args:
        readings: a row for each image and reader.
        images: (N,) ids, each once, each with a reading.

    Returns:
        The R rows in the order of the images, and (N + 1,) where those of each image begin, and R.
    """
    image = pd.Index(images).get_indexer(pd.Index(readings["image_id"]))
    order = np.argsort(image, kind="stable")[np.count_nonzero(image < 0) :]
    counts = np.bincount(image[image >= 0], minlength=len(images))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    return readings.iloc[order], starts
