"""Models, step 3: a backbone and a head, from images to logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xrdatasets.models.backbones.base import Backbone, check_images
from xrdatasets.models.backbones.making import backbone as make_backbone
from xrdatasets.models.heads.base import Head
from xrdatasets.models.heads.branches import BranchOutput
from xrdatasets.models.heads.linear import LinearHead
from xrdatasets.models.heads.making import head as make_head

__all__ = ["Network"]


class Network(nn.Module):
    """What is trained: a backbone, and a head on its features.

    Args:
        backbone: the backbone, or its name (see `xrdatasets.models.backbone`).
        head: the head, or the number of findings for a linear one.
        channels: of the images, 1 or 3, where `backbone` is a name.

    Attributes:
        backbone: the backbone.
        head: the head.

    Raises:
        ValueError: there is no such backbone, or the head does not fit on it.

    Example:
        >>> import torch
        >>> network = Network("mini", 14).eval()
        >>> network(torch.zeros(2, 1, 64, 64)).shape, network.features(torch.zeros(2, 1, 64, 64)).shape
        (torch.Size([2, 14]), torch.Size([2, 192]))
    """

    def __init__(self, backbone: Backbone | str, head: Head | int, *, channels: int = 1) -> None:
        super().__init__()
        self.backbone = _made(backbone, channels)
        self.head = head if isinstance(head, Head) else LinearHead(self.backbone.out_features, head)
        if self.head.in_features != self.backbone.out_features:
            msg = (
                f"head: expected one of {self.backbone.out_features} features, as the backbone "
                f"{self.backbone.name} gives, got one of {self.head.in_features}."
            )
            raise ValueError(msg)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, as the head's loss takes them.

        Args:
            images: (B, C, H, W) float.

        Returns:
            (B, L); (B, D, L) of a head for each dataset, (B, L, 3) of one with three classes.

        Raises:
            ValueError: images of another shape or type.
        """
        output = self.outputs(images)
        return output.logits if isinstance(output, BranchOutput) else output

    def outputs(self, images: Tensor) -> Any:
        """What the head gives, whole: of a `BranchHead` the features of each finding too."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Vectors of images.

        Args:
            images: as for `forward`.

        Returns:
            (B, F).

        Raises:
            ValueError: images of another shape or type.
        """
        return self.backbone(images)  # type: ignore[no-any-return]

    def maps(self, images: Tensor) -> Tensor:
        """The backbone's last feature maps.

        Args:
            images: as for `forward`.

        Returns:
            (B, C, h, w).

        Raises:
            ValueError: images of another shape or type.
        """
        check_images(images, channels=self.backbone.channels, least=self.backbone.least)
        return self.backbone.maps(images)

    def config(self) -> dict[str, Any]:
        """What `from_config` makes the same network of, fit for JSON; weights are not in it."""
        return {"backbone": self.backbone.config(), "head": self.head.config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Network:
        """The network of a `config`, with new weights.

        Args:
            config: what `config` gave.

        Returns:
            The network.

        Raises:
            ValueError: it is no such dict.
        """
        try:
            return cls(make_backbone(**config["backbone"]), make_head(**config["head"]))
        except (KeyError, TypeError) as error:
            msg = f"config: expected the arguments of a backbone and a head, got {config!r} ({error})."
            raise ValueError(msg) from error


def _made(backbone: object, channels: int) -> Backbone:
    if isinstance(backbone, str):
        return make_backbone(backbone, channels=channels)
    if not isinstance(backbone, Backbone):
        msg = f"backbone: expected a Backbone or its name, got {type(backbone).__name__}."
        raise ValueError(msg)
    return backbone
