"""Models, step 12: an exported classifier in 8-bit integers, and how far its answers move."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xrdatasets.models.inference.onnx_export import KEY, carded, needed

__all__ = ["quantize"]

_LEAST = 8  # images: fewer say little of the range of any map
_BATCH = 4  # images that are looked at at once
# what gains from it; the norms that stay, the head and the operating points keep to float32
_OPERATIONS = ["Conv", "Concat", "Relu", "AveragePool", "MaxPool", "Add"]


def quantize(content: bytes, calibration: np.ndarray[Any, Any]) -> bytes:
    """An exported classifier with convolutions in 8-bit integers.

    Weights get one scale for each output map, activations one for each tensor, from the least to the greatest
    value seen on `calibration` (static quantisation, written as pairs of QuantizeLinear and
    DequantizeLinear). Processors with such instructions (AVX-512 VNNI, AMX, Arm's dot product) compute
    DenseNet-121 about twice as fast; older ones can be slower than with float32.

    Args:
        content: of the file that `export_onnx` writes.
        calibration: (N, C, H, W) float32, at least 8 images of the graph's size, like those to come.

    Returns:
        The file's content. Its card has ``"precision": "int8"``, and as ``"error"`` the greatest difference
        of a probability to float32's on `calibration`; on other images it can be larger.

    Raises:
        ValueError: `calibration` is none of the above.
        ImportError: onnx or onnxruntime is not installed.

    Source:
        Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
        inference", CVPR 2018.

    Example:
        >>> from xrdatasets.models import Classifier, InputSpec, Network
        >>> from xrdatasets.models.inference.onnx_export import exported, sample
        >>> inputs = InputSpec(size=32)
        >>> content = exported(Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=inputs))
        >>> smaller = quantize(content, sample(inputs, 32, 8).numpy())
        >>> len(smaller) < len(content)
        True
    """
    if calibration.ndim != 4 or len(calibration) < _LEAST:
        msg = f"calibration: expected at least {_LEAST} images, (N, C, H, W), got {calibration.shape}."
        raise ValueError(msg)
    onnx = needed("onnx")
    model = onnx.load_from_string(content)
    (card,) = [json.loads(each.value) for each in model.metadata_props if each.key == KEY]
    made = _quantized(model, calibration)
    error = max(
        float(np.nanmax(np.abs(a - b)))
        for a, b in zip(
            _answers(content, calibration), _answers(made.SerializeToString(), calibration), strict=True
        )
    )
    return carded(made, card | {"precision": "int8", "error": error})


def _quantized(model: Any, calibration: np.ndarray[Any, Any]) -> Any:
    onnx = needed("onnx")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tools = needed("onnxruntime.quantization")
        out = Path(folder) / "int8.onnx"
        tools.quantize_static(
            model, out, _Reader(calibration), quant_format=tools.QuantFormat.QDQ, per_channel=True,
            activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=_OPERATIONS,
        )  # fmt: skip
        return onnx.load(out)


class _Reader:
    """The images in the way that ONNX Runtime's calibration asks for them."""

    def __init__(self, images: np.ndarray[Any, Any]) -> None:
        self._batches = iter([images[at : at + _BATCH] for at in range(0, len(images), _BATCH)])

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def _answers(content: bytes, images: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    session = needed("onnxruntime").InferenceSession(content, providers=["CPUExecutionProvider"])
    for at in range(0, len(images), _BATCH):
        yield session.run(None, {"images": images[at : at + _BATCH]})[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without its advice to preprocess the graph, and its warnings about norms."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
