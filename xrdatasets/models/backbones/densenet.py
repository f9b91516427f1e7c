"""Models, step 4: DenseNet, and DenseIBN with instance norm in its first blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.backbones.base import Backbone
from xrdatasets.models.backbones.layers import IBN, check_blocks, like_weights, recomputed
from xrdatasets.models.heads.base import check_count
from xrdatasets.models.heads.linear import check_flag

__all__ = ["DenseNet"]

_IBN_BLOCKS = 3  # the first three blocks, in them every third layer from the first: the published code
_IBN_STEP = 3
_BATCH_SHARE = 1 - 0.4  # of the channels, the first: the published code's ratio of instance norm is 0.4


class DenseNet(Backbone):
    """DenseNet-BC: each layer's maps go to all later layers of its block.

    The defaults are DenseNet-121. The parameters are named as torchvision's (``features.conv0.weight``,
    ``features.denseblock1.denselayer1.norm1.weight`` ...) and start as they do: convolutions by Kaiming's
    normal distribution, norms at one and zero. Any size of images from `least` on fits; while training, the
    last norm needs two pixels among all maps of the batch: a single image of 61 pixels a side has them.

    Args:
        name: under which `xrdatasets.models.backbone` makes it.
        channels: of the images, 1 or 3.
        growth: maps that a layer adds, at least 1.
        blocks: layers of each block.
        stem: maps of the first convolution, at least 2.
        bn_size: maps between a layer's two convolutions, as a multiple of `growth`, at least 1.
        ibn: instance norm in part of the channels (IBN-a): in the first norm of every third layer of the
            first three blocks, 40 % of them.
        checkpointing: while training, the values inside a layer are computed again instead of kept: more time
            for less memory (with the defaults and images of 224 pixels, for a fifth of it).

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Huang et al., "Densely connected convolutional networks", CVPR 2017; IBN: Pan et al., "Two at Once:
        Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018, and its code.

    Example:
        >>> network = DenseNet(growth=4, blocks=(2, 2), stem=8).eval()
        >>> network.maps(torch.zeros(2, 1, 64, 64)).shape, network(torch.zeros(2, 1, 64, 64)).shape
        (torch.Size([2, 16, 8, 8]), torch.Size([2, 16]))
    """

    def __init__(
        self,
        *,
        name: str = "densenet121",
        channels: int = 1,
        growth: int = 32,
        blocks: Sequence[int] = (6, 12, 24, 16),
        stem: int = 64,
        bn_size: int = 4,
        ibn: bool = False,
        checkpointing: bool = False,
    ) -> None:
        check_count("growth", growth, least=2 if ibn else 1)  # so that no norm has less than two channels
        check_count("stem", stem, least=2)
        check_count("bn_size", bn_size, least=1)
        check_flag("ibn", ibn)
        check_flag("checkpointing", checkpointing)
        sizes = check_blocks("blocks", blocks)
        super().__init__(
            name, channels=channels, out_features=_width(stem, growth, sizes), least=_least(len(sizes), ibn)
        )
        self.growth, self.blocks, self.stem, self.bn_size = growth, sizes, stem, bn_size
        self.ibn, self.checkpointing = ibn, checkpointing
        self.features = self._features()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # He et al., ICCV 2015; torchvision's choice

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of images, after the last norm and its ReLU.

        Args:
            images: (B, channels, H, W) float.

        Returns:
            (B, out_features, h, w); h is H / 32 with the default's four blocks, rounded as torch rounds.
        """
        weight = self.get_parameter("features.denseblock1.denselayer1.conv2.weight")
        again = self.checkpointing and torch.is_grad_enabled()
        maps = like_weights(images, weight)
        for layer in self.features:
            maps = layer(maps, again=again) if isinstance(layer, _DenseBlock) else layer(maps)
        return F.relu(maps)

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.backbone` that make the same network, fit for JSON."""
        return super().config() | {
            "checkpointing": self.checkpointing,
            "growth": self.growth,
            "blocks": list(self.blocks),
            "stem": self.stem,
            "bn_size": self.bn_size,
            "ibn": self.ibn,
        }

    def _features(self) -> nn.Sequential:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(self.channels, self.stem, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(self.stem),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        width = self.stem
        for index, size in enumerate(self.blocks):
            layers[f"denseblock{index + 1}"] = _DenseBlock(self, width, size, ibn=index < _IBN_BLOCKS)
            width += size * self.growth
            if index + 1 < len(self.blocks):
                layers[f"transition{index + 1}"] = _transition(width)
                width //= 2
        layers["norm5"] = nn.BatchNorm2d(width)
        return nn.Sequential(layers)


class _DenseBlock(nn.Module):
    """Layers of which each gets the block's input and the maps of all layers before it."""

    def __init__(self, network: DenseNet, width: int, size: int, *, ibn: bool) -> None:
        super().__init__()
        for index in range(size):
            layer = _DenseLayer(
                width + index * network.growth,
                network.growth,
                network.bn_size * network.growth,
                ibn=network.ibn and ibn and index % _IBN_STEP == 0,
            )
            self.add_module(f"denselayer{index + 1}", layer)

    def forward(self, maps: Tensor, *, again: bool = False) -> Tensor:
        if not again:
            for layer in self.children():
                maps = torch.cat([maps, layer(maps)], dim=1)
            return maps
        parts = [maps]  # the concatenations are what would fill the memory: each is made inside its layer
        for layer in self.children():
            parts.append(recomputed(layer, parts))
        return torch.cat(parts, dim=1)


class _DenseLayer(nn.Module):
    """Norm, ReLU and a convolution of one pixel, then the same with one of three."""

    def __init__(self, width: int, growth: int, between: int, *, ibn: bool) -> None:
        super().__init__()
        batch = int(width * _BATCH_SHARE)
        self.norm1 = IBN(width, batch=batch, batch_first=True) if ibn else nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, between, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(between)
        self.conv2 = nn.Conv2d(between, growth, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        between = self.conv1(F.relu(self.norm1(maps), inplace=True))
        return self.conv2(F.relu(self.norm2(between), inplace=True))  # type: ignore[no-any-return]


def _transition(width: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        norm=nn.BatchNorm2d(width),
        relu=nn.ReLU(inplace=True),
        conv=nn.Conv2d(width, width // 2, 1, bias=False),
        pool=nn.AvgPool2d(2, stride=2),
    )
    return nn.Sequential(layers)


def _width(stem: int, growth: int, blocks: Sequence[int]) -> int:
    """Maps of the last block: each block adds, each transition halves."""
    width = stem
    for index, size in enumerate(blocks):
        width = (width // 2 if index else width) + size * growth
    return width


def _least(blocks: int, ibn: bool) -> int:
    """The smallest side: one pixel in the last block, and two in the last block with instance norm.

    The stem quarters a side and rounds up, each transition halves it and rounds down.
    """
    halvings = max(blocks - 1, min(blocks, _IBN_BLOCKS)) if ibn else blocks - 1
    return (4 << halvings) - 3
