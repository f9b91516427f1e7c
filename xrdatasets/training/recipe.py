"""Training, recipes, step 3: everything about a training but its data, section by section.

A recipe is a paper's method, or a variation of it. Every piece is a section that can be switched on its own:
the ablations of the papers are one value each.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, get_type_hints

from xrdatasets.labels import LabelSpace, Policy
from xrdatasets.labels.spaces import space_names
from xrdatasets.models import BACKBONES
from xrdatasets.training.recipe_sections import (
    UNION,
    Adversarial,
    Alignment,
    Assemble,
    Batches,
    Conditional,
    Data,
    Ensembling,
    Loss,
    Model,
    Optimiser,
)
from xrdatasets.training.recipe_values import checked, near_names, ranged, to_toml

__all__ = ["Recipe", "recipe_names"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        name: of the recipe.
        description: one sentence.
        reference: the paper.
        epochs: how often the largest dataset is gone through.
        seed: of weights, order and views.
        precision: ``"32"``, ``"bf16"`` or ``"16"``; losses are computed in float32 in any.
        data: `Data`.
        batches: `Batches`.
        model: `Model`.
        loss: `Loss`.
        adversarial: `Adversarial`.
        ensembling: `Ensembling`.
        conditional: `Conditional`.
        assemble: `Assemble`.
        alignment: `Alignment`.
        optimiser: `Optimiser`.

    Raises:
        ValueError: a value is of another type or out of range, or two pieces do not go together.
        LabelNotFoundError: there is no such label space or policy.

    Example:
        >>> recipe = Recipe.load("luo2020").override({"epochs": 2, "adversarial.strength": 0})
        >>> recipe.epochs, recipe.adversarial.strength, recipe.ensembling.weight
        (2, 0.0, 30.0)
    """

    name: str = "custom"
    description: str = ""
    reference: str = ""
    epochs: int = ranged(8, least=1)
    seed: int = ranged(0, least=0)
    precision: Literal["32", "bf16", "16"] = "32"
    data: Data = field(default_factory=Data)
    batches: Batches = field(default_factory=Batches)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    adversarial: Adversarial = field(default_factory=Adversarial)
    ensembling: Ensembling = field(default_factory=Ensembling)
    conditional: Conditional = field(default_factory=Conditional)
    assemble: Assemble = field(default_factory=Assemble)
    alignment: Alignment = field(default_factory=Alignment)
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self) -> None:
        for name, section in (("", self), *self._sections().items()):
            kinds = get_type_hints(type(section))
            for each in dataclasses.fields(section):
                if not dataclasses.is_dataclass(kinds[each.name]):
                    key = f"{name}.{each.name}" if name else each.name
                    value = checked(key, kinds[each.name], getattr(section, each.name), each)
                    object.__setattr__(section, each.name, value)
        _check_names(self)
        _check_together(self)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """A recipe by its name, or from a TOML file.

        A file says what differs from the recipe that its key ``base`` names, or, without one, from the
        defaults.

        Args:
            name_or_path: one of `recipe_names`, or a path (text with a slash, or that ends in ``.toml``).

        Returns:
            The recipe.

        Raises:
            ValueError: there is no such recipe, or the file is no recipe; the message names the file, the
                section and the key.
            OSError: the file cannot be read.
        """
        text = str(name_or_path)
        if text in recipe_names():
            return cls.of(_parsed(text, (_folder() / f"{text}.toml").read_text(encoding="utf-8")))
        if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or "\\" in text:
            path = Path(name_or_path).expanduser()
            document = _parsed(text, path.read_text(encoding="utf-8"))
            base = document.pop("base", None)
            start = cls() if base is None else cls.load(base)
            return start.override(_flat({"name": path.stem} | document))
        hint = near_names(text, recipe_names())
        msg = f"recipe: there is none of the name {text!r}; {hint} A file of your own ends in .toml."
        raise ValueError(msg)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The recipe of a document, as `as_dict` gives it; what is left out is as by default.

        Raises:
            ValueError: a key that is none, or a value that it does not take.
        """
        return cls().override(_flat(document))

    def override(self, changes: Mapping[str, Any]) -> Self:
        """The same recipe with other values.

        Args:
            changes: values by key: ``"epochs"``, ``"adversarial.strength"``, and for options of the network
                ``"model.backbone_options.width"``.

        Returns:
            A new recipe.

        Raises:
            ValueError: there is no such key, or it does not take the value.
        """
        document = self.as_dict()
        for name in ("backbone", "head"):  # the options of one are not those of another
            if f"model.{name}" in changes and changes[f"model.{name}"] != document["model"][name]:
                document["model"][f"{name}_options"] = {}
        known = _flat(document)
        for key, value in changes.items():
            self._put(document, key, value, known)
        kinds = get_type_hints(type(self))
        return type(self)(
            **{
                name: kinds[name](**value) if dataclasses.is_dataclass(kinds[name]) else value
                for name, value in document.items()
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """All values by section, fit for JSON and TOML."""
        return _plain(dataclasses.asdict(self))  # type: ignore[no-any-return]

    def to_toml(self) -> str:
        """All values as a TOML file that `load` reads."""
        return to_toml(self.as_dict())

    def opening(self) -> dict[str, Any]:
        """The options that a dataset is opened with for this recipe: ``xr.NIH(root, **recipe.opening())``."""
        policy = Policy.load(self.data.policy)
        if self.data.unmentioned == "negative":
            policy = policy.with_unmentioned(0.0)
        views = "*" if "*" in self.data.views else self.data.views
        return {"size": self.data.size, "views": views, "policy": policy}

    def _put(self, document: dict[str, Any], key: str, value: object, known: Mapping[str, Any]) -> None:
        """Change one value of a document, or one option in a table of options."""
        section, _, last = key.partition(".")
        name, _, option = last.partition(".")
        if key in known:
            table, own = (document[section], last) if last else (document, section)
            table[own] = value
        elif option and isinstance(known.get(f"{section}.{name}"), dict):
            document[section][name] = {**document[section][name], option: value}
        else:
            msg = f"recipe: no key {key!r}; {near_names(key, known)}"
            raise ValueError(msg)

    def _sections(self) -> dict[str, Any]:
        found = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {name: value for name, value in found.items() if dataclasses.is_dataclass(value)}


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the package.

    Example:
        >>> recipe_names()
        ('assemble2023', 'baseline', 'cohen2020', 'luo2020', 'pham2019')
    """
    found = (file.name for file in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def _folder() -> Any:
    return files("xrdatasets.training") / "recipes"


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"recipe {name!r}: expected TOML, got a file that is none ({error})."
        raise ValueError(msg) from error


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key; options of the network stay tables."""
    flat: dict[str, Any] = {}
    sections = {each.name for each in dataclasses.fields(Recipe) if each.default is dataclasses.MISSING}
    for key, value in document.items():
        if isinstance(value, Mapping) and key in sections:
            flat |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            flat[key] = value
    return flat


def _plain(value: Any) -> Any:
    """Lists in place of tuples."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _check_names(recipe: Recipe) -> None:
    Policy.load(recipe.data.policy)
    if recipe.data.space != UNION:
        _check_space(recipe.data.space)
    if recipe.model.backbone not in BACKBONES:
        hint = near_names(recipe.model.backbone, BACKBONES)
        msg = f"model.backbone: expected one of {', '.join(BACKBONES)}, got {recipe.model.backbone!r}; {hint}"
        raise ValueError(msg)
    if recipe.model.channels == 2:
        raise ValueError("model.channels: expected 1 or 3, got 2.")


def _check_space(space: str | tuple[str, ...]) -> None:
    if isinstance(space, str) and space not in space_names():
        hint = near_names(space, (UNION, *space_names()))
        msg = f"data.space: no label space is called {space!r}; {hint}"
        raise ValueError(msg)
    LabelSpace.of(space)


def _check_together(recipe: Recipe) -> None:
    """Refuse pieces that do not go together."""
    head = recipe.model.head
    wrong = ""
    if recipe.adversarial.strength and recipe.adversarial.kind == "task" and head != "branch":
        wrong = "adversarial.kind 'task' needs model.head = 'branch'; 'holistic' goes with every head"
    elif recipe.alignment.strength and head != "per_dataset":
        wrong = "alignment.strength is for model.head = 'per_dataset'"
    elif recipe.ensembling.hard and head in ("per_dataset", "conditional"):
        wrong = f"ensembling.hard does not go with model.head = {head!r}"
    elif recipe.loss.kind == "asymmetric" and (recipe.loss.positive_weight or head == "conditional"):
        wrong = "loss.kind 'asymmetric' has neither positive_weight nor a conditional form"
    elif recipe.assemble.consistency and recipe.batches.view != "weak":
        wrong = "assemble.consistency compares two views: set batches.view = 'weak'"
    if wrong:
        msg = f"recipe {recipe.name!r}: {wrong}."
        raise ValueError(msg)
