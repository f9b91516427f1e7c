"""Shapes of what passes between the steps of the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    import torch

__all__ = ["Compat", "Join", "Missing", "Sample", "Transform", "View"]

View = Literal["PA", "AP", "AP_SUPINE", "LATERAL", "UNKNOWN"]
Missing = Literal["error", "drop", "keep"]
Join = Literal["prefer", "per_reader"]
Compat = Literal["xrv"]


class Sample(TypedDict):
    """One image with its labels.

    Attributes:
        img: (1, H, W) float32, range by the dataset's intensity.
        lab: (L,) float32 targets in [0, 1], NaN unknown.
        idx: position in the dataset that gave the sample.
        source: position of the part, in a dataset made by `concat` or `join`.
        mask: (L, H, W) uint8, 1 inside a finding's annotation (``masks=True``).
        mask_known: (L,) bool, whether that mask says where the finding is.
    """

    img: torch.Tensor
    lab: torch.Tensor
    idx: int
    source: NotRequired[int]
    mask: NotRequired[torch.Tensor]
    mask_known: NotRequired[torch.Tensor]


Transform = Callable[[Sample], Sample]
