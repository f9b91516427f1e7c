"""Legacy: the classifiers of ``torchxrayvision.models``, by its names, with its answers.

The networks are those of `xrdatasets.models`, and files of weights are read as there: checked, and without
running what they hold. Untrained outputs answer 0.5, and the published operating points are used, as in
torchxrayvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xrdatasets.legacy.answers import Answers, as_points, op_norm
from xrdatasets.legacy.datasets import default_pathologies
from xrdatasets.legacy.weights import model_urls as _model_urls, published, write_weights
from xrdatasets.models import Classifier, DenseNet as DenseNetBackbone, ResNet as ResNetBackbone

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DenseNet", "ResNet", "get_densenet_params", "get_model", "op_norm"]

_OUTPUTS = len(default_pathologies)
# maps that a layer adds, layers of each block, maps of the first convolution
_SIZES = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}


class DenseNet(Answers, DenseNetBackbone):
    """torchxrayvision's DenseNet: the network of seven of its published weights, or a new one.

    The names in its state dict are torchxrayvision's (``features.conv0.weight``, ``classifier.weight`` ...),
    so that state dicts go either way.

    Args:
        growth_rate: maps that a layer adds.
        block_config: layers of each block.
        num_init_features: maps of the first convolution.
        bn_size: maps between a layer's two convolutions, as a multiple of `growth_rate`.
        drop_rate: share of a layer's new maps that is set to 0 while training.
        num_classes: outputs; the weights have their own number.
        in_channels: of the images, 1 or 3.
        weights: name of published weights, ``densenet121-res224-all`` or another of `model_urls`: they are
            downloaded on first use. None for a new network.
        cache_dir: a folder where the weights' file may be already, such as torchxrayvision's
            ``~/.torchxrayvision/models_data``; otherwise they are downloaded as by `xrdatasets.models.load`.
        op_threshs: (num_classes,) operating points; None for those of the weights, or none.
        apply_sigmoid: answer with the sigmoid of the logits, where there are no operating points.

    Attributes:
        features: `torch.nn.Sequential`, (B, C, H, W) to the last maps (B, F, h, w), before their ReLU.
        classifier: the last layer.
        targets: names of the outputs, empty for those that were not trained; without weights the 18 of
            torchxrayvision, whatever `num_classes` is.
        pathologies: the same, with weights alone.
        op_threshs: (L,) float32, or None; may be set.
        apply_sigmoid: as given; may be set.
        weights: as given.
        input_resolution: rows and columns of the images that the weights were trained on, with weights alone.

    Raises:
        DownloadError: the weights cannot be downloaded.
        ValueError: an argument is none of the above, or the weights are of another network.
        WeightsError: the file is not the one that the name stands for.
        WeightsNotFoundError: no weights are called so.

    Example:
        >>> import torch
        >>> model = DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8).eval()
        >>> images = torch.linspace(-1024, 1024, 64 * 64).reshape(1, 1, 64, 64)
        >>> model(images).shape, model.features(images).shape, model.features2(images).shape
        (torch.Size([1, 18]), torch.Size([1, 16, 8, 8]), torch.Size([1, 16]))
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = _OUTPUTS,
        in_channels: int = 1,
        weights: str | None = None,
        cache_dir: str | None = None,
        op_threshs: Tensor | Sequence[float] | None = None,
        apply_sigmoid: bool = False,
    ) -> None:
        from torch.nn import Linear

        if weights is not None and num_classes != _OUTPUTS:
            msg = f"num_classes: expected none, as the weights have {_OUTPUTS} outputs, got {num_classes!r}."
            raise ValueError(msg)
        super().__init__(
            channels=in_channels,
            growth=growth_rate,
            blocks=block_config,
            stem=num_init_features,
            bn_size=bn_size,
        )
        self.classifier = Linear(self.out_features, num_classes)
        self.classifier.bias.data.zero_()
        _drop_out(self, drop_rate)
        self.apply_sigmoid, self.weights = apply_sigmoid, weights
        if weights is not None:
            known = published(weights, cache_dir)
            write_weights(self, known, self, last="classifier")
            self.targets = _named(known)
            self.pathologies = self.targets
            op_threshs = known.operating_points if op_threshs is None else op_threshs
        self.register_buffer("op_threshs", as_points(op_threshs, num_classes))

    def features2(self, x: Tensor) -> Tensor:
        """The last maps after their ReLU, averaged.

        Args:
            x: as for `forward`.

        Returns:
            (B, F).

        Raises:
            ValueError: as for `forward`.
        """
        return self.pool(self.maps(self._fitted(x)))

    def __repr__(self) -> str:
        return "XRV-DenseNet" if self.weights is None else f"XRV-DenseNet121-{self.weights}"

    def _logits(self, images: Tensor) -> Tensor:
        return self.classifier(self.pool(self.maps(images)))  # type: ignore[no-any-return]


