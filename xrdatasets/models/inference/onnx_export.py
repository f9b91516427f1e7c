"""Models, step 10: a classifier as an ONNX file, which runs without torch and without this package.

The graph takes ``images``, (B, C, H, W) float32 in the range of the classifier's input, and gives
``probabilities``, (B, L) float32, with operating points and NaN as the classifier's. The file's metadata says
under ``xrdatasets``, as JSON, what the outputs are: ``version``, ``pathologies``, ``space``, ``inputs``,
``trained``, ``operating_points`` (null for none), ``card``, ``batch`` (null for any), ``precision`` and
``error``, the greatest difference of a probability to the classifier's that was seen.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch

from xrdatasets.errors import WeightsError
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.heads.base import check_count
from xrdatasets.models.inference.answering import Answer, check_classifier
from xrdatasets.models.inference.folding import fold_batch_norm
from xrdatasets.models.inputs import RANGES, InputSpec

__all__ = ["card_of", "carded", "export_onnx", "exported", "needed", "sample", "write"]

KEY = "xrdatasets"
VERSION = 1
# of 2022: all that the graph needs, and read by onnxruntime 1.14 and newer
_OPSET = 18
_CLOSE = 1e-4  # of a probability
_SIDE = 64  # pixels of a trial image where any size will do
_INSTALL = 'Install it: pip install "xrdatasets[onnx]".'


def export_onnx(
    classifier: Classifier,
    path: str | Path,
    *,
    size: int | None = None,
    batch: int | Literal["dynamic"] = "dynamic",
) -> None:
    """Write a classifier as an ONNX file, whole or not at all.

    Batch norms are folded as `fold_batch_norm` does. Before the file takes its place, ONNX Runtime answers
    random images from it, and every answer is compared with the classifier's.

    Args:
        classifier: the classifier.
        path: of the file, by custom ``….onnx``; one that is there is replaced.
        size: rows and columns of the images; None for those that the classifier was trained on, or for any
            if it takes any.
        batch: images at once; ``"dynamic"`` for any number.

    Raises:
        ValueError: an argument is none of the above.
        ImportError: onnx, onnxruntime or onnxscript is not installed.
        WeightsError: the exported graph gives other answers than the classifier.
        OSError: the file cannot be written.

    Example:
        >>> from xrdatasets.models import Network
        >>> from xrdatasets.models.inference.session import Session
        >>> model = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> export_onnx(model, TMP / "tiny.onnx")
        >>> Session.open(TMP / "tiny.onnx").pathologies
        ('Edema', 'Mass')
    """
    write(Path(path), exported(classifier, size=size, batch=batch))


def exported(
    classifier: Classifier, *, size: int | None = None, batch: int | Literal["dynamic"] = "dynamic"
) -> bytes:
    """The content of the file that `export_onnx` writes, compared with the classifier.

    Args:
        classifier: as for `export_onnx`.
        size: as for `export_onnx`.
        batch: as for `export_onnx`.

    Returns:
        The ONNX model with its metadata.

    Raises:
        ValueError: as for `export_onnx`.
        ImportError: as for `export_onnx`.
        WeightsError: as for `export_onnx`.

    Example:
        >>> from xrdatasets.models import Network
        >>> model = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> b"xrdatasets" in exported(model)
        True
    """
    check_classifier(classifier)
    side = _checked_size(classifier, size)
    if batch != "dynamic":
        check_count("batch", batch, least=1)
    for name in ("onnx", "onnxruntime", "onnxscript"):
        needed(name)
    answer = copy.deepcopy(Answer(classifier)).eval().cpu().float()
    answer.network = fold_batch_norm(answer.network)
    model = _graph(answer, _trial(classifier, side, 2 if batch == "dynamic" else batch), batch, side)
    counts = (1, 3) if batch == "dynamic" else (batch,)
    error = _compare(model, answer, [_trial(classifier, side, count, seed=count) for count in counts])
    more = {"batch": None if batch == "dynamic" else batch, "precision": "float32", "error": error}
    return carded(model, _card(classifier, side) | more)


def carded(model: Any, card: dict[str, Any]) -> bytes:
    """An ONNX model's file with what `card_of` reads.

    Args:
        model: the model, which gets the card.
        card: its fields.

    Returns:
        The file's content.
    """
    for each in [each for each in model.metadata_props if each.key == KEY]:
        model.metadata_props.remove(each)
    model.metadata_props.add(key=KEY, value=json.dumps(card, sort_keys=True))
    return model.SerializeToString()  # type: ignore[no-any-return]


def needed(name: str) -> ModuleType:
    """A library of the extra ``onnx``.

    Args:
        name: of the library.

    Returns:
        The library.

    Raises:
        ImportError: it is not installed.

    Example:
        >>> needed("onnxruntime").__name__
        'onnxruntime'
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"ONNX files and sessions need {name}, which is not installed. {_INSTALL}"
        raise ImportError(msg) from error


