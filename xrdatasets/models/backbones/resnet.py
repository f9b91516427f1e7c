"""Models, step 5: ResNet, and the same with instance norm in its first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.backbones.base import Backbone
from xrdatasets.models.backbones.layers import IBN, check_blocks, like_weights, recomputed
from xrdatasets.models.heads.base import check_count
from xrdatasets.models.heads.linear import check_flag

__all__ = ["ResNet"]

_IBN_STAGES = 3  # all blocks of the first three layers: the published code
_EXPANSION = 4  # maps after a bottleneck, as a multiple of those in it


class ResNet(Backbone):
    """Residual network: each block adds to what it got.

    The defaults are ResNet-50. The parameters are named as torchvision's (``conv1.weight``,
    ``layer1.0.downsample.0.weight`` ...) and start as they do: convolutions by Kaiming's normal distribution
    over their outputs, norms at one and zero. A bottleneck halves in its middle convolution, as torchvision's
    does and the paper's does not. Any size of images fits; while training, the last norms need two pixels
    among all maps of the batch: a single image of 33 pixels a side has them.

    Args:
        name: under which `xrdatasets.models.backbone` makes it.
        channels: of the images, 1 or 3.
        blocks: residual blocks of each layer; each layer after the first halves and doubles the maps.
        width: maps of the first layer's blocks, at least 2.
        bottleneck: blocks of three convolutions, the outer ones of one pixel; otherwise of two.
        ibn: instance norm in part of the channels (IBN-a): in the first norm of the blocks of the first
            three layers, the first half of them.
        checkpointing: while training, the values inside a block are computed again instead of kept: more time
            for less memory.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        He et al., "Deep residual learning for image recognition", CVPR 2016; IBN: Pan et al., "Two at Once:
        Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018, and its code.

    Example:
        >>> network = ResNet(blocks=(1, 1), width=4).eval()
        >>> network.maps(torch.zeros(2, 1, 64, 64)).shape, network(torch.zeros(2, 1, 64, 64)).shape
        (torch.Size([2, 32, 8, 8]), torch.Size([2, 32]))
    """

    def __init__(
        self,
        *,
        name: str = "resnet50",
        channels: int = 1,
        blocks: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        bottleneck: bool = True,
        ibn: bool = False,
        checkpointing: bool = False,
    ) -> None:
        check_count("width", width, least=2)
        check_flag("bottleneck", bottleneck)
        check_flag("ibn", ibn)
        check_flag("checkpointing", checkpointing)
        sizes = check_blocks("blocks", blocks)
        factor = _EXPANSION if bottleneck else 1
        # the stem quarters a side, each later layer halves it, rounding up; instance norm needs two pixels
        least = (4 << min(len(sizes), _IBN_STAGES) - 1) + 1 if ibn else 1
        last = (width << len(sizes) - 1) * factor
        super().__init__(name, channels=channels, out_features=last, least=least)
        self.blocks, self.width = sizes, width
        self.bottleneck, self.ibn, self.checkpointing = bottleneck, ibn, checkpointing
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for index, size in enumerate(sizes):
            inner = width << index
            stage = self._stage(
                before, inner, size, stride=2 if index else 1, ibn=ibn and index < _IBN_STAGES
            )
            self.add_module(f"layer{index + 1}", stage)
            before = inner * factor
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al., ICCV 2015; torchvision's choice
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of images, after the last block.

        Args:
            images: (B, channels, H, W) float.

        Returns:
            (B, out_features, h, w); h is H / 32 with the default's four layers, rounded up.
        """
        maps = self.conv1(like_weights(images, self.get_parameter("layer1.0.conv2.weight")))
        maps = F.max_pool2d(F.relu(self.bn1(maps), inplace=True), 3, stride=2, padding=1)
        keep = not (self.checkpointing and torch.is_grad_enabled())
        for index in range(len(self.blocks)):
            for block in self.get_submodule(f"layer{index + 1}").children():
                maps = block(maps) if keep else recomputed(block, [maps])
        return maps  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.backbone` that make the same network, fit for JSON."""
        return super().config() | {
            "checkpointing": self.checkpointing,
            "blocks": list(self.blocks),
            "width": self.width,
            "bottleneck": self.bottleneck,
            "ibn": self.ibn,
        }

    def _stage(self, before: int, inner: int, size: int, *, stride: int, ibn: bool) -> nn.Sequential:
        kind = _Bottleneck if self.bottleneck else _Basic
        after = inner * (_EXPANSION if self.bottleneck else 1)
        return nn.Sequential(
            kind(before, inner, stride=stride, ibn=ibn),
            *(kind(after, inner, stride=1, ibn=ibn) for _ in range(size - 1)),
        )


class _Basic(nn.Module):
    """Two convolutions of three pixels."""

    def __init__(self, before: int, inner: int, *, stride: int, ibn: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 3, stride=stride, padding=1, bias=False)
        self.bn1 = _norm(inner, ibn=ibn)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.downsample = _shortcut(before, inner, stride)

    def forward(self, maps: Tensor) -> Tensor:
        added = self.conv1(maps)
        added = self.conv2(F.relu(self.bn1(added), inplace=True))
        added = self.bn2(added)
        return F.relu(added + (maps if self.downsample is None else self.downsample(maps)), inplace=True)


class _Bottleneck(nn.Module):
    """A convolution of three pixels between two of one pixel."""

    def __init__(self, before: int, inner: int, *, stride: int, ibn: bool) -> None:
        super().__init__()
        after = inner * _EXPANSION
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = _norm(inner, ibn=ibn)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)

    def forward(self, maps: Tensor) -> Tensor:
        added = self.conv1(maps)
        added = self.conv2(F.relu(self.bn1(added), inplace=True))
        added = self.conv3(F.relu(self.bn2(added), inplace=True))
        added = self.bn3(added)
        return F.relu(added + (maps if self.downsample is None else self.downsample(maps)), inplace=True)


def _norm(channels: int, *, ibn: bool) -> nn.Module:
    # the published code gives the first half to instance norm
    return IBN(channels, batch=channels - channels // 2) if ibn else nn.BatchNorm2d(channels)


def _shortcut(before: int, after: int, stride: int) -> nn.Sequential | None:
    """What makes a block's input fit to its output, if it does not."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
