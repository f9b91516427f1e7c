"""Legacy: the modules of torchxrayvision that are not here and say so, and one that is imported when used."""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

__all__ = ["autoencoders", "baseline_models", "models"]

_HERE = "datasets, models, transforms and utils"


class Absent:
    """A module that is not here.

    Args:
        name: of the module.
        why: in words.
    """

    def __init__(self, name: str, why: str) -> None:
        self._name, self._why = name, why

    def __getattr__(self, attribute: str) -> NoReturn:
        msg = (
            f"xrdatasets.legacy.{self._name}.{attribute} is not here: {self._why}. {_HERE.capitalize()} are; "
            f"take {self._name} from torchxrayvision."
        )
        raise AttributeError(msg)

    def __repr__(self) -> str:
        return f"<xrdatasets.legacy.{self._name}: not here>"


class Late:
    """A module that is imported when something of it is used: torch alone takes longer than all else.

    Args:
        name: of the module, in full.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self._name))

    def __repr__(self) -> str:
        return f"<{self._name}: imported when it is used>"


autoencoders = Absent("autoencoders", "its autoencoder is no classifier")
baseline_models = Absent("baseline_models", "those weights are other groups', under terms of their own")
models: Any = Late("xrdatasets.legacy.models")
