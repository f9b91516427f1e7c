"""Models, step 11: a classifier in ONNX Runtime, the fastest that a processor runs it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from torch import Tensor

from xrdatasets.errors import WeightsError, WeightsNotFoundError
from xrdatasets.labels import LabelSpace
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.heads.base import check_count
from xrdatasets.models.inference.onnx_export import card_of, exported, needed, write
from xrdatasets.models.inference.quantization import quantize
from xrdatasets.models.inputs import InputSpec

__all__ = ["Session"]

Precision = Literal["float32", "int8"]

_CPU = "CPUExecutionProvider"
# images that a thread takes at once, so that their maps stay in its cache: with two threads and DenseNet-121
# at 224, 1 took 6 % longer, 4 took 3 %, 8 took 9 %, and a batch of 16 by all threads together 14 %
_AT_ONCE = 2
# what a fork inherited: its threads are its parent's, and ONNX Runtime would wait for them when it is freed
_ORPHANS: list[dict[int, Any]] = []


class Session:
    """A classifier in ONNX Runtime: images in, probabilities out, as the classifier gives them.

    On a processor, batches are shared out among threads, each of which takes whole images: they do not wait
    for each other, and what they work on stays in their caches. A batch smaller than that is computed by all
    threads together. It may be called from several threads at once, and goes to other processes by pickling:
    each makes its own at its first call. A process that is forked after the first call may wait for ever,
    because the threads of ONNX Runtime and torch stay behind: use spawn, or make the session after the fork.

    Args:
        classifier: a `Classifier`; the session keeps nothing of it. Its graph is exported, which takes
            seconds: export it once by `Classifier.export_onnx`, and `open` that, where that matters.
        providers: of ONNX Runtime, in order of preference; None for the processor. Others than
            ``"CPUExecutionProvider"`` need a build of ONNX Runtime of their own.
        threads: that compute; None for as many as torch takes.
        precision: ``"float32"``, or ``"int8"``: faster on processors with such instructions, and less exact,
            see `quantize`.
        calibration: (N, C, H, W) images as for calling, 32 or more that are like those to come; needed for
            ``"int8"``, and for nothing else.

    Attributes:
        pathologies: the findings, in the order of the outputs.
        space: them as a `LabelSpace`.
        inputs: the images that it takes.
        precision: as given.
        error: for ``"int8"`` the greatest difference of a probability to float32's on `calibration`.

    Raises:
        ValueError: an argument is none of the above.
        ImportError: onnx, onnxruntime or onnxscript is not installed.

    Example:
        >>> from xrdatasets.models import Network
        >>> model = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> session = Session(model)
        >>> images = 500 * torch.randn(4, 1, 32, 32).clamp(-2, 2)
        >>> torch.allclose(session(images), model(images), atol=1e-4)
        True
        >>> session(images.numpy()).shape
        (4, 2)
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        calibration: np.ndarray[Any, Any] | Tensor | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            msg = f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}."
            raise ValueError(msg)
        if (calibration is not None) != (precision == "int8"):
            msg = "calibration: expected images for precision='int8', and None for another."
            raise ValueError(msg)
        options = _options(providers, threads)
        content = exported(classifier)
        if calibration is not None:
            fitted = classifier.inputs.fit(torch.as_tensor(calibration)).to("cpu", torch.float32)
            content = quantize(content, fitted.numpy())
        self._set(content, "the exported graph", options)

    @classmethod
    def open(
        cls, path: str | Path, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> Session:
        """A session of a file.

        Args:
            path: of a file that `Classifier.export_onnx` or `save` wrote.
            providers: as for the constructor.
            threads: as for the constructor.

        Returns:
            The session.

        Raises:
            WeightsNotFoundError: there is no such file.
            WeightsError: it is damaged, or no file of a classifier.
            ValueError: an argument is none of the above.
            ImportError: onnxruntime is not installed.
        """
        options = _options(providers, threads)
        if not Path(path).is_file():
            msg = f"no file {str(path)!r}. Expected one that Classifier.export_onnx wrote."
            raise WeightsNotFoundError(msg)
        made = cls.__new__(cls)
        try:
            made._set(Path(path).read_bytes(), str(path), options)
        except WeightsError:
            raise
        except Exception as error:  # ONNX Runtime's own errors have no other public base
            msg = f"cannot open {str(path)!r}: it is damaged, or no ONNX file ({error}). Export it again."
            raise WeightsError(msg) from error
        return made

    @overload
    def __call__(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
    @overload
    def __call__(self, images: Tensor) -> Tensor: ...
    def __call__(self, images: object) -> np.ndarray[Any, Any] | Tensor:
        """Probabilities of images.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W) float array or tensor in the range of `inputs`. Images of
                another size are resized, with a warning.

        Returns:
            (B, L) float32, an array for an array and a tensor for a tensor, on its device: as the classifier
            gives them.

        Raises:
            ValueError: images of another shape or type, or in another range.
        """
        tensor = images if isinstance(images, Tensor) else _tensor(images)
        fitted = self.inputs.fit(tensor.detach()).to("cpu", torch.float32).contiguous().numpy()
        found = self._answers(fitted)
        return torch.from_numpy(found).to(tensor.device) if isinstance(images, Tensor) else found

    def save(self, path: str | Path) -> None:
        """Write the session's graph as `Classifier.export_onnx` does, in the session's precision.

        Args:
            path: of the file.

        Raises:
            OSError: the file cannot be written.
        """
        write(Path(path), self._content)

    def __getstate__(self) -> dict[str, Any]:
        made = {"_process", "_lock", "_engines", "_pool"}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __repr__(self) -> str:
        size = "any size" if self.inputs.size is None else f"{self.inputs.size} x {self.inputs.size}"
        return f"Session({len(self.space)} findings of {self.space.name}, {size}, {self.precision})"

    @property
    def pathologies(self) -> tuple[str, ...]:
        """The findings, in the order of the outputs."""
        return self.space.labels

    def _set(self, content: bytes, name: str, options: tuple[list[str], int]) -> None:
        self._content, self._providers, self._threads = content, *options
        self._start()
        card = card_of(self._engine(self._threads).get_modelmeta().custom_metadata_map, name)
        try:
            self.space = LabelSpace(card["space"], tuple(card["pathologies"]))
            self.inputs = InputSpec(**card["inputs"])
            self.precision: Precision = card["precision"]
            self.error, self._batch = float(card["error"]), card["batch"]
        except (KeyError, TypeError, ValueError) as error:
            msg = f"cannot open {name!r}: its card does not describe a classifier ({error}). Export it again."
            raise WeightsError(msg) from error

    def _start(self) -> None:
        """Nothing is made yet in this process."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._engines: dict[int, Any] = {}
        self._pool: ThreadPoolExecutor | None = None

    def _engine(self, threads: int) -> Any:
        """ONNX Runtime with so many threads for one batch, made once in each process."""
        if self._process != os.getpid():
            _ORPHANS.append(self._engines)
            self._start()
        with self._lock:
            if threads not in self._engines:
                runtime = needed("onnxruntime")
                options = runtime.SessionOptions()
                options.intra_op_num_threads = threads
                options.log_severity_level = 3  # errors
                self._engines[threads] = runtime.InferenceSession(self._content, options, self._providers)
            return self._engines[threads]

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="xrdatasets-session")
            return self._pool

    def _answers(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not len(images):
            return np.empty((0, len(self.space)), np.float32)
        if self._batch not in (None, len(images)):
            msg = f"images: expected {self._batch} at once, as the file was exported for, got {len(images)}."
            raise ValueError(msg)
        whole = self._batch is not None or self._providers != [_CPU]
        if whole or len(images) < _AT_ONCE * self._threads:
            return _run(images, self._engine(self._threads))
        parts = np.array_split(images, -(-len(images) // _AT_ONCE))
        run = partial(_run, engine=self._engine(1))
        at_once = map if self._threads == 1 else self._workers().map
        return np.concatenate(list(at_once(run, parts)))


def _run(images: np.ndarray[Any, Any], engine: Any) -> np.ndarray[Any, Any]:
    return engine.run(None, {"images": images})[0]  # type: ignore[no-any-return]


def _options(providers: Sequence[str] | None, threads: int | None) -> tuple[list[str], int]:
    """Providers and threads, checked."""
    threads = torch.get_num_threads() if threads is None else threads
    check_count("threads", threads, least=1)
    known = needed("onnxruntime").get_available_providers()
    chosen = [_CPU] if providers is None else list(providers)
    if isinstance(providers, str) or not chosen or not set(chosen) <= set(known):
        msg = (
            f"providers: expected some of {', '.join(known)}, which this onnxruntime has, got {providers!r}."
        )
        raise ValueError(msg)
    return chosen, threads


def _tensor(images: object) -> Tensor:
    if not isinstance(images, np.ndarray):
        msg = f"images: expected a float array or tensor, got {type(images).__name__}."
        raise ValueError(msg)
    return torch.from_numpy(images)
