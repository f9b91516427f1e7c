"""Datasets, step 5: what an image is called in each dataset that has it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.facts import Facts
from xrdatasets.labels.draws import Hashes, hash_keys
from xrdatasets.resources import mappings, read_rows

__all__ = ["FAMILY_ID", "Member", "family_ids", "image_names", "known_ids", "members"]

FAMILY_ID = "family_image_id"
"""Column of a table that renamed its images: their names in the image family, where they are known."""

COLUMNS = ("dataset", "family", "prefix", "ids", "table", "note", "reference")
FAMILY, OWN = "family", "own"


@dataclass(frozen=True, slots=True)
class Member:
    """That a dataset has images of a family: one row of ``mappings/overlaps/families.csv``.

    Attributes:
        dataset: key of the dataset.
        family: the family.
        home: it is the dataset's own family (`Facts.image_family`).
        prefix: how the ids of these images begin, empty for all.
        named: the ids are the family's, so that images are found by them.
        table: where a table of the names in the family is to be had, empty if nowhere.
        reference: who says so.
    """

    dataset: str
    family: str
    home: bool
    prefix: str
    named: bool
    table: str
    reference: str


def members(dataset: str) -> tuple[Member, ...]:
    """The families that a dataset has images of, as far as they are documented.

    Args:
        dataset: key of the dataset; one without a row is of its own family alone, under its names.

    Example:
        >>> [member.family for member in members("tbx11k")]
        ['montgomery', 'shenzhen']
    """
    return _all_members().get(dataset, ())


def family_ids(table: pd.DataFrame) -> pd.Series:
    """(N,) what each image is called in its family, or what its dataset alone calls it.

    Args:
        table: with ``image_id``, ``dataset`` and, where names are at hand, ``family_image_id``.
    """
    ids = known_ids(table)
    if not ids.isna().any():
        return ids
    return ids.fillna(table["dataset"].astype("str") + "\x00" + table["image_id"])


def known_ids(table: pd.DataFrame) -> pd.Series:
    """(N,) what each image is called in its family, NA where its dataset has renamed it and does not say."""
    renamed = [
        key for key in table["dataset"].unique() if any(m.home and not m.named for m in members(str(key)))
    ]
    ids: pd.Series = table["image_id"]
    if renamed:
        ids = ids.mask(table["dataset"].isin(renamed))
    return ids if FAMILY_ID not in table else table[FAMILY_ID].astype("str").fillna(ids)


def image_names(table: pd.DataFrame, families: pd.Series) -> tuple[npt.NDArray[np.intp], Hashes]:
    """Names of images: two rows with one name are the same image.

    Args:
        table: with ``image_id`` and ``dataset``.
        families: (N,) image family of each row.

    Returns:
        Rows (M,) and hashes of names (M,) uint64: first the N rows with their name in their own family,
        then what they are called in another family (COVID19's images of Hannover: without folders).
    """
    own = hash_keys(_named(families.astype("str"), family_ids(table)))
    rows, names = [np.arange(len(table))], [own]
    datasets = table["dataset"].unique()
    for member in (member for key in datasets for member in members(str(key)) if not member.home):
        here = (table["dataset"] == member.dataset) & table["image_id"].str.startswith(member.prefix)
        there = np.flatnonzero(here)
        if len(there):
            stems = family_ids(table).iloc[there].str.rsplit("/", n=1).str[-1]
            rows.append(there)
            names.append(hash_keys(_named(pd.Series(member.family, index=stems.index), stems)))
    return np.concatenate(rows), np.concatenate(names)


def _named(families: pd.Series, ids: pd.Series) -> npt.NDArray[np.object_]:
    named: npt.NDArray[np.object_] = (families + "\x00i" + ids).to_numpy(dtype=object)
    return named


@cache
def _all_members() -> dict[str, tuple[Member, ...]]:
    found: dict[str, tuple[Member, ...]] = {}
    for row in read_rows(mappings() / "overlaps" / "families.csv", COLUMNS):
        cells = row.cells
        if cells["ids"] not in (FAMILY, OWN):
            expected = f"ids to be {FAMILY} or {OWN}"
            raise row.error(expected, cells["ids"])
        if not cells["reference"]:
            raise row.error("a reference", "")
        member = Member(
            cells["dataset"],
            cells["family"],
            Facts.load(cells["dataset"]).image_family == cells["family"],
            cells["prefix"],
            cells["ids"] == FAMILY,
            cells["table"],
            cells["reference"],
        )
        found[member.dataset] = (*found.get(member.dataset, ()), member)
    return found
