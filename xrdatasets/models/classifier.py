"""Models, step 4: a network that knows what it was trained on, from images to named probabilities."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from xrdatasets.labels import LabelSpace
from xrdatasets.labels.spaces import SpaceLike
from xrdatasets.models.card import Card
from xrdatasets.models.heatmaps import grad_cam
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.network import Network
from xrdatasets.models.operating import apply_operating_points
from xrdatasets.typing import Compat

if TYPE_CHECKING:
    from xrdatasets.models.inference.session import Session

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """A trained network with its label space, its input and its operating points.

    It is in evaluation mode from the start.

    Args:
        network: the network, with as many outputs as `space` has findings.
        space: the findings, in the order of the outputs: a `LabelSpace`, its name, or names.
        inputs: the images that the network was trained on.
        trained: findings whose output was trained: names, or (L,) bool; None for all.
        operating_points: the probability at which a finding is called: (L,) numbers, NaN for none, or a dict
            by finding; None for none.
        card: what else is known.
        compat: ``"xrv"`` gives 0.5 for outputs that were not trained, as torchxrayvision does; else NaN.

    Attributes:
        network: as given.
        space: a `LabelSpace`.
        pathologies: its findings.
        inputs: as given.
        trained: (L,) bool.
        operating_points: (L,) float32, NaN for none.
        card: as given.
        compat: as given.

    Raises:
        ValueError: an argument is none of the above, or does not fit the others.
        LabelNotFoundError: there is no such space or finding.

    Example:
        >>> import torch
        >>> from xrdatasets.models import Network
        >>> model = Classifier(Network("mini", 2), ["Effusion", "Nodule"], inputs=InputSpec(size=32))
        >>> probabilities = model(torch.zeros(4, 1, 32, 32))
        >>> dict(zip(model.pathologies, probabilities[0].tolist()))  # doctest: +ELLIPSIS
        {'Effusion': 0..., 'Nodule': 0...}
    """

    trained: Tensor
    operating_points: Tensor

    def __init__(
        self,
        network: Network,
        space: SpaceLike,
        *,
        inputs: InputSpec | None = None,
        trained: Sequence[str] | Sequence[bool] | Tensor | None = None,
        operating_points: Mapping[str, float] | Sequence[float] | Tensor | None = None,
        card: Card | None = None,
        compat: Compat | None = None,
    ) -> None:
        super().__init__()
        _check_kind("network", network, Network)
        if compat is not None and compat not in get_args(Compat):
            msg = f"compat: expected None or one of {get_args(Compat)}, got {compat!r}."
            raise ValueError(msg)
        self.network, self.space, self.compat = network, LabelSpace.of(space), compat
        self.inputs = inputs if inputs is not None else InputSpec(channels=network.backbone.channels)
        self.card = card if card is not None else Card()
        _check_kind("inputs", self.inputs, InputSpec)
        _check_kind("card", self.card, Card)
        self._check_fit()
        self.register_buffer("trained", _trained(trained, self.space), persistent=False)
        self.register_buffer("operating_points", _points(operating_points, self.space), persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Probability of each finding, on the scale of its operating point.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W) float in the range of `inputs`, on any device. Images of
                another size are resized, with a warning.

        Returns:
            (B, L) float32 in [0, 1], in the order of `pathologies`, on the network's device: 0.5 where the
            probability is the operating point (where there is one), NaN where the output was not trained.

        Raises:
            ValueError: images of another shape or type, or in another range.

        Source:
            Cohen et al., MIDL 2020, equation 1, for the operating points.
        """
        return self.calibrate(self.probabilities(images))

    def calibrate(self, probabilities: Tensor) -> Tensor:
        """Probabilities on the scale of the operating points, unknown where nothing was trained.

        Args:
            probabilities: (B, L) of `probabilities`.

        Returns:
            (B, L): p / 2t below the operating point t, 1 - (1 - p) / 2(1 - t) from there on.
        """
        mapped = apply_operating_points(probabilities, self.operating_points)
        return torch.where(self.trained, mapped, 0.5 if self.compat == "xrv" else torch.nan)

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities as the network gives them, of all outputs.

        Args:
            images: as for `forward`.

        Returns:
            (B, L) float32 in [0, 1].

        Raises:
            ValueError: as for `forward`.
        """
        return self.network.head.probabilities(self.network.outputs(self._fed(images))).float()

    def logits(self, images: Tensor) -> Tensor:
        """Log-odds of `probabilities`.

        Args:
            images: as for `forward`.

        Returns:
            (B, L) float32.

        Raises:
            ValueError: as for `forward`.
        """
        return self.network.head.logits(self.network.outputs(self._fed(images))).float()

    def features(self, images: Tensor) -> Tensor:
        """The backbone's vector of each image.

        Args:
            images: as for `forward`.

        Returns:
            (B, F) float32.

        Raises:
            ValueError: as for `forward`.
        """
        return self.network.features(self._fed(images)).float()

    def maps(self, images: Tensor) -> Tensor:
        """The backbone's last feature maps.

        Args:
            images: as for `forward`.

        Returns:
            (B, C, h, w) float32.

        Raises:
            ValueError: as for `forward`.
        """
        return self.network.maps(self._fed(images)).float()

    def preprocess(self, source: object, *, max_value: int | None = None) -> Tensor:
        """An image as `forward` takes it: cropped, resized and on its scale.

        Args:
            source: a path, a file's content, an array or a picture, see `InputSpec.load`.
            max_value: as for `InputSpec.load`.

        Returns:
            (1, C, size, size) float32, on the CPU.

        Raises:
            ImageReadError: the file cannot be read.
            ValueError: the array is of another kind.
        """
        return self.inputs.load(source, max_value=max_value)

    def heatmap(self, images: Tensor, finding: str) -> Tensor:
        """Where in the images the network sees a finding.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W), as for `forward`.
            finding: canonical name or synonym.

        Returns:
            (B, H', W') float32 from 0 to 1, of the network's size, 1 at the strongest place of each image;
            all 0 where nothing speaks for the finding.

        Raises:
            LabelNotFoundError: it is not in the space.
            ValueError: its output was not trained; or as for `forward`.

        Source:
            Grad-CAM: Selvaraju et al., ICCV 2017.
        """
        column = self.space.index(finding)
        if not self.trained[column]:
            msg = (
                f"finding: the output of {self.pathologies[column]!r} was not trained. Expected one that was."
            )
            raise ValueError(msg)
        return grad_cam(self.network, self._fed(images), column)

    def save(self, path: str | Path, *, dtype: str | None = None) -> None:
        """Write the classifier to one file, see `xrdatasets.models.save`."""
        from xrdatasets.models.weights.storage import save

        save(self, path, dtype=dtype)

    def for_inference(self) -> Classifier:
        """A faster copy that gives the same answers, but cannot be trained or saved.

        Batch normalisation is folded into the convolutions, and channels come last in memory.

        Returns:
            The copy.
        """
        from xrdatasets.models.inference.folding import fold_batch_norm

        made = copy.copy(self)
        # the copy's own lists of parts and buffers
        made._modules, made._buffers = dict(self._modules), dict(self._buffers)
        made.network = fold_batch_norm(self.network)
        return made

    def session(self, **options: Any) -> Session:
        """The classifier in ONNX Runtime, the fastest on a CPU; needs the extra ``onnx``.

        Args:
            options: of `xrdatasets.models.Session`.

        Returns:
            The session: images in, probabilities out.
        """
        from xrdatasets.models.inference.session import Session

        return Session(self, **options)

    def export_onnx(self, path: str | Path, **options: Any) -> None:
        """Write the classifier as an ONNX file, see `xrdatasets.models.export_onnx`."""
        from xrdatasets.models.inference.onnx_export import export_onnx

        export_onnx(self, path, **options)

    @property
    def pathologies(self) -> tuple[str, ...]:
        """The findings, in the order of the outputs."""
        return self.space.labels

    def with_operating_points(
        self, points: Mapping[str, float] | Sequence[float] | Tensor | None
    ) -> Classifier:
        """The same network with other operating points.

        Args:
            points: as for the constructor.

        Returns:
            A classifier that shares the network.

        Raises:
            ValueError: as for the constructor.
        """
        return Classifier(
            self.network, self.space, inputs=self.inputs, trained=self.trained, operating_points=points,
            card=self.card, compat=self.compat,
        ).to(self.trained.device)  # fmt: skip

    def extra_repr(self) -> str:
        """What stands in the repr beside the network."""
        known = int(self.trained.sum())
        size = "any size" if self.inputs.size is None else f"{self.inputs.size} x {self.inputs.size}"
        findings = f"{len(self.space)} findings of {self.space.name}"
        return f"{findings}, {known} trained, {size} {self.inputs.intensity}"

    def _fed(self, images: Tensor) -> Tensor:
        """The images as the network sees them."""
        images = self.inputs.fit(images)
        weight = next(self.network.parameters())
        return self.inputs.scaled(images.to(weight.device, torch.float32)).to(weight.dtype)

    def _check_fit(self) -> None:
        outputs = self.network.head.outputs
        if outputs != len(self.space):
            msg = (
                f"space: expected {outputs} findings, one for each output, got {len(self.space)} "
                f"({self.space.name})."
            )
            raise ValueError(msg)
        channels = self.network.backbone.channels
        if self.inputs.channels != channels:
            msg = f"inputs: expected {channels} channels, as the network takes, got {self.inputs.channels}."
            raise ValueError(msg)


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        msg = f"{name}: expected one of the class {kind.__name__}, got {type(value).__name__}."
        raise ValueError(msg)


def _trained(given: object, space: LabelSpace) -> Tensor:
    """(L,) bool of names, of a mask, or of nothing."""
    if given is None:
        return torch.ones(len(space), dtype=torch.bool)
    values = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else list(given)  # type: ignore[call-overload]
    if values and all(isinstance(value, str) for value in values):
        mask = torch.zeros(len(space), dtype=torch.bool)
        mask[[space.index(value) for value in values]] = True
        return mask
    if len(values) != len(space) or not all(isinstance(value, (bool, np.bool_)) for value in values):
        msg = f"trained: expected findings, or {len(space)} of True or False, got {given!r}."
        raise ValueError(msg)
    return torch.tensor(values, dtype=torch.bool)


def _points(given: object, space: LabelSpace) -> Tensor:
    """(L,) float32 of a dict by finding, of numbers, or of nothing."""
    if given is None:
        return torch.full((len(space),), torch.nan)
    if isinstance(given, Mapping):
        points = torch.full((len(space),), torch.nan)
        for label, value in given.items():
            points[space.index(label)] = value
    else:
        points = torch.as_tensor(given, dtype=torch.float32).detach().clone()
    if points.shape != (len(space),) or bool(((points < 0) | (points > 1)).any()):
        msg = f"operating_points: expected {len(space)} numbers from 0 to 1, NaN for none, got {given!r}."
        raise ValueError(msg)
    return points
