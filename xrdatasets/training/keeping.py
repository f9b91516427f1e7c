"""Training, step 10: what is written while a training runs, each file whole or not there."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import ModelCheckpoint

from xrdatasets.training.folder import BEST, LAST, METRICS, write_whole
from xrdatasets.training.launching import hush

__all__ = ["Keeper"]


class Keeper(ModelCheckpoint):
    """Writes, at the end of each epoch, the checkpoint, the best one so far, and the table of metrics.

    It is a ModelCheckpoint by name alone: Lightning calls those last, when the epoch is really over.

    Args:
        out: folder of the training.
        findings: names of the outputs.

    Attributes:
        best: the highest mean AUC of a validation; -inf before the first that is defined.
        best_epoch: the epoch that had it, from 0.
        rows: one dict of figures for each epoch.
    """

    def __init__(self, out: Path, findings: tuple[str, ...]) -> None:
        super().__init__(dirpath=None, save_top_k=0)
        self.out, self.findings = out, findings
        self.best, self.best_epoch = -math.inf, -1
        self.rows: list[dict[str, Any]] = []
        self._since = time.monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """In a process that was started for this training, keep Lightning's advice away there too."""
        if parent_process() is not None:
            hush()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing to check."""

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is written within an epoch."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing is written before the epoch is over."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the clock."""
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write all of it; every process comes here, the first one writes."""
        score, epoch = float(pl_module.score), int(trainer.current_epoch)
        better = score > self.best or self.best_epoch < 0  # without a defined score the first epoch is best
        if better:
            self.best, self.best_epoch = max(score, self.best) if score == score else self.best, epoch
        self.rows.append(self._row(trainer, pl_module))
        beside = self.out / f"{LAST}.part"
        if trainer.is_global_zero:
            beside.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(beside)
        if not trainer.is_global_zero:
            return
        if better:
            shutil.copyfile(beside, self.out / f"{BEST}.part")
            (self.out / f"{BEST}.part").replace(self.out / BEST)
        beside.replace(self.out / LAST)
        write_whole(self.out / METRICS, self._table())

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.best, self.best_epoch = float(state_dict["best"]), int(state_dict["best_epoch"])
        self.rows = list(state_dict["rows"])

    def _row(self, trainer: pl.Trainer, task: Any) -> dict[str, Any]:
        """The figures of an epoch; what is undefined stays empty."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, Any] = {
            "epoch": int(trainer.current_epoch) + 1,
            "step": int(trainer.global_step),
            "seconds": round(time.monotonic() - self._since, 3),
            "learning_rate": float(task.learning_rate),
        }
        # of several processes what was logged is the mean of all
        row |= task.means() | {name: value for name, value in found.items() if name.startswith("train/")}
        row["validation/auc"] = float(task.score)
        aucs = zip(self.findings, np.asarray(task.aucs).tolist(), strict=True)
        return row | {f"validation/auc/{name}": value for name, value in aucs}

    def _table(self) -> str:
        heads = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, heads, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: "" if value != value else value for name, value in row.items()})
        return text.getvalue()
