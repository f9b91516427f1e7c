"""Training, step 12: a recipe and datasets in, a folder with a classifier out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xrdatasets.datasets import loader
from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.datasets.options import check_count
from xrdatasets.models import Card, Classifier, InputSpec
from xrdatasets.training.folder import BEST, CLASSIFIER, LAST, PROVENANCE, RECIPE, begin, write_whole
from xrdatasets.training.gathering import Gathered
from xrdatasets.training.provenance import fit_for_json, provenance_of
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.validation import macro_mean, masked_aucs, youden_points

if TYPE_CHECKING:
    from xrdatasets.training.task import PartialLabelTask

__all__ = ["Trained", "train"]


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training came to.

    Attributes:
        out: its folder.
        classifier: with the weights of the best epoch, on the processor.
        score: mean AUC on the validation images, over the findings that have one; NaN if none has.
        aucs: by finding, NaN where undefined.
        best_epoch: from 1.
        epochs: that were trained, also before an interruption.
    """

    out: Path
    classifier: Classifier
    score: float
    aucs: dict[str, float]
    best_epoch: int
    epochs: int


def train(
    recipe: Recipe | str,
    datasets: Sequence[Collection],
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    devices: int = 1,
    accelerator: str = "auto",
    workers: int = 2,
    progress: bool = False,
    callbacks: Sequence[Any] = (),
) -> Trained:
    """Train a classifier.

    ``out`` then has ``classifier.safetensors`` (written last: where it is, the training is over),
    ``recipe.toml`` (every value), ``metrics.csv``, ``provenance.json`` and ``checkpoints/``. A training that
    was interrupted goes on from the end of its last whole epoch with ``resume=True``, and comes to the same
    weights.

    Args:
        recipe: the recipe, its name, or the path of a TOML file.
        datasets: opened datasets, in the size of the recipe (`Recipe.opening` has the options); each keeps
            its policy. The order is that of the recipe's ``data.internal``.
        out: folder of the training; made if it is not there.
        resume: go on with a training that was interrupted.
        overwrite: begin anew where there is one, finished or not.
        devices: processes, each on a device of its own; several join their gradients and their ensembles.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"auto"``.
        workers: processes that read images, of each process.
        progress: show a bar.
        callbacks: of Lightning, beside the own.

    Returns:
        The classifier, and how good it is.

    Raises:
        ValueError: an argument is none of the above, pieces of the recipe do not go together, or the folder
            has another training, or a finished one.
        EmptyDatasetError: no image is left to train or validate on.

    Warns:
        OverlapWarning: datasets share images.

    Example:
        >>> import xrdatasets as xr
        >>> recipe = Recipe().override({"epochs": 1, "data.size": 16, "model.backbone": "mini"})
        >>> trained = train(recipe, [xr.Phantom(24, size=16)], TMP / "run", workers=0)
        >>> len(trained.classifier.pathologies), trained.epochs, (TMP / "run" / "metrics.csv").is_file()
        (14, 1, True)
    """
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    check_count("devices", devices, least=1)
    check_count("workers", workers, least=0)
    several, folder = check_datasets("datasets", datasets), Path(out).expanduser()
    ready = begin(folder, chosen, resume=resume, overwrite=overwrite)
    data = Gathered.of(chosen, several)
    story = provenance_of(chosen, several, data)
    from xrdatasets.training.feeding import Feeding
    from xrdatasets.training.keeping import Keeper
    from xrdatasets.training.launching import interruptible, make_trainer, quiet, run_trainer
    from xrdatasets.training.task import PartialLabelTask

    task = PartialLabelTask(chosen, data.counts, truth=data.truth)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / RECIPE, chosen.to_toml())
    write_whole(folder / PROVENANCE, json.dumps(story, indent=2) + "\n")
    keeper = Keeper(folder, data.counts.space.labels)
    with quiet(), interruptible():
        trainer = make_trainer(chosen, folder, devices, accelerator, progress, [keeper, *callbacks])
        feeding = Feeding(chosen, data, workers=workers)
        start = folder / LAST if ready else None
        run_trainer(trainer, task, feeding, start)
    task.load_state_dict(_state(folder / BEST)["state_dict"])
    kept = _state(folder / LAST)["callbacks"][keeper.state_key]
    classifier, trained = _finished(task.cpu(), data, workers), int(kept["best_epoch"]) + 1
    aucs = dict(zip(data.counts.space.labels, task.aucs.tolist(), strict=True))
    metrics = {"validation": {"epoch": trained, "auc": task.score, "aucs": aucs}}
    classifier.card = _card(chosen, data, fit_for_json(metrics), story)
    if trainer.is_global_zero:
        classifier.save(folder / CLASSIFIER)
    return Trained(folder, classifier, task.score, aucs, trained, len(kept["rows"]))


def _state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@torch.no_grad()  # what is made in inference mode can never be trained again
def _finished(task: PartialLabelTask, data: Gathered, workers: int) -> Classifier:
    """The classifier of a task with its best weights, and that task's figures of them."""
    recipe, counts = task.recipe, data.counts
    task.eval()
    batches = loader(data.validation, batch_size=recipe.batches.size, workers=workers)
    scores = torch.cat([task(batch["img"]) for batch in batches]).numpy()
    task.aucs = masked_aucs(data.truth, scores)
    task.score = macro_mean(task.aucs)
    trained = counts.trained(recipe.data.min_positives)
    points = np.where(trained.numpy(), youden_points(data.truth, scores), np.nan)
    inputs = InputSpec(size=recipe.data.size, channels=recipe.model.channels, intensity=_intensity(data))
    return Classifier(
        task.network.requires_grad_(), counts.space, inputs=inputs, trained=trained,
        operating_points=torch.as_tensor(points, dtype=torch.float32),
    )  # fmt: skip


def _intensity(data: Gathered) -> Any:
    return data.train.parts[0].options.intensity


def _card(recipe: Recipe, data: Gathered, metrics: dict[str, Any], story: dict[str, Any]) -> Card:
    counts = data.counts
    images = ", ".join(
        f"{name} {count:,}" for name, count in zip(counts.datasets, counts.images, strict=True)
    )
    return Card(
        name=recipe.name,
        description=f"{recipe.description} {len(counts.space)} findings; training images: {images}.".strip(),
        trained_on=counts.datasets,
        recipe=recipe.name,
        reference=recipe.reference,
        metrics=metrics,
        provenance=story,
    )
