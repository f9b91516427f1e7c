"""What each release states about itself: one row of ``mappings/datasets.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.resources import Row, mappings, read_rows

__all__ = ["Absent", "Facts", "dataset_keys"]

Absent = Literal["negative", "unmentioned", "unknown"]
"""What a blank means: not there, not mentioned in the report, or nothing at all."""

COLUMNS = (
    "key", "title", "release", "licence", "url", "absent", "frontal_only", "image_family", "images",
    "patients", "reference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a release: its name, terms, size and how its blanks are to be read.

    Attributes:
        key: the name in the registry, of the mapping file and of the docs page.
        title: the name people use.
        release: version or date of the release.
        licence: the terms.
        url: where the release is to be had.
        absent: what a blank means (`Absent`).
        frontal_only: all images are frontal, so a view that is not stated passes as frontal.
        image_family: releases with the same word share images.
        images: images in the release, None if not known.
        patients: patients in the release, None if not known.
        reference: the publication.

    Example:
        >>> Facts.load("nih").absent
        'negative'
    """

    key: str
    title: str
    release: str
    licence: str
    url: str
    absent: Absent
    frontal_only: bool
    image_family: str
    images: int | None
    patients: int | None
    reference: str

    @classmethod
    def load(cls, key: str) -> Facts:
        """Facts of the dataset with this key.

        Raises:
            DatasetNotFoundError: no dataset has this key; the message lists those there are.
        """
        facts = _all_facts()
        if key not in facts:
            msg = f"no dataset is called {key!r}. Expected one of: {', '.join(facts)}."
            raise DatasetNotFoundError(msg)
        return facts[key]


def dataset_keys() -> tuple[str, ...]:
    """Keys of all datasets, in the order of ``datasets.csv``."""
    return tuple(_all_facts())


@cache
def _all_facts() -> dict[str, Facts]:
    rows = read_rows(mappings() / "datasets.csv", COLUMNS)
    facts: dict[str, Facts] = {}
    for row in rows:
        key = row.cells["key"]
        if not key or key in facts:
            raise row.error("each key once", key)
        facts[key] = _facts(row)
    return facts


def _facts(row: Row) -> Facts:
    cells = row.cells
    if cells["frontal_only"] not in ("yes", "no"):
        raise row.error("frontal_only to be yes or no", cells["frontal_only"])
    return Facts(
        key=cells["key"],
        title=cells["title"],
        release=cells["release"],
        licence=cells["licence"],
        url=cells["url"],
        absent=_absent(row),
        frontal_only=cells["frontal_only"] == "yes",
        image_family=cells["image_family"],
        images=_count(row, "images"),
        patients=_count(row, "patients"),
        reference=cells["reference"],
    )


def _count(row: Row, column: str) -> int | None:
    text = row.cells[column]
    if text and not text.isdecimal():
        expected = f"{column} to be a whole number or empty"
        raise row.error(expected, text)
    return int(text) if text else None


def _absent(row: Row) -> Absent:
    match row.cells["absent"]:
        case "negative" | "unmentioned" | "unknown" as absent:
            return absent
        case other:
            raise row.error("absent to be negative, unmentioned or unknown", other)
