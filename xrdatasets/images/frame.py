"""Where the pixels went: from coordinates of the native image to those of the prepared one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdatasets.images.geometry import check_size

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the native image that is kept, and the size it comes out with.

    Coordinates are continuous and count from the image's upper left corner: pixel (row 0, column 0)
    covers [0, 1) x [0, 1), so that a box of native pixels maps onto the output pixels it covers.

    Attributes:
        top: first native row that is kept.
        left: first native column that is kept.
        height: native rows that are kept.
        width: native columns that are kept.
        out_height: rows of the result.
        out_width: columns of the result.

    Example:
        >>> frame = Frame.of((1000, 1200), size=500)
        >>> frame.top, frame.left, frame.scale
        (0, 100, (0.5, 0.5))
        >>> frame.boxes([[100, 0, 300, 1000]])
        array([[  0.,   0., 100., 500.]])
    """

    top: int
    left: int
    height: int
    width: int
    out_height: int
    out_width: int

    @classmethod
    def of(cls, shape: tuple[int, int], *, size: int | None = None, crop: bool = True) -> Frame:
        """The frame that `load_image` uses for an image of this shape.

        Args:
            shape: native (H, W), both at least 1.
            size: as for `load_image`; None keeps the native image.
            crop: as for `load_image`.

        Returns:
            The frame.

        Raises:
            ValueError: an empty shape, or `size` is no positive integer.

        Example:
            >>> Frame.of((4, 6), size=2, crop=False).scale
            (0.5, 0.3333333333333333)
        """
        height, width = shape
        if height < 1 or width < 1:
            msg = f"shape: expected (H, W) of at least 1 x 1, got {shape}."
            raise ValueError(msg)
        if size is None:
            return cls(0, 0, height, width, height, width)
        size = check_size(size)
        if not crop:
            return cls(0, 0, height, width, size, size)
        side = min(height, width)
        return cls(height // 2 - side // 2, width // 2 - side // 2, side, side, size, size)

    @property
    def scale(self) -> tuple[float, float]:
        """Output pixels per native pixel, (vertical, horizontal)."""
        return self.out_height / self.height, self.out_width / self.width

    def points(self, xy: Any) -> NDArray[np.float64]:
        """Map points, which may come out outside the result.

        Args:
            xy: (…, 2) native x (to the right) and y (down).

        Returns:
            (…, 2) float64 x and y in the result.

        Example:
            >>> Frame.of((10, 20), size=5).points([5, 10])
            array([0., 5.])
        """
        vertical, horizontal = self.scale
        return (np.asarray(xy, np.float64) - (self.left, self.top)) * (horizontal, vertical)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the middle of each pixel of the result lies in the native image.

        Returns:
            (out_width,) native x of the columns and (out_height,) native y of the rows.

        Example:
            >>> Frame.of((10, 20), size=5).centres()
            (array([ 6.,  8., 10., 12., 14.]), array([1., 3., 5., 7., 9.]))
        """
        vertical, horizontal = self.scale
        columns = np.arange(self.out_width, dtype=np.float64)
        rows = np.arange(self.out_height, dtype=np.float64)
        return (columns + 0.5) / horizontal + self.left, (rows + 0.5) / vertical + self.top

    def boxes(self, xyxy: Any) -> NDArray[np.float64]:
        """Map boxes and cut them at the border; a box that was cropped away comes out with no area.

        Args:
            xyxy: (…, 4) native left, top, right, bottom.

        Returns:
            (…, 4) float64 left, top, right, bottom in the result.

        Example:
            >>> Frame.of((10, 20), size=10).boxes([0, 0, 4, 10])
            array([ 0.,  0.,  0., 10.])
        """
        corners = np.asarray(xyxy, np.float64)
        mapped = self.points(corners.reshape(*corners.shape[:-1], 2, 2))
        return mapped.clip(0, (self.out_width, self.out_height)).reshape(corners.shape)
