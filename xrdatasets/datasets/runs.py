"""Datasets, on request: run lengths become the pixels that they mark, where an image comes out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrdatasets.images.frame import Frame

__all__ = ["decode_runs", "sample_mask"]

Mask = npt.NDArray[np.uint8]


def decode_runs(counts: npt.NDArray[np.integer], shape: tuple[int, int]) -> Mask:
    """The mask that run lengths write down.

    Args:
        counts: lengths of alternating runs of 0 and 1, beginning with 0, column after column (COCO's
            uncompressed form); what they leave out at the end is 0.
        shape: (H, W) of the mask.

    Returns:
        (H, W) uint8, 1 where it is marked.

    Raises:
        ValueError: the runs are longer than the mask.

    Example:
        >>> import numpy as np
        >>> decode_runs(np.array([1, 2, 1, 1]), (2, 3))
        array([[0, 1, 1],
               [1, 0, 0]], dtype=uint8)
    """
    height, width = shape
    total = int(counts.sum())
    if total > height * width:
        msg = f"counts: expected at most {height * width:,} pixels ({width} x {height}), got {total:,}."
        raise ValueError(msg)
    flat: Mask = np.zeros(height * width, dtype=np.uint8)
    flat[:total] = np.repeat(np.arange(len(counts), dtype=np.uint64) & 1, counts)
    return flat.reshape(width, height).T


def sample_mask(source: Mask, shape: tuple[int, int], frame: Frame) -> Mask:
    """A mask of the whole image, cut and resized as the image was.

    A pixel has the value that lies at its centre. If all marks fall between the centres, the pixel in
    their middle is kept, so that no finding disappears; marks that were cropped away leave nothing.

    Args:
        source: (h, w) mask of the image, drawn at any resolution.
        shape: (H, W) of the image on disk.
        frame: where its pixels went.

    Returns:
        (out_height, out_width) uint8.
    """
    down, across = source.shape[0] / shape[0], source.shape[1] / shape[1]
    x, y = frame.centres()
    columns = np.minimum((x * across).astype(np.intp), source.shape[1] - 1)
    rows = np.minimum((y * down).astype(np.intp), source.shape[0] - 1)
    mask = np.ascontiguousarray(source[rows][:, columns])
    if not mask.any():
        _keep_one(source, (across, down), frame, mask)
    return mask


def _keep_one(source: Mask, scale: tuple[float, float], frame: Frame, mask: Mask) -> None:
    """Set the pixel in the middle of the marks that lie in the frame."""
    marks = frame.points((np.argwhere(source)[:, ::-1] + 0.5) / scale)
    marks = marks[((marks >= 0) & (marks < mask.shape[::-1])).all(axis=1)]
    if len(marks):
        middle = (marks.min(axis=0) + marks.max(axis=0)) / 2
        x, y = marks[np.square(marks - middle).sum(axis=1).argmin()].astype(np.intp)
        mask[y, x] = 1
