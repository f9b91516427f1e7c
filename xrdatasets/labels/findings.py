"""Labels, step 1: the canonical findings, one spelling each, and the synonyms that lead to them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Literal

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.resources import Row, mappings, read_rows

__all__ = ["Finding", "Kind", "all_findings", "finding", "near", "plain", "read_finding"]

Kind = Literal["finding", "device", "absence"]
COLUMNS = ("finding", "kind", "cui", "definition", "synonyms", "source")


class Finding(str):
    """A finding: its canonical name, usable wherever a name is, with its facts attached.

    Attributes:
        kind: ``finding``, ``device`` or ``absence`` ("No Finding").
        cui: UMLS concept unique identifier, empty where none was verified.
        definition: what it is on a radiograph.
        synonyms: other names of the same thing.
        source: where name, definition and identifier were checked.
    """

    kind: Kind
    cui: str
    definition: str
    synonyms: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Glossary:
    """The canonical findings in the order of ``findings.csv``, and every name that leads to one."""

    findings: tuple[Finding, ...]
    names: dict[str, Finding]


def plain(name: str) -> str:
    """The form in which names are compared: case, blanks, ``_`` and ``-`` make no difference.

    Example:
        >>> plain("Pleural_Thickening") == plain(" pleural thickening")
        True
    """
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()


def near(name: str, known: Iterable[str]) -> str:
    """The known names nearest to this one, as words for an error message."""
    by_plain = {plain(word): word for word in known}
    words = difflib.get_close_matches(plain(name), by_plain, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(by_plain[word]) for word in words)}?" if words else ""


@cache
def glossary() -> Glossary:
    """The table ``findings.csv``."""
    return read_glossary(mappings() / "findings.csv")


def read_glossary(file: Traversable) -> Glossary:
    """Read a table of findings.

    Raises:
        MappingError: an unknown kind, a finding without a name or that stands twice, or a name that
            leads to two findings.
    """
    findings: list[Finding] = []
    names: dict[str, Finding] = {}
    for row in read_rows(file, COLUMNS):
        item = _finding(row)
        if not item or item in findings:
            raise row.error("each finding once, with a name", item)
        findings.append(item)
        for name in (item, *item.synonyms):
            if names.setdefault(plain(name), item) != item:
                raise row.error("a name that leads to one finding", f"{name} (also {names[plain(name)]})")
    return Glossary(tuple(findings), names)


def read_finding(row: Row, column: str) -> Finding:
    """The finding that a cell of a mapping table names.

    Raises:
        MappingError: there is no such finding: file, line and the nearest names.
    """
    name = row.cells[column]
    try:
        return finding(name)
    except LabelNotFoundError as error:
        expected = f"a finding of findings.csv ({error})"
        raise row.error(expected, name) from error


def _finding(row: Row) -> Finding:
    cells = row.cells
    item = Finding(cells["finding"])
    match cells["kind"]:
        case "finding" | "device" | "absence" as kind:
            item.kind = kind
        case other:
            raise row.error("kind to be finding, device or absence", other)
    item.cui, item.definition, item.source = cells["cui"], cells["definition"], cells["source"]
    item.synonyms = tuple(word.strip() for word in cells["synonyms"].split("|") if word.strip())
    return item


def all_findings() -> tuple[Finding, ...]:
    """All canonical findings, in the order of ``findings.csv``."""
    return glossary().findings


def finding(name: str) -> Finding:
    """The canonical finding with this name or synonym.

    Args:
        name: a name in any case, with blanks, ``_`` or ``-``.

    Returns:
        The finding: a `str` that is its canonical name, with kind, UMLS CUI and definition.

    Raises:
        LabelNotFoundError: nothing is called so; the message gives the nearest names.

    Example:
        >>> import xrdatasets as xr
        >>> xr.finding("pleural effusion")
        'Effusion'
        >>> xr.finding("pleural thickening").kind
        'finding'
    """
    known = glossary()
    if plain(str(name)) not in known.names:
        hint = near(str(name), [*known.findings, *(word for f in known.findings for word in f.synonyms)])
        msg = (
            f"no finding is called {name!r}. {hint or 'Expected one of: ' + ', '.join(known.findings) + '.'}"
        )
        raise LabelNotFoundError(msg)
    return known.names[plain(str(name))]
