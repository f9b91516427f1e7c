"""Transforms: batches of images to batches of images, on any device."""

from __future__ import annotations

from xrdatasets.transforms.affine import RandomAffine
from xrdatasets.transforms.base import BatchTransform
from xrdatasets.transforms.blur import GaussianBlur
from xrdatasets.transforms.compose import Compose, OneOf, Repeat, TwoViews
from xrdatasets.transforms.crops import CenterCrop, RandomCrop, RandomResizedCrop, TenCrop
from xrdatasets.transforms.draws import image_seeds
from xrdatasets.transforms.erasing import RandomErasing
from xrdatasets.transforms.flips import RandomHorizontalFlip, RandomVerticalFlip
from xrdatasets.transforms.noise import GaussianNoise, SaltAndPepper
from xrdatasets.transforms.template import TemplateCrop, match_template, mean_template
from xrdatasets.transforms.tones import ToneJitter
from xrdatasets.transforms.views import (
    cohen_view,
    luo_view,
    pham_views,
    strong_view,
    weak_and_strong_views,
    weak_view,
)

__all__ = [
    "BatchTransform",
    "CenterCrop",
    "Compose",
    "GaussianBlur",
    "GaussianNoise",
    "OneOf",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Repeat",
    "SaltAndPepper",
    "TemplateCrop",
    "TenCrop",
    "ToneJitter",
    "TwoViews",
    "cohen_view",
    "image_seeds",
    "luo_view",
    "match_template",
    "mean_template",
    "pham_views",
    "strong_view",
    "weak_and_strong_views",
    "weak_view",
]
