"""A network for digits: two convolutions and a linear layer, 78,000 parameters, which train in a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xrdatasets.models import Backbone, Head, LinearHead, Network

__all__ = ["FEATURES", "DigitBackbone", "digit_network", "scores"]

FEATURES = 64
_SIDE = 28


class DigitBackbone(Backbone):
    """Images (B, 1, 28, 28) in [0, 1] to (B, 64): convolutions of 12 and 24, 3 x 3, in steps of two."""

    def __init__(self) -> None:
        super().__init__("digits", channels=1, out_features=FEATURES, least=_SIDE)
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
        )  # fmt: skip
        self.linear = nn.Linear(24 * (_SIDE // 4) ** 2, FEATURES)

    def maps(self, images: Tensor) -> Tensor:
        return self.convolutions(images)

    def pool(self, maps: Tensor) -> Tensor:
        return self.linear(maps.flatten(1)).relu()


def digit_network(seed: int, head: type[Head] = LinearHead, outputs: int = 10, **options: object) -> Network:
    """A network whose backbone begins with the same weights for the same seed, whatever the head."""
    torch.manual_seed(seed)
    backbone = DigitBackbone()
    return Network(backbone, head(FEATURES, outputs, **options))


@torch.inference_mode()
def scores(network: Network, images: Tensor, batch_size: int = 1000) -> Tensor:
    """(N, L) probabilities, as the head means them (a `ConditionalHead`: along the tree)."""
    network.eval()
    return torch.cat(
        [network.head.probabilities(network.outputs(part)) for part in images.split(batch_size)]
    ).cpu()
