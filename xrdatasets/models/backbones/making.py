"""Models, step 6: backbones by their names."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xrdatasets.models.backbones.base import Backbone
from xrdatasets.models.backbones.densenet import DenseNet
from xrdatasets.models.backbones.mini import Mini
from xrdatasets.models.backbones.resnet import ResNet

__all__ = ["BACKBONES", "backbone"]

# Huang et al., CVPR 2017, table 1; He et al., CVPR 2016, table 1
_KINDS: Mapping[str, tuple[Callable[..., Backbone], Mapping[str, Any]]] = MappingProxyType(
    {
        "densenet121": (DenseNet, {"blocks": (6, 12, 24, 16)}),
        "densenet169": (DenseNet, {"blocks": (6, 12, 32, 32)}),
        "densenet201": (DenseNet, {"blocks": (6, 12, 48, 32)}),
        "denseibn121": (DenseNet, {"blocks": (6, 12, 24, 16), "ibn": True}),
        "resnet18": (ResNet, {"blocks": (2, 2, 2, 2), "bottleneck": False}),
        "resnet50": (ResNet, {"blocks": (3, 4, 6, 3)}),
        "resnet18_ibn": (ResNet, {"blocks": (2, 2, 2, 2), "bottleneck": False, "ibn": True}),
        "resnet50_ibn": (ResNet, {"blocks": (3, 4, 6, 3), "ibn": True}),
        "mini": (Mini, {}),
    }
)
BACKBONES: tuple[str, ...] = tuple(_KINDS)
"""Names that `backbone` knows."""


def backbone(name: str, *, channels: int = 1, checkpointing: bool = False, **options: Any) -> Backbone:
    """A network from images to features, with random weights.

    Args:
        name: one of `BACKBONES`.
        channels: of the images, 1 or 3.
        checkpointing: while training, inner values are computed again instead of kept, for less memory;
            ``"mini"`` has too few of them.
        **options: sizes, as the keywords of `xrdatasets.models.DenseNet` (``growth``, ``blocks``, ``stem``,
            ``bn_size``, ``ibn``), `xrdatasets.models.ResNet` (``blocks``, ``width``, ``bottleneck``,
            ``ibn``) and `xrdatasets.models.Mini` (``width``); what is left out is as the name says.

    Returns:
        The network, in training mode. ``backbone(**network.config())`` makes the same one again.

    Raises:
        ValueError: no such name or option, or a value that it does not take.

    Example:
        >>> network = backbone("densenet121")
        >>> network.out_features, sum(parameter.numel() for parameter in network.parameters())
        (1024, 6947584)
    """
    if name not in BACKBONES:
        near = difflib.get_close_matches(str(name), BACKBONES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see xrdatasets.models.BACKBONES."
        msg = f"name: expected one of {', '.join(BACKBONES)}, got {name!r}; {hint}"
        raise ValueError(msg)
    make, defaults = _KINDS[name]
    known = set(inspect.signature(make).parameters)
    if checkpointing or "checkpointing" in known:
        options["checkpointing"] = checkpointing
    _check_options(name, options, known - {"name", "channels"})
    if "name" in known:
        options["name"] = name
    return make(channels=channels, **(dict(defaults) | options))


def _check_options(name: str, options: Mapping[str, Any], known: set[str]) -> None:
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, sorted(known), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else "."
            msg = f"{name}: expected no option but {', '.join(sorted(known))}, got {option!r}{hint}"
            raise ValueError(msg)
