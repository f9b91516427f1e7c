"""Datasets, step 5: several datasets as one, one below the other or reader beside reader."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.datasets.families import FAMILY_ID, family_ids
from xrdatasets.datasets.overlaps import overlap_messages
from xrdatasets.datasets.tables import CANONICAL, concat_tables
from xrdatasets.errors import OverlapWarning
from xrdatasets.labels.codes import NOTHING, UNMENTIONED, Floats, States, frozen
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import Policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.typing import Join

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["Combined", "concat", "join"]

Rows = npt.NDArray[np.int32]


class Combined(Collection):
    """Several datasets as one; made by `concat` and `join`.

    A cell comes from the first part that has the image and says something of the finding; each part
    keeps its own policy, image options and transform. Samples carry ``source``, the number of the part
    that gave the image; so does the column ``source`` of `table`.
    """

    def __init__(self, parts: Sequence[Single], rows: Rows, matrix: LabelMatrix, table: pd.DataFrame) -> None:
        self._parts = tuple(parts)
        self._rows = frozen(rows)
        self.matrix = matrix
        self._table = table

    @property
    def parts(self) -> tuple[Single, ...]:
        """The single datasets."""
        return self._parts

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """(P, N) int32: row of each image in each part, -1 where the part does not have it."""
        return self._rows

    def with_policy(self, policy: Policy) -> Self:
        """The same images, all parts under another policy.

        Raises:
            ValueError: it is no policy.
        """
        return self._with(_parts=tuple(part.with_policy(policy) for part in self.parts))

    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from: the part that speaks, and its cell.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """
        row = self._row(index)
        there = [
            (part, int(own)) for part, own in zip(self.parts, self.rows[:, row], strict=True) if own >= 0
        ]
        weights = [int(_weight(part.matrix.column(label)[own])) for part, own in there]
        found = [part.explain(own, label) for part, own in there]
        if not any(weights):  # nobody decides it: rather a reader who speaks of it than one who does not
            return next((each for each in found if each.column), found[0])
        return found[weights.index(max(weights))]

    def _targets(self) -> Floats:
        out = np.full((len(self), len(self.space)), np.nan, dtype=np.float32)
        best = np.zeros((len(self.space), len(self)), dtype=np.uint8)
        for part, rows in zip(self.parts, self.rows, strict=True):
            here = np.flatnonzero(rows >= 0)
            matrix = part.matrix.relabel(self.space).select(rows[here])
            targets = matrix.targets(part.policy)
            for column, label in enumerate(self.space.labels):
                weight = _weight(matrix.column(label))
                more = weight > best[column, here]
                out[here[more], column] = targets[more, column]
                best[column, here[more]] = weight[more]
        return out

    def _origin(self, row: int) -> tuple[Single, int]:
        source = int(self._table["source"].iloc[row])
        return self.parts[source], int(self.rows[source, row])

    def _extras(self, row: int) -> dict[str, Any]:
        return {"source": int(self._table["source"].iloc[row])}

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        return {"_rows": frozen(self.rows[:, numbers])}

    def _families(self) -> pd.Series:
        families = [part.facts.image_family for part in self.parts]
        return self._table["source"].map(dict(enumerate(families))).astype("category")

    def __repr__(self) -> str:
        counts = (self.rows >= 0).sum(axis=1)
        parts = ", ".join(f"{part.facts.key} {n:,}" for part, n in zip(self.parts, counts, strict=True))
        space = f"space {self.space.name} ({len(self.space)} findings)"
        return f"<{type(self).__name__}: {len(self):,} images ({parts}), {space}>"


def concat(datasets: Sequence[Collection]) -> Combined:
    """The images of several datasets, one dataset below the other.

    Label spaces are joined in first-seen order; a finding that a dataset does not label is NaN there.
    Each part keeps its policy.

    Args:
        datasets: datasets, also ones that were joined before.

    Returns:
        One dataset, ``idx`` counted through, with ``source`` in each sample.

    Raises:
        ValueError: no dataset, something else, or datasets with other masks or intensity.

    Warns:
        OverlapWarning: datasets share images; the message counts them, or says that it cannot be counted
            under which names, and what would help.

    Example:
        >>> import xrdatasets as xr
        >>> both = xr.concat([xr.NIH(NIH_ROOT), xr.Kermany(KERMANY_ROOT)])
        >>> both.table.source.unique().tolist()
        [0, 1]
    """
    several = check_datasets("concat", datasets)
    combined = _stack(several)
    groups = [dataset.parts for dataset in several]
    for message in overlap_messages(combined._table, combined._families(), combined.rows, groups):
        warnings.warn(message, OverlapWarning, stacklevel=2)
    return combined


