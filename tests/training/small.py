"""Tiny recipes and data for the tests of training."""

from __future__ import annotations

import numpy as np
import torch

import xrdatasets as xr
from xrdatasets.training.gathering import Counts
from xrdatasets.training.recipe import Recipe

SPACE = ("Effusion", "Mass", "Nodule", "Fracture")
# dataset 0 labels the first three findings, dataset 1 the first and the last
LABELLED = np.array([[True, True, True, False], [True, False, False, True]])
TINY = {
    "data.size": 16, "model.backbone": "mini", "model.backbone_options.width": 2, "batches.size": 4,
    "batches.view": "none", "epochs": 3, "data.min_positives": 2,
}  # fmt: skip
PLAIN = {
    "loss.task_weight": "none", "loss.positive_weight": False, "adversarial.strength": 0,
    "ensembling.weight": 0,
}  # fmt: skip


def recipe(name="luo2020", **changes):
    """A recipe with a tiny network; dots in keys are double underscores here."""
    options = {"model.head_options.width": 3} if name == "luo2020" and "model__head" not in changes else {}
    given = {key.replace("__", "."): value for key, value in changes.items()}
    view = {"batches.view": "weak"} if name == "assemble2023" else {}
    return Recipe.load(name).override(TINY | view | options | given)


def targets(images=24, *, seed=0):
    """(N, L) targets and (N,) datasets, some cells unknown beside those that a dataset does not label."""
    generator = np.random.default_rng(seed)
    owner = np.arange(images) % 2
    values = (generator.random((images, len(SPACE))) < 0.4).astype(np.float32)
    values[~LABELLED[owner]] = np.nan
    values[generator.random(values.shape) < 0.1] = np.nan
    return values, owner


def counts(images=24, *, seed=0):
    values, owner = targets(images, seed=seed)
    return Counts.of(values, owner, space=SPACE, datasets=("a", "b"))


def batch(images=8, *, seed=0, dtype=torch.float32):
    """A batch as a loader gives it."""
    values, owner = targets(24, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return {
        "img": torch.rand(images, 1, 16, 16, generator=generator, dtype=dtype) * 2000 - 1000,
        "lab": torch.tensor(values[:images]).to(dtype),
        "idx": torch.arange(images),
        "source": torch.tensor(owner[:images]),
    }


def hospitals(one=24, other=16, *, size=16):
    """Two small datasets that label different findings."""
    policy = xr.U_ONES.with_unmentioned(0.0)
    return [
        xr.Phantom(one, "A", size=size, policy=policy),
        xr.Phantom(other, "C", size=size, policy=policy),
    ]