def card_of(properties: dict[str, str], name: str) -> dict[str, Any]:
    """What a file's metadata says of its outputs.

    Args:
        properties: the metadata, text by key.
        name: of the file, for the message.

    Returns:
        The fields that this module's docstring lists.

    Raises:
        WeightsError: it is no file of a classifier, or of another version.
    """
    try:
        card = json.loads(properties[KEY])
        if card["version"] != VERSION:
            msg = (
                f"cannot open {name!r}: expected version {VERSION} of the metadata, got {card['version']!r}."
            )
            raise WeightsError(msg)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        msg = f"cannot open {name!r}: its metadata lacks the card. Expected a file of Classifier.export_onnx."
        raise WeightsError(msg) from error
    return card  # type: ignore[no-any-return]


def sample(inputs: InputSpec, side: int, count: int, *, seed: int = 0) -> torch.Tensor:
    """Random images in the range of an input: blobs of several sizes with noise.

    Args:
        inputs: of the classifier.
        side: rows and columns.
        count: number of images.
        seed: of the random numbers.

    Returns:
        (count, C, side, side) float32.

    Example:
        >>> sample(InputSpec(size=32), 32, 2).shape
        torch.Size([2, 1, 32, 32])
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = RANGES[inputs.intensity]
    made = torch.zeros(count, 1, side, side)
    for cells in (2, 5, 16, side):
        noise = torch.rand(count, 1, min(cells, side), min(cells, side), generator=generator)
        made += torch.nn.functional.interpolate(noise, (side, side), mode="bilinear") / 4
    return (low + (high - low) * made.clamp(0, 1)).expand(-1, inputs.channels, -1, -1).contiguous()


def _checked_size(classifier: Classifier, size: int | None) -> int | None:
    if size is None:
        return classifier.inputs.size
    check_count("size", size, least=classifier.network.backbone.least)
    if classifier.inputs.size not in (None, size):
        msg = f"size: expected {classifier.inputs.size}, that it was trained on, or None, got {size}."
        raise ValueError(msg)
    return size


def _trial(classifier: Classifier, side: int | None, count: int, *, seed: int = 0) -> torch.Tensor:
    return sample(classifier.inputs, side or max(_SIDE, classifier.network.backbone.least), count, seed=seed)


def _graph(answer: Answer, images: torch.Tensor, batch: int | str, side: int | None) -> Any:
    """The ONNX model, by the exporter on top of `torch.export`; the older one traces, and is deprecated."""
    shape = {} if batch != "dynamic" else {0: torch.export.Dim("batch")}
    if side is None:
        shape |= {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with _quiet(), torch.inference_mode(mode=False), torch.no_grad():
        program = torch.onnx.export(
            answer, (images,), dynamo=True, opset_version=_OPSET, verbose=False,
            input_names=["images"], output_names=["probabilities"], dynamic_shapes=(shape,),
        )  # fmt: skip
    if program is None:
        raise RuntimeError(
            "torch.onnx.export gave nothing; it is called with dynamo=True, which gives a program."
        )
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of torchvision and of its own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _card(classifier: Classifier, side: int | None) -> dict[str, Any]:
    points = classifier.operating_points.tolist()
    return {
        "version": VERSION,
        "pathologies": list(classifier.pathologies),
        "space": classifier.space.name,
        "inputs": classifier.inputs.config() | {"size": side},
        "trained": classifier.trained.tolist(),
        "operating_points": [None if math.isnan(point) else point for point in points],
        "card": classifier.card.config(),
    }


def _compare(model: Any, answer: Answer, batches: list[torch.Tensor]) -> float:
    """The greatest difference of a probability; a graph that gives other answers is refused."""
    session = needed("onnxruntime").InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    error = 0.0
    for images in batches:
        with torch.inference_mode():
            wanted = answer(images).numpy()
        (found,) = session.run(None, {"images": images.numpy()})
        difference = np.where(np.isnan(wanted) & np.isnan(found), 0, np.abs(found - wanted)).max()
        if not difference <= _CLOSE:
            msg = (
                f"the exported graph's probabilities differ from the classifier's by up to {difference:.2g}; "
                f"expected at most {_CLOSE:g}. Try other versions of torch, onnx, onnxscript or onnxruntime."
            )
            raise WeightsError(msg)
        error = max(error, float(difference))
    return error


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        content: of the file.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> write(TMP / "content", b"")
    """
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
