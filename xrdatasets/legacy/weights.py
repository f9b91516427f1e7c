"""Legacy: torchxrayvision's published weights, by its names, read as `xrdatasets.models` reads them."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from xrdatasets.legacy.answers import Answers
from xrdatasets.legacy.datasets import default_pathologies
from xrdatasets.models import Backbone, Classifier
from xrdatasets.models.weights.points_table import points_of
from xrdatasets.models.weights.registry import load
from xrdatasets.models.weights.weights_table import WeightsEntry, weights_entries, weights_entry

__all__ = ["model_urls", "published", "write_weights"]


def published(weights: str, cache_dir: str | None) -> Classifier:
    """Published weights, as torchxrayvision answers with them.

    Args:
        weights: their name.
        cache_dir: a folder where their file may be already.

    Returns:
        The classifier: from the file in that folder, if there is one, or else by `xrdatasets.models.load`.

    Raises:
        DownloadError: the weights cannot be downloaded.
        WeightsError: the file is not the one that the name stands for.
        WeightsNotFoundError: no weights are called so.
    """
    entry = weights_entry(weights)
    if cache_dir is not None and (file := Path(cache_dir).expanduser() / entry.file).is_file():
        return load(file, like=weights, compat="xrv")
    return load(weights, compat="xrv")


def write_weights(model: Answers, known: Classifier, body: Backbone, *, last: str) -> None:
    """Write published weights into a network, and make it ready for use.

    Args:
        model: what is called.
        known: the weights.
        body: its part that has the last layer, perhaps itself.
        last: name of that layer.

    Raises:
        ValueError: they are of another network.
    """
    found, expected = known.network.backbone.config(), body.config()
    differing = [name for name in found if name != "name" and found[name] != expected.get(name)]
    if differing:
        told = ", ".join(f"{name}={found[name]!r}" for name in differing)
        msg = f"weights: {model.weights!r} are of another network than the arguments say: {told}."
        raise ValueError(msg)
    layer = {f"{last}.{name}": tensor for name, tensor in known.network.head.state_dict().items()}
    body.load_state_dict(known.network.backbone.state_dict() | layer)
    if known.inputs.size is not None:
        model.input_resolution = known.inputs.size
    model.eval()


@cache
def model_urls() -> dict[str, dict[str, Any]]:
    """What torchxrayvision's dict of this name says of its weights, but for what it does not use itself.

    Returns:
        By name and alias: ``weights_url``, ``labels`` (empty where nothing was trained), ``op_threshs`` (NaN
        for none) and ``input_resolution``.

    Example:
        >>> model_urls()["chex"]["input_resolution"], model_urls()["chex"]["labels"][:4]
        (224, ['Atelectasis', 'Consolidation', '', 'Pneumothorax'])
    """
    urls: dict[str, dict[str, Any]] = {}
    for entry in weights_entries():
        if entry.format.startswith("torchxrayvision"):
            urls |= dict.fromkeys(filter(None, (entry.alias, entry.name)), _facts(entry))
    return urls


def _facts(entry: WeightsEntry) -> dict[str, Any]:
    points = points_of(entry)
    labels = [
        str(label) if label in entry.trained or entry.architecture == "resnet50" else ""
        for label in default_pathologies
    ]
    return {
        "weights_url": entry.location,
        "labels": labels,
        "op_threshs": [points.get(label, math.nan) for label in default_pathologies],
        "input_resolution": entry.size,
    }
