"""Datasets, step 3: images that a release has and that nobody can use, by ``exclusions.csv``."""

from __future__ import annotations

import logging
from functools import cache

import pandas as pd

from xrdatasets.facts import Facts
from xrdatasets.resources import mappings, read_rows

__all__ = ["excluded", "keep_usable"]

logger = logging.getLogger(__name__)

COLUMNS = ("dataset", "image_id", "reason")


def excluded(key: str) -> dict[str, str]:
    """Why each image is left out, by its id.

    Args:
        key: of a dataset.

    Raises:
        MappingError: ``exclusions.csv`` is wrong: file, line and what was expected.

    Example:
        >>> excluded("nih")
        {}
    """
    return dict(_all_excluded().get(key, {}))


def keep_usable(table: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """The rows that are not listed; what is left out is logged."""
    listed = excluded(facts.key)
    out = table["image_id"].isin(listed.keys()).to_numpy()
    if not out.any():
        return table
    logger.info("%s: %s images are left out, as exclusions.csv says", facts.key, f"{int(out.sum()):,}")
    return table[~out].reset_index(drop=True)


@cache
def _all_excluded() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in read_rows(mappings() / "exclusions.csv", COLUMNS):
        reasons = found.setdefault(row.cells["dataset"], {})
        image = row.cells["image_id"]
        if not image or not row.cells["reason"] or image in reasons:
            raise row.error("each image of a dataset once, with a reason", f"{image!r}")
        reasons[image] = row.cells["reason"]
    return found
