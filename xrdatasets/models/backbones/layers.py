"""Models, step 3: what DenseNet and ResNet share: instance norm beside batch norm, recomputed layers, layout.

Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018: a norm of
which some channels are normalised by image, so that they lose the look of a hospital's images, and the
others by batch, so that they keep what tells findings apart. In its variant "a" those channels stand in the
first norm of the layers that are not deep; the number of parameters stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xrdatasets.models.heads.base import check_count

__all__ = ["IBN", "check_blocks", "like_weights", "recomputed"]


class IBN(nn.Module):
    """Instance norm over some of the channels, batch norm over the others.

    The parameters are named as in the published code: ``IN.weight``, ``BN.weight``, ``BN.running_mean`` ...
    Instance norm has no running statistics: it takes each image's own, in training as afterwards, and needs
    two pixels at least.

    Args:
        channels: of the maps, at least 2.
        batch: how many of them are normalised by batch, from 1 to ``channels - 1``.
        batch_first: those are the first ones, as in the published DenseNet; in the ResNet they are the last.

    Raises:
        ValueError: a number is none of the above.

    Source:
        Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018,
        and its code, github.com/XingangPan/IBN-Net.

    Example:
        >>> IBN(8, batch=4)(torch.randn(2, 8, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(self, channels: int, *, batch: int, batch_first: bool = False) -> None:
        super().__init__()
        check_count("channels", channels, least=2)
        check_count("batch", batch, least=1)
        if batch >= channels:
            msg = f"batch: expected fewer than the {channels} channels, got {batch}."
            raise ValueError(msg)
        self.batch_first = batch_first
        self.BN = nn.BatchNorm2d(batch)
        self.IN = nn.InstanceNorm2d(channels - batch, affine=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalised maps.

        Args:
            maps: (B, channels, h, w) float, of two pixels at least.

        Returns:
            (B, channels, h, w), in the layout of `maps`, which instance norm alone would not keep.
        """
        first, last = (self.BN, self.IN) if self.batch_first else (self.IN, self.BN)
        border = first.num_features
        last_in_memory = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
        layout = torch.channels_last if last_in_memory else torch.contiguous_format
        parts = (first(maps[:, :border]), last(maps[:, border:]))
        return torch.cat([part.contiguous(memory_format=layout) for part in parts], dim=1)


def recomputed(layer: nn.Module, parts: Sequence[Tensor]) -> Tensor:
    """A layer's output, whose inner values are not kept for the gradients but computed again.

    Only `parts` are kept, not even their concatenation. Gradients are the same; the layer's buffers, such as
    the running means of a batch norm, are updated once.

    Args:
        layer: a module without randomness, from (B, C, h, w) to a tensor.
        parts: tensors (B, C', h, w) that side by side are its input.

    Returns:
        What the layer gives.

    Source:
        Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174; Pleiss et al.,
        "Memory-efficient implementation of DenseNets", arXiv:1707.06990.

    Example:
        >>> recomputed(nn.Conv2d(3, 4, 1), [torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2)]).shape
        torch.Size([1, 4, 2, 2])
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _KeptBuffers(layer)

    def run(*inputs: Tensor) -> Tensor:
        return layer(torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0])  # type: ignore[no-any-return]

    if torch.compiler.is_compiling():  # a compiled graph's updates happen once, and it takes no contexts
        done = checkpoint(run, *parts, use_reentrant=False, preserve_rng_state=False)
    else:
        done = checkpoint(run, *parts, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return done  # type: ignore[no-any-return]


class _KeptBuffers:
    """Within it a module writes to copies of its buffers. It can be entered again, unlike a generator's."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        self._kept: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        self._kept = [
            (module, name, buffer)
            for module in self._layer.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        for module, name, buffer in self._kept:
            setattr(module, name, buffer.clone())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module, name, buffer in self._kept:
            setattr(module, name, buffer)


def like_weights(images: Tensor, weight: Tensor) -> Tensor:
    """The same images, with the channels last in memory if they are in the network's weights.

    Images of one channel look the same in both layouts: torch takes them for channels first, and all maps
    that follow from them too, so that each convolution would turn them round again.

    Args:
        images: (B, C, H, W).
        weight: (C, C', k, k) of a convolution with C' and k above 1, which tells the network's layout.

    Returns:
        (B, C, H, W): the same values.

    Example:
        >>> weight = torch.zeros(4, 4, 3, 3).to(memory_format=torch.channels_last)
        >>> like_weights(torch.zeros(2, 1, 5, 6), weight).stride()
        (30, 1, 6, 1)
    """
    if weight.is_contiguous() or not weight.is_contiguous(memory_format=torch.channels_last):
        return images
    if images.shape[1] > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images[:, 0].contiguous().unsqueeze(-1).movedim(-1, 1)


def check_blocks(name: str, blocks: object) -> tuple[int, ...]:
    """Numbers of layers, one for each block of a network.

    Args:
        name: of the argument, for the message.
        blocks: what the caller passed.

    Returns:
        They, as a tuple.

    Raises:
        ValueError: it is no sequence, is empty, or a number is below 1.

    Example:
        >>> check_blocks("blocks", [6, 12, 24, 16])
        (6, 12, 24, 16)
    """
    if isinstance(blocks, str) or not isinstance(blocks, Sequence) or not blocks:
        msg = f"{name}: expected the numbers of layers, such as (6, 12, 24, 16), got {blocks!r}."
        raise ValueError(msg)
    for number in blocks:
        check_count(name, number, least=1)
    return tuple(blocks)
