"""Transforms, step 3: blur."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.checks import RANGES, Intensity, Span, check_choice, check_fraction, check_span
from xrdatasets.transforms.draws import draw_uniform

__all__ = ["GaussianBlur"]

_TRUNCATE = 4.0  # standard deviations to each side: scipy.ndimage.gaussian_filter's default


@dataclass(frozen=True)
class GaussianBlur(BatchTransform):
    """Blur with a Gaussian; the edge goes on beyond the image. None of the papers blurs.

    Args:
        sigma: standard deviation in pixels: one number, or (low, high) to draw from for each image.
        p: probability for each image.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.
        ImportError: when called, if kornia is not installed.

    Source:
        `kornia.filters.gaussian_blur2d` does the work.

    Example:
        >>> import torch
        >>> point = torch.zeros(1, 1, 1, 3)
        >>> point[..., 1] = 1.0
        >>> GaussianBlur(sigma=0.5, intensity="unit")(point)[0, 0, 0, 1].round(decimals=3)
        tensor(0.7870)
    """

    sigma: Span = (0.1, 2.0)
    p: float = 1.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_fraction("p", self.p)
        check_span("sigma", self.sigma, least=0.0)

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Blur the chosen images."""
        low, high = RANGES[self.intensity]
        least, greatest = check_span("sigma", self.sigma)
        numbers = draw_uniform(seeds, 2)
        sigma = (least + numbers[:, 1] * (greatest - least)).float()
        side = 2 * int(_TRUNCATE * greatest + 0.5) + 1

        def change(some: Tensor, rows: Tensor) -> Tensor:
            return _blurred(some, sigma[rows], side).clamp(low, high)

        chosen = (numbers[:, 0] < self.p) & (sigma > 0)
        return change_rows(images, chosen, change), masks


def _blurred(images: Tensor, sigma: Tensor, side: int) -> Tensor:
    try:
        from kornia.filters import gaussian_blur2d
    except ImportError as error:
        msg = "GaussianBlur needs kornia, which is not installed. Try: pip install 'xrdatasets[train]'"
        raise ImportError(msg) from error
    both = sigma.to(images.device)[:, None].expand(-1, 2)
    blurred: Tensor = gaussian_blur2d(images, (side, side), both, border_type="replicate")
    return blurred
