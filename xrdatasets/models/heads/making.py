"""Models, step 4: heads by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from xrdatasets.models.heads.base import Head
from xrdatasets.models.heads.branches import BranchHead
from xrdatasets.models.heads.class_queries import ClassQueryHead
from xrdatasets.models.heads.conditional import ConditionalHead
from xrdatasets.models.heads.linear import LinearHead, MultiClassHead
from xrdatasets.models.heads.per_dataset import PerDatasetHead

__all__ = ["HEADS", "head"]

_CLASSES: tuple[type[Head], ...] = (
    LinearHead,
    MultiClassHead,
    BranchHead,
    ClassQueryHead,
    PerDatasetHead,
    ConditionalHead,
)

HEADS: Mapping[str, type[Head]] = MappingProxyType({each.kind: each for each in _CLASSES})
"""The class of each kind of head."""


def head(kind: str, in_features: int, outputs: int, **options: Any) -> Head:
    """Make a head by its kind; its `config` makes the same one again.

    Args:
        kind: one of `HEADS`: linear, multiclass, branch, class_query, per_dataset, conditional.
        in_features: length F of an image's vector.
        outputs: number L of findings.
        **options: of that class, by name.

    Returns:
        The head, newly initialised.

    Raises:
        ValueError: there is no such kind, it has no such option or needs another one, or an option has a
            value that it does not take.

    Example:
        >>> made = head("branch", 1024, 20, width=64)
        >>> made.config()
        {'kind': 'branch', 'in_features': 1024, 'outputs': 20, 'width': 64, 'activation': None}
        >>> head(**made.config()).width
        64
    """
    _check_kind(kind)
    _check_options(HEADS[kind], options)
    return HEADS[kind](in_features, outputs, **options)


def _check_kind(kind: object) -> None:
    if not isinstance(kind, str) or kind not in HEADS:
        from xrdatasets.labels.findings import near  # here: it brings pandas

        msg = f"kind: expected one of {', '.join(HEADS)}, got {kind!r}. {near(str(kind), HEADS)}"
        raise ValueError(msg.rstrip())


def _check_options(made: type[Head], options: Mapping[str, object]) -> None:
    known = [
        parameter
        for parameter in inspect.signature(made).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    names = [parameter.name for parameter in known]
    missing = [
        parameter.name
        for parameter in known
        if parameter.default is parameter.empty and parameter.name not in options
    ]
    unknown = [name for name in options if name not in names]
    if unknown or missing:
        wrong = f"got {', '.join(unknown)}" if unknown else f"{', '.join(missing)} is missing"
        msg = f"options: expected those of {made.__name__}, {', '.join(names)}; {wrong}."
        raise ValueError(msg)