def join(*datasets: Collection, how: Join = "prefer") -> Combined:
    """Several readers of the same images, as one dataset.

    Args:
        datasets: datasets that share images (of one image family and name), the preferred one first.
        how: ``prefer``: one row per image, each cell from the first reader who says something (uncertain
            counts, a blank does not); ``per_reader``: one row per image and reader.

    Returns:
        One dataset with the images of all, in first-seen order.

    Raises:
        ValueError: fewer than two datasets, something else, another `how`, other masks or intensity, or a
            dataset in which an image has several rows.

    Example:
        >>> import xrdatasets as xr
        >>> nih = xr.NIH(NIH_GOOGLE_ROOT, missing="keep")
        >>> google = xr.NIHGoogle(NIH_GOOGLE_ROOT, missing="keep")
        >>> len(xr.join(google, nih)), len(xr.join(google, nih, how="per_reader"))
        (3, 5)
    """
    if how not in get_args(Join):
        msg = f"how: expected {' or '.join(map(repr, get_args(Join)))}, got {how!r}."
        raise ValueError(msg)
    if len(datasets) == 1 and isinstance(datasets[0], list | tuple):
        raise ValueError("join: expected datasets one by one, as xr.join(a, b), got them in a list.")
    if len(check_datasets("join", datasets)) < 2:
        msg = f"join: expected at least two datasets, got {len(datasets)}."
        raise ValueError(msg)
    stacked = _stack(datasets)
    return stacked if how == "per_reader" else _merge_readers(stacked)


def _stack(datasets: Sequence[Collection]) -> Combined:
    parts: list[Single] = []
    blocks: list[tuple[int, Rows]] = []
    for dataset in datasets:
        blocks.append((len(parts), dataset.rows))
        parts.extend(dataset.parts)
    stacked = np.full((len(parts), sum(len(dataset) for dataset in datasets)), -1, dtype=np.int32)
    stop = 0
    for first, rows in blocks:
        start, stop = stop, stop + rows.shape[1]
        stacked[first : first + len(rows), start:stop] = rows
    _check_alike(parts)
    table = concat_tables(_columns_kept(datasets)).assign(source=_first(stacked))
    return Combined(parts, stacked, LabelMatrix.concat([dataset.matrix for dataset in datasets]), table)


def _columns_kept(datasets: Sequence[Collection]) -> list[pd.DataFrame]:
    """The tables' canonical columns, and the names in the family where any of them has those."""
    tables = [dataset._table for dataset in datasets]
    if not any(FAMILY_ID in table for table in tables):
        return [table[list(CANONICAL)] for table in tables]
    nothing = pd.Series(dtype="str")
    return [
        table[list(CANONICAL)].assign(
            **{FAMILY_ID: table.get(FAMILY_ID, nothing).astype("str").reindex(table.index)}
        )
        for table in tables
    ]


def _merge_readers(stacked: Combined) -> Combined:
    """One row per image: the rows of one image fall together, the preferred reader first."""
    image, found = pd.factorize(stacked._families().astype("str") + "\x00" + family_ids(stacked._table))
    rows = np.full((len(stacked.parts), len(found)), -1, dtype=np.int32)
    states = np.zeros((len(stacked.matrix.stored), len(found)), dtype=np.uint8)
    for part, own in enumerate(stacked.rows):
        here = np.flatnonzero(own >= 0)
        _refuse_repeats(stacked.parts[part].facts.key, image[here])
        rows[part, image[here]] = own[here]
        given, kept = stacked.matrix.states[:, here], states[:, image[here]]
        states[:, image[here]] = np.where(_weight(given) > _weight(kept), given, kept)
    first = np.full(len(found), -1, dtype=np.intp)
    first[image[::-1]] = np.arange(len(image))[::-1]
    table = stacked._table.iloc[first].reset_index(drop=True).assign(source=_first(rows))
    matrix = replace(stacked.matrix.select(first), states=frozen(states))
    return Combined(stacked.parts, rows, matrix, table)


def _check_alike(parts: Sequence[Single]) -> None:
    """Refuse parts whose samples could not stand in one batch, or would mean different things.

    Raises:
        ValueError: masks in some parts only, or two ranges of intensity.
    """
    for name in ("masks", "intensity"):
        values = [getattr(part.options, name) for part in parts]
        if len(set(values)) > 1:
            listed = ", ".join(
                f"{value!r} ({part.facts.key})" for part, value in zip(parts, values, strict=True)
            )
            msg = f"{name}: expected the same in all datasets that are joined, got {listed}."
            raise ValueError(msg)


def _refuse_repeats(key: str, images: npt.NDArray[np.intp]) -> None:
    repeated = len(images) - len(np.unique(images))
    if repeated:
        msg = f"join: {key} has {repeated:,} rows that repeat an image. Expected one row per image."
        raise ValueError(msg)


def _first(rows: Rows) -> npt.NDArray[np.intp]:
    """(N,) number of the first part that has each image."""
    first: npt.NDArray[np.intp] = np.argmax(rows >= 0, axis=0)
    return first


def _weight(states: States) -> States:
    """How much a state says: 2 a code, 1 a blank that may be filled, 0 nothing."""
    return np.where(np.isin(states, NOTHING), states == UNMENTIONED, 2).astype(np.uint8)
