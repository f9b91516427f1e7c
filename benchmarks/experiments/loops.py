"""One plain loop over images in memory, in which each method is a piece that is switched on or off.

A step takes the same number of images of each dataset (`EqualShares`), so that a network for one dataset and
one for several make as many steps, and see each image as often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xrdatasets.models import BranchOutput, Network
from xrdatasets.training import (
    EqualShares,
    LabelSets,
    TaskDiscriminators,
    TemporalEnsemble,
    assemble_loss,
    certainty_threshold,
    discriminator_loss,
    frozen,
    hard_labels,
    label_sets,
    masked_bce_with_logits,
    positive_weights,
    task_adversarial_loss,
    task_weights_luo,
    ute_loss,
)
from xrdatasets.transforms import BatchTransform

__all__ = ["Recipe", "Sources", "Trainer", "joined", "train"]


class Sources(NamedTuple):
    """Datasets one behind the other: images, targets (N, L) with NaN, and how many images each has.

    The first one is the internal dataset.
    """

    images: Tensor
    targets: Tensor
    sizes: tuple[int, ...]

    @property
    def labelled(self) -> Tensor:
        """(D, L) bool: whether a dataset labels a finding."""
        return torch.stack([(~part.isnan()).any(0) for part in self.targets.split(self.sizes)])

    @property
    def sets(self) -> LabelSets:
        """Common, internal-only and external-only findings."""
        return label_sets(self.labelled)


@dataclass(frozen=True)
class Recipe:
    """What is switched on; as it stands, joint training with masked cross-entropy.

    Attributes:
        epochs: passes over the largest dataset.
        each: images of each dataset in a step.
        rate: learning rate of Adam, and of RMSprop for the discriminators.
        drop: epoch after which Adam's rate is a tenth; None never.
        reduction: of the cross-entropy.
        balance: positive weights beta of Luo 2020.
        common: alpha of common findings; 1 is joint training.
        adversarial: lambda of TAT, 0 without.
        ensemble: lambda of UTE, 0 without.
        threshold: H of UTE; None: falling, 0: temporal ensembling as it was.
        hard: ensembled predictions as labels instead of UTE.
        pseudo: weight of pseudo labels.
        consistency: weight of the agreement of two views.
        temperature: t of both.
        detach: whether what both are drawn to is held constant.
        warm_up: epochs before both.
    """

    epochs: int
    each: int
    rate: float
    drop: int | None = None
    reduction: str = "entry"
    balance: bool = False
    common: float = 1.0
    adversarial: float = 0.0
    ensemble: float = 0.0
    threshold: float | None = None
    hard: bool = False
    pseudo: float = 0.0
    consistency: float = 0.0
    temperature: float = 4.0
    detach: bool = True
    warm_up: int = 0

    @property
    def assembles(self) -> bool:
        """Whether two views are needed."""
        return self.pseudo > 0 or self.consistency > 0


def joined(*parts: tuple[Tensor, Tensor]) -> Sources:
    """Datasets of images and targets as one."""
    images, targets = zip(*parts, strict=True)
    return Sources(torch.cat(images), torch.cat(targets), tuple(map(len, images)))


def train(
    network: Network,
    sources: Sources,
    recipe: Recipe,
    seed: int,
    weak: BatchTransform | None = None,
    strong: BatchTransform | None = None,
) -> Network:
    """Train a network, which is changed, and given back."""
    Trainer(network, sources, recipe, seed, weak, strong).run()
    return network


class Trainer:
    """A network in training, with what its methods remember."""

    def __init__(
        self,
        network: Network,
        sources: Sources,
        recipe: Recipe,
        seed: int,
        weak: BatchTransform | None,
        strong: BatchTransform | None,
    ) -> None:
        self.network, self.sources, self.recipe = network, sources, recipe
        self.weak, self.strong = weak, strong
        self.shares = EqualShares(sources.sizes, recipe.each, seed=seed)
        # one for each purpose: runs with and without a piece have the same order and the same weak views
        self.for_weak, self.for_strong = (torch.Generator().manual_seed(2 * seed + i) for i in (0, 1))
        self.alpha = task_weights_luo(sources.labelled, common=recipe.common)
        self.beta = positive_weights(sources.targets) if recipe.balance else None
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.rate)
        self.common = sources.sets.common
        self.ensemble = TemporalEnsemble(*sources.targets.shape) if recipe.ensemble or recipe.hard else None
        self.discriminators = None
        if recipe.adversarial:
            self.discriminators = TaskDiscriminators(int(self.common.sum()), network.head.width)
            self.opponent = torch.optim.RMSprop(self.discriminators.parameters(), lr=recipe.rate)

    def run(self) -> None:
        """All epochs."""
        for epoch in range(1, self.recipe.epochs + 1):
            if self.recipe.drop is not None and epoch == self.recipe.drop + 1:
                self.optimizer.param_groups[0]["lr"] = self.recipe.rate / 10
            self.network.train()
            for rows in self.shares:
                self.step(torch.tensor(rows), epoch)
            if self.ensemble is not None:
                self.ensemble.commit()

    def step(self, rows: Tensor, epoch: int) -> None:
        """One batch: the discriminators' step, if there are any, and the network's."""
        images, targets = self.sources.images[rows], self.sources.targets[rows]
        weak = images if self.weak is None else self.weak(images, generator=self.for_weak)
        output = self.network.outputs(weak)
        logits = output.logits if isinstance(output, BranchOutput) else output
        missing = targets.isnan()
        if self.recipe.hard:
            targets = hard_labels(targets, self.ensemble.targets(rows))
        loss = self.supervised(logits, targets, images, epoch)
        if self.discriminators is not None:
            loss = loss + self.recipe.adversarial * self.against(output.features, rows)
        if self.ensemble is not None:
            loss = loss + self.remembered(logits.sigmoid(), rows, missing, epoch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def supervised(self, logits: Tensor, targets: Tensor, images: Tensor, epoch: int) -> Tensor:
        """Cross-entropy where targets are known, and what Data-Assemble adds where they are not."""
        recipe = self.recipe
        weights = {"task_weight": self.alpha, "pos_weight": self.beta}
        if not recipe.assembles:
            return masked_bce_with_logits(logits, targets, reduction=recipe.reduction, **weights)
        warm_up, strong = epoch <= recipe.warm_up, None
        if not warm_up:
            # without its weight the strong view counts for nothing: any logits do
            seen = recipe.consistency > 0
            strong = self.network(self.strong(images, generator=self.for_strong)) if seen else logits.detach()
        return assemble_loss(
            logits,
            strong,
            targets,
            warm_up=warm_up,
            pseudo_weight=recipe.pseudo,
            consistency_weight=recipe.consistency,
            temperature=recipe.temperature,
            detach=recipe.detach,
            supervised=recipe.reduction,
            **weights,
        ).total

    def against(self, features: Tensor, rows: Tensor) -> Tensor:
        """Train the discriminators on these features, then say what the network loses to them."""
        internal, shared = rows < self.sources.sizes[0], features[:, self.common]
        loss = discriminator_loss(self.discriminators(shared.detach()), internal)
        self.opponent.zero_grad()
        loss.backward()
        self.opponent.step()
        with frozen(self.discriminators):
            return task_adversarial_loss(self.discriminators(shared), internal)

    def remembered(self, p: Tensor, rows: Tensor, missing: Tensor, epoch: int) -> Tensor:
        """Note predictions, and say how far they are from those of earlier epochs."""
        recipe = self.recipe
        self.ensemble.record(rows, p)
        falling = certainty_threshold(epoch, recipe.epochs)
        threshold = falling if recipe.threshold is None else recipe.threshold
        return recipe.ensemble * ute_loss(p, self.ensemble.targets(rows), missing, threshold)
