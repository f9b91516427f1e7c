"""Legacy: ``torchxrayvision.utils`` as far as it needs no model: reading, scaling, collating."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrdatasets.images import load_image as read_and_scale
from xrdatasets.legacy.base import MASKS

__all__ = ["collate", "load_image", "normalize", "read_xray_dcm"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]


def normalize(img: npt.NDArray[Any], maxval: float, reshape: bool = False) -> Floats:
    """Bring pixels from [0, maxval] to [-1024, 1024].

    Args:
        img: (H, W) or (H, W, C).
        maxval: what becomes 1024.
        reshape: keep the first of the channels, and put an axis before: (1, H, W).

    Returns:
        float32.

    Raises:
        ValueError: a value above `maxval`; with `reshape`, fewer than two axes.

    Example:
        >>> normalize(np.array([[0, 51, 255]], np.uint8), 255, reshape=True)
        array([[[-1024. ,  -614.4,  1024. ]]], dtype=float32)
    """
    pixels = np.asarray(img)
    if pixels.max() > maxval:
        msg = f"maxval: expected no pixel above {maxval}, got {pixels.max()}."
        raise ValueError(msg)
    scaled = ((2 * (pixels.astype(np.float32) / np.float32(maxval)) - 1) * 1024).astype(np.float32)
    if not reshape:
        return scaled
    if scaled.ndim < 2:
        msg = f"img: expected (H, W) or (H, W, C), got the shape {scaled.shape}."
        raise ValueError(msg)
    return (scaled[:, :, 0] if scaled.ndim > 2 else scaled)[np.newaxis]


def load_image(fname: str | Path) -> Floats:
    """Read an image, DICOM too, of any depth, as (1, H, W) in [-1024, 1024].

    Raises:
        ImageReadError: it cannot be read.
    """
    return read_and_scale(fname)


def read_xray_dcm(path: str | Path, voi_lut: bool = False, fix_monochrome: bool = True) -> Floats:
    """Read a DICOM file as (H, W) in [-1024, 1024], dense is bright.

    Args:
        path: the file.
        voi_lut: taken; the file's window is always applied, as its maker wanted it seen.
        fix_monochrome: turn a file of MONOCHROME1 round; False gives it as it is stored.

    Raises:
        ImageReadError: it cannot be read.
    """
    pixels: Floats = read_and_scale(path)[0]
    if fix_monochrome:
        return pixels
    from pydicom import dcmread

    inverted = dcmread(path, specific_tags=["PhotometricInterpretation"], stop_before_pixels=True)
    return -pixels if inverted.PhotometricInterpretation == "MONOCHROME1" else pixels


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of samples, for torch's ``DataLoader(dataset, collate_fn=xrv.utils.collate)``.

    Masks that some samples have and others lack become zeros in these; boxes stay lists. For all else it is
    torch's own.

    Example:
        >>> masked = {"lab": np.ones(1), "pathology_masks": {0: np.ones((1, 2, 2))}}
        >>> batch = collate([masked, {"lab": np.zeros(1), "pathology_masks": {}}])
        >>> batch["pathology_masks"][0].sum(dim=(1, 2, 3))
        tensor([4., 0.], dtype=torch.float64)
    """
    from torch.utils.data import default_collate

    dicts = {name: _filled([sample[name] for sample in samples]) for name in MASKS if name in samples[0]}
    lists = {name: [sample[name] for sample in samples] for name in ("bbox",) if name in samples[0]}
    apart = dicts.keys() | lists.keys()
    rest = [{name: sample[name] for name in sample if name not in apart} for sample in samples]
    batch: dict[str, Any] = default_collate(rest)
    return batch | {name: default_collate(masks) for name, masks in dicts.items()} | lists


def _filled(masks: Sequence[dict[Any, npt.NDArray[Any]]]) -> list[dict[Any, npt.NDArray[Any]]]:
    """The same dicts, all with the keys of all."""
    known = {key: mask for each in masks for key, mask in each.items()}
    return [{key: each.get(key, np.zeros_like(mask)) for key, mask in known.items()} for each in masks]
