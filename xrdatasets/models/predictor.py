"""Models, step 7: what a classifier, an ensemble and test-time augmentation have in common."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from xrdatasets.labels import LabelSpace
from xrdatasets.models.inputs import InputSpec

__all__ = ["Predictor", "calibrated_findings", "check_predictor"]

_NEEDED = ("space", "inputs", "trained", "operating_points", "logits", "probabilities")


class Predictor(Protocol):
    """A module that answers as a `Classifier` does.

    Attributes:
        space: the findings, in the order of the answers.
        inputs: the images that it takes.
    """

    space: LabelSpace
    inputs: InputSpec

    @property
    def trained(self) -> Tensor:
        """(L,) bool, of which findings it knows something."""

    @property
    def operating_points(self) -> Tensor:
        """(L,) float32, NaN for none."""

    def __call__(self, images: Tensor) -> Tensor:
        """(B, L) probabilities, on the scale of the operating points."""

    def logits(self, images: Tensor) -> Tensor:
        """(B, L) log-odds."""

    def probabilities(self, images: Tensor) -> Tensor:
        """(B, L) probabilities, as they are."""


def check_predictor(name: str, value: object) -> None:
    """Refuse what does not answer as a classifier does.

    Args:
        name: of the argument, for the message.
        value: what the caller passed.

    Raises:
        ValueError: it does not.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> check_predictor("classifier", Classifier(Network("mini", 2), ["Edema", "Mass"]))
    """
    if isinstance(value, nn.Module) and all(hasattr(value, each) for each in _NEEDED):
        return
    hint = " A network becomes one by Classifier(network, space)." if isinstance(value, nn.Module) else ""
    msg = f"{name}: expected a Classifier, or an Ensemble of some, got {type(value).__name__}.{hint}"
    raise ValueError(msg)


def calibrated_findings(predictor: Predictor) -> Tensor:
    """For which findings an answer of 0.5 is an operating point.

    Args:
        predictor: a classifier or what answers as one.

    Returns:
        (L,) bool.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> points = {"Edema": 0.2}
        >>> calibrated_findings(Classifier(Network("mini", 2), ["Edema", "Mass"], operating_points=points))
        tensor([ True, False])
    """
    known = getattr(predictor, "calibrated", None)
    return known if isinstance(known, Tensor) else ~predictor.operating_points.isnan()
