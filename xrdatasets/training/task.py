"""Training, step 6: the pieces of a recipe joined to one Lightning module.

The module is imported by its own name (``from xrdatasets.training.task import PartialLabelTask``): Lightning
takes seconds to import.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from xrdatasets.training.conditional import TwoStages
from xrdatasets.training.ensembling import TemporalEnsemble
from xrdatasets.training.gathering import Counts
from xrdatasets.training.objective import Objective, full
from xrdatasets.training.parts import Views, make_discriminators, make_network, make_optimisers
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.schedules import Waiting, rate_factor
from xrdatasets.training.validation import all_rows, macro_mean, masked_aucs
from xrdatasets.transforms import image_seeds

__all__ = ["PartialLabelTask", "Seen"]

_STEPS = 1 << 32  # more than an epoch has: numbers an epoch's steps apart from the next one's


class Seen(NamedTuple):
    """What the network makes of a batch of B images.

    Attributes:
        logits: (B, L), or (B, D, L) of a head for each dataset.
        probabilities: (B, L).
        strong: (B, L), those of the strong view; None without.
        judged: what the discriminators see.
        targets: (B, L) of the batch.
        source: (B,) number of each image's dataset.
        earlier: (B, L) of the ensemble; None without.
    """

    logits: Tensor
    probabilities: Tensor
    strong: Tensor | None
    judged: Tensor
    targets: Tensor
    source: Tensor
    earlier: Tensor | None


class PartialLabelTask(pl.LightningModule):
    """A network that learns from several datasets, none of which labels all findings.

    Batches are those of `xrdatasets.loader`: ``img``, ``lab`` (NaN unknown), ``idx`` (of the joined training
    set) and ``source``. One forward pass over the whole batch; then the discriminators' step on detached
    features, then the network's. Optimisation is manual, so accumulation and clipping are the recipe's
    (``batches.accumulate``, ``optimiser.clip``), not the trainer's. The trainer must not replace the sampler
    (``use_distributed_sampler=False``), and several processes need ``find_unused_parameters=True``.

    Args:
        recipe: the recipe, or its name.
        counts: of the training images, which `Gathered.of` gives.
        truth: (V, L) of the validation images by ``idx``: 1, 0, NaN; None to take the batches' own ``lab``.

    Attributes:
        recipe: as given.
        counts: as given.
        network: what is trained.
        discriminators: None without.
        ensemble: `TemporalEnsemble`, None without; it is in checkpoints.
        score: mean AUC of the last validation, NaN if none is defined.
        aucs: (L,) the AUC of each finding of the last validation, NaN where undefined.

    Raises:
        ValueError: there is no such recipe, or an option that backbone or head does not take.

    Example:
        >>> from xrdatasets.training.gathering import Counts
        >>> counts = Counts.of([[1.0, 0.0]], space=["Effusion", "Mass"])
        >>> task = PartialLabelTask(Recipe().override({"model.backbone": "mini"}), counts)
        >>> task(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, recipe: Recipe | str, counts: Counts, *, truth: npt.NDArray[Any] | Tensor | None = None
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe = Recipe.load(recipe) if isinstance(recipe, str) else recipe
        self.counts = counts
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.recipe.seed)
            self.network = make_network(self.recipe, counts)
            self.discriminators = make_discriminators(self.recipe, counts, self.network)
        self.objective = Objective(self.recipe, counts)
        self.views = Views(self.recipe.batches.view)
        plan = self.recipe.ensembling
        size = (sum(counts.images), len(counts.space))
        self.ensemble = TemporalEnsemble(*size, momentum=plan.momentum) if plan.weight else None
        self._plateau = Waiting(self.recipe.optimiser.patience)
        self._stopping = Waiting(max(0, self.recipe.optimiser.stopping - 1))
        self._fall = 1.0  # what plateaus have made of the learning rate
        self._truth = None if truth is None else torch.as_tensor(np.array(truth))
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self._means: dict[str, list[Tensor]] = {}
        self._datasets: Tensor
        self.register_buffer("_datasets", torch.tensor(counts.parts), persistent=False)
        self.score, self.aucs = float("nan"), np.full(len(counts.space), np.nan)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of images.

        Args:
            images: (B, C, H, W) float32.

        Returns:
            (B, L) float32 in [0, 1].
        """
        return self.network.head.probabilities(self.network.outputs(self._channels(images))).float()

    @property
    def learning_rate(self) -> float:
        """The network's, now."""
        return float(self._optimisers()[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimiser, or two with discriminators."""
        return make_optimisers(self.recipe, self.network, self.discriminators)

    def on_fit_start(self) -> None:
        """Keep the ensemble where the network is, in memory of this process's own.

        What is handed to processes that are started lies in memory that they share, and each would write
        there.
        """
        if self.ensemble is not None:
            shape, momentum = self.ensemble.means.shape, self.ensemble.momentum
            own = TemporalEnsemble(*shape, momentum=momentum, device=self.device)
            own.load_state_dict(self.ensemble.state_dict())
            self.ensemble = own

    def on_train_epoch_start(self) -> None:
        """The learning rate and the stage of this epoch."""
        plan = self.recipe.conditional
        if self.recipe.model.head == "conditional" and plan.first:
            stages = TwoStages(plan.first, max(0, self.recipe.epochs - plan.first))
            stages.begin(self.network, self.current_epoch + 1)
        rate = self.recipe.optimiser.learning_rate * self._fall * rate_factor(self.recipe, self.current_epoch)
        self._optimisers()[0].param_groups[0]["lr"] = rate
        self._means = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One batch: the discriminators first, then the network against them.

        Returns:
            The network's loss, without a graph.
        """
        count = self.recipe.batches.accumulate
        whole = (batch_idx + 1) % count == 0 or bool(self.trainer.is_last_batch)
        seen = self.look(batch, batch_idx)
        if self.discriminators is not None and self.recipe.adversarial.mode == "alternating":
            self._teach(seen, step=whole)
        terms = self.terms(seen)
        total = torch.stack(list(terms.values())).sum()
        self.manual_backward(total / count)
        if whole:
            self._step()
        for name, value in (terms | {"loss": total}).items():
            self._means.setdefault(name, []).append(value.detach())
        return total.detach()

    def look(self, batch: dict[str, Any], batch_idx: int = 0) -> Seen:
        """The forward pass: what the network makes of a batch; the ensemble notes it.

        Args:
            batch: ``img``, ``lab``, ``idx`` and, of several datasets, ``source``.
            batch_idx: number of the batch in its epoch, on which the views depend.

        Returns:
            What `terms` needs.
        """
        targets, idx = batch["lab"], batch["idx"]
        source = self._datasets[batch["source"]] if "source" in batch else torch.zeros_like(idx)
        weak, strong = self._views_of(batch, batch_idx)
        features = self.network.features(weak)
        output = self.network.head(features)
        probabilities = full(self.network.head.probabilities(output))
        other = None
        if strong is not None:
            other = full(self.network.head.probabilities(self.network.outputs(strong)))
        earlier = None
        if self.ensemble is not None:
            earlier = self.ensemble.targets(idx)
            self.ensemble.record(idx, probabilities)
        logits = full(getattr(output, "logits", output))
        judged = self.objective.judged(features, output)
        return Seen(logits, probabilities, other, judged, targets, source, earlier)

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """What a batch costs, piece by piece, in float32.

        Args:
            seen: of `look`.

        Returns:
            Scalars with a graph, by the name of the piece; their sum is the loss.
        """
        epoch, objective, plan = self.current_epoch, self.objective, self.recipe.ensembling
        with torch.autocast(self.device.type, enabled=False):
            known = objective.targets(seen.targets, seen.earlier)
            terms = {"known": objective.known_loss(seen.logits, known, seen.source, epoch)}
            if seen.earlier is not None and not plan.hard:
                terms["ensembling"] = objective.ensembled(
                    seen.probabilities, seen.earlier, seen.targets, epoch
                )
            if self.discriminators is not None:
                terms["adversarial"] = objective.adversarial(
                    self.discriminators, seen.judged, seen.source == self.counts.internal
                )
            if self._assembling(epoch):
                terms |= objective.assembled(seen.probabilities, seen.strong, seen.targets)
            if self.recipe.alignment.strength:
                terms["alignment"] = objective.alignment(self.network)
        return terms

    def on_train_epoch_end(self) -> None:
        """Take the predictions into the ensemble; see whether the learning rate falls, or training ends."""
        if self.ensemble is not None:
            self.ensemble.commit()
        plan = self.recipe.optimiser
        if plan.schedule == "plateau" and self._plateau.over(self.score):
            self._fall *= plan.factor
        if plan.stopping and self._stopping.over(self.score):
            self.trainer.should_stop = True
        self.log_dict(self.means(), sync_dist=True)

    def means(self) -> dict[str, float]:
        """The mean of each piece over this process's batches of the epoch, in ``train/…``."""
        return {f"train/{name}": float(torch.stack(values).mean()) for name, values in self._means.items()}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Predictions of a batch."""
        self._seen.append((batch["idx"].cpu(), self(batch["img"]).cpu(), batch["lab"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """The AUC of each finding, over the images of all processes."""
        idx, probabilities, labels = all_rows(*(torch.cat(each) for each in zip(*self._seen, strict=True)))
        self._seen = []
        truth = labels if self._truth is None else self._truth[idx]
        self.aucs = masked_aucs(truth, probabilities)
        self.score = macro_mean(self.aucs)
        self.log("validation/auc", self.score, sync_dist=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is no weight: the ensemble, and how long has been waited."""
        checkpoint["partial_labels"] = {
            "ensemble": None if self.ensemble is None else self.ensemble.state_dict(),
            "plateau": self._plateau.state_dict(),
            "stopping": self._stopping.state_dict(),
            "fall": self._fall,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where `on_save_checkpoint` was."""
        state = checkpoint["partial_labels"]
        if self.ensemble is not None:
            self.ensemble.load_state_dict(state["ensemble"])
        self._plateau.load_state_dict(state["plateau"])
        self._stopping.load_state_dict(state["stopping"])
        self._fall = float(state["fall"])

    def _teach(self, seen: Seen, *, step: bool) -> None:
        """The discriminators' backward pass, and their step.

        It is in float32, without the scale of the network's loss, and past Lightning's optimiser, which would
        count a step of its own.
        """
        with torch.autocast(self.device.type, enabled=False):
            loss = self.objective.discriminator(
                self.discriminators, seen.judged, seen.source == self.counts.internal
            )
        share = loss / self.recipe.batches.accumulate
        self.trainer.strategy.pre_backward(share)
        share.backward()  # type: ignore[no-untyped-call]
        if step:
            optimiser = self._optimisers()[1]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self._means.setdefault("discriminators", []).append(loss.detach())

    def _step(self) -> None:
        """Move the network's weights, and forget the gradients."""
        found: Any = self.optimizers()
        first = found[0] if isinstance(found, list) else found
        if self.recipe.optimiser.clip:
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            # the gradients are still on the scale of the loss
            most = self.recipe.optimiser.clip * (1.0 if scaler is None else float(scaler.get_scale()))
            nn.utils.clip_grad_norm_([p for group in first.param_groups for p in group["params"]], most)
        first.step()
        first.zero_grad(set_to_none=True)

    def _optimisers(self) -> list[Any]:
        found = self.optimizers(use_pl_optimizer=False)
        return list(found) if isinstance(found, list) else [found]

    def _assembling(self, epoch: int) -> bool:
        plan = self.recipe.assemble
        return bool(plan.pseudo or plan.consistency) and epoch >= plan.warm_up

    def _views_of(self, batch: dict[str, Any], batch_idx: int) -> tuple[Tensor, Tensor | None]:
        """The views of a batch; an image that comes twice in an epoch is seen in two ways."""
        strong = self._assembling(self.current_epoch) and self.recipe.assemble.consistency > 0
        when = self.current_epoch * _STEPS + batch_idx
        seeds = image_seeds(batch["idx"], seed=self.recipe.seed, epoch=when)
        view, other = self.views(batch["img"], seeds, strong=strong)
        return self._channels(view), None if other is None else self._channels(other)

    def _channels(self, images: Tensor) -> Tensor:
        return images.expand(-1, self.recipe.model.channels, -1, -1)
