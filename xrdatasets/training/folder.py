"""Training, step 8: the folder of a training: what is in it, and what that means."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from xrdatasets.training.recipe import Recipe

__all__ = ["BEST", "CLASSIFIER", "LAST", "METRICS", "PROVENANCE", "RECIPE", "begin", "write_whole"]

CLASSIFIER, RECIPE, PROVENANCE = "classifier.safetensors", "recipe.toml", "provenance.json"
METRICS, LAST, BEST = "metrics.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt"


def begin(folder: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> bool:
    """Whether there is a training to go on with; one that is not wanted is removed.

    Args:
        folder: of the training.
        recipe: of this call.
        resume: go on with what is there.
        overwrite: remove what is there.

    Raises:
        ValueError: what is in the folder is not what the call is for.
    """
    if resume and overwrite:
        raise ValueError("resume, overwrite: expected one of the two, got both.")
    if folder.exists() and not folder.is_dir():
        msg = f"out: {str(folder)!r} is no folder. Expected a folder, or a name that is free."
        raise ValueError(msg)
    begun = (folder / RECIPE).is_file()
    if not begun and folder.is_dir() and any(folder.iterdir()):
        msg = f"out: {str(folder)!r} has other files. Expected an empty folder, or a name that is free."
        raise ValueError(msg)
    if overwrite or not begun:
        _clear(folder)
        return False
    if (folder / CLASSIFIER).is_file():
        msg = f"out: {str(folder)!r} has a finished training. Pass overwrite=True to begin anew."
        raise ValueError(msg)
    if not resume:
        msg = (
            f"out: {str(folder)!r} has a training that was interrupted. Pass resume=True to go on with it, "
            "or overwrite=True to begin anew."
        )
        raise ValueError(msg)
    _check_same(Recipe.load(folder / RECIPE), recipe, folder)
    return (folder / LAST).is_file()


def _clear(folder: Path) -> None:
    """Remove what a training wrote, and nothing else."""
    for name in (CLASSIFIER, RECIPE, PROVENANCE, METRICS):  # the mark of a finished one first
        (folder / name).unlink(missing_ok=True)
    if (folder / "checkpoints").is_dir():
        shutil.rmtree(folder / "checkpoints")


def _check_same(before: Recipe, now: Recipe, folder: Path) -> None:
    if before == now:
        return
    old, new = before.as_dict(), now.as_dict()
    changed = next(name for name in new if old[name] != new[name])
    msg = (
        f"out: the training in {str(folder)!r} has another recipe: {changed} was {old[changed]!r}, is "
        f"{new[changed]!r}. Pass the same recipe to go on with it, or overwrite=True to begin anew."
    )
    raise ValueError(msg)


def write_whole(path: Path, content: str) -> None:
    """Write a file so that it is whole or not there.

    Args:
        path: of the file; what stood there is replaced.
        content: its text.
    """
    beside = path.with_name(f".{path.name}.part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
