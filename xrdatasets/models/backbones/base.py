"""Models, step 1: what every backbone is: images to feature maps, feature maps to one vector."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["Backbone", "check_images"]


class Backbone(nn.Module):
    """Base of the networks that turn images into features.

    A backbone says how images become feature maps (`maps`); one vector of an image is the mean over its maps,
    unless it says otherwise (`pool`).

    Args:
        name: under which `xrdatasets.models.backbone` makes it.
        channels: of the images, 1 or 3.
        out_features: length F of an image's vector.
        least: rows and columns that an image needs at least.

    Attributes:
        name: as given.
        channels: as given.
        out_features: as given.
        least: as given.

    Raises:
        ValueError: `channels` is neither 1 nor 3.
    """

    def __init__(self, name: str, *, channels: int, out_features: int, least: int) -> None:
        super().__init__()
        if channels not in (1, 3) or isinstance(channels, bool):
            msg = f"channels: expected 1 or 3, got {channels!r}."
            raise ValueError(msg)
        self.name, self.channels, self.out_features, self.least = name, channels, out_features, least

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of images, after the last activation.

        Args:
            images: (B, channels, H, W) float.

        Returns:
            (B, C, h, w).
        """
        raise NotImplementedError

    def pool(self, maps: Tensor) -> Tensor:
        """One vector for each image.

        Args:
            maps: (B, C, h, w).

        Returns:
            (B, F): the mean of each map.
        """
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (B, channels, H, W) float.

        Returns:
            (B, F).

        Raises:
            ValueError: images of another shape or type.
        """
        check_images(images, channels=self.channels, least=self.least)
        return self.pool(self.maps(images))

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.backbone` that make the same network, fit for JSON."""
        return {"name": self.name, "channels": self.channels}


def check_images(images: object, *, channels: int, least: int) -> None:
    """Refuse what is no batch of images that a network takes.

    Args:
        images: what the caller passed.
        channels: that the network takes.
        least: rows and columns that it needs.

    Raises:
        ValueError: images of another shape or type.

    Example:
        >>> import torch
        >>> check_images(torch.zeros(2, 1, 64, 64), channels=1, least=32)
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        msg = f"images: expected a float tensor, got {getattr(images, 'dtype', type(images).__name__)}."
        raise ValueError(msg)
    if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < least:
        msg = (
            f"images: expected the shape (B, {channels}, H, W), H and W at least {least}, "
            f"got {tuple(images.shape)}."
        )
        raise ValueError(msg)
