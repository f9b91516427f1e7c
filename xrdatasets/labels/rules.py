"""Labels, step 2: the rows of a mapping file, from a source term to a finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import PurePath
from typing import Final, Literal, get_args

from xrdatasets.labels.findings import read_finding
from xrdatasets.resources import Row, read_rows

__all__ = ["CONSTANT", "LIST", "Relation", "Rule", "Term", "read_rules"]

Relation = Literal["exact", "narrower", "broader", "negates", "related", "overrules"]
"""How the source term relates to the finding; it speaks of the source term (`LabelTable`).

``overrules`` is for ``mappings/compat`` alone: 0, whatever else the source says.
"""

COLUMNS: Final = ("column", "source", "target", "relation", "note", "reference")
LIST: Final = "*"
CONSTANT: Final = "="


@dataclass(frozen=True, slots=True)
class Term:
    """A source term: a value of a column, a word of a list, or a constant.

    Attributes:
        column: the source column; ``*`` for words of a list, ``=`` for a constant.
        source: the word or value; empty for a column that holds codes (1, 0, -1, blank).
    """

    column: str
    source: str

    @property
    def name(self) -> str:
        """How the term is shown: ``Edema``, ``Fracture=YES``."""
        if self.column in (LIST, CONSTANT):
            return self.source
        return f"{self.column}={self.source}" if self.source else self.column


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a mapping file.

    Attributes:
        term: the source term.
        target: the canonical finding, None for a term that is listed as unmapped.
        relation: how the term relates to the finding, None for an unmapped term.
        note: what a reader should know.
        reference: who says so.
        place: file and line of the row.
    """

    term: Term
    target: str | None
    relation: Relation | None
    note: str
    reference: str
    place: str


def read_rules(file: Traversable) -> tuple[Rule, ...]:
    """Read a mapping file.

    Args:
        file: CSV with the columns ``column, source, target, relation, note, reference``.

    Returns:
        Its rules, in order.

    Raises:
        MappingError: an unknown finding, relation or column, a row without a term, a pair of term
            and finding that stands twice, a term both mapped and unmapped, bad encoding. File, line
            and what was expected are named.
    """
    seen: dict[tuple[Term, str | None], Row] = {}
    rules = []
    for row in read_rows(file, COLUMNS):
        rule = _rule(row)
        first = seen.setdefault((rule.term, rule.target), row)
        if first is not row:
            expected = f"term and finding once (line {first.line} has them)"
            raise row.error(expected, _pair(rule))
        rules.append(rule)
    _check_columns(seen)
    mapped = {rule.term for rule in rules if rule.target}
    for (term, target), row in seen.items():
        if target is None and term in mapped:
            raise row.error(
                "a term either mapped or unmapped", f"{term.name} (unmapped here, mapped elsewhere)"
            )
    if not rules:
        raise Row(str(file), 1, {}).error("at least one rule", "an empty table")
    return tuple(rules)


def _check_columns(rows: Mapping[tuple[Term, str | None], Row]) -> None:
    """Refuse a column that is read as codes in one row and as categories in another."""
    kinds: dict[str, Term] = {}
    for (term, _), row in rows.items():
        first = kinds.setdefault(term.column, term)
        if bool(first.source) != bool(term.source):
            expected = (
                f"column {term.column!r} to hold either codes (source empty or the column's name) or values"
            )
            raise row.error(expected, f"{first.name} and {term.name}")


def _rule(row: Row) -> Rule:
    cells = row.cells
    target, relation = _target(row), _relation(row)
    if (target is None) != (relation is None):
        raise row.error("target and relation, or neither", f"{cells['target']!r} and {cells['relation']!r}")
    place = f"{PurePath(row.file).name}:{row.line}"
    return Rule(_term(row), target, relation, cells["note"], cells["reference"], place)


def _term(row: Row) -> Term:
    column, source = row.cells["column"], row.cells["source"]
    if not column:
        expected = f"a column, {LIST!r} for a list or {CONSTANT!r} for a constant"
        raise row.error(expected, "an empty cell")
    if not source and column in (LIST, CONSTANT):
        raise row.error("the source term", "an empty cell")
    # a column of codes is its own term: `Edema,Edema` and `Edema,` say the same
    return Term(column, "" if source == column else source)


def _target(row: Row) -> str | None:
    return read_finding(row, "target") if row.cells["target"] else None


def _relation(row: Row) -> Relation | None:
    match row.cells["relation"]:
        case "":
            return None
        case "exact" | "narrower" | "broader" | "negates" | "related" | "overrules" as relation:
            return relation
        case other:
            expected = f"a relation ({', '.join(get_args(Relation))})"
            raise row.error(expected, other)


def _pair(rule: Rule) -> str:
    return f"{rule.term.name} → {rule.target or 'unmapped'}"
