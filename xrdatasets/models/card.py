"""Models, step 5: what is known of a classifier, carried in its file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Card"]

USE = "Research. Not a medical device: no diagnosis and no decision about a patient may rest on it."


@dataclass(frozen=True)
class Card:
    """Facts about a classifier: what it was trained on, how, how well it does, and what it is not for.

    Attributes:
        name: of the weights.
        description: a sentence or more.
        trained_on: keys of the datasets, or words.
        recipe: how it was trained.
        licence: of the weights.
        reference: a paper or an address.
        intended_use: what it is for.
        notes: known failures and oddities, one each.
        metrics: figures by name, fit for JSON.
        provenance: where the file comes from, fit for JSON: addresses, digests, versions.

    Raises:
        ValueError: a field is of another type.

    Example:
        >>> card = Card("tiny", trained_on=("phantom",), notes=("It has seen drawings alone.",))
        >>> Card.of(card.config()) == card
        True
        >>> print(card)  # doctest: +ELLIPSIS
        tiny
        trained on: phantom
        intended use: Research. ...
        note: It has seen drawings alone.
    """

    name: str = ""
    description: str = ""
    trained_on: tuple[str, ...] = ()
    recipe: str = ""
    licence: str = ""
    reference: str = ""
    intended_use: str = USE
    notes: tuple[str, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if each.name in ("trained_on", "notes"):
                fine = not isinstance(value, str) and all(isinstance(part, str) for part in value)
                if fine:
                    object.__setattr__(self, each.name, tuple(value))
            else:
                fine = isinstance(value, dict if each.name in ("metrics", "provenance") else str)
            if not fine:
                msg = f"{each.name}: expected {each.type}, got {value!r}."
                raise ValueError(msg)

    def __str__(self) -> str:
        lines = [self.name or "no name", self.description]
        lines += [f"trained on: {', '.join(self.trained_on)}"] if self.trained_on else []
        for name in ("recipe", "licence", "reference", "intended_use"):
            lines += [f"{name.replace('_', ' ')}: {getattr(self, name)}"] if getattr(self, name) else []
        lines += [f"{name}: {value}" for name, value in self.metrics.items()]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"{name}: {value}" for name, value in self.provenance.items()]
        return "\n".join(line for line in lines if line)

    def config(self) -> dict[str, Any]:
        """All fields, fit for JSON if `metrics` and `provenance` are."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    @classmethod
    def of(cls, config: dict[str, Any]) -> Card:
        """The card of a `config`; fields that this version does not know are kept in `provenance`.

        Raises:
            ValueError: a field is of another type.
        """
        known = {each.name for each in dataclasses.fields(cls)}
        fields = {name: value for name, value in config.items() if name in known}
        more = {name: value for name, value in config.items() if name not in known}
        if more:
            fields["provenance"] = {**fields.get("provenance", {}), **more}
        return cls(**fields)
