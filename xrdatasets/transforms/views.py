"""Transforms, step 5: what the papers do to their images."""

from __future__ import annotations

import math

from xrdatasets.transforms.affine import RandomAffine
from xrdatasets.transforms.base import BatchTransform
from xrdatasets.transforms.checks import Intensity, check_whole
from xrdatasets.transforms.compose import Compose, OneOf, Repeat, TwoViews
from xrdatasets.transforms.crops import RandomCrop
from xrdatasets.transforms.erasing import RandomErasing
from xrdatasets.transforms.flips import RandomHorizontalFlip
from xrdatasets.transforms.noise import GaussianNoise, SaltAndPepper
from xrdatasets.transforms.tones import ToneJitter

__all__ = ["cohen_view", "luo_view", "pham_views", "strong_view", "weak_and_strong_views", "weak_view"]

# mean of the three channel means with which ImageNet's images are normalised (0.485, 0.456, 0.406): where 0
# lies after that, which is what the published code fills with
_IMAGENET_MEAN = 0.449


def cohen_view(*, fill: float = 0.0, intensity: Intensity = "xrv") -> RandomAffine:
    """The training view of Cohen 2020: turned by up to 45°, moved by up to 15 %, scaled by up to 15 %.

    The paper says 10 % for the scale; its code and the names of its weights ("sc15") say 15 %.

    Args:
        fill: what comes in from outside, 0 black to 1 white. The paper's code pads with the number 0, which
            is mid-grey on [-1024, 1024]: 0.5 here. It also takes the nearest pixel, here it is linear.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Returns:
        The transform.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Cohen et al., "On the limits of cross-domain generalization in automated X-ray prediction", MIDL 2020,
        and its code (ieee8023/xray-generalization).

    Example:
        >>> cohen_view().degrees, cohen_view().scale
        (45.0, (0.85, 1.15))
    """
    return RandomAffine(degrees=45.0, translate=0.15, scale=(0.85, 1.15), fill=fill, intensity=intensity)


def luo_view(*, size: int | None = None) -> BatchTransform:
    """The training view of Luo 2020: mirrored with probability 0.5, and for its ten-crop runs a random crop.

    Ten-crop itself is `xrdatasets.transforms.TenCrop`. The paper gives 320 pixels of input; to resize to 366
    before (256/224 of it) is our reading.

    Args:
        size: rows and columns of the crop; None for no crop.

    Returns:
        The transform.

    Raises:
        ValueError: `size` is no whole number of at least 1.

    Source:
        Luo et al., "Deep mining external imperfect data for chest X-ray disease screening", IEEE TMI 39(11),
        2020.

    Example:
        >>> import torch
        >>> luo_view(size=320)(torch.zeros(2, 1, 366, 366)).shape
        torch.Size([2, 1, 320, 320])
    """
    flip = RandomHorizontalFlip(p=0.5)
    return flip if size is None else Compose([flip, RandomCrop(size)])


def pham_views(
    n: int = 10, *, original: bool = False, width: int = 224, intensity: Intensity = "xrv"
) -> Repeat:
    """The views over which Pham 2019 takes the mean when testing.

    Each is mirrored, or turned by up to 7°, or scaled by up to 2 %, or sheared by up to 5 pixels: the paper
    does not say how these go together, so one of the four is drawn, uniformly.

    Args:
        n: views of each image.
        original: put the image as it is before them.
        width: pixels of the images; a shear of 5 pixels is the angle atan(5 / width).
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Returns:
        The transform: (B, n, 1, H, W) of (B, 1, H, W), one more than `n` with `original`.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Pham et al., "Interpreting chest X-rays via CNNs that exploit disease dependencies and uncertainty
        labels", arXiv 1911.06475.

    Example:
        >>> import torch
        >>> pham_views()(torch.zeros(2, 1, 224, 224)).shape
        torch.Size([2, 10, 1, 224, 224])
    """
    check_whole("width", width)
    kinds = [
        RandomHorizontalFlip(p=1.0),
        RandomAffine(degrees=7.0, intensity=intensity),
        RandomAffine(scale=(0.98, 1.02), intensity=intensity),
        RandomAffine(shear=math.degrees(math.atan(5 / width)), intensity=intensity),
    ]
    return Repeat(OneOf(kinds), n=n, original=original)


def weak_view(*, flip: float = 0.5, intensity: Intensity = "xrv") -> Compose:
    """The weak view of Data-Assemble and Label-Assemble: mirrored, turned by up to 10°, a little noise.

    The papers do not describe it; their code does. It resizes and crops to the same size, which a dataset's
    `size` does here.

    Args:
        flip: probability of the mirror image, 0.5 in the code; 0 leaves every heart on its side.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Returns:
        The transform.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        MrGiovanni/LabelAssemble, the code of Data-Assemble (arXiv 2109.12265).

    Example:
        >>> import torch
        >>> weak_view()(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """
    return Compose(
        [
            RandomHorizontalFlip(p=flip),
            RandomAffine(degrees=10.0, intensity=intensity),
            SaltAndPepper(amount=0.1, p=0.1, intensity=intensity),
            GaussianNoise(sigma=1 / 255, p=0.3, intensity=intensity),
        ]
    )


def strong_view(*, flip: float = 0.5, intensity: Intensity = "xrv") -> Compose:
    """The strong view of Data-Assemble and Label-Assemble: more of the weak one's, jitter, a box erased.

    As for `weak_view`. Saturation, which the code changes too, is nothing to a grey image; the box is filled
    with the mean of ImageNet, because the code erases after normalising.

    Args:
        flip: probability of the mirror image, 0.5 in the code; 0 leaves every heart on its side.
        intensity: the images' range, ``"xrv"`` for [-1024, 1024] or ``"unit"`` for [0, 1].

    Returns:
        The transform.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        MrGiovanni/LabelAssemble, the code of Data-Assemble (arXiv 2109.12265).

    Example:
        >>> import torch
        >>> strong_view()(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """
    return Compose(
        [
            RandomHorizontalFlip(p=flip),
            RandomAffine(degrees=15.0, intensity=intensity),
            SaltAndPepper(amount=0.3, p=0.5, intensity=intensity),
            GaussianNoise(sigma=1 / 255, p=0.5, intensity=intensity),
            ToneJitter(brightness=0.5, contrast=0.5, center="mean", intensity=intensity),
            RandomErasing(p=0.5, value=_IMAGENET_MEAN, intensity=intensity),
        ]
    )


def weak_and_strong_views(*, flip: float = 0.5, intensity: Intensity = "xrv") -> TwoViews:
    """Both views of the same batch, drawn independently of each other, as the code does.

    Args:
        flip: as for `weak_view`.
        intensity: likewise.

    Returns:
        Called with a batch, it gives (weak, strong).

    Raises:
        ValueError: an argument is none of the above.

    Example:
        >>> import torch
        >>> weak, strong = weak_and_strong_views()({"img": torch.zeros(2, 1, 64, 64), "idx": torch.arange(2)})
        >>> strong["idx"]
        tensor([0, 1])
    """
    return TwoViews(weak_view(flip=flip, intensity=intensity), strong_view(flip=flip, intensity=intensity))
