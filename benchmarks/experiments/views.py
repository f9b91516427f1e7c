"""Weak and strong views for small images: those of Data-Assemble's code, reduced to digits and thumbnails."""

from __future__ import annotations

from xrdatasets.transforms import (
    BatchTransform,
    Compose,
    GaussianNoise,
    RandomAffine,
    RandomErasing,
    RandomHorizontalFlip,
)

__all__ = ["digit_views", "phantom_views"]

_SIDE = 28


def digit_views() -> tuple[BatchTransform, BatchTransform]:
    """Weak: ±5°, ±1 pixel. Strong: ±15°, ±3 pixels, noise, and half of the images with a box erased."""
    weak = RandomAffine(degrees=5.0, translate=1 / _SIDE, intensity="unit")
    moved = RandomAffine(degrees=15.0, translate=3 / _SIDE, intensity="unit")
    noise = GaussianNoise(sigma=0.1, p=0.5, intensity="unit")
    return weak, Compose([moved, noise, RandomErasing(intensity="unit")])


def phantom_views() -> tuple[BatchTransform, BatchTransform]:
    """Weak: mirrored or not. Strong: this, ±10°, ±4 %, noise, and half of the images with a box erased."""
    weak = RandomHorizontalFlip(p=0.5)
    moved = RandomAffine(degrees=10.0, translate=0.04)
    noise = GaussianNoise(sigma=0.02, p=0.5)
    return weak, Compose([weak, moved, noise, RandomErasing(scale=(0.02, 0.1))])
