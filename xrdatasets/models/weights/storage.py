"""Models, step 6: a classifier in one file, which runs nothing when it is read.

The file is safetensors: the network's tensors by name, and in its metadata, under ``xrdatasets``, one JSON
text: ``version``, the ``network`` (arguments of backbone and head), ``space`` (name and labels), ``inputs``,
``trained``, ``operating_points``, ``card``, and ``sha256``, a digest over that text without it and over every
tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xrdatasets.errors import LabelNotFoundError, WeightsError, WeightsNotFoundError
from xrdatasets.labels import LabelSpace, space_names
from xrdatasets.models.card import Card
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.inference.folding import Folded
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.network import Network

__all__ = ["KEY", "read_classifier", "save"]

KEY = "xrdatasets"
VERSION = 1
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FIELDS = ("network", "space", "inputs", "trained", "operating_points", "card")
# a header may claim more numbers than anyone has layers or channels
MOST = 65_536
AGAIN = "Download the file again, or save the classifier anew."


def save(classifier: Classifier, path: str | Path, *, dtype: str | None = None) -> None:
    """Write a classifier to one file, whole or not at all; the same classifier gives the same bytes.

    Args:
        classifier: the classifier.
        path: of the file, by custom ``….safetensors``; one that is there is replaced.
        dtype: of the weights in the file: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None for what they
            are. They are read back as float32.

    Raises:
        ValueError: an argument is none of the above; the classifier was made by `Classifier.for_inference`.
        OSError: the file cannot be written.

    Example:
        >>> from xrdatasets.models import Network
        >>> model = Classifier(Network("mini", 2), ["Effusion", "Nodule"])
        >>> save(model, TMP / "tiny.safetensors")
        >>> read_classifier(TMP / "tiny.safetensors").pathologies
        ('Effusion', 'Nodule')
    """
    from safetensors.torch import save as serialise

    _check_savable(classifier)
    if dtype is not None and dtype not in DTYPES:
        msg = f"dtype: expected None or one of {', '.join(DTYPES)}, got {dtype!r}."
        raise ValueError(msg)
    tensors = {name: _stored(tensor, dtype) for name, tensor in classifier.network.state_dict().items()}
    document = _document(classifier)
    document["sha256"] = _digest(document, tensors)
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    _write(Path(path), serialise(tensors, {KEY: text}))


def read_classifier(path: str | Path) -> Classifier:
    """Read a classifier from its file.

    Args:
        path: of a file that `save` wrote.

    Returns:
        The classifier, on the CPU, in float32 and evaluation mode.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsError: it is damaged, or no file of a classifier; or its label space is not the one that has
            its name here.
    """
    path = Path(path)
    document, tensors = _load(path)
    try:
        if document.pop("sha256", None) != _digest(document, tensors):
            raise _refused(path, "its content does not match its digest", AGAIN)
        space = LabelSpace(document["space"]["name"], tuple(document["space"]["labels"]))
        _check_space(path, space)
        network = _network(path, document["network"], tensors)
        points = [math.nan if point is None else point for point in document["operating_points"]]
        return Classifier(
            network, space, inputs=InputSpec(**document["inputs"]), trained=document["trained"],
            operating_points=points, card=Card.of(document["card"]),
        )  # fmt: skip
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightsError):
            raise
        hint = "Update xrdatasets." if isinstance(error, LabelNotFoundError) else AGAIN
        raise _refused(path, f"its card does not make a classifier ({error})", hint) from error


def _check_savable(classifier: object) -> None:
    if not isinstance(classifier, Classifier):
        msg = f"classifier: expected a Classifier, got {type(classifier).__name__}."
        raise ValueError(msg)
    if isinstance(classifier.network.backbone, Folded):
        raise ValueError(
            "classifier: expected one to be kept, got what for_inference() made. Save its original."
        )


def _stored(tensor: Tensor, dtype: str | None) -> Tensor:
    wanted = DTYPES[dtype] if dtype and tensor.is_floating_point() else tensor.dtype
    # safetensors refuses tensors that share memory, or whose memory is not in order
    return tensor.detach().to("cpu", wanted).clone(memory_format=torch.contiguous_format)


def _document(classifier: Classifier) -> dict[str, Any]:
    points = classifier.operating_points.tolist()
    return {
        "version": VERSION,
        "network": classifier.network.config(),
        "space": {"name": classifier.space.name, "labels": list(classifier.space.labels)},
        "inputs": classifier.inputs.config(),
        "trained": classifier.trained.tolist(),
        "operating_points": [None if math.isnan(point) else point for point in points],
        "card": classifier.card.config(),
    }


def _digest(document: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Beside its place first, then there."""
    target = path.resolve()  # a link stays a link
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON and the tensors of a file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        msg = f"no file {str(path)!r}. Expected one that Classifier.save wrote."
        raise WeightsNotFoundError(msg)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        document = None if text is None else json.loads(text)
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise _refused(path, f"it is damaged, or no safetensors file ({error})", AGAIN) from error
    if not isinstance(document, dict):
        reason = "it is a safetensors file without the card of a classifier"
        hint = "Load such weights into a network of your own: xrdatasets.models.fit_state."
        raise _refused(path, reason, hint)
    if document.get("version") != VERSION:
        reason = f"it has version {document.get('version')!r} of the format, expected {VERSION}"
        raise _refused(path, reason, "Update xrdatasets.")
    if missing := [name for name in FIELDS if name not in document]:
        raise _refused(path, f"its card lacks {', '.join(missing)}", AGAIN)
    return document, tensors


def _check_space(path: Path, space: LabelSpace) -> None:
    if space.name in space_names() and LabelSpace.load(space.name).labels != space.labels:
        here = ", ".join(LabelSpace.load(space.name).labels)
        reason = (
            f"its space {space.name!r} has other findings than here ({', '.join(space.labels)}, not {here})"
        )
        raise _refused(path, reason, "Install the version of xrdatasets that wrote it.")


def _network(path: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Network:
    """The network with the file's weights."""
    _check_numbers(path, config)
    with torch.device("meta"):  # shapes without memory: a header may claim any size
        shapes = {
            name: tuple(tensor.shape) for name, tensor in Network.from_config(config).state_dict().items()
        }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if lacking := sorted(set(shapes) - set(found)):
        raise _refused(path, f"{len(lacking)} tensors are missing, {lacking[0]!r} first", AGAIN)
    if strange := sorted(set(found) - set(shapes)):
        raise _refused(path, f"{len(strange)} tensors are not of its network, {strange[0]!r} first", AGAIN)
    for name, shape in shapes.items():
        if found[name] != shape:
            raise _refused(path, f"tensor {name!r} has the shape {found[name]}, expected {shape}", AGAIN)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, which nobody should notice
        network = Network.from_config(config)
    network.load_state_dict(tensors)
    return network.float()


def _check_numbers(path: Path, value: Any) -> None:
    """Refuse numbers of layers or channels that no network has."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check_numbers(path, each)
    elif isinstance(value, int) and abs(value) > MOST:
        raise _refused(path, f"its network has a size of {value:,}", AGAIN)


def _refused(path: Path, reason: str, todo: str) -> WeightsError:
    return WeightsError(f"cannot load {str(path)!r}: {reason}. {todo}")
