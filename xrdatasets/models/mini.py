"""Models: a small convolutional network for small images and processors without a GPU.

It is for examples, tests and measurements, where a network has to learn in a minute on two cores. For
results on real radiographs take a larger backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Mini", "check_count"]

_RANGE = 1024.0  # the upper end of xrdatasets.images.normalize's "xrv"
_LEAST = 16  # pixels: three halvings leave two, so that even one image has a mean and a variance


class Mini(nn.Module):
    """A small convolutional network: images in, one logit for each finding out.

    A 3 x 3 convolution at full size, because a small nodule or a line is a pixel or two wide and does not
    survive a step of two; then three stages of two convolutions, each after halving by maximum. Mean and
    maximum over the last feature map go to the linear layer side by side: the mean sees what is spread out,
    the maximum what is small and local. Normalised by batch.

    Args:
        outputs: number of findings, at least 1.
        width: channels of the first convolution, at least 1; the stages have 2, 4 and 8 times as many.
            8 is 76,000 parameters, 12 is 0.17 million, 16 is 0.3 million, 32 is 1.2 million (4.7 MB of
            float32); with 16, small findings come out better than with 12, at two thirds of the speed.

    Attributes:
        outputs: as given.

    Raises:
        ValueError: `outputs` or `width` is no whole number of at least 1.

    Example:
        >>> import torch
        >>> model = Mini(outputs=14).eval()
        >>> model(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 14])
    """

    def __init__(self, outputs: int, *, width: int = 12) -> None:
        super().__init__()
        check_count("outputs", outputs, least=1)
        check_count("width", width, least=1)
        self.outputs = outputs
        self.stem = _convolution(1, width)
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
        self.head = nn.Linear(2 * 8 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: (B, 1, H, W) float32 from -1024 to 1024 (``intensity="xrv"``), H and W at least 16; the
                network divides by 1024 itself.

        Returns:
            (B, outputs) logits.

        Raises:
            ValueError: images of another shape or type.
        """
        return self.head(self.features(images))  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """Mean and maximum over the last feature map.

        Args:
            images: as for `forward`.

        Returns:
            (B, 16 * width): the means, then the maxima.

        Raises:
            ValueError: images of another shape or type.
        """
        _check_images(images)
        maps = self.stages(self.stem(_channels_last(images / _RANGE)))
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        name: of the argument, for the message.
        value: what the caller passed.
        least: the smallest that is fine.

    Raises:
        ValueError: it is either.

    Example:
        >>> check_count("epochs", 3, least=1)
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{name}: expected a whole number of at least {least}, got {value!r}."
        raise ValueError(msg)


def _convolution(channels: int, out: int) -> nn.Sequential:
    # the normalisation has a shift, so the convolution needs none
    convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # He et al., ICCV 2015
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


def _channels_last(images: Tensor) -> Tensor:
    """The same (B, 1, H, W) images, of which torch knows that the channels come last.

    A processor computes a third faster so. `Tensor.contiguous` leaves one channel as it is, because its
    place in memory is the same either way, and the convolutions then take it for channels first.
    """
    return images[:, 0].unsqueeze(-1).movedim(-1, 1)


def _check_images(images: object) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        msg = f"images: expected a float tensor, got {getattr(images, 'dtype', type(images).__name__)}."
        raise ValueError(msg)
    if images.ndim != 4 or images.shape[1] != 1 or min(images.shape[2:]) < _LEAST:
        msg = (
            f"images: expected the shape (B, 1, H, W), H and W at least {_LEAST}, got {tuple(images.shape)}."
        )
        raise ValueError(msg)
