"""Legacy: the modules of torchxrayvision that are not here yet, and say so."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["autoencoders", "baseline_models", "models"]


class Absent:
    """A module that is not here yet.

    Args:
        name: of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        msg = (
            f"xrdatasets.legacy.{self._name}.{attribute} is not here yet; datasets, transforms and utils "
            f"are. Take {self._name} from torchxrayvision until then."
        )
        raise AttributeError(msg)

    def __repr__(self) -> str:
        return f"<xrdatasets.legacy.{self._name}: not here yet>"


autoencoders, baseline_models, models = map(Absent, ("autoencoders", "baseline_models", "models"))
