"""Training, step 9: what a training would do, without doing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.training.gathering import Gathered
from xrdatasets.training.objective import Objective
from xrdatasets.training.parts import make_discriminators, make_network
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.samplers import EqualShares
from xrdatasets.training.schedules import rate_factor

__all__ = ["Plan", "shares"]


@dataclass(frozen=True)
class Plan:
    """What a training would do.

    Attributes:
        recipe: name of the recipe.
        datasets: for each: ``name``, ``policy``, ``train`` and ``validation`` (images), ``findings`` (that it
            labels).
        internal: name of the dataset that the network is for.
        held_out: images of test splits, which take no part.
        findings: for each: ``name``, ``set`` (common, internal, external, or "" for nobody's),
            ``task_weight``, ``positive_weight`` (one number, or one for each dataset), ``trained`` (whether
            the output will count as trained), ``positive`` and ``negative`` by dataset.
        pieces: names of what is added up to the loss.
        parameters: of the network.
        discriminators: their parameters.
        batch: images in a step of each process, before accumulation.
        steps: of each epoch, of each process.
        epochs: how many there are, at most.
        learning_rates: of each epoch; under ``"plateau"`` the first.
        schedule: name of the schedule.
        ensemble_bytes: that earlier predictions take.
    """

    recipe: str
    datasets: list[dict[str, Any]]
    internal: str
    held_out: int
    findings: list[dict[str, Any]]
    pieces: list[str]
    parameters: int
    discriminators: int
    batch: int
    steps: int
    epochs: int
    learning_rates: list[float]
    schedule: str
    ensemble_bytes: int

    @classmethod
    def of(cls, recipe: Recipe, datasets: Sequence[Collection], *, devices: int = 1) -> Plan:
        """The plan of a recipe for datasets.

        Args:
            recipe: the recipe.
            datasets: opened datasets.
            devices: processes.

        Returns:
            The plan.

        Raises:
            ValueError: as for `xrdatasets.training.run.train`.
            EmptyDatasetError: no image is left to train or validate on.

        Example:
            >>> import xrdatasets as xr
            >>> recipe = Recipe().override({"data.size": 16, "model.backbone": "mini"})
            >>> plan = Plan.of(recipe, [xr.Phantom(24, size=16)])
            >>> plan.steps, plan.pieces, plan.findings[0]["name"]
            (1, ['known'], 'Atelectasis')
        """
        several = check_datasets("datasets", datasets)
        data = Gathered.of(recipe, several)
        used = several if recipe.data.joint else (several[recipe.data.internal],)
        counts = data.counts
        with torch.random.fork_rng(devices=[]), torch.device("meta"):  # shapes without memory
            network = make_network(recipe, counts)
            judges = make_discriminators(recipe, counts, network)
        batches = shares(recipe, counts.images, world=devices)
        accumulated = -(-len(batches) // recipe.batches.accumulate)
        plan, images = recipe.optimiser, sum(counts.images)
        return cls(
            recipe=recipe.name,
            datasets=_datasets(data, used),
            internal=counts.datasets[counts.internal],
            held_out=data.held_out,
            findings=_findings(recipe, data),
            pieces=_pieces(recipe, adversarial=judges is not None),
            parameters=sum(each.numel() for each in network.parameters()),
            discriminators=0 if judges is None else sum(each.numel() for each in judges.parameters()),
            batch=batches.each * len(batches.sizes),
            steps=accumulated,
            epochs=recipe.epochs,
            learning_rates=[
                plan.learning_rate * rate_factor(recipe, epoch) for epoch in range(recipe.epochs)
            ],
            schedule=plan.schedule,
            # float16 twice, 16 and 32 bits beside
            ensemble_bytes=images * (4 * len(counts.space) + 6) if recipe.ensembling.weight else 0,
        )

    def as_dict(self) -> dict[str, Any]:
        """All fields, fit for JSON."""
        return dataclasses.asdict(self)


def shares(recipe: Recipe, images: Sequence[int], *, rank: int = 0, world: int = 1) -> EqualShares:
    """Which images make a batch.

    Args:
        recipe: its section ``batches``, and the seed.
        images: training images of each dataset.
        rank: of this process.
        world: number of processes.

    Returns:
        Equal shares of all datasets, or, without ``equal``, of their union.

    Example:
        >>> len(shares(Recipe.load("luo2020"), (160, 32))), len(shares(Recipe.load("baseline"), (160, 32)))
        (10, 6)
    """
    sizes = tuple(images) if recipe.batches.equal else (sum(images),)
    return EqualShares(sizes, recipe.batches.size, seed=recipe.seed, rank=rank, world=world)


def _datasets(data: Gathered, datasets: Sequence[Collection]) -> list[dict[str, Any]]:
    counts = data.counts
    part = data.validation.table["source"].to_numpy()
    whose = [counts.parts[number] for number in part.tolist()]
    return [
        {
            "name": name,
            "policy": "; ".join(dict.fromkeys(str(each.policy) for each in datasets[number].parts)),
            "train": counts.images[number],
            "validation": whose.count(number),
            "findings": int(counts.labelled[number].sum()),
        }
        for number, name in enumerate(counts.datasets)
    ]


def _findings(recipe: Recipe, data: Gathered) -> list[dict[str, Any]]:
    counts, objective = data.counts, Objective(recipe, data.counts)
    words = dict(zip(("common", "internal", "external"), counts.sets, strict=True))
    beta = objective.positive_weight
    return [
        {
            "name": name,
            "set": next((word for word, mask in words.items() if mask[column]), ""),
            "task_weight": float(objective.task_weight[column]),
            "positive_weight": float(beta[column]) if beta.ndim == 1 else beta[:, column].tolist(),
            "trained": bool(counts.trained(recipe.data.min_positives)[column]),
            "positive": dict(zip(counts.datasets, counts.positive[:, column].tolist(), strict=True)),
            "negative": dict(zip(counts.datasets, counts.negative[:, column].tolist(), strict=True)),
        }
        for column, name in enumerate(counts.space.labels)
    ]


def _pieces(recipe: Recipe, *, adversarial: bool) -> list[str]:
    found = {
        "known": True,
        "hard labels": recipe.ensembling.weight > 0 and recipe.ensembling.hard,
        "ensembling": recipe.ensembling.weight > 0 and not recipe.ensembling.hard,
        "adversarial": adversarial,
        "pseudo": recipe.assemble.pseudo > 0,
        "consistency": recipe.assemble.consistency > 0,
        "alignment": recipe.alignment.strength > 0,
    }
    return [name for name, there in found.items() if there]
