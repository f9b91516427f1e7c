"""Datasets, step 2: labels that stand in a table of their own, beside the table of the images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import TableError
from xrdatasets.facts import Absent
from xrdatasets.labels.codes import UNKNOWN, frozen
from xrdatasets.labels.rules import Term
from xrdatasets.labels.terms import FindingColumns, TermMatrix

__all__ = ["LABELLED", "LabelledColumns", "join_labels", "small_codes"]

logger = logging.getLogger(__name__)

LABELLED = "labelled"
"""The column that says whether the label table has a row for the image."""


@dataclass(frozen=True, slots=True)
class LabelledColumns:
    """Columns of codes, as `FindingColumns`; a row that the label table lacks says nothing at all.

    Its cells are as blank as those of a report that does not mention a finding, yet no report was read.
    """

    def read(self, table: pd.DataFrame, terms: Sequence[Term], *, absent: Absent, where: str) -> TermMatrix:
        """States of every term; unknown where the column ``labelled`` says no.

        Raises:
            TableError: a column is missing, or holds what is no code.
        """
        matrix = FindingColumns().read(table, terms, absent=absent, where=where)
        there = table[LABELLED].to_numpy(dtype=bool)
        if there.all():
            return matrix
        states = matrix.states.copy()
        states[:, ~there] = UNKNOWN
        return TermMatrix(matrix.terms, frozen(states))


def join_labels(
    images: pd.DataFrame,
    keys: pd.Series,
    labels: pd.DataFrame,
    label_keys: pd.Series,
    *,
    where: str,
    whole: bool = True,
) -> pd.DataFrame:
    """The table of the images with the labels of each, and ``labelled``.

    Args:
        images: (N rows) one row per image.
        keys: (N,) what the image's labels are filed under.
        labels: (M rows) the columns of labels.
        label_keys: (M,) what they are filed under, each once.
        where: file of the labels, for messages.
        whole: they are meant for all images: that most have none is logged.

    Raises:
        TableError: two rows of labels have the same key, or no image has labels.

    Example:
        >>> images = pd.DataFrame({"image_id": ["a", "b", "c"]})
        >>> labels, keys = pd.DataFrame({"Edema": [1.0]}), pd.Series([7])
        >>> joined = join_labels(images, pd.Series([7, 7, 9]), labels, keys, where="labels.csv")
        >>> joined["Edema"].tolist(), joined["labelled"].tolist()
        ([1.0, 1.0, nan], [True, True, False])
    """
    if label_keys.duplicated().any():
        twice = label_keys[label_keys.duplicated()].iloc[0]
        msg = f"{where}: expected one row for each {label_keys.name}, got two for {twice}. Download it again."
        raise TableError(msg)
    rows: npt.NDArray[np.intp] = pd.Index(label_keys).get_indexer(pd.Index(keys))
    lost = int((rows < 0).sum())
    if len(rows) and lost == len(rows):
        expected = f"Expected the same {label_keys.name} in both tables. Download them again."
        msg = f"{where} has labels for none of {lost:,} images. {expected}"
        raise TableError(msg)
    if whole and lost > len(rows) / 2:
        logger.warning("%s has no labels for %s of %s images", where, f"{lost:,}", f"{len(rows):,}")
    # row -1 is in no table, so it is filled with blanks
    found = labels.set_axis(pd.RangeIndex(len(labels))).reindex(rows).set_axis(images.index)
    return pd.concat([images, found, pd.Series(rows >= 0, index=images.index, name=LABELLED)], axis=1)


def small_codes(codes: pd.DataFrame) -> pd.DataFrame:
    """Columns of codes in half the memory: float16 is exact for 1, 0, -1 and NaN."""
    return codes.astype(dict.fromkeys(codes.columns[codes.dtypes == "float32"], "float16"))
