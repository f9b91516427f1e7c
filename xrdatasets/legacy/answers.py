"""Legacy: what torchxrayvision's classifiers do with images before the network, and with logits after it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xrdatasets.legacy.datasets import default_pathologies
from xrdatasets.models import Backbone
from xrdatasets.models.operating import apply_operating_points

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Answers", "as_points", "op_norm"]

# images whose ends are nearer to 0 or farther from it are of another range: torchxrayvision's rule
_LEAST, _MOST = 255, 1025


class Answers(Backbone):
    """Base of `DenseNet` and `ResNet`: images to the size of the weights, logits to what is answered."""

    weights: str | None
    apply_sigmoid: bool
    op_threshs: Tensor | None
    targets: list[str] = default_pathologies
    pathologies: list[str]
    input_resolution: int

    def _logits(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Predictions of images.

        Args:
            x: (B, C, H, W) float from -1024 to 1024, or one image (C, H, W). With weights, images of another
                size are resized without a word.

        Returns:
            (B, L): logits; their sigmoid with `apply_sigmoid`; with `op_threshs`, the sigmoid on the scale of
            its operating points, 0.5 where these are NaN.

        Raises:
            ValueError: with weights, images that are not square.
        """
        logits = self._logits(self._fitted(x))
        if self.op_threshs is not None:
            return op_norm(logits.sigmoid(), self.op_threshs)
        return logits.sigmoid() if self.apply_sigmoid else logits

    def _fitted(self, x: Tensor) -> Tensor:
        """Images as the weights take them; as they are where there are none."""
        if not hasattr(self, "input_resolution"):
            return x
        x = _resized(x, self.input_resolution)
        _warn_of_range(x)
        return x


def op_norm(outputs: Tensor, op_threshs: Tensor) -> Tensor:
    """Probabilities on the scale of their operating points.

    Args:
        outputs: (B, L) in [0, 1].
        op_threshs: (L,) or (B, L) in [0, 1], NaN for none.

    Returns:
        (B, L): p / 2t below the operating point t, 1 - (1 - p) / 2(1 - t) from there on, 0.5 where t is NaN.

    Example:
        >>> import torch
        >>> op_norm(torch.tensor([[0.1, 0.6, 0.9]]), torch.tensor([0.2, 0.2, torch.nan]))
        tensor([[0.2500, 0.7500, 0.5000]])
    """
    return apply_operating_points(outputs, op_threshs).where(~op_threshs.isnan(), 0.5)


def as_points(given: Tensor | Sequence[float] | None, outputs: int) -> Tensor | None:
    """Operating points as they are kept.

    Args:
        given: (outputs,) numbers, NaN for none; None for none at all.
        outputs: of the network.

    Returns:
        (outputs,) float32, or None.

    Raises:
        ValueError: there are more or fewer.
    """
    import torch

    if given is None:
        return None
    points = torch.as_tensor(given, dtype=torch.float32).detach().clone()
    if points.shape[-1:] != (outputs,):
        msg = f"op_threshs: expected {outputs} numbers, NaN for none, got {given!r}."
        raise ValueError(msg)
    return points


def _resized(images: Tensor, size: int) -> Tensor:
    """(B, C, size, size), bilinear with antialiasing.

    Raises:
        ValueError: the images are not square.
    """
    from torch.nn.functional import interpolate

    images = images[None] if images.ndim == 3 else images
    height, width = images.shape[2:]
    if height != width:
        msg = f"x: expected square images, got {height} x {width}; cut them first, by XRayCenterCrop."
        raise ValueError(msg)
    if height == size:
        return images
    return interpolate(images, (size, size), mode="bilinear", antialias=True)


def _warn_of_range(images: Tensor) -> None:
    """Warn of images that look as if they were on another scale, by torchxrayvision's rule."""
    low, high = (float(end) for end in images.detach().aminmax())
    if low > -_LEAST or high < _LEAST or low < -_MOST or high > _MOST:
        text = (
            f"x: expected images from -1024 to 1024, got {low:g} to {high:g}; bring them there with "
            "xrv.utils.normalize(img, maxval)."
        )
        warnings.warn(text, stacklevel=5)
