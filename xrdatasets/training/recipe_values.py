"""Training, recipes, step 1: one value of a recipe, checked, and written as TOML."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, field
from typing import Any, Literal, get_args, get_origin

__all__ = ["checked", "near_names", "ranged", "to_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def ranged(
    default: Any, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> Any:
    """A field of a section whose number has bounds.

    Args:
        default: its value where a recipe says nothing.
        least: the smallest that is fine.
        most: the largest that is fine.
        above: what it has to be larger than.

    Returns:
        What `dataclasses.field` gives.
    """
    return field(default=default, metadata={"least": least, "most": most, "above": above})


def checked(key: str, kind: Any, value: object, known: Field[Any]) -> Any:
    """A value in its type, or an error that names the key.

    Args:
        key: section and key, for the message.
        kind: the type: bool, int, float, str, a Literal, a tuple of one type, a dict, or a union of those.
        value: what a recipe says.
        known: the field, which may have bounds.

    Returns:
        The value; whole numbers are floats where those are expected, lists are tuples.

    Raises:
        ValueError: it is of another type, or outside the bounds.
    """
    for each in _alternatives(kind):
        fine, converted = _converted(each, value)
        if fine and _inside(converted, known.metadata):
            return converted
    default = "" if known.default is MISSING else f", for example {known.default!r}"
    msg = f"{key}: expected {_described(kind, known.metadata)}{default}, got {value!r}."
    raise ValueError(msg)


def near_names(name: str, names: Iterable[str]) -> str:
    """The end of a message: which names are meant, maybe.

    Example:
        >>> near_names("adversarial.strengths", ["adversarial.strength", "epochs"])
        'did you mean adversarial.strength?'
    """
    known = sorted(names)
    last = {each.rpartition(".")[2]: each for each in known}
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    near += [last[each] for each in difflib.get_close_matches(name.rpartition(".")[2], last, n=1, cutoff=0.8)]
    near = list(dict.fromkeys(near))[:2]
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}."


def to_toml(document: Mapping[str, Any]) -> str:
    """A document as TOML: values first, then a table for each mapping of the first level.

    Args:
        document: text, numbers, booleans, lists, and mappings of those.

    Returns:
        What `tomllib.loads` reads back as the same.

    Example:
        >>> print(to_toml({"name": "mine", "data": {"size": 64, "views": ["PA", "AP"]}}), end="")
        name = "mine"
        <BLANKLINE>
        [data]
        size = 64
        views = ["PA", "AP"]
    """
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_written(value)}" for key, value in plain.items()]
    for name, table in document.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(name)}]"]
            lines += [f"{_key(key)} = {_written(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if type(kind).__name__ in ("UnionType", "_UnionGenericAlias") else (kind,)


def _converted(kind: Any, value: object) -> tuple[bool, Any]:
    """Whether a value is of a kind, and it as such."""
    if get_origin(kind) is Literal:
        return value in get_args(kind) and not isinstance(value, bool), value
    if get_origin(kind) is tuple:
        parts = value if isinstance(value, (list, tuple)) else ()
        pairs = [_converted(get_args(kind)[0], part) for part in parts]
        fine = isinstance(value, (list, tuple)) and all(good for good, _ in pairs)
        return fine, tuple(part for _, part in pairs)
    if get_origin(kind) is dict:
        fine = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        return fine, dict(value) if isinstance(value, Mapping) else value
    if kind is float:
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        return fine, float(value) if fine else value  # type: ignore[arg-type]
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), value


def _inside(value: object, bounds: Mapping[str, Any]) -> bool:
    if not bounds or not isinstance(value, (int, float)):
        return True
    return bool(bounds["least"] <= value <= bounds["most"] and value > bounds["above"])


def _described(kind: Any, bounds: Mapping[str, Any]) -> str:
    """A type in words."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    parts = []
    for each in _alternatives(kind):
        if get_origin(each) is Literal:
            parts.append(f"one of {', '.join(map(repr, get_args(each)))}")
        elif get_origin(each) is tuple:
            parts.append(f"a list, each {words[get_args(each)[0]]}")
        else:
            parts.append("a table of options" if get_origin(each) is dict else words[each])
    text = " or ".join(parts)
    for name, phrase in (("least", "at least"), ("most", "at most"), ("above", "above")):
        if bounds and math.isfinite(bounds[name]):
            text += f" {phrase} {bounds[name]:g}"
    return text


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key)


def _written(value: object) -> str:
    """One value; JSON's text, with its escapes, is TOML's too."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_written(each)}" for key, each in value.items())
            return f"{{{inner}}}"
        case list() | tuple():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            msg = f"TOML has no value for {value!r}. Expected text, numbers, booleans, lists or tables."
            raise ValueError(msg)
