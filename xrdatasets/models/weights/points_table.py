"""Models, step 7: operating points of published weights, from ``mappings/operating_points/``."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, get_args

from xrdatasets.models.weights.weights_table import WeightsEntry
from xrdatasets.resources import Row, mappings, read_rows

__all__ = ["Points", "has_corrected_points", "points_of"]

Points = Literal["published", "corrected"]
"""Which operating points: those that came with the weights, or those that are thought to have been meant."""

COLUMNS = ("finding", "published", "corrected", "source")
NUMBER = re.compile(r"0\.[0-9]+")


def points_of(entry: WeightsEntry, kind: Points = "published") -> dict[str, float]:
    """Operating points of weights, from ``mappings/operating_points/<name>.csv``.

    Args:
        entry: the weights.
        kind: ``published``, or ``corrected``: those that stand in place of published ones that are held to
            be wrong.

    Returns:
        The probability at which a finding is called, above 0 and below 1, of each finding that was trained.

    Raises:
        ValueError: another `kind`, or the published ones need no correction.
        MappingError: the table is wrong or missing.

    Example:
        >>> from xrdatasets.models.weights.weights_table import weights_entry
        >>> entry = weights_entry("resnet50-res512-all")
        >>> points_of(entry)["Atelectasis"], points_of(entry, "corrected")["Atelectasis"]
        (0.51570356, 0.062834906)
    """
    if kind not in get_args(Points):
        msg = f"operating_points: expected {' or '.join(map(repr, get_args(Points)))}, got {kind!r}."
        raise ValueError(msg)
    published, corrected = _table(entry)
    if kind == "published":
        return dict(published)
    if not corrected:
        msg = f"{entry.name}: its published operating points need no correction; take 'published'."
        raise ValueError(msg)
    return dict(corrected)


def has_corrected_points(entry: WeightsEntry) -> bool:
    """Whether the published operating points are held to be wrong, and others stand beside them."""
    return bool(_table(entry)[1])


@cache
def _table(entry: WeightsEntry) -> tuple[dict[str, float], dict[str, float]]:
    """The published and the corrected operating points; of these none, or as many."""
    published: dict[str, float] = {}
    corrected: dict[str, float] = {}
    file = mappings() / "operating_points" / f"{entry.name}.csv"
    row = Row(str(file), 1, {})
    for row in read_rows(file, COLUMNS):
        label = row.cells["finding"]
        if label not in entry.trained or label in published:
            expected = f"each finding once, of those that {entry.name} was trained on"
            raise row.error(expected, label)
        if not row.cells["source"]:
            raise row.error("a source", "")
        published[label] = _point(row, "published")
        if row.cells["corrected"]:
            corrected[label] = _point(row, "corrected")
    if lacking := [label for label in entry.trained if label not in published]:
        expected = f"a row for {', '.join(lacking)}"
        raise row.error(expected, "the end of the file")
    if corrected and len(corrected) < len(published):
        raise row.error("corrected to be filled in all rows or in none", "both")
    return published, corrected


def _point(row: Row, column: str) -> float:
    cell = row.cells[column]
    if not NUMBER.fullmatch(cell) or not float(cell):
        expected = f"{column} to be a number above 0 and below 1"
        raise row.error(expected, cell)
    return float(cell)
