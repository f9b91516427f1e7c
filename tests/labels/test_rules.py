from __future__ import annotations

import csv
import re

import pytest

from xrdatasets.errors import MappingError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import LabelTable, Term
from xrdatasets.labels.rules import read_rules
from xrdatasets.resources import mappings

HEAD = "column,source,target,relation,note,reference\n"
RULE = "e,,Edema,exact,,\n"
COLUMNS = r"expected the columns column, source, target, relation, note, reference; "
WRONG = {
    "unknown finding": (
        "e,,Oedem,exact,,\n",
        r"line 2: expected a finding of findings\.csv \(no finding is called 'Oedem'\. "
        r"Did you mean 'Oedema'.*, got 'Oedem'\.",
    ),
    "unknown relation": (
        "e,,Edema,same,,\n",
        r"line 2: expected a relation \(exact, narrower, .*, related, overrules\), got 'same'\.",
    ),
    "relation in capitals": ("e,,Edema,Exact,,\n", r"line 2: expected a relation .*, got 'Exact'\."),
    "no column": (
        ",YES,Edema,exact,,\n",
        r"line 2: expected a column, '\*' for a list or '=' for a constant, got 'an empty cell'\.",
    ),
    "list without term": ("*,,Edema,exact,,\n", r"line 2: expected the source term, got 'an empty cell'\."),
    "constant without term": (
        "=,,Edema,exact,,\n",
        r"line 2: expected the source term, got 'an empty cell'\.",
    ),
    "target without relation": (
        "e,,Edema,,,\n",
        r"line 2: expected target and relation, or neither, got \"'Edema' and ''\"\.",
    ),
    "relation without target": (
        "e,,,exact,,\n",
        r"line 2: expected target and relation, or neither, got \"'' and 'exact'\"\.",
    ),
    "too many cells": (
        RULE + "m,,Mass,exact,,,\n",
        r"line 3: expected 6 cells \(column, .*, reference\), got 'm,,Mass,exact,,,'\.",
    ),
    "too few cells": ("e,,Edema\n", r"line 2: expected 6 cells \(column, .*, reference\), got 'e,,Edema'\."),
    "row twice": (
        f"{RULE}m,,Mass,exact,,\n{RULE}",
        r"line 4: expected each row once \(line 2 says the same\), got 'e,,Edema,exact,,'\.",
    ),
    "pair twice": (
        f"{RULE}e,,Edema,narrower,,\n",
        r"line 3: expected term and finding once \(line 2 has them\), got 'e → Edema'\.",
    ),
    "pair twice by a synonym": (
        f"{RULE}e,,Pulmonary Oedema,broader,,\n",
        r"line 3: expected term and finding once \(line 2 has them\), got 'e → Edema'\.",
    ),
    "pair twice, the column as its own term": (
        f"{RULE}e,e,Edema,exact,again,\n",
        r"line 3: expected term and finding once \(line 2 has them\), got 'e → Edema'\.",
    ),
    "unmapped twice": (
        "*,x,,,,\n*,x,,,again,\n",
        r"line 3: expected term and finding once \(line 2 has them\), got 'x → unmapped'\.",
    ),
    "mapped and unmapped": (
        f"{RULE}e,,,,,\n",
        r"line 3: expected a term either mapped or unmapped, got 'e \(unmapped here, mapped elsewhere\)'\.",
    ),
    "header only": ("", r"line 1: expected at least one rule, got 'an empty table'\."),
    "blank lines only": ("\n,,,,,\n", r"line 1: expected at least one rule, got 'an empty table'\."),
    "unclosed quote": ('e,,Edema,exact,"open,\n', r"line 2: expected CSV, got unexpected end of data\."),
}
WRONG_HEAD = {
    "unknown column": ("column,source,target,relation,notes,note,reference\n", r"unknown: \['notes'\]\."),
    "missing column": ("column,source,target,relation,note\n", r"missing: \['reference'\]\."),
    "renamed column": (
        "column,term,target,relation,note,reference\n",
        r"unknown: \['term'\]; missing: \['source'\]\.",
    ),
    "repeated column": (
        "column,column,source,target,relation,note,reference\n",
        r"repeated: \['column'\]\.",
    ),
    "empty file": ("", r"missing: \['column', 'source', 'target', 'relation', 'note', 'reference'\]\."),
    "semicolons": (HEAD.replace(",", ";"), r"unknown: \['column;source;.*missing: \['column'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_row_is_refused_with_file_and_line(mapping, wrong):
    body, message = WRONG[wrong]
    file = mapping(body)
    with pytest.raises(MappingError, match=re.escape(str(file)) + ", " + message + "$"):
        read_rules(file)


@pytest.mark.parametrize("wrong", WRONG_HEAD)
def test_a_wrong_header_is_refused_with_what_was_expected(mapping, wrong):
    head, message = WRONG_HEAD[wrong]
    with pytest.raises(MappingError, match=rf"own\.csv, line 1: {COLUMNS}{message}"):
        read_rules(mapping("", head=head))


def test_bytes_that_are_not_utf8_are_refused_with_their_line(mapping):
    file = mapping((HEAD + RULE + "m,,Mass,exact,caf\xe9,\n").encode("latin-1"))
    with pytest.raises(
        MappingError,
        match=r"own\.csv, line 3: expected UTF-8, got the byte b'\\xe9'\. Save the file as UTF-8\.",
    ):
        read_rules(file)


@pytest.mark.parametrize(
    "rows", ["e,,Edema,exact,,\ne,YES,Mass,exact,,\n", "e,YES,Mass,exact,,\ne,,Edema,exact,,\n"]
)
def test_a_column_holds_codes_or_categories_not_both(mapping, rows):
    with pytest.raises(MappingError, match="line 3"):
        read_rules(mapping(rows))


def test_a_category_that_is_called_like_its_column_does_not_mix_codes_and_categories(mapping):
    with pytest.raises(MappingError, match="line 3"):
        read_rules(mapping("COVID,COVID,COVID-19,exact,,\nCOVID,NORMAL,COVID-19,negates,,\n"))


@pytest.mark.parametrize(
    "data",
    [
        (HEAD + RULE).encode(),
        b"\xef\xbb\xbf" + (HEAD + RULE).encode(),
        (HEAD + RULE).replace("\n", "\r\n").encode(),
        (HEAD + " e , , Edema , exact , ,\t\n").encode(),
        (HEAD + RULE).rstrip("\n").encode(),
        (HEAD + RULE + ",,,,,\n").encode(),
    ],
    ids=["plain", "byte-order mark", "CRLF", "blanks around cells", "no last line feed", "empty row"],
)
def test_what_spreadsheets_write_is_read(mapping, data):
    (rule,) = read_rules(mapping(data))
    assert (rule.term, rule.target, rule.relation, rule.place) == (
        Term("e", ""), "Edema", "exact", "own.csv:2",
    )  # fmt: skip


def test_columns_may_stand_in_any_order(mapping):
    head = "reference,note,relation,target,source,column\n"
    (rule,) = read_rules(mapping("book,why,broader,Nodule,YES,x\n", head=head))
    assert (rule.term, rule.target, rule.relation) == (Term("x", "YES"), "Nodule", "broader")
    assert (rule.note, rule.reference) == ("why", "book")


def test_lines_are_those_of_the_file_and_empty_ones_count(mapping):
    rules = read_rules(mapping(f"{RULE}\n\nm,,Mass,exact,,\n"))
    assert [rule.place for rule in rules] == ["own.csv:2", "own.csv:5"]


def test_targets_are_canonical_and_unmapped_terms_have_none(mapping):
    rules = read_rules(mapping("p,,Pleural Effusion,exact,,\n*,x,,,not used,\n"))
    assert [(rule.target, rule.relation) for rule in rules] == [("Effusion", "exact"), (None, None)]
    assert rules[1].note == "not used"


@pytest.mark.parametrize(
    ("term", "name"),
    [
        (Term("*", "Edema"), "Edema"),
        (Term("=", "COVID-19"), "COVID-19"),
        (Term("Edema", ""), "Edema"),
        (Term("Fracture", "YES"), "Fracture=YES"),
    ],
)
def test_a_term_is_shown_as_one_writes_it(term, name):
    assert term.name == name


def test_a_column_of_codes_is_its_own_term(mapping):
    (rule,) = read_rules(mapping("Edema,Edema,Edema,exact,,\n"))
    assert rule.term == Term("Edema", "")


@pytest.mark.parametrize("dataset", dataset_keys())
def test_the_place_of_each_rule_is_the_line_of_the_file_that_says_it(dataset):
    lines = (mappings() / "labels" / f"{dataset}.csv").read_text(encoding="utf-8").splitlines()
    rules = LabelTable.load(dataset).rules
    assert len(rules) == len(lines) - 1
    for rule in rules:
        name, line = rule.place.split(":")
        column, source, target, relation, note, reference = next(csv.reader([lines[int(line) - 1]]))
        assert name == f"{dataset}.csv"
        assert (rule.term.column, rule.term.source or column) == (column, source)
        assert (rule.target or "", rule.relation or "") == (target, relation)
        assert (rule.note, rule.reference) == (note, reference)
        assert rule.reference