class ResNet(Answers):
    """torchxrayvision's ResNet: the network of its weights for images of 512 x 512.

    Its published operating points were found on a sigmoid of the sigmoid, as far as one can tell: 0.5 is not
    what they call an operating point. `xrdatasets.models.load` has corrected ones.

    Args:
        weights: name of published weights, ``resnet50-res512-all``.
        apply_sigmoid: answer with the sigmoid of the logits, where there are no operating points.
        cache_dir: as for `DenseNet`.

    Attributes:
        model: the network, with torchvision's names; called, it gives logits.
        targets: names of the outputs; two of them have no operating point, and answer 0.5.
        pathologies: the same.
        op_threshs: (L,) float32, or None; may be set.
        apply_sigmoid: as given; may be set.
        weights: as given.
        input_resolution: rows and columns of the images that the weights were trained on.

    Raises:
        DownloadError: the weights cannot be downloaded.
        ValueError: there is no name, or the weights are of another network.
        WeightsError: the file is not the one that the name stands for.
        WeightsNotFoundError: no weights are called so.
    """

    def __init__(
        self, weights: str | None = None, apply_sigmoid: bool = False, cache_dir: str | None = None
    ) -> None:
        if weights is None:
            raise ValueError("weights: expected 'resnet50-res512-all', got None.")
        known = published(weights, cache_dir)
        body = known.network.backbone
        super().__init__("resnet50", channels=body.channels, out_features=body.out_features, least=body.least)
        if not isinstance(body, ResNetBackbone):
            msg = f"weights: expected those of a ResNet, got {weights!r}, of {body.name}."
            raise ValueError(msg)
        self.model = _WithLastLayer(len(known.space), body.config())
        write_weights(self, known, self.model, last="fc")
        self.targets = list(known.pathologies)
        self.pathologies = self.targets
        self.apply_sigmoid, self.weights = apply_sigmoid, weights
        self.register_buffer("op_threshs", as_points(known.operating_points, len(known.space)))

    def features(self, x: Tensor) -> Tensor:
        """The last maps, averaged.

        Args:
            x: as for `forward`.

        Returns:
            (B, F).

        Raises:
            ValueError: as for `forward`.
        """
        return self.pool(self.model.maps(self._fitted(x)))

    def __repr__(self) -> str:
        return f"XRV-ResNet-{self.weights}"

    def _logits(self, images: Tensor) -> Tensor:
        return self.model(images)  # type: ignore[no-any-return]


class _WithLastLayer(ResNetBackbone):
    """torchvision's ResNet, of which the last layer is a part."""

    def __init__(self, outputs: int, config: dict[str, Any]) -> None:
        from torch.nn import Linear

        super().__init__(**config)
        self.fc = Linear(self.out_features, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.pool(self.maps(images)))  # type: ignore[no-any-return]


def get_model(weights: str, **kwargs: Any) -> DenseNet | ResNet:
    """The network of published weights.

    Args:
        weights: their name.
        kwargs: of `DenseNet` or `ResNet`.

    Raises:
        ValueError: it is a name of neither.
    """
    if weights.startswith("densenet"):
        return DenseNet(weights=weights, **kwargs)
    if weights.startswith("resnet"):
        return ResNet(weights=weights, **kwargs)
    msg = f"weights: expected a name that begins with 'densenet' or 'resnet', got {weights!r}."
    raise ValueError(msg)


def get_densenet_params(arch: str) -> dict[str, Any]:
    """Arguments of `DenseNet` for one of the published sizes.

    Args:
        arch: ``densenet161``, ``densenet169`` or ``densenet201``; any other with "dense" in it is 121.

    Raises:
        ValueError: another name.

    Source:
        Huang et al., "Densely connected convolutional networks", CVPR 2017, table 1; torchvision for 161.

    Example:
        >>> get_densenet_params("densenet169")["block_config"]
        (6, 12, 32, 32)
    """
    if "dense" not in arch:
        msg = f"arch: expected the name of a DenseNet, got {arch!r}."
        raise ValueError(msg)
    growth, blocks, stem = _SIZES.get(arch, _SIZES["densenet121"])
    return {"growth_rate": growth, "block_config": blocks, "num_init_features": stem}


def __getattr__(name: str) -> Any:
    if name == "model_urls":
        return _model_urls()
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def _named(known: Classifier) -> list[str]:
    """Names of outputs as torchxrayvision has them for its DenseNets: empty where nothing was trained."""
    pairs = zip(known.pathologies, known.trained.tolist(), strict=True)
    return [str(label) if trained else "" for label, trained in pairs]


def _drop_out(model: DenseNet, rate: float) -> None:
    """Set a share of what each layer adds to 0, while training."""
    from torch.nn.functional import dropout

    if not 0 <= rate <= 1:
        msg = f"drop_rate: expected a number from 0 to 1, got {rate!r}."
        raise ValueError(msg)
    if not rate:
        return

    def drop(layer: Any, inputs: Any, maps: Tensor) -> Tensor:
        return dropout(maps, rate, training=layer.training)

    for name, layer in model.named_modules():
        if name.rpartition(".")[2].startswith("denselayer"):
            layer.register_forward_hook(drop)
