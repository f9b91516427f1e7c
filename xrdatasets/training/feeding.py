"""Training, step 8: batches for the processes of a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Sampler

from xrdatasets.datasets import loader
from xrdatasets.training.gathering import Gathered
from xrdatasets.training.plan import shares
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.samplers import EqualShares

__all__ = ["Feeding", "Paced"]


class Paced(Sampler[list[int]]):
    """Batches in the order of the trainer's epoch.

    Lightning sets the epoch of a sampler that can be told of it, but only after it has begun to read from it
    where a training goes on; so this one asks instead.

    Args:
        batches: the sampler.
        trainer: that knows the epoch.
    """

    def __init__(self, batches: EqualShares, trainer: pl.Trainer) -> None:
        self.batches, self.trainer = batches, trainer

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the trainer's epoch."""
        # where a training goes on, the first batch is read before `current_epoch` is right; this always is
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        self.batches.set_epoch(int(progress.processed))
        return iter(self.batches)


class Feeding(pl.LightningDataModule):
    """Training and validation batches, each process its own part.

    Args:
        recipe: its section ``batches``, and the seed.
        data: the images.
        workers: processes that read images, of each process.
    """

    def __init__(self, recipe: Recipe, data: Gathered, *, workers: int = 2) -> None:
        super().__init__()
        self.recipe, self.data, self.workers = recipe, data, workers

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training images; the sampler knows the epoch and the process."""
        rank, world = self._place()
        epochs = shares(self.recipe, self.data.counts.images, rank=rank, world=world)
        batches: Sampler[list[int]] = epochs
        if self.trainer is not None:
            batches = Paced(epochs, self.trainer)
        # a batch sampler takes the place of batch size and order
        return loader(
            self.data.train, batch_size=1, workers=self.workers, batch_sampler=batches, sampler=None
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation images in their order; of several processes each has every n-th."""
        rank, world = self._place()
        rows = range(rank, len(self.data.validation), world) or range(
            1
        )  # a process without one repeats the first
        size = self.recipe.batches.size * (2 if self.recipe.batches.equal else 1)
        return loader(self.data.validation, batch_size=size, workers=self.workers, sampler=list(rows))

    def _place(self) -> tuple[int, int]:
        """Number of this process, and how many there are."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
