"""Training, step 1: several datasets as one, split by patient, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrdatasets.datasets import concat
from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.errors import EmptyDatasetError
from xrdatasets.labels import LabelSpace
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.recipe_sections import UNION
from xrdatasets.training.weights import (
    POSITIVE,
    LabelSets,
    label_sets,
    positive_weights,
    task_weights_cohen,
)

__all__ = ["Counts", "Gathered"]

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Counts:
    """What the training images say, for D datasets and L findings.

    Attributes:
        datasets: D names.
        space: the findings.
        images: training images of each dataset.
        parts: for each part of the joined dataset (``source`` of a batch), the number of its dataset.
        internal: number of the dataset that the network is for.
        labelled: (D, L) bool, whether a training image of the dataset has a known target.
        positive: (D, L) int64, targets of at least 0.5.
        negative: (D, L) int64, known targets below.
        beta: (L,) float32, `positive_weights` of all training images.
        beta_each: (D, L) float32, that of each dataset's own.
        rarity: (L,) float32, `task_weights_cohen` of all training images.
    """

    datasets: tuple[str, ...]
    space: LabelSpace
    images: tuple[int, ...]
    parts: tuple[int, ...]
    internal: int
    labelled: Tensor
    positive: Tensor
    negative: Tensor
    beta: Tensor
    beta_each: Tensor
    rarity: Tensor

    @property
    def sets(self) -> LabelSets:
        """Common, internal-only and external-only findings."""
        return label_sets(self.labelled, internal=self.internal)

    @property
    def known(self) -> Tensor:
        """(L,) bool, whether any training image has a known target."""
        return self.labelled.any(0)

    def trained(self, least: int) -> Tensor:
        """(L,) bool: outputs with at least `least` positive training images, and a negative one.

        One that never saw a negative says yes to everything.
        """
        return (self.positive.sum(0) >= least) & (self.negative.sum(0) > 0)

    @classmethod
    def of(
        cls,
        targets: npt.NDArray[Any] | Tensor,
        owner: npt.NDArray[Any] | Tensor | None = None,
        *,
        space: LabelSpace | str | Sequence[str],
        datasets: Sequence[str] = ("data",),
        parts: Sequence[int] | None = None,
        internal: int = 0,
    ) -> Counts:
        """Count targets.

        Args:
            targets: (N, L) in [0, 1], NaN unknown.
            owner: (N,) number of each image's dataset; None for one dataset.
            space: the L findings.
            datasets: D names.
            parts: as the attribute; None where each part is a dataset.
            internal: as the attribute.

        Returns:
            The counts.

        Raises:
            ValueError: shapes that do not fit, or targets that are none.
        """
        values = torch.as_tensor(np.array(targets, dtype=np.float32))
        found = LabelSpace.of(space)
        if values.ndim != 2 or values.shape[1] != len(found):
            msg = f"targets: expected (N, {len(found)}), one column each finding, got {tuple(values.shape)}."
            raise ValueError(msg)
        whose = torch.zeros(len(values), dtype=torch.int64) if owner is None else torch.as_tensor(owner)
        rows = [values[whose == number] for number in range(len(datasets))]
        positive = torch.stack([(each >= POSITIVE).sum(0) for each in rows])
        negative = torch.stack([(each < POSITIVE).sum(0) for each in rows])
        return cls(
            datasets=tuple(datasets),
            space=found,
            images=tuple(len(each) for each in rows),
            parts=tuple(range(len(datasets)) if parts is None else parts),
            internal=internal,
            labelled=(positive + negative) > 0,
            positive=positive,
            negative=negative,
            beta=positive_weights(values),
            beta_each=torch.stack([positive_weights(each) for each in rows]),
            rarity=task_weights_cohen(values),
        )


@dataclass(frozen=True, eq=False)
class Gathered:
    """Training and validation images of several datasets.

    Attributes:
        train: the training images, one dataset below the other.
        validation: likewise.
        truth: (V, L) float32, the validation images' labels: 1, 0, NaN where nothing certain is known.
        counts: of the training images.
        held_out: images of test splits, which take no part.
    """

    train: Collection
    validation: Collection
    truth: npt.NDArray[np.float32]
    counts: Counts
    held_out: int

    @classmethod
    def of(cls, recipe: Recipe, datasets: Sequence[Collection]) -> Gathered:
        """Join datasets, and keep patients apart.

        A dataset that has rows of a split "val" is validated on those; of the others, a share of the patients
        is taken out. Rows of a split "test" take no part, unless a dataset has no others. Patients of one
        image family stand on one side, whichever dataset they come from.

        Args:
            recipe: its section ``data``, and the seed.
            datasets: opened datasets; each keeps its policy.

        Returns:
            The images.

        Raises:
            EmptyDatasetError: no image is left to train or to validate on.
            ValueError: datasets that do not go together, or that have another size than the recipe.

        Warns:
            OverlapWarning: datasets share images.
        """
        several = check_datasets("datasets", datasets)
        internal = recipe.data.internal
        if internal >= len(several):
            msg = f"data.internal: expected the number of a dataset, 0 to {len(several) - 1}, got {internal}."
            raise ValueError(msg)
        if not recipe.data.joint:
            several, internal = (several[internal],), 0
        _check_sizes(several, recipe.data.size)
        space = _space(several, recipe)
        merged = concat([dataset.relabel(space) for dataset in several])
        owner = np.repeat(np.arange(len(several)), [len(dataset) for dataset in several])
        parts = [number for number, dataset in enumerate(several) for _ in dataset.parts]
        side = _sides(merged, owner, recipe)
        train, validation = (merged.select(np.flatnonzero(side == number)) for number in (0, 1))
        _check_sides(side, owner, several)
        counts = Counts.of(
            train.labels,
            owner[side == 0],
            space=space,
            datasets=_names(several),
            parts=parts,
            internal=internal,
        )
        truth = np.where(validation.codes == -1, np.float32(np.nan), validation.labels)
        return cls(train, validation, truth, counts, int((side == 2).sum()))


def _space(datasets: Sequence[Collection], recipe: Recipe) -> LabelSpace:
    """The recipe's space; the union has the datasets' own findings in the order in which they come."""
    if recipe.data.space != UNION:
        return LabelSpace.of(recipe.data.space)
    found = [
        label
        for dataset in datasets
        for part in dataset.parts
        for label in part.relabel("native").pathologies
    ]
    return LabelSpace(UNION, tuple(dict.fromkeys(found)))


def _sides(merged: Collection, owner: Numbers, recipe: Recipe) -> Numbers:
    """(N,) 0 for training, 1 for validation, 2 for neither."""
    words = merged.table["split"].astype("str").to_numpy(dtype=object)
    side = np.zeros(len(merged), dtype=np.intp)
    open_: Bools = np.ones(len(merged), dtype=np.bool_)
    for number in range(int(owner.max()) + 1):
        own = owner == number
        test, val = own & (words == "test"), own & (words == "val")
        if test.sum() < own.sum():
            side[test] = 2
        if 0 < val.sum() < own.sum() - (side[own] == 2).sum():
            side[val] = 1
            open_ &= ~own
    rows = np.flatnonzero(open_ & (side == 0))
    if len(rows):
        share = recipe.data.validation
        rest = merged.select(rows)
        _, taken = rest.split_by_patient((1 - share, share), seed=recipe.seed)
        side[rows[_where(rest, taken)]] = 1
    return side


def _where(whole: Collection, chosen: Collection) -> Numbers:
    """Where the images of a choice stand in the whole, whose order they have."""
    keys, wanted = whole.rows.T, chosen.rows.T
    found = np.empty(len(wanted), dtype=np.intp)
    at = 0
    # both are in one order, so one pass is enough
    for number, key in enumerate(map(bytes, np.ascontiguousarray(keys))):
        if at < len(wanted) and key == wanted[at].tobytes():
            found[at], at = number, at + 1
    return found


def _names(datasets: Sequence[Collection]) -> list[str]:
    """A name for each dataset, its parts' keys; repeated ones are numbered."""
    names: list[str] = []
    for dataset in datasets:
        keys = dict.fromkeys(getattr(part, "key", part.facts.key) for part in dataset.parts)
        names.append("+".join(keys))
    again = {name for name in names if names.count(name) > 1}
    return [
        f"{name}_{names[:at].count(name) + 1}" if name in again else name for at, name in enumerate(names)
    ]


def _check_sizes(datasets: Sequence[Collection], size: int) -> None:
    for dataset in datasets:
        for part in dataset.parts:
            if part.options.size != size:
                msg = (
                    f"{part.facts.key}: expected images of {size} x {size}, as the recipe's data.size says, "
                    f"got {part.options.size}. Open it with size={size}, or override data.size."
                )
                raise ValueError(msg)


def _check_sides(side: Numbers, owner: Numbers, datasets: Sequence[Collection]) -> None:
    for number, name in enumerate(_names(datasets)):
        if not (side[owner == number] == 0).any():
            msg = f"{name}: no image is left to train on."
            raise EmptyDatasetError(msg)
    if not (side == 1).any():
        raise EmptyDatasetError("no image is left to validate on. Raise data.validation.")
