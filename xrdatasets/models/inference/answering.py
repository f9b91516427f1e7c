"""Models, step 9: a classifier as tensors alone: what is compiled, exported and run elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xrdatasets.models.classifier import Classifier
from xrdatasets.models.operating import apply_operating_points

__all__ = ["Answer"]


class Answer(nn.Module):
    """A classifier without its checks: images of its size in, probabilities out.

    Normalisation, network, probabilities, operating points and what was not trained: the same answers as the
    classifier's on images that it takes as they are. Nothing depends on the values of the images, so that
    `torch.compile` with ``fullgraph=True`` and `torch.export` take it whole.

    Args:
        classifier: a `Classifier`, whose network is shared.

    Attributes:
        network: the classifier's.

    Raises:
        ValueError: it is no `Classifier`.

    Example:
        >>> from xrdatasets.models import InputSpec, Network
        >>> model = Classifier(Network("mini", 2), ["Edema", "Mass"], inputs=InputSpec(size=32))
        >>> images = 500 * torch.randn(4, 1, 32, 32).clamp(-2, 2)
        >>> torch.equal(Answer(model)(images), model(images))
        True
    """

    mean: Tensor
    std: Tensor
    trained: Tensor
    operating_points: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        check_classifier(classifier)
        self.network = classifier.network
        inputs = classifier.inputs
        device = classifier.trained.device
        self._scaled = any(inputs.mean) or set(inputs.std) != {1.0}  # type: ignore[arg-type]
        self._untrained = 0.5 if classifier.compat == "xrv" else torch.nan
        for name, values in (("mean", inputs.mean), ("std", inputs.std)):
            self.register_buffer(name, torch.tensor(values, device=device).reshape(1, -1, 1, 1))
        self.register_buffer("trained", classifier.trained.clone())
        self.register_buffer("operating_points", classifier.operating_points.clone())
        self.training = classifier.training  # the network is shared: its mode is not to change

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of images, as the classifier's.

        Args:
            images: (B, C, H, W) float32 of the network's size and channels, in the range of its input.

        Returns:
            (B, L) float32 in [0, 1], 0.5 at the operating point where there is one; NaN (with
            ``compat="xrv"`` 0.5) where the output was not trained.
        """
        if self._scaled:
            images = (images - self.mean) / self.std
        backbone, head = self.network.backbone, self.network.head
        features = backbone.pool(backbone.maps(images.to(_dtype(self.network))))
        probabilities = head.probabilities(head(features)).float()
        mapped = apply_operating_points(probabilities, self.operating_points)
        return torch.where(self.trained, mapped, self._untrained)


def check_classifier(classifier: object) -> None:
    """Refuse what is no `Classifier`: an ensemble is exported member by member.

    Args:
        classifier: what the caller passed.

    Raises:
        ValueError: it is none.

    Example:
        >>> from xrdatasets.models import Network
        >>> check_classifier(Classifier(Network("mini", 2), ["Edema", "Mass"]))
    """
    if not isinstance(classifier, Classifier):
        msg = f"classifier: expected a Classifier, got {type(classifier).__name__}; take members one by one."
        raise ValueError(msg)


def _dtype(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype
