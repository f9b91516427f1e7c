"""Labels, on request: where a cell comes from, down to the row of the mapping file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

from xrdatasets.labels.codes import (
    ABSENT,
    CODES,
    DERIVED_NEGATIVE,
    DERIVED_POSITIVE,
    NEGATED,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    UNKNOWN,
    UNMENTIONED,
)
from xrdatasets.labels.findings import finding

if TYPE_CHECKING:
    from xrdatasets.labels.hierarchy import Tree
    from xrdatasets.labels.rules import Rule
    from xrdatasets.labels.table import LabelTable
    from xrdatasets.labels.terms import TermMatrix

__all__ = ["Provenance", "joint", "trace"]

REASONS = {
    UNKNOWN: "the source says nothing that decides it",
    UNMENTIONED: "the report does not mention it; a policy may fill it",
    NEGATIVE: "the source says no",
    POSITIVE: "the source says yes",
    UNCERTAIN: "the source is uncertain",
    ABSENT: "the source lists what it saw, and this is not in the list",
    NEGATED: "a term of the source excludes it",
    DERIVED_POSITIVE: "closure: a kind of it is positive",
    DERIVED_NEGATIVE: "closure: what it is a kind of is negative",
}
VOTES = {"yes": 1, "no": 0, "uncertain": -1}
# which rules can have led to a state: relations, and the states of their term that count
DECIDED = {
    POSITIVE: (("exact", "narrower"), (POSITIVE,)),
    UNCERTAIN: (("exact", "narrower"), (UNCERTAIN,)),
    NEGATIVE: (("exact", "broader"), (NEGATIVE,)),
    NEGATED: (("negates", "overrules"), (POSITIVE,)),
    ABSENT: (("exact", "narrower", "broader"), (ABSENT, NEGATIVE)),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Why a cell of the label matrix is what it is.

    Attributes:
        file: the release's table.
        column: its column, empty if nothing there speaks of the finding.
        term: the source term that decided.
        value: what the cell of that column says, None if the terms alone do not tell.
        relation: how the term relates to the finding; ``closure`` if a hierarchy gave the code.
        reference: who says that it relates so.
        code: 1, 0, -1 or NaN.
        policy: the policy, as text.
        target: the target under that policy, NaN unknown.
        rule: file and line of the mapping row.
        note: the mapping row's note.
        reason: the same in words.
    """

    file: str
    column: str
    term: str
    value: object
    relation: str
    reference: str
    code: float
    policy: str = ""
    target: float = nan
    rule: str = ""
    note: str = ""
    reason: str = ""


def trace(
    table: LabelTable, terms: TermMatrix, label: str, *, state: int, tree: Tree | None = None
) -> Provenance:
    """Where one cell comes from.

    Args:
        table: the rules.
        terms: the terms of one image.
        label: the finding.
        state: the cell's state.
        tree: the hierarchy that closed the matrix, if any.

    Returns:
        The provenance, without file and policy, which the dataset knows.
    """
    name = finding(label)
    if tree and state in (DERIVED_POSITIVE, DERIVED_NEGATIVE):
        return _trace_closure(table, terms, name, state, tree)
    rule = _deciding(table, terms, name, state)
    code = float(CODES[state])
    if rule is None:
        reason = f"{table.dataset} does not label {name}"
        return Provenance("", "", "", None, "", "", code, reason=reason)
    said = int(terms.state(rule.term)[0])
    reason = REASONS[state]
    if state == UNKNOWN and rule.relation == "broader" and said in (POSITIVE, UNCERTAIN):
        reason = f"{rule.term.name} is wider than {name}: it may be this or something else"
    value = (rule.term.source if said == POSITIVE else None) if rule.term.source else float(CODES[said])
    relation = str(rule.relation)
    return Provenance(
        "", rule.term.column, rule.term.name, value, relation, rule.reference, code,
        rule=rule.place, note=rule.note, reason=reason,
    )  # fmt: skip


def joint(found: Sequence[Provenance], *, state: int, how: str) -> Provenance:
    """Where a label of several readers comes from.

    Args:
        found: what each reader's terms alone give, at least one.
        state: the cell's state.
        how: the rule that joined them.

    Returns:
        The provenance of the first reader who says what came out (of the first one, if none does), with how
        many said what.
    """
    code = float(CODES[state])
    chosen = next((one for one in found if one.code == code), found[0])
    votes = {word: sum(one.code == vote for one in found) for word, vote in VOTES.items()}
    votes["silent"] = len(found) - sum(votes.values())
    counted = ", ".join(f"{count} {word}" for word, count in votes.items() if count)
    return replace(chosen, code=code, reason=f"consensus {how!r} of {len(found)} readers: {counted}")


def _deciding(table: LabelTable, terms: TermMatrix, name: str, state: int) -> Rule | None:
    if state in DECIDED:
        relations, wanted = DECIDED[state]
        return _first(table.rules_of(name, *relations), terms, wanted)
    broader = table.rules_of(name, "broader")
    wider = _first(broader, terms, (POSITIVE, UNCERTAIN))
    return wider or next(iter((*table.rules_of(name, "exact", "narrower"), *broader)), None)


def _first(rules: Sequence[Rule], terms: TermMatrix, wanted: Sequence[int]) -> Rule | None:
    return next((rule for rule in rules if terms.state(rule.term)[0] in wanted), None)


def _trace_closure(table: LabelTable, terms: TermMatrix, name: str, state: int, tree: Tree) -> Provenance:
    given = table.apply(terms)
    positive = state == DERIVED_POSITIVE
    relatives = tree.descendants(name) if positive else tree.ancestors(name)
    wanted = POSITIVE if positive else NEGATIVE
    origin = next(other for other in relatives if given.column(other)[0] == wanted)
    first = trace(table, terms, origin, state=wanted)
    lower = origin if positive else name
    reference = next(edge.source for edge in tree.edges if edge.child == lower)
    return Provenance(
        "", first.column, first.term, first.value, "closure", reference, float(CODES[state]),
        rule=first.rule, note=f"{tree.name}: {origin}", reason=REASONS[state],
    )  # fmt: skip
