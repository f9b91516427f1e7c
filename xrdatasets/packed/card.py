"""Packed, step 1: what a packed file says of its dataset, in words (JSON) and in arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.facts import Facts, dataset_keys
from xrdatasets.labels.codes import CODES, NOTHING, frozen
from xrdatasets.labels.consensus import Readings
from xrdatasets.labels.findings import all_findings
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.rules import Rule, Term
from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import TermMatrix
from xrdatasets.packed.columns import pack_table
from xrdatasets.resources import mappings

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = [
    "MAX_VALUES",
    "Arrays",
    "current_table",
    "describe",
    "digests",
    "facts_of",
    "matrix_of",
    "table_of",
    "terms_of",
]

Arrays = dict[str, npt.NDArray[Any]]
Get = Callable[[str], npt.NDArray[Any]]

MAX_VALUES = {"uint8": 255, "uint16": 65_535}
"""What is as bright as an image gets, by the type of the pixels."""


def describe(dataset: Single, *, size: int, dtype: str) -> tuple[str, Arrays]:
    """All that is stored of a dataset but its pixels.

    No policy and no target: a policy is chosen when the file is opened. No path of this machine.

    Args:
        dataset: the dataset.
        size: height and width of the packed images.
        dtype: ``uint8`` or ``uint16``.

    Returns:
        The card as JSON, and the arrays by their path in the file.

    Raises:
        TableError: the table has a column that cannot be stored.
    """
    from xrdatasets import __version__

    kinds, columns = pack_table(dataset._table)
    names, places = _table_names(dataset)
    arrays = {f"table/{name}": array for name, array in columns.items()}
    arrays |= _label_arrays(dataset) | {"labels/tables": places}
    card = {
        "package": __version__,
        "class": type(dataset).__name__,
        "size": size,
        "max_value": MAX_VALUES[dtype],
        "crop": dataset.options.crop,
        "engine": dataset.options.engine,
        "reduced": dataset.options.reduced,
        "intensity": dataset.options.intensity,
        "closure": dataset.tree.name if dataset.tree else None,
        "compat": dataset.compat,
        "consensus": dataset.consensus,
        "split": dataset.split,
        "space": {"name": dataset.space.name, "labels": dataset.space.labels},
        "facts": _anonymous(dataset.facts),
        "rules": [dataclasses.astuple(rule) for rule in dataset.label_table.rules],
        "absent": dataset.label_table.absent,
        "stored": dataset.matrix.stored,
        "covered": dataset.matrix.covered,
        "terms": [dataclasses.astuple(term) for term in dataset._terms.terms],
        "list_column": getattr(dataset.findings, "column", None),
        "traced": dataset.traced,
        "tables": names,
        "said_once": "labels/said_rows" in arrays,
        "columns": kinds,
        "released": _released(dataset.facts),
        "left_out": _left_out(dataset),
        "mappings": digests(dataset.facts.key, compat=dataset.compat, released=_released(dataset.facts)),
    }
    return json.dumps(card, ensure_ascii=False, sort_keys=True), arrays


def digests(key: str, *, compat: str | None, released: bool) -> dict[str, str]:
    """sha256 of the mapping tables of this package from which a dataset's labels come, by their path.

    Args:
        key: of the dataset.
        compat: ``xrv`` or None.
        released: whether it is one of this package's; one of the user's own has its rules in the card.
    """
    names = ["findings.csv", "hierarchy.csv"]
    if released:
        own = f"compat/{key}.csv"
        names.append(own if compat and (mappings() / own).is_file() else f"labels/{key}.csv")
    return {name: hashlib.sha256((mappings() / name).read_bytes()).hexdigest() for name in names}


def facts_of(card: dict[str, Any]) -> Facts:
    """The facts of the release."""
    return Facts(**card["facts"])


def current_table(card: dict[str, Any]) -> LabelTable:
    """The rules of today, without those that the release left out because a table of it was not there."""
    if not card["released"]:
        return table_of(card)
    whole = LabelTable.load(card["facts"]["key"], compat=card["compat"])
    left_out = {tuple(pair) for pair in card["left_out"]}
    rules = tuple(rule for rule in whole.rules if _pair(rule) not in left_out)
    return dataclasses.replace(whole, rules=rules)


def table_of(card: dict[str, Any]) -> LabelTable:
    """The rules as they were."""
    rules = tuple(Rule(Term(*term), *rest) for term, *rest in card["rules"])
    return LabelTable(facts_of(card).key, rules, card["absent"])


def matrix_of(card: dict[str, Any], get: Get, keys: npt.NDArray[Any]) -> LabelMatrix:
    """The labels of all rows.

    Raises:
        ValueError: states, findings or shapes that cannot be.
    """
    states, stored, covered = get("labels/states"), tuple(card["stored"]), tuple(card["covered"])
    known = set(all_findings())
    if not {*stored, *covered, *card["space"]["labels"]} <= known:
        strange = sorted({*stored, *covered, *card["space"]["labels"]} - known)
        msg = f"findings {', '.join(strange)}, which this package does not know"
        raise ValueError(msg)
    if states.dtype != np.uint8 or states.shape != (len(stored), len(keys)):
        msg = f"states of shape {states.shape}, expected ({len(stored)}, {len(keys)}) of uint8"
        raise ValueError(msg)
    _check_states(states)
    space = LabelSpace(card["space"]["name"], tuple(card["space"]["labels"]))
    return LabelMatrix(frozen(states), stored, covered, keys, space)


def terms_of(card: dict[str, Any], get: Get, count: int) -> TermMatrix | Readings:
    """What the source said, term by term, of `count` images.

    Raises:
        ValueError: shapes that cannot be.
    """
    terms, said = tuple(Term(*term) for term in card["terms"]), get("labels/said")
    rows = get("labels/said_rows") if card["said_once"] else None
    starts = get("labels/starts").astype(np.intp) if card["consensus"] else None
    readings = said.shape[1] if rows is None else len(rows)
    _check_states(said)
    if len(said) != len(terms) or readings != (count if starts is None else starts[-1]):
        msg = f"terms of shape {said.shape}, expected ({len(terms)}, {count})"
        raise ValueError(msg)
    if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < said.shape[1]:
        raise ValueError("terms of rows that are not there")
    if starts is not None and (len(starts) != count + 1 or starts[0] or (np.diff(starts) < 1).any()):
        raise ValueError("readers that belong to no image")
    matrix = TermMatrix(terms, frozen(said), None if rows is None else frozen(rows))
    return matrix if starts is None else Readings(matrix, starts)


def _label_arrays(dataset: Single) -> Arrays:
    terms = dataset._terms
    answers = terms.answers if isinstance(terms, Readings) else terms
    arrays: Arrays = {"labels/states": dataset.matrix.states, "labels/said": answers.said}
    if answers.rows is not None:
        arrays["labels/said_rows"] = answers.rows.astype(np.int32)
    if isinstance(terms, Readings):
        arrays["labels/starts"] = terms.starts.astype(np.int64)
    return arrays


def _table_names(dataset: Single) -> tuple[list[str], npt.NDArray[np.uint8]]:
    """Names of the release's tables, and in which of them each row stands.

    A release has one table, or one for each split or kind of image; so rows that agree in what is a category
    are asked once.
    """
    table = dataset._table
    alike = [name for name in ("split", "label") if name in table]
    group = table.groupby(alike, dropna=False, observed=True, sort=False).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)
    asked = [dataset.table_of(int(row)) for row in first]
    names = list(dict.fromkeys(asked))
    return names, np.array([names.index(name) for name in asked], dtype=np.uint8)[group]


def _anonymous(facts: Facts) -> dict[str, Any]:
    """The facts; the family of a table of one's own is the path of its root, which stays here."""
    stated = dataclasses.asdict(facts)
    if not _released(facts):
        digest = hashlib.sha256(facts.image_family.encode()).hexdigest()
        stated["image_family"] = f"own-{digest[:16]}"
    return stated


def _released(facts: Facts) -> bool:
    """Whether a dataset is one that this package knows; a user's own may have the same key."""
    return facts.key in dataset_keys() and facts == Facts.load(facts.key)


def _left_out(dataset: Single) -> list[tuple[str, str, str | None]]:
    """Rules of the whole mapping table that this dataset does not use: some depend on what is on disk."""
    if not _released(dataset.facts):
        return []
    used = {_pair(rule) for rule in dataset.label_table.rules}
    whole = LabelTable.load(dataset.facts.key, compat=dataset.compat)
    return [pair for pair in map(_pair, whole.rules) if pair not in used]


def _pair(rule: Rule) -> tuple[str, str, str | None]:
    return rule.term.column, rule.term.source, rule.target


def _check_states(states: npt.NDArray[np.uint8]) -> None:
    used = np.flatnonzero(np.bincount(states.ravel(), minlength=len(CODES)))
    # unlike all other states these two have no code
    strange = [int(state) for state in used if np.isnan(CODES[state]) and state not in NOTHING]
    if strange:
        msg = f"states {strange}, which mean nothing"
        raise ValueError(msg)
