"""Models, step 1: a small backbone for small images and processors without a GPU.

It is for examples, tests and measurements, where a network has to learn in a minute on two cores. For
results on real radiographs take a larger backbone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xrdatasets.models.backbones.base import Backbone
from xrdatasets.models.heads.base import check_count

__all__ = ["Mini"]

_RANGE = 1024.0  # the upper end of xrdatasets.images.normalize's "xrv"
_LEAST = 16  # pixels: three halvings leave two, so that even one image has a mean and a variance


class Mini(Backbone):
    """A small convolutional backbone.

    A 3 x 3 convolution at full size, because a small nodule or a line is a pixel or two wide and does not
    survive a step of two; then three stages of two convolutions, each after halving by maximum. Mean and
    maximum over the last feature map go side by side into an image's vector: the mean sees what is spread
    out, the maximum what is small and local. Normalised by batch.

    Args:
        width: channels of the first convolution, at least 1; the stages have 2, 4 and 8 times as many.
            With a linear layer for 21 findings, 8 is 76,000 parameters, 12 is 0.17 million, 16 is 0.3
            million, 32 is 1.2 million (4.7 MB of float32); with 16, small findings come out better than with
            12, at two thirds of the speed.
        channels: of the images, 1 or 3.

    Attributes:
        width: as given.

    Raises:
        ValueError: `width` is no whole number of at least 1, or `channels` neither 1 nor 3.

    Example:
        >>> import torch
        >>> from xrdatasets.models import Network
        >>> Network(Mini(), 14).eval()(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 14])
    """

    def __init__(self, *, width: int = 12, channels: int = 1) -> None:
        check_count("width", width, least=1)
        super().__init__("mini", channels=channels, out_features=2 * 8 * width, least=_LEAST)
        self.width = width
        self.stem = _convolution(channels, width)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.MaxPool2d(2),
                    _convolution(width * factor // 2, width * factor),
                    _convolution(width * factor, width * factor),
                )
                for factor in (2, 4, 8)
            )
        )

    def maps(self, images: Tensor) -> Tensor:
        """The last feature maps.

        Args:
            images: (B, channels, H, W) float32 from -1024 to 1024 (``intensity="xrv"``), H and W at least 16;
                the network divides by 1024 itself.

        Returns:
            (B, 8 * width, H // 8, W // 8), from 0.
        """
        return self.stages(self.stem(_channels_last(images / _RANGE)))  # type: ignore[no-any-return]

    def pool(self, maps: Tensor) -> Tensor:
        """Mean and maximum over each map.

        Args:
            maps: (B, 8 * width, h, w).

        Returns:
            (B, 16 * width): the means, then the maxima.
        """
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)

    def config(self) -> dict[str, Any]:
        """As of any backbone, with `width`."""
        return {**super().config(), "width": self.width}


def _convolution(channels: int, out: int) -> nn.Sequential:
    # the normalisation has a shift, so the convolution needs none
    convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # He et al., ICCV 2015
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


def _channels_last(images: Tensor) -> Tensor:
    """The same (B, C, H, W) images, of which torch knows that the channels come last.

    A processor computes a third faster so. `Tensor.contiguous` leaves one channel as it is, because its
    place in memory is the same either way, and the convolutions then take it for channels first.
    """
    if images.shape[1] == 1:
        return images[:, 0].unsqueeze(-1).movedim(-1, 1)
    return images.contiguous(memory_format=torch.channels_last)
