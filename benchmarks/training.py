"""What the pieces of luo2020 add to a training step, and how long a training waits for its data.

    python benchmarks/training.py [--rounds N] [--size S] [--backbone NAME] [--part steps|waiting]

Steps: forward, losses, backward and the optimisers, of ResNet-18 at 128 pixels with 16 + 16 random images of
two datasets that label 14 and 13 of 20 findings, 7 of them in common. One network has a linear layer and the
masked cross-entropy alone; the others have what their line names, the last all of luo2020: class branches,
task weights, discriminators with an optimiser of their own, the ensemble of earlier predictions. All stand
in one process and take one step each a round, in an order that turns round. Printed are medians, the least
and the greatest, and the ratio to the first within a round, of seconds and of CPU time, which other work on
the machine moves less (OMP_NUM_THREADS=1 least of all). At most 1.25 is what all of it may cost.

Waiting: one epoch of that training from two packed files of drawn radiographs, by the trainer itself; the
share of the epoch between the end of a step and the begin of the next. At most 10 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

import xrdatasets as xr
from xrdatasets.training.gathering import Counts
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.run import train
from xrdatasets.training.task import PartialLabelTask

BATCH = 16  # of each dataset
FINDINGS, OF_FIRST, COMMON = 20, 14, 7  # as NIH and CheXpert in Luo 2020
IMAGES = 2000
OFF = {
    "loss.task_weight": "none", "loss.positive_weight": False, "adversarial.strength": 0,
    "ensembling.weight": 0,
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "masked cross-entropy, linear": OFF | {"model.head": "linear"},
    "class branches": OFF,
    "branches and TAT": OFF | {"adversarial.strength": 0.03},
    "branches and UTE": OFF | {"ensembling.weight": 30.0},
    "luo2020": {},
}


def targets() -> tuple[np.ndarray, np.ndarray]:
    """Targets of two datasets, and whose each image is."""
    generator = np.random.default_rng(0)
    owner = np.arange(IMAGES) % 2
    values = (generator.random((IMAGES, FINDINGS)) < 0.2).astype(np.float32)
    values[owner == 0, OF_FIRST:] = np.nan
    values[owner == 1, COMMON:OF_FIRST] = np.nan
    return values, owner


def on_its_own(recipe: Recipe, device: str = "cpu") -> PartialLabelTask:
    """A task in its third epoch, with what of a trainer a step asks for."""
    labels = list(xr.LabelSpace.load("union20").labels)
    values, owner = targets()
    task = PartialLabelTask(recipe, Counts.of(values, owner, space=labels, datasets=("first", "second")))
    task = task.to(device).train()
    optimisers = task.configure_optimizers()
    strategy = SimpleNamespace(
        pre_backward=lambda loss: None,
        backward=lambda loss, *_, **__: loss.backward(),
        _lightning_optimizers=optimisers,
    )
    task._trainer = SimpleNamespace(
        current_epoch=2, is_last_batch=False, strategy=strategy, optimizers=optimisers, precision_plugin=None
    )
    task.on_fit_start()
    if task.ensemble is not None:
        task.ensemble.record(torch.arange(IMAGES), torch.rand(IMAGES, FINDINGS))
        task.ensemble.commit()
    return task


def batch_of(size: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    """One batch, equal shares of both datasets."""
    values, owner = targets()
    rows = np.arange(2 * BATCH)
    images = torch.rand(len(rows), 1, size, size, generator=torch.Generator().manual_seed(0)) * 2048 - 1024
    parts = {
        "img": images, "lab": torch.tensor(values[rows]), "idx": torch.tensor(rows),
        "source": torch.tensor(owner[rows]),
    }  # fmt: skip
    return {name: part.to(device) for name, part in parts.items()}


def recipe_of(arguments: argparse.Namespace, changes: dict[str, Any]) -> Recipe:
    own = {"model.backbone": arguments.backbone, "data.size": arguments.size, "batches.size": BATCH}
    return Recipe.load("luo2020").override(own | changes)


def steps(arguments: argparse.Namespace) -> None:
    batch = batch_of(arguments.size)
    tasks = {name: on_its_own(recipe_of(arguments, changes)) for name, changes in WAYS.items()}
    for task in tasks.values():
        task.training_step(batch, 0)  # memory, and the state of the optimisers
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for turn in range(arguments.rounds):
        for name in list(tasks)[:: 1 if turn % 2 == 0 else -1]:
            begin = time.perf_counter(), time.process_time()
            tasks[name].training_step(batch, turn + 1)
            taken[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    print(f"{arguments.backbone} at {arguments.size} pixels, {BATCH} + {BATCH} images, {FINDINGS} findings")
    for kind, clock in enumerate(("wall", "CPU")):
        seconds = {name: [pair[kind] for pair in pairs] for name, pairs in taken.items()}
        plain = next(iter(seconds.values()))
        for name, values in seconds.items():
            ratios = [value / one for value, one in zip(values, plain, strict=True)]
            print(
                f"  {clock:<4} {name:<29} {statistics.median(values):7.3f} s  ({min(values):.3f} to "
                f"{max(values):.3f})  {statistics.median(ratios):.3f}  ({min(ratios):.3f} to "
                f"{max(ratios):.3f}), least by least {min(values) / min(plain):.3f}"
            )


class Clock(pl.Callback):
    """Seconds within steps, and between them."""

    def __init__(self) -> None:
        self.within, self.between, self.ended = 0.0, 0.0, 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self.begun = time.perf_counter()
        self.between += self.begun - self.ended if self.ended else 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.ended = time.perf_counter()
        self.within += self.ended - self.begun


def waiting(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = []
        for hospital in "AC":
            file = Path(folder) / f"{hospital}.h5"
            xr.pack(xr.Phantom(200, hospital, size=arguments.size), file, size=arguments.size)
            opened.append(xr.open(file))
        for workers in (0, 1, 2):
            clock = Clock()
            recipe = recipe_of(arguments, {"epochs": 1})
            train(recipe, opened, Path(folder) / str(workers), workers=workers, callbacks=[clock])
            share = clock.between / (clock.between + clock.within)
            print(f"waiting for data, packed, {workers} workers: {100 * share:.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--part", choices=("steps", "waiting"), default=None)
    arguments = parser.parse_args()
    if arguments.part != "waiting":
        steps(arguments)
    if arguments.part != "steps":
        waiting(arguments)


if __name__ == "__main__":
    main()
