"""Prediction, step 5: pictures of where in an image a finding is seen."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

__all__ = ["heatmap_name", "overlay"]

# red where little speaks for the finding, yellow where most does: told apart without telling red from green
WEAK, STRONG = (205.0, 0.0, 40.0), (255.0, 235.0, 0.0)
# so much of the colour at most, so that what is under it is still seen
OPACITY = 0.6
# a name may have 255 bytes; the finding, the digest and the ending have theirs
LONGEST = 100


def overlay(image: npt.ArrayLike, heat: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """A grey image under colours from red (weak) to yellow (strong), as opaque as the heat is high.

    Args:
        image: (H, W) from 0 to 1.
        heat: (H, W) from 0 to 1; 0 leaves the image as it is.

    Returns:
        (H, W, 3) RGB.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> overlay([[0.0, 1.0]], [[0.0, 0.0]]).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
        >>> overlay([[0.0]], [[1.0]]).tolist()  # 0.6 of yellow
        [[[153, 141, 0]]]
    """
    grey = np.asarray(image, np.float64)[..., np.newaxis]
    strength = np.asarray(heat, np.float64)[..., np.newaxis]
    if grey.shape != strength.shape or grey.ndim != 3:
        msg = f"heat: expected (H, W) as the image, {grey.shape[:-1]}, got {strength.shape[:-1]}."
        raise ValueError(msg)
    colour = (1 - strength) * WEAK + strength * STRONG
    opacity = OPACITY * strength
    mixed: npt.NDArray[np.float64] = (1 - opacity) * 255 * grey + opacity * colour
    picture: npt.NDArray[np.uint8] = np.rint(mixed.clip(0, 255)).astype(np.uint8)
    return picture


def heatmap_name(path: str | os.PathLike[str], finding: str) -> str:
    """The name of the picture of an image and a finding.

    Args:
        path: of the image, as it was given.
        finding: canonical name.

    Returns:
        The image's name without its ending, 10 digits of the SHA-256 of its path (images of equal names in
        two folders have two pictures), and the finding; letters, digits, dots, minus and underscores alone.

    Example:
        >>> heatmap_name("a/patient 1.dcm", "Lung Opacity")
        'patient_1-b45ba1e4de-Lung_Opacity.png'
    """
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:10]
    return f"{_plain(PurePath(path).stem)[:LONGEST]}-{digest}-{_plain(finding)}.png"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "_"
