"""Labels, on request: which finding a source term leads to, in every dataset, and who says so."""

from __future__ import annotations

from dataclasses import dataclass

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels.findings import glossary, near, plain
from xrdatasets.labels.rules import Rule
from xrdatasets.labels.table import LabelTable

__all__ = ["Match", "lookup"]


@dataclass(frozen=True, slots=True)
class Match:
    """One row of a mapping file that speaks of a term.

    Attributes:
        dataset: key of the dataset.
        term: the source term.
        finding: the finding, empty for a term that is listed as unmapped.
        relation: how the term relates to it, empty if unmapped.
        note: what a reader should know.
        reference: who says so.
    """

    dataset: str
    term: str
    finding: str
    relation: str
    note: str
    reference: str


def lookup(dataset_or_term: str, term: str | None = None) -> list[Match]:
    """The mapping rows that speak of a term or finding.

    Args:
        dataset_or_term: key of a dataset, if `term` follows; else the term itself, which is looked up
            in all datasets.
        term: a source term, finding or synonym, in any case.

    Returns:
        The rows, in the order of the mapping files.

    Raises:
        DatasetNotFoundError: no dataset has this key.
        LabelNotFoundError: no row speaks of it; the message gives the nearest words.

    Example:
        >>> import xrdatasets as xr
        >>> [(match.finding, match.relation) for match in xr.lookup("nih_google", "Nodule or mass=YES")]
        [('Nodule', 'broader'), ('Mass', 'broader')]
    """
    word, keys = (dataset_or_term, dataset_keys()) if term is None else (term, (dataset_or_term,))
    tables = [LabelTable.load(key) for key in keys]
    found = [_match(table.dataset, rule) for table in tables for rule in table.rules if _speaks(rule, word)]
    if not found:
        known = {name for table in tables for rule in table.rules for name in _names(rule)}
        msg = f"no mapping row of {', '.join(keys)} speaks of {word!r}. {near(word, sorted(known))}"
        raise LabelNotFoundError(msg.rstrip())
    return found


def _speaks(rule: Rule, word: str) -> bool:
    name = glossary().names.get(plain(word))
    return plain(word) in map(plain, _names(rule)) or (name is not None and rule.target == name)


def _names(rule: Rule) -> list[str]:
    words = [rule.term.name, rule.term.source, rule.term.column, rule.target or ""]
    return [word for word in words if len(word) > 1]


def _match(dataset: str, rule: Rule) -> Match:
    return Match(dataset, rule.term.name, rule.target or "", rule.relation or "", rule.note, rule.reference)
