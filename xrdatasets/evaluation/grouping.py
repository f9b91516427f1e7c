"""Evaluation: answers for findings that a test set names and a model does not, from those that it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.evaluation.entries import Floats, numbers

__all__ = ["MAJKOWSKA", "mean_over"]

# how Luo et al. (IEEE TMI 39, 2020, Table VII) answer for two of the four findings of Majkowska et al.
# (Radiology 294, 2020); pneumothorax and fracture are findings of their own
MAJKOWSKA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Airspace opacity": (
            "Edema",
            "Consolidation",
            "Mass",
            "Nodule",
            "Pneumonia",
            "Atelectasis",
            "Infiltration",
        ),
        "Nodule or mass": ("Nodule", "Mass"),
    }
)


def mean_over(
    probabilities: npt.ArrayLike,
    pathologies: Sequence[str],
    *,
    groups: Mapping[str, Sequence[str]] = MAJKOWSKA,
) -> Floats:
    """Mean probability over the findings of each group: an answer for a name that the model does not know.

    Probabilities are averaged, not logits.

    Args:
        probabilities: (N, L); NaN no answer.
        pathologies: (L,) names of the columns.
        groups: name → the findings that are averaged.

    Returns:
        (N, G) float64, in the order of `groups`; NaN where one of the findings is NaN, as a mean over fewer
        would be another score.

    Raises:
        LabelNotFoundError: a finding is not among the columns.
        ValueError: the probabilities are no (N, L) numbers, or a group is empty.

    Example:
        >>> mean_over([[0.25, 0.5]], ["Nodule", "Mass"], groups={"Nodule or mass": ["Nodule", "Mass"]})
        array([[0.375]])
    """
    table, names = numbers("probabilities", probabilities), list(pathologies)
    if table.ndim != 2 or table.shape[1] != len(names):
        msg = (
            f"probabilities: expected the shape (N, {len(names)}), a column for each name, got {table.shape}."
        )
        raise ValueError(msg)
    means = np.empty((len(table), len(groups)))
    for place, (name, findings) in enumerate(groups.items()):
        missing = [finding for finding in findings if finding not in names]
        if missing:
            msg = (
                f"{name}: expected {', '.join(findings)} among the columns, got none for "
                f"{', '.join(missing)}. "
                "Give the scores of a model that has them, or `groups` without this one."
            )
            raise LabelNotFoundError(msg)
        if not findings:
            msg = f"groups: expected at least one finding for {name}, got none."
            raise ValueError(msg)
        means[:, place] = table[:, [names.index(finding) for finding in findings]].mean(axis=1)
    return means
