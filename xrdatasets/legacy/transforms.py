"""Legacy: the transforms of torchxrayvision, on numpy arrays of (1, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from xrdatasets.images import center_crop, resize
from xrdatasets.images.geometry import check_size

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ToPILImage", "XRayCenterCrop", "XRayResizer"]

ResizeEngine = Literal["skimage", "cv2"]
Floats = npt.NDArray[np.float32]


class XRayCenterCrop:
    """Cut the centre square, as wide as the shorter side.

    Example:
        >>> XRayCenterCrop()(np.zeros((1, 4, 6), np.float32)).shape
        (1, 4, 4)
    """

    def __call__(self, img: Floats) -> Floats:
        """(1, s, s) of (1, H, W)."""
        return center_crop(img)


class XRayResizer:
    """Make an image a square of a size.

    Args:
        size: height and width in pixels.
        engine: ``skimage`` for what that library does with torchxrayvision's arguments, its grey frame
            included (here ``engine="xrv"``); ``cv2`` for the mean over areas (here ``engine="area"``).
            Neither library is needed.

    Raises:
        ValueError: a size or an engine that is none.

    Example:
        >>> XRayResizer(224)(np.zeros((1, 512, 512), np.float32)).shape
        (1, 224, 224)
    """

    def __init__(self, size: int, engine: ResizeEngine = "skimage") -> None:
        check_size(size)
        if engine not in get_args(ResizeEngine):
            msg = f"engine: expected {' or '.join(map(repr, get_args(ResizeEngine)))}, got {engine!r}."
            raise ValueError(msg)
        self.size, self.engine = size, engine

    def __call__(self, img: Floats) -> Floats:
        """(1, size, size) float32 of (1, H, W)."""
        pixels = np.asarray(img, dtype=np.float32)[0]
        made = resize(pixels, self.size, engine="xrv" if self.engine == "skimage" else "area")
        # as skimage does: what comes out lies in the range of what went in
        return made.clip(pixels.min(), pixels.max())[np.newaxis]


class ToPILImage:
    """An image of (1, H, W) as a PIL image of mode F, for transforms that take no arrays."""

    def __call__(self, x: Floats) -> Image:
        """The PIL image."""
        from PIL import Image

        return Image.fromarray(np.asarray(x[0], dtype=np.float32))
