"""Datasets, step 5: splits that keep a patient on one side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.families import image_names
from xrdatasets.datasets.options import check_count
from xrdatasets.datasets.strata import stratified
from xrdatasets.labels.draws import Hashes, hash_keys, uniform
from xrdatasets.labels.findings import finding

__all__ = ["patient_keys", "patient_parts", "strata_labels"]


def patient_keys(table: pd.DataFrame, families: pd.Series) -> npt.NDArray[np.uint64]:
    """(N,) uint64: equal for the images of one patient of one image family.

    Rows of one image belong to one patient, also where only one of them knows whose it is (RSNA and NIH).

    Args:
        table: with ``image_id`` and ``patient_id``; an image without a patient is its own.
        families: (N,) image family of each row.
    """
    rows, names = image_names(table, families)
    known = table["patient_id"].notna().to_numpy()
    owners = names[: len(table)].copy()
    patients = families[known].astype("str") + "\x00p" + table["patient_id"][known].astype("str")
    owners[known] = hash_keys(patients.to_numpy(dtype=object))
    pairs = pd.DataFrame({"owner": owners[rows], "name": names, "known": known[rows]})
    pairs = pairs[pairs["name"].duplicated(keep=False)].drop_duplicates()
    pairs = pairs[pairs["name"].duplicated(keep=False)]  # images that have two owners
    return owners if pairs.empty else _joined(owners, pairs)


def patient_parts(
    table: pd.DataFrame,
    families: pd.Series,
    fractions: Sequence[float],
    *,
    seed: int,
    positive: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.intp]:
    """(N,) number of the part that each image goes to.

    Args:
        table: with ``image_id`` and ``patient_id``.
        families: (N,) image family of each row.
        fractions: shares of the patients, adding up to 1.
        seed: of the patients' order.
        positive: (N, K) where each image has each finding whose share is to be alike in all parts.

    Raises:
        ValueError: fractions that do not add up to 1, or a part that would stay empty.
    """
    shares = _shares(fractions)
    check_count("seed", seed, least=0)
    patients, owner = np.unique(patient_keys(table, families), return_inverse=True)
    draws = uniform(patients, label="split_by_patient", seed=seed, epoch=0)
    cuts = np.rint(np.cumsum(shares) * len(patients)).astype(np.intp)
    if np.any(np.diff(cuts, prepend=0) == 0):
        msg = f"fractions: {fractions!r} of {len(patients)} patients leave a part empty. Use fewer parts."
        raise ValueError(msg)
    part = np.empty(len(patients), dtype=np.intp)
    if positive is None:
        order = np.argsort(draws, kind="stable")
        part[order] = np.searchsorted(cuts, np.arange(len(patients)), side="right")
    else:
        rows = [*positive.T, np.ones(len(owner))]
        counts = np.array([np.bincount(owner, row, len(patients)) for row in rows], dtype=np.float64)
        part = stratified(counts, np.diff(cuts, prepend=0), draws)
    return part[owner]


def strata_labels(stratify: object, space: Sequence[str]) -> tuple[str, ...]:
    """The findings that `stratify` means.

    Args:
        stratify: True for all of the space, a finding, or several.
        space: the findings of the space.

    Raises:
        LabelNotFoundError: there is no such finding.
        ValueError: it is something else, or none.
    """
    if stratify is True:
        return tuple(space)
    several = [stratify] if isinstance(stratify, str) else stratify
    if not isinstance(several, Iterable) or not (names := list(several)):
        msg = f"stratify: expected True, a finding or several, or None, got {stratify!r}."
        raise ValueError(msg)
    return tuple(dict.fromkeys(finding(name) for name in names))


def _joined(owners: Hashes, pairs: pd.DataFrame) -> Hashes:
    """The owners, those who share an image made one: the patient with the smallest key, if any is known."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    people = pairs[["owner", "known"]].drop_duplicates(ignore_index=True)
    who = pd.Index(people["owner"]).get_indexer(pairs["owner"])
    image, found = pd.factorize(pairs["name"])
    size = len(people) + len(found)
    links = coo_array((np.ones(len(who), dtype=np.int8), (who, len(people) + image)), shape=(size, size))
    group = connected_components(links.tocsr(), directed=False)[1][: len(people)]
    order = np.lexsort((people["owner"], ~people["known"], group))
    first = order[np.flatnonzero(np.diff(group[order], prepend=-1))]  # one of each group, in its order
    key = people["owner"].to_numpy()[first][np.unique(group, return_inverse=True)[1]]
    at = pd.Index(people["owner"]).get_indexer(owners)
    return np.where(at < 0, owners, key[at])


def _shares(fractions: object) -> list[float]:
    """Fractions as numbers.

    Raises:
        ValueError: they are no numbers above 0 that add up to 1.
    """
    good = isinstance(fractions, Iterable) and not isinstance(fractions, str)
    given = list(fractions) if good else []  # type: ignore[call-overload]
    shares = [share for share in given if isinstance(share, (int, float)) and share > 0]
    if not shares or len(shares) < len(given) or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        msg = f"fractions: expected numbers above 0 that add up to 1, got {fractions!r}."
        raise ValueError(msg)
    return shares
