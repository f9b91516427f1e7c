"""Prediction, step 4: what is to be known of a table's numbers: weights, findings and input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xrdatasets import __version__
from xrdatasets.prediction.journal import shortest

if TYPE_CHECKING:
    from xrdatasets.models.predictor import Predictor

__all__ = ["describe", "fingerprint"]

# what a classifier, an ensemble and an augmented one say of how they answer
HOW = ("compat", "average", "count", "seed")


def describe(classifier: Predictor, weights: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What gives the answers, fit for JSON.

    Args:
        classifier: the classifier.
        weights: what else is known of them: ``name`` as they were called, ``sha256`` of their file.

    Returns:
        ``weights`` (``name``, ``sha256`` of the file or None, ``fingerprint``), ``space``, ``findings``,
        ``untrained`` (findings without a number), ``operating_points`` (by finding, None for
        none), ``inputs`` (what images are brought to), ``xrdatasets`` (version).

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> described = describe(Classifier(Network("mini", 2), ["Effusion", "Nodule"]))
        >>> described["findings"], described["untrained"], described["inputs"]["size"]
        (['Effusion', 'Nodule'], [], 224)
    """
    given, card = weights or {}, getattr(classifier, "card", None)
    findings = list(classifier.space.labels)
    points = [shortest(value) for value in classifier.operating_points.cpu().numpy()]
    trained = classifier.trained.tolist()
    return {
        "weights": {
            "name": given.get("name") or getattr(card, "name", "") or "no name",
            "sha256": given.get("sha256") or getattr(card, "provenance", {}).get("sha256"),
            "fingerprint": fingerprint(classifier),
        },
        "space": classifier.space.name,
        "findings": findings,
        "untrained": [name for name, known in zip(findings, trained, strict=True) if not known],
        "operating_points": dict(zip(findings, points, strict=True)),
        "inputs": classifier.inputs.config(),
        "xrdatasets": __version__,
    }


def fingerprint(classifier: Predictor) -> str:
    """SHA-256, as hexadecimal digits, of everything that the answers depend on.

    Args:
        classifier: the classifier.

    Returns:
        The digest of the findings, the input, what was trained, the operating points, and each tensor's name,
        type, shape and values: the same wherever the weights lie and however they are called.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> model = Classifier(Network("mini", 2), ["Effusion", "Nodule"])
        >>> fingerprint(model) == fingerprint(model.with_operating_points([0.5, 0.2]))
        False
    """
    import torch

    network = getattr(classifier, "network", None)
    about: dict[str, Any] = {
        "findings": list(classifier.space.labels),
        "inputs": classifier.inputs.config(),
        "trained": classifier.trained.tolist(),
        "operating_points": [shortest(value) for value in classifier.operating_points.cpu().numpy()],
        "kind": type(classifier).__name__,
        **{name: getattr(classifier, name, None) for name in HOW},
        "network": network.config() if network is not None else None,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    tensors: dict[str, torch.Tensor] = {}
    if isinstance(classifier, torch.nn.Module):
        # not the state dict, which lacks the operating points of an ensemble's members
        tensors = dict(classifier.named_parameters()) | dict(classifier.named_buffers())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
