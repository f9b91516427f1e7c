"""Training, step 9: where a classifier comes from: data, recipe, versions, and the tables of its labels."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.single import Single
from xrdatasets.packed.card import digests
from xrdatasets.resources import mappings
from xrdatasets.training.gathering import Gathered
from xrdatasets.training.recipe import Recipe

__all__ = ["fit_for_json", "provenance_of"]

PACKAGES = ("xrdatasets", "torch", "lightning", "numpy", "pandas")


def provenance_of(recipe: Recipe, datasets: Sequence[Collection], data: Gathered) -> dict[str, Any]:
    """Everything that a training depends on, but the images themselves.

    Args:
        recipe: the recipe, resolved.
        datasets: as they were opened.
        data: what became of them.

    Returns:
        ``recipe``, ``versions``, ``data`` (training images and labels of each dataset), ``parts`` (keys,
        policies, splits), ``split``, ``mappings`` (sha256 by path); fit for JSON. Folders are not named.
    """
    counts = data.counts
    parts = [part for dataset in datasets for part in dataset.parts]
    tables = {name: digest for part in parts for name, digest in _tables(part).items()}
    story: dict[str, Any] = fit_for_json(
        {
            "recipe": recipe.as_dict(),
            "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
            "data": [
                {
                    "name": name,
                    "train": counts.images[number],
                    "positive": dict(zip(counts.space.labels, counts.positive[number].tolist(), strict=True)),
                    "negative": dict(zip(counts.space.labels, counts.negative[number].tolist(), strict=True)),
                }
                for number, name in enumerate(counts.datasets)
            ],
            "parts": [
                {"key": part.facts.key, "images": len(part), "policy": str(part.policy), "split": part.split}
                for part in parts
            ],
            "split": {
                "seed": recipe.seed,
                "train": len(data.train),
                "validation": len(data.validation),
                "held_out": data.held_out,
            },
            "mappings": dict(sorted(tables.items())),
        }
    )
    return story


def fit_for_json(value: Any) -> Any:
    """A document without what JSON has no word for: NaN is null, infinity a text.

    Example:
        >>> fit_for_json({"auc": float("nan"), "temperature": float("inf")})
        {'auc': None, 'temperature': 'inf'}
    """
    if isinstance(value, dict):
        return {str(key): fit_for_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [fit_for_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _tables(part: Single) -> dict[str, str]:
    """sha256 of the mapping tables that a dataset's labels come from."""
    key = part.facts.key
    released = (mappings() / "labels" / f"{key}.csv").is_file()
    return digests(key, compat=part.compat, released=released)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
