"""Training, step 3: what a step costs, piece by piece, as a recipe says it.

    L = L_known + λ_tat · L_tat + λ_ute · L_ute + w_p · L_pseudo + w_c · L_consist + R

A piece with weight 0 is not computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xrdatasets.models import BranchOutput, Network
from xrdatasets.training.adversarial import (
    discriminator_loss,
    frozen,
    gradient_reversal,
    task_adversarial_loss,
)
from xrdatasets.training.assemble import consistency_loss, pseudo_label_loss
from xrdatasets.training.concepts import alignment_penalty, expand_targets
from xrdatasets.training.conditional import close_upward, conditional_loss
from xrdatasets.training.ensembling import certainty_threshold, hard_labels, ute_loss
from xrdatasets.training.gathering import Counts
from xrdatasets.training.losses import asymmetric_loss, masked_bce_with_logits
from xrdatasets.training.parts import tree_parents
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.weights import task_weights_luo

__all__ = ["Objective", "full"]


class Objective(nn.Module):
    """The losses of a recipe for the findings and datasets of the data.

    It is a module for its buffers alone, which move to a device with it; none is saved, they follow from the
    counts. Findings of which nobody knows anything take no part, and are in no divisor.

    Args:
        recipe: the recipe.
        counts: of the training images.

    Attributes:
        known: (L,) bool, findings that take part.
        common: (L,) bool, that the internal dataset shares with another.
        task_weight: (L,) alpha.
        positive_weight: (L,) beta, or (D, L) for outputs of each dataset.
    """

    known: Tensor
    common: Tensor
    guessed: Tensor
    labelled: Tensor
    task_weight: Tensor
    positive_weight: Tensor

    def __init__(self, recipe: Recipe, counts: Counts) -> None:
        super().__init__()
        self.recipe, self.counts = recipe, counts
        sets, own = counts.sets, recipe.model.head == "per_dataset"
        whole = counts.known if recipe.model.head != "conditional" else torch.ones_like(counts.known)
        guessed = counts.known & (sets.internal_only | (recipe.ensembling.scope == "all"))
        beta = counts.beta_each if own else counts.beta
        for name, values in (
            ("known", whole),
            ("common", sets.common),
            ("guessed", guessed),
            ("labelled", counts.labelled),
            ("task_weight", _alpha(recipe, counts)),
            ("positive_weight", beta if recipe.loss.positive_weight else torch.ones_like(beta)),
        ):
            self.register_buffer(name, values.clone(), persistent=False)
        self.parents = tree_parents(recipe, counts) if recipe.model.head == "conditional" else ()

    def targets(self, targets: Tensor, ensemble: Tensor | None) -> Tensor:
        """(B, L) targets that the known-target loss sees: with the ensemble's hard guesses, if wanted.

        Args:
            targets: (B, L) of the batch.
            ensemble: (B, L) of `TemporalEnsemble.targets`, or None.
        """
        if ensemble is None or not self.recipe.ensembling.hard:
            return targets
        return hard_labels(targets, torch.where(self.guessed, ensemble, torch.nan))

    def known_loss(self, logits: Tensor, targets: Tensor, source: Tensor, epoch: int) -> Tensor:
        """L_known: what known targets cost.

        Args:
            logits: (B, L), or (B, D, L) of a head for each dataset.
            targets: (B, L), NaN unknown.
            source: (B,) number of each image's dataset.
            epoch: from 0.

        Returns:
            A scalar.
        """
        recipe, reduction = self.recipe, self.recipe.loss.reduction
        alpha, beta, known = self.task_weight, self.positive_weight, self.known
        if recipe.model.head == "conditional":
            plan = recipe.conditional
            first = not plan.first or epoch < plan.first
            closed = close_upward(targets, self.parents) if plan.closure else targets
            return conditional_loss(
                logits, closed, self.parents, form=plan.form if first else plan.second_form, kind=plan.kind,
                task_weight=alpha, pos_weight=beta, reduction=reduction,
            )  # fmt: skip
        if recipe.model.head == "per_dataset":
            count = len(self.labelled)
            targets = expand_targets(targets, source, count).flatten(1)
            logits, known = logits.flatten(1), self.labelled.flatten()
            alpha, beta = alpha.repeat(count), beta.flatten()
        logits, targets, alpha = logits[:, known], targets[:, known], alpha[known]
        if recipe.loss.kind == "asymmetric":
            return asymmetric_loss(logits, targets, task_weight=alpha, reduction=reduction)
        return masked_bce_with_logits(
            logits, targets, task_weight=alpha, pos_weight=beta[known], reduction=reduction
        )

    def judged(self, features: Tensor, output: Any) -> Tensor:
        """What discriminators see: (B, K, N') of the common findings, or (B, F) of the image."""
        if self.recipe.adversarial.kind == "holistic" or not isinstance(output, BranchOutput):
            return features
        return output.features[:, self.common]

    def discriminator(self, discriminators: nn.Module | None, judged: Tensor, inside: Tensor) -> Tensor:
        """What the discriminators minimise; no gradient goes to the network.

        Args:
            discriminators: the discriminators.
            judged: of `judged`.
            inside: (B,) bool, whether an image is of the internal dataset.
        """
        if discriminators is None:
            raise ValueError("discriminators: expected some, got None.")
        return discriminator_loss(discriminators(full(judged.detach())), inside)

    def adversarial(self, discriminators: nn.Module, judged: Tensor, inside: Tensor) -> Tensor:
        """λ_tat · L_tat, with discriminators that rest; or, under reversal, what trains both at once.

        Args:
            discriminators: the discriminators.
            judged: of `judged`, with gradient.
            inside: (B,) bool, whether an image is of the internal dataset.
        """
        strength = self.recipe.adversarial.strength
        if self.recipe.adversarial.mode == "reversal":
            return discriminator_loss(discriminators(gradient_reversal(full(judged), strength)), inside)
        with frozen(discriminators):
            scores = discriminators(full(judged))
        return strength * task_adversarial_loss(scores, inside)

    def ensembled(self, probabilities: Tensor, ensemble: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """λ_ute · L_ute.

        Args:
            probabilities: (B, L) with gradient.
            ensemble: (B, L) of `TemporalEnsemble.targets`.
            targets: (B, L), NaN unknown.
            epoch: from 0.
        """
        plan, known = self.recipe.ensembling, self.known
        missing = targets.isnan() & self.guessed
        level = 0.0
        if plan.gate != "none":
            level = certainty_threshold(min(epoch + 1, self.recipe.epochs), self.recipe.epochs, law=plan.gate)
        return plan.weight * ute_loss(probabilities[:, known], ensemble[:, known], missing[:, known], level)

    def assembled(self, probabilities: Tensor, strong: Tensor | None, targets: Tensor) -> dict[str, Tensor]:
        """The pseudo labels' part, and that of the agreement, after the warm-up.

        Args:
            probabilities: (B, L) of the weak view.
            strong: (B, L) of the strong view, or None.
            targets: (B, L), NaN unknown.
        """
        plan = self.recipe.assemble
        options: dict[str, Any] = {
            "threshold": plan.threshold, "temperature": plan.temperature, "detach": plan.detach,
        }  # fmt: skip
        missing, terms = targets.isnan() & self.known, {}
        if plan.pseudo:
            terms["pseudo"] = plan.pseudo * pseudo_label_loss(probabilities, missing, **options)
        if plan.consistency and strong is not None:
            terms["consistency"] = plan.consistency * consistency_loss(
                strong, probabilities, missing, **options
            )
        return terms

    def alignment(self, network: Network) -> Tensor:
        """R: how far apart the datasets' notions of a finding are."""
        vectors, plan = network.head.weight_vectors(), self.recipe.alignment  # type: ignore[operator]
        return alignment_penalty(vectors, self.labelled, strength=plan.strength, rows=plan.rows)


def full(values: Tensor) -> Tensor:
    """Values in float32, or float64 where they are: the precision in which losses are computed."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _alpha(recipe: Recipe, counts: Counts) -> Tensor:
    if recipe.loss.task_weight == "luo":
        return task_weights_luo(counts.labelled, internal=counts.internal, common=recipe.loss.common)
    return counts.rarity if recipe.loss.task_weight == "cohen" else torch.ones_like(counts.rarity)
