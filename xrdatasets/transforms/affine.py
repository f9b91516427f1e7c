"""Transforms, step 3: turn, move, scale and shear."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xrdatasets.transforms.base import BatchTransform, change_rows
from xrdatasets.transforms.checks import (
    RANGES,
    Intensity,
    Span,
    check_choice,
    check_fraction,
    check_pair,
    check_span,
)
from xrdatasets.transforms.draws import draw_uniform

__all__ = ["RandomAffine"]

_IDENTITY = (0.0, 0.0, 0.0, 1.0, 0.0)  # degrees, x, y, scale, shear
_RIGHT_ANGLE = 90.0


@dataclass(frozen=True)
class RandomAffine(BatchTransform):
    """Shear, turn and scale about the centre, then move; each image by numbers of its own.

    Linear between pixels, for masks the nearest pixel. The arguments mean what torchvision's ``RandomAffine``
    means by them; it rounds a shift to whole pixels and takes the nearest pixel unless told otherwise.

    Args:
        degrees: the angle, clockwise: (low, high), or one number for both directions.
        translate: (horizontal, vertical) or one number for both: at most so many widths and heights of the
            image, in both directions.
        scale: the factor, (low, high) above 0.
        shear: angle in degrees by which verticals lean, (low, high) or one number for both directions.
        fill: what comes in from outside, from 0 (black, the range's least value) to 1 (white).
        p: probability for each image.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Raises:
        ValueError: an argument is none of the above.
        ImportError: when called, if kornia is not installed.

    Source:
        Cohen et al., MIDL 2020 (`xrdatasets.transforms.cohen_view`). The work is done by
        `kornia.geometry.transform`.

    Example:
        >>> turn = RandomAffine(degrees=(90, 90))
        >>> turn(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).round()
        tensor([[[[3., 1.],
                  [4., 2.]]]])
    """

    degrees: Span = 0.0
    translate: Span = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: Span = 0.0
    fill: float = 0.0
    p: float = 1.0
    intensity: Intensity = "xrv"

    def __post_init__(self) -> None:
        check_choice("intensity", self.intensity, Intensity)
        check_fraction("p", self.p)
        check_fraction("fill", self.fill)
        self._spans()

    def apply(self, images: Tensor, masks: Tensor | None, seeds: Tensor) -> tuple[Tensor, Tensor | None]:
        """Warp the chosen images, but for those that would stay as they are."""
        low, high = RANGES[self.intensity]
        fill = low + self.fill * (high - low)
        numbers = draw_uniform(seeds, 1 + len(_IDENTITY))
        spans = torch.tensor(self._spans(), dtype=torch.float64)
        values = spans[:, 0] + numbers[:, 1:] * (spans[:, 1] - spans[:, 0])
        moved = (values != torch.tensor(_IDENTITY, dtype=torch.float64)).any(1)
        chosen = (numbers[:, 0] < self.p) & moved
        matrices = _matrices(values, *images.shape[2:])

        def warp(some: Tensor, rows: Tensor) -> Tensor:
            # zeros come in from outside, so `fill` is 0 meanwhile
            return (_warped(some - fill, matrices[rows], "bilinear") + fill).clamp(low, high)

        def warp_masks(some: Tensor, rows: Tensor) -> Tensor:
            return _warped(some.float(), matrices[rows], "nearest").to(some.dtype)

        images = change_rows(images, chosen, warp)
        return images, masks if masks is None else change_rows(masks, chosen, warp_masks)

    def _spans(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of degrees, horizontal and vertical shift, scale and shear."""
        shifts = check_pair("translate", self.translate)
        scale = check_span("scale", self.scale, above=0.0)
        shear = check_span("shear", self.shear, around=0.0)
        if max(-shear[0], shear[1]) >= _RIGHT_ANGLE:
            msg = f"shear: expected angles of less than 90 degrees, got {self.shear!r}."
            raise ValueError(msg)
        degrees = check_span("degrees", self.degrees, around=0.0)
        return degrees, *((-shift, shift) for shift in shifts), scale, shear


def _matrices(values: Tensor, height: int, width: int) -> Tensor:
    """(B, 2, 3) float32: where a pixel (x, y) goes, of (B, 5) float64 parameters."""
    try:
        from kornia.geometry.transform import get_affine_matrix2d
    except ImportError as error:
        msg = "RandomAffine needs kornia, which is not installed. Try: pip install 'xrdatasets[train]'"
        raise ImportError(msg) from error
    degrees, x, y, scale, shear = values.unbind(1)
    shifts = torch.stack([x * width, y * height], dim=1)
    centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], dtype=values.dtype).expand(len(values), 2)
    matrices: Tensor = get_affine_matrix2d(
        shifts, centre, scale[:, None].expand(-1, 2), degrees, torch.deg2rad(shear), torch.zeros_like(shear)
    )
    return matrices[:, :2]


def _warped(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    from kornia.geometry.transform import warp_affine

    matrices = matrices.to(images.device, images.dtype)
    warped: Tensor = warp_affine(images, matrices, (images.shape[2], images.shape[3]), mode=mode)
    return warped
