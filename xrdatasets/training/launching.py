"""Training, step 11: Lightning's trainer, as a recipe wants it and without its advice."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from xrdatasets.training.recipe import Recipe

__all__ = ["hush", "interruptible", "make_trainer", "quiet", "run_trainer"]

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def make_trainer(
    recipe: Recipe, folder: Path, devices: int, accelerator: str, progress: bool, callbacks: list[Any]
) -> pl.Trainer:
    """The trainer of a recipe; accumulation and clipping are the task's own.

    Args:
        recipe: its epochs and precision.
        folder: of the training.
        devices: processes.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"auto"``.
        progress: show a bar.
        callbacks: of Lightning.

    Raises:
        ValueError: there are no such devices, or they do not compute in that precision.
    """
    strategy: Any = "auto"
    if devices > 1:
        # without a launcher of its own the processes are started here, and need no script to be run again
        strategy = DDPStrategy(find_unused_parameters=True, start_method="spawn")
    logger: Any = False
    if find_spec("tensorboard") is not None:
        logger = TensorBoardLogger(str(folder), name="", version="tensorboard")
    bar = [TQDMProgressBar()] if progress else []
    try:
        return pl.Trainer(
            accelerator=accelerator, devices=devices, strategy=strategy, max_epochs=recipe.epochs,
            precision=_PRECISIONS[recipe.precision], logger=logger, callbacks=[*callbacks, *bar],  # type: ignore[arg-type]
            enable_progress_bar=progress, enable_model_summary=False, num_sanity_val_steps=0,
            use_distributed_sampler=False, default_root_dir=str(folder),
        )  # fmt: skip
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        what = f"devices={devices}, accelerator={accelerator!r}, precision={recipe.precision!r}"
        msg = f"expected devices that are here, got {what}: {str(error).rstrip('.')}."
        raise ValueError(msg) from error


def run_trainer(
    trainer: pl.Trainer, task: pl.LightningModule, feeding: pl.LightningDataModule, start: Path | None
) -> None:
    """Train; Lightning's way to end after an interrupt is turned into the usual one."""
    try:
        trainer.fit(task, datamodule=feeding, ckpt_path=start, weights_only=True)
    except SystemExit:
        if trainer.state.status == "interrupted":
            raise KeyboardInterrupt from None
        raise


@contextmanager
def interruptible() -> Iterator[None]:
    """Lightning ignores every further interrupt after the first; afterwards the handler is as it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice: its lines on devices and its warnings of few workers."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            hush()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def hush() -> None:
    """The same for good, in a process that was started for a training."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.simplefilter("ignore", PossibleUserWarning)
    # Lightning's own use of torch
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
