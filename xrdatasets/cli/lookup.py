"""The command ``lookup``: which finding a source term leads to, by which relation, and who says so.

JSON: ``dataset`` (key, null for all), ``term`` and ``matches``: ``dataset``, ``term``, ``finding`` and
``relation`` (null for a term that is listed as unmapped), ``note``, ``reference``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xrdatasets.labels import Match

__all__ = ["HELP", "command"]

HELP = """Look up which finding a term leads to, by which relation, and who says so.

TERM is a word of a release, a finding or a synonym, in any case; DATASET narrows it down to one release.

\b
Examples:
  xrdatasets lookup "pleural effusion"
  xrdatasets lookup nih_google "Nodule or mass=YES"
"""
RELATIONS = {
    "exact": "the term means the finding",
    "narrower": "the term is a kind of the finding",
    "broader": "the finding is a kind of the term: a no excludes it, a yes leaves it open",
    "negates": "the term excludes the finding",
    "overrules": "the term excludes the finding, whatever else is said",
    "related": "documentation only, no label follows",
    "unmapped": "no label follows",
}


def command(
    words: Annotated[list[str], typer.Argument(metavar="[DATASET] TERM", help="Dataset, if any, and term.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Look up a term.

    Raises:
        ValueError: more than two words, or no term among them.
        DatasetNotFoundError: no dataset is called so.
        LabelNotFoundError: no mapping row speaks of the term.
    """
    if len(words) > 2:
        shown = " ".join(map(repr, words))
        msg = f"lookup: expected [DATASET] TERM, got {shown}. Quote a term that has blanks."
        raise ValueError(msg)
    from xrdatasets.datasets import CLASSES, class_of, table_keys
    from xrdatasets.facts import dataset_keys
    from xrdatasets.labels import lookup

    if words[-1].casefold() in {name.casefold() for pair in CLASSES.items() for name in pair}:
        msg = f"lookup: expected a term, got the dataset {words[-1]!r}. Write the term after it."
        raise ValueError(msg)
    key = None
    if len(words) == 2:
        key = words[0] if words[0] in dataset_keys() else class_of(words[0]).name
    tables = () if key is None else table_keys(key)
    if len(tables) == 1:
        matches = lookup(tables[0], words[-1])
    else:
        matches = [match for match in lookup(words[-1]) if not tables or match.dataset in tables]
        matches = matches or lookup(tables[0], words[-1])  # nothing there: its message says what is
    if as_json:
        output.to_json("lookup", dataset=key, term=words[-1], matches=[_fields(match) for match in matches])
    else:
        output.emit(*_shown(matches))


def _fields(match: Match) -> dict[str, object]:
    return dataclasses.asdict(match) | {
        "finding": match.finding or None,
        "relation": match.relation or None,
    }


def _shown(matches: Sequence[Match]) -> list[RenderableType]:
    """The rows; below them, once each, what the relations mean, the references and the notes."""
    references = list(dict.fromkeys(match.reference for match in matches))
    relations = dict.fromkeys(match.relation or "unmapped" for match in matches)
    rows = [
        (match.dataset, match.term, match.relation or "unmapped", match.finding, _mark(references, match))
        for match in matches
    ]
    notes = list(
        dict.fromkeys((f"{match.dataset}, {match.term}", match.note) for match in matches if match.note)
    )
    parts: list[RenderableType] = [
        output.table(("Dataset", "Term", "Relation", "Finding", "Says who"), rows),
        "",
        *(f"{relation}: {RELATIONS[relation]}" for relation in relations),
        "",
        *(f"[{number}] {text}" for number, text in enumerate(references, start=1)),
    ]
    return [*parts, "", output.table(("Note on", "Note"), notes)] if notes else parts


def _mark(references: Sequence[str], match: Match) -> str:
    return f"[{references.index(match.reference) + 1}]"
