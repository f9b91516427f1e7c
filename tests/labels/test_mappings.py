"""The mapping tables themselves: every row leads somewhere that exists, and says who says so."""

import csv
import io

import pytest

from xrdatasets.facts import Facts, dataset_keys
from xrdatasets.labels import LabelTable
from xrdatasets.labels.findings import all_findings, finding
from xrdatasets.resources import mappings

KEYS = dataset_keys()
EXPLICIT = {"chexlocalize"}  # every cell of its tables is 0 or 1, nothing follows from another
RELATIONS = {"exact", "narrower", "broader", "negates", "related"}


def rows(name):
    """Rows of a table, read by the standard library alone."""
    text = (mappings() / name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def labels(key):
    return rows(f"labels/{key}.csv")


def counts():
    names = sorted(path.name for path in (mappings() / "counts").iterdir() if path.name.endswith(".csv"))
    return [(name.removesuffix(".csv"), row) for name in names for row in rows(f"counts/{name}")]


@pytest.mark.parametrize("key", KEYS)
def test_no_row_points_to_an_unknown_finding(key):
    known = set(all_findings())
    assert {row["target"] for row in labels(key) if row["target"]} <= known
    assert {row["relation"] for row in labels(key) if row["relation"]} <= RELATIONS
    assert all(bool(row["target"]) == bool(row["relation"]) for row in labels(key))


@pytest.mark.parametrize("key", KEYS)
def test_no_term_is_silently_dropped(key):
    """What stands in the file is what the table knows, term by term."""
    written = {(row["column"], row["source"]) for row in labels(key)}
    table = LabelTable.load(key)
    known = {(term.column, term.source or term.column) for term in table.terms}
    assert {(column, source or column) for column, source in written} == known
    assert len(table.rules) == len(labels(key))


@pytest.mark.parametrize("key", KEYS)
def test_every_row_says_who_says_so(key):
    assert [row for row in labels(key) if not row["reference"]] == []


@pytest.mark.parametrize("key", KEYS)
def test_an_unmapped_term_says_why(key):
    assert [row["source"] for row in labels(key) if not row["target"] and not row["note"]] == []


@pytest.mark.parametrize("key", KEYS)
def test_negates_acts_on_covered_findings_alone(key):
    table = LabelTable.load(key)
    negated = {rule.target for rule in table.rules if rule.relation == "negates"}
    assert negated <= set(table.covered)
    assert {finding(name).kind for name in negated} <= {"finding"}


@pytest.mark.parametrize("key", KEYS)
def test_a_term_of_absence_negates_every_covered_finding(key):
    """No Finding, wherever a release has it, excludes all that the release looks for."""
    if key in EXPLICIT:
        return
    table = LabelTable.load(key)
    absences = {rule.term for rule in table.rules if (rule.target, rule.relation) == ("No Finding", "exact")}
    for term in absences:
        negated = {rule.target for rule in table.rules if rule.term == term and rule.relation == "negates"}
        assert negated == {name for name in table.covered if finding(name).kind == "finding"}, term


@pytest.mark.parametrize(("key", "row"), counts())
def test_counts_are_of_this_release(key, row):
    facts = Facts.load(key)
    assert row["finding"] in all_findings()
    given = [int(row[name]) for name in ("positive", "negative", "uncertain") if row[name]]
    assert given
    assert min(given) >= 0
    assert facts.images is None or sum(given) <= facts.images
    assert row["source"]


def test_each_finding_of_a_release_is_counted_once():
    pairs = [(key, row["finding"]) for key, row in counts()]
    assert len(pairs) == len(set(pairs))


def test_exclusions_name_a_dataset_and_a_reason():
    for row in rows("exclusions.csv"):
        assert row["dataset"] in KEYS
        assert row["image_id"]
        assert row["reason"]


def test_every_dataset_states_its_facts():
    for row in rows("datasets.csv"):
        for column in ("title", "release", "licence", "image_family", "reference"):
            assert row[column], (row["key"], column)
        assert row["url"].startswith("https://") or row["key"].startswith("phantom_")
