"""MNIST for experiments: the idx files, draws that depend on a seed alone, pairs of digits, another domain.

Images are (N, 1, 28, 28) float32 in [0, 1]. A target is 1, 0, or NaN where a dataset does not label a digit.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "DIGITS",
    "Digits",
    "draw",
    "folder",
    "hidden",
    "one_hot",
    "pairs",
    "read_digits",
    "read_idx",
    "worn",
]

DIGITS = 10
_FILES = {"train": "train", "test": "t10k"}
_TYPES = {8: np.uint8}  # of the types of the idx format, the one that MNIST has


class Digits(NamedTuple):
    """Images (N, 1, 28, 28) float32 in [0, 1], and which digit each shows, (N,) int64."""

    images: Tensor
    labels: Tensor


def folder() -> Path:
    """Where the idx files are: ``mnist`` in the folder that XRDATASETS_DATA names."""
    return Path(os.environ.get("XRDATASETS_DATA", "data")) / "mnist"


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx file, gzipped or not: two zeros, type, dimensions, sizes (big endian), numbers."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    if raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        msg = f"{path}: expected an idx file of bytes, got one that begins with {raw[:4]!r}."
        raise ValueError(msg)
    sizes = np.frombuffer(raw, dtype=">u4", count=raw[3], offset=4).astype(int)
    return np.frombuffer(raw, dtype=_TYPES[raw[2]], offset=4 + 4 * raw[3]).reshape(sizes)


def read_digits(root: Path, part: str) -> Digits:
    """All digits of ``train`` (60,000) or ``test`` (10,000)."""
    images = read_idx(root / f"{_FILES[part]}-images-idx3-ubyte.gz")
    labels = read_idx(root / f"{_FILES[part]}-labels-idx1-ubyte.gz")
    return Digits(torch.tensor(images).unsqueeze(1) / 255, torch.tensor(labels, dtype=torch.int64))


def draw(digits: Digits, sizes: Sequence[int], seed: int) -> list[Digits]:
    """Disjoint random parts of these sizes."""
    order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(seed))
    parts = order[: sum(sizes)].split(list(sizes))
    return [Digits(digits.images[rows], digits.labels[rows]) for rows in parts]


def one_hot(labels: Tensor, classes: Sequence[int] = range(DIGITS)) -> Tensor:
    """(N, L) float32: 1 where an image shows the digit."""
    return (labels.unsqueeze(1) == torch.tensor(list(classes))).float()


def hidden(targets: Tensor, known: Sequence[int]) -> Tensor:
    """The same targets, NaN but in the known columns."""
    mask = torch.zeros(targets.shape[1], dtype=torch.bool)
    mask[list(known)] = True
    return torch.where(mask, targets, torch.nan)


def pairs(digits: Digits, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two digits side by side, each squeezed to 28 x 14: images, and targets (N, 10) with one or two 1."""
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randint(len(digits.labels), (2, count), generator=generator)
    images = torch.cat([F.avg_pool2d(digits.images[rows], (1, 2)) for rows in (left, right)], dim=3)
    targets = torch.maximum(one_hot(digits.labels[left]), one_hot(digits.labels[right]))
    return images, targets


def worn(images: Tensor, seed: int) -> Tensor:
    """Another domain: blurred by 3 x 3, flatter (0.25 + 0.6 x), with noise of 0.1, within [0, 1]."""
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (0.25 + 0.6 * blurred + 0.1 * noise).clamp(0, 1)
