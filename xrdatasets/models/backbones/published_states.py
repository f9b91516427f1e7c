"""Models, step 7: published state dicts (torchvision's, torchxrayvision's) into a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xrdatasets.errors import WeightsError
from xrdatasets.models.backbones.base import Backbone

__all__ = ["StateReport", "fit_state"]

_PREFIX = re.compile(r"^(?:(?:module|model)\.)+")  # of DataParallel, and of torchxrayvision's ResNet
# torchvision's files of 2017 have `denselayer1.norm.1.weight`; its loader renames them likewise
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
_HEADS = ("classifier.", "fc.")  # the last layer of torchvision's DenseNet, of its ResNet
_NO_WEIGHTS = "op_threshs"  # torchxrayvision's operating points, which it keeps beside the weights
_COUNTER = "num_batches_tracked"  # files from before torch 0.4.1 have none; no output depends on it
_SHOWN = 4


@dataclass(frozen=True)
class StateReport:
    """What became of a state dict.

    Attributes:
        loaded: names in the network of what was written.
        ignored: names in the state dict of what has no place in the network.
        missing: names in the network of what kept its values, counters of batches apart.
    """

    loaded: tuple[str, ...]
    ignored: tuple[str, ...]
    missing: tuple[str, ...]


def fit_state(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> StateReport:
    """Write a published state dict into a network.

    Taken are the names of torchvision and torchxrayvision, also with the prefixes ``module.`` and ``model.``
    and with the names of torchvision's first files. A first convolution for colours is summed for one
    channel, which gives what the same grey image in three channels would; one for a single channel is spread
    over three, a third each. The last layer goes into a linear head with as many outputs. Note that
    torchvision's weights expect images from 0 to 1, less ImageNet's means, over its deviations.

    Args:
        network: a `Network`, or a `Backbone` alone.
        state: names and tensors.
        strict: refuse a state dict that lacks something of the backbone or has something that neither a
            backbone nor a last layer has; otherwise both are only reported.

    Returns:
        What was loaded, ignored and missing.

    Raises:
        WeightsError: it is empty or no state dict, is of another architecture, or a tensor has another shape
            or holds what is no number; the network is as it was.

    Example:
        >>> from xrdatasets.models import backbone
        >>> network = backbone("resnet18", width=4)
        >>> state = backbone("resnet18", width=4, channels=3).state_dict() | {"fc.weight": torch.zeros(5, 32)}
        >>> fit_state(network, state).ignored
        ('fc.weight',)
    """
    body = getattr(network, "backbone", network)
    if not isinstance(body, Backbone):
        msg = f"network: expected a Network or a Backbone, got {type(network).__name__}."
        raise ValueError(msg)
    given = _named(state)
    prefix = "" if body is network else "backbone."
    targets = {name: prefix + name for name in body.state_dict()}
    last = _last_layer(network, given)
    targets |= {name: f"head.{name.rpartition('.')[2]}" for name in last}
    _check_names(body, given, targets, strict=strict)
    own = network.state_dict()
    fitted = _fitted(body, {name: given[name][1] for name in targets if name in given}, own, targets)
    with torch.no_grad():
        for name, tensor in fitted.items():
            own[name].copy_(tensor)
    return StateReport(
        loaded=tuple(fitted),
        ignored=tuple(original for name, (original, _) in given.items() if name not in targets),
        missing=tuple(name for name in own if name not in fitted and not name.endswith(_COUNTER)),
    )


def _named(state: object) -> dict[str, tuple[str, object]]:
    """By today's names: the name in the file, and the tensor."""
    if not isinstance(state, Mapping) or not state:
        got = "an empty one" if isinstance(state, Mapping) else type(state).__name__
        msg = f"state: expected a state dict, a mapping of names to tensors, got {got}."
        raise WeightsError(msg)
    given: dict[str, tuple[str, object]] = {}
    for original, value in state.items():
        name = _OLD_NAME.sub(r"\1\2.", _PREFIX.sub("", str(original)))
        if name in given:
            msg = f"state: {given[name][0]} and {original} both stand for {name}; keep one of them."
            raise WeightsError(msg)
        given[name] = (str(original), value)
    return given


def _last_layer(network: nn.Module, given: Mapping[str, tuple[str, object]]) -> list[str]:
    """Names of the last layer's weight and bias, if they fit into a linear head."""
    head = getattr(network, "head", None)
    if getattr(head, "kind", None) != "linear":
        return []
    own = head.state_dict()  # type: ignore[union-attr]
    for layer in _HEADS:
        found = {name: value for name, (_, value) in given.items() if name.startswith(layer)}
        shapes = {name.removeprefix(layer): getattr(value, "shape", None) for name, value in found.items()}
        if shapes == {
            name: value.shape for name, value in own.items()
        }:  # a bias that had no place would be lost
            return list(found)
    return []


def _check_names(body: Backbone, given: Iterable[str], targets: Iterable[str], *, strict: bool) -> None:
    known = [name for name in body.state_dict() if not name.endswith(_COUNTER)]
    names, places = set(given), set(targets)
    lacking = [name for name in known if name not in names]
    foreign = [
        name for name in given if name not in places and not name.startswith(_HEADS) and name != _NO_WEIGHTS
    ]
    if len(lacking) < len(known) and not (strict and (lacking or foreign)):
        return
    wrong = [f"{what} {_first(some)}" for what, some in (("missing", lacking), ("unknown", foreign)) if some]
    msg = (
        f"state: expected the {len(known)} parameters and statistics of {body.name}; {'; '.join(wrong)}. "
        "Is it of another architecture?"
    )
    raise WeightsError(msg)


def _fitted(
    body: Backbone, given: Mapping[str, object], own: Mapping[str, Tensor], targets: Mapping[str, str]
) -> dict[str, Tensor]:
    """By the network's names, all tensors as they will be written; refused before anything is."""
    first = next(name for name, module in body.named_modules() if isinstance(module, nn.Conv2d)) + ".weight"
    fitted, wrong = {}, []
    for name, value in given.items():
        target = own[targets[name]]
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_meta:
            wrong.append(f"{name}: expected a tensor, got {getattr(value, 'layout', type(value).__name__)}")
            continue
        tensor = _recoloured(value, target.shape[1]) if name == first and value.ndim == 4 else value
        if tensor.shape != target.shape:
            wrong.append(f"{name}: expected the shape {tuple(target.shape)}, got {tuple(value.shape)}")
        elif target.is_floating_point() != tensor.is_floating_point() or tensor.is_complex():
            wrong.append(f"{name}: expected {target.dtype}, got {value.dtype}")
        elif not tensor.isfinite().all():
            wrong.append(f"{name}: expected numbers, got NaN or infinity")
        else:
            fitted[targets[name]] = tensor.detach().to(target.device, target.dtype)
    if wrong:
        msg = f"state: it does not fit into {body.name}: {_first(wrong)}."
        raise WeightsError(msg)
    return fitted


def _recoloured(weight: Tensor, channels: int) -> Tensor:
    """The first convolution for one channel instead of three, or for three instead of one."""
    if (weight.shape[1], channels) == (3, 1):
        return weight.sum(1, keepdim=True, dtype=torch.float64).to(weight.dtype)
    if (weight.shape[1], channels) == (1, 3):
        return (weight.double() / 3).to(weight.dtype).expand(-1, 3, -1, -1)
    return weight


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
