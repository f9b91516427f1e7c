from __future__ import annotations

import csv
import math

import pytest

from tests.labels.cells import CHEXPERT, GOOGLE, chexpert_rows
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels import LabelTable, Provenance, Tree
from xrdatasets.resources import mappings


def chexpert(row, label, tree=None):
    full = dict.fromkeys(CHEXPERT, math.nan) | row
    return LabelTable.load("chexpert").explain(full, label, tree=Tree.load(tree) if tree else None)


def google(row, label, tree=None):
    full = dict.fromkeys(GOOGLE, "NO") | row
    return LabelTable.load("nih_google").explain(full, label, tree=Tree.load(tree) if tree else None)


def nih(cell, label, tree=None):
    row = {"Finding Labels": cell}
    return LabelTable.load("nih").explain(row, label, tree=Tree.load(tree) if tree else None)


def kermany(cell, label):
    return LabelTable.load("kermany").explain({"label": cell}, label)


def hannover(label):
    return LabelTable.load("hannover").explain({"image_id": "fff13f3a"}, label)


YES, NO, UNSURE = "the source says yes", "the source says no", "the source is uncertain"
BLANK = "the report does not mention it; a policy may fill it"
LISTED = "the source lists what it saw, and this is not in the list"
EXCLUDED = "a term of the source excludes it"
# code, relation, term, reason
CASES = {
    "chexpert positive": (lambda: chexpert({"Edema": 1}, "Edema"), "1", "exact", "Edema", YES),
    "chexpert negative": (lambda: chexpert({"Edema": 0}, "Edema"), "0", "exact", "Edema", NO),
    "chexpert uncertain": (
        lambda: chexpert({"No Finding": 1, "Pleural Effusion": -1}, "pleural effusion"),
        "-1", "exact", "Pleural Effusion", UNSURE,
    ),
    "chexpert blank": (lambda: chexpert({}, "Edema"), "nan", "exact", "Edema", BLANK),
    "chexpert negated": (
        lambda: chexpert({"No Finding": 1}, "Edema"), "0", "negates", "No Finding", EXCLUDED,
    ),
    "chexpert negated and negative": (
        lambda: chexpert({"No Finding": 1, "Edema": 0}, "Edema"), "0", "exact", "Edema", NO,
    ),
    "chexpert device": (
        lambda: chexpert({"No Finding": 1}, "Support Devices"), "nan", "exact", "Support Devices", BLANK,
    ),
    "nih positive": (lambda: nih("Mass|Edema", "Edema"), "1", "exact", "Edema", YES),
    "nih absent": (lambda: nih("Mass|Edema", "Hernia"), "0", "exact", "Hernia", LISTED),
    "nih negated": (lambda: nih("No Finding", "Hernia"), "0", "negates", "No Finding", EXCLUDED),
    "nih no list": (
        lambda: nih(None, "Hernia"), "nan", "exact", "Hernia", "the source says nothing that decides it",
    ),
    "google positive": (lambda: google({"Fracture": "YES"}, "Fracture"), "1", "exact", "Fracture=YES", YES),
    "google negative": (lambda: google({}, "Opacity"), "0", "exact", "Airspace opacity=YES", NO),
    "google excluded": (lambda: google({}, "Mass"), "0", "broader", "Nodule or mass=YES", NO),
    "google broader": (
        lambda: google({"Nodule or mass": "YES"}, "Mass"),
        "nan", "broader", "Nodule or mass=YES",
        "Nodule or mass=YES is wider than Mass: it may be this or something else",
    ),
    "google blank": (
        lambda: google({"Fracture": None}, "Fracture"),
        "nan", "exact", "Fracture=YES", "the source says nothing that decides it",
    ),
    "kermany positive": (lambda: kermany("PNEUMONIA", "Pneumonia"), "1", "exact", "label=PNEUMONIA", YES),
    "kermany negative": (lambda: kermany("NORMAL", "Pneumonia"), "0", "exact", "label=PNEUMONIA", NO),
    "hannover": (lambda: hannover("covid"), "1", "exact", "COVID-19", YES),
    "closure up": (
        lambda: chexpert({"Pneumonia": 1}, "Lung Opacity", "irvin2019"),
        "1", "closure", "Pneumonia", "closure: a kind of it is positive",
    ),
    "closure down": (
        lambda: chexpert({"Lung Lesion": 0}, "Mass", "luo2020"),
        "0", "closure", "Lung Lesion", "closure: what it is a kind of is negative",
    ),
    "closure up from a list": (
        lambda: nih("Nodule", "Lung Lesion", "luo2020"),
        "1", "closure", "Nodule", "closure: a kind of it is positive",
    ),
    "closure does not touch a given code": (
        lambda: chexpert({"Pneumonia": 1, "Consolidation": 0}, "Consolidation", "irvin2019"),
        "0", "exact", "Consolidation", NO,
    ),
}  # fmt: skip
UNLABELLED = {
    "chexpert": lambda: chexpert({"No Finding": 1}, "Hernia"),
    "nih": lambda: nih("Mass", "Fracture"),
    "nih_google": lambda: google({}, "Hernia"),
    "kermany": lambda: kermany("NORMAL", "Fracture"),
    "hannover": lambda: hannover("Hernia"),
}


def line_of(rule):
    name, line = rule.split(":")
    text = (mappings() / "labels" / name).read_text(encoding="utf-8").splitlines()
    return next(csv.reader([text[int(line) - 1]]))


@pytest.mark.parametrize("case", CASES)
def test_why_a_cell_is_what_it_is(case):
    explain, code, relation, term, reason = CASES[case]
    found = explain()
    assert (f"{found.code:g}", found.relation, found.term, found.reason) == (code, relation, term, reason)


@pytest.mark.parametrize("case", [case for case in CASES if "closure up" not in case and "down" not in case])
def test_the_rule_named_is_the_row_of_the_mapping_file_that_says_so(case):
    explain, _, relation, term, _ = CASES[case]
    found = explain()
    column, source, target, written, note, reference = line_of(found.rule)
    assert term in (source, f"{column}={source}")
    assert (column, written) == (found.column, relation)
    assert (note, reference) == (found.note, found.reference)
    assert target


@pytest.mark.parametrize("dataset", UNLABELLED)
def test_what_a_dataset_does_not_label(dataset):
    found = UNLABELLED[dataset]()
    assert (found.relation, found.term, found.rule, found.column) == ("", "", "", "")
    assert math.isnan(found.code)
    label = "Fracture" if dataset in ("nih", "kermany") else "Hernia"
    assert found.reason == f"{dataset} does not label {label}"


@pytest.mark.parametrize("code", [1.0, 0.0, -1.0])
def test_the_value_of_a_column_of_codes_is_what_the_cell_says(code):
    assert chexpert({"Edema": code}, "Edema").value == code
    assert math.isnan(chexpert({}, "Edema").value)


def test_the_value_is_the_cell_and_the_term_a_word_of_it():
    assert google({"Nodule or mass": "YES"}, "Nodule").value == "YES"
    assert nih("Mass|Edema", "Edema").value == "Mass|Edema"
    assert nih("Mass|Edema", "Edema").term == "Edema"


@pytest.mark.parametrize(
    ("explain", "term"),
    [
        (lambda: google({}, "Nodule"), "YES"),
        (lambda: google({}, "Fracture"), "YES"),
        (lambda: nih("Mass|Edema", "Hernia"), "Hernia"),
    ],
    ids=["google broader", "google exact", "nih"],
)
def test_the_value_of_a_term_that_is_not_there_is_not_the_term(explain, term):
    found = explain()
    assert found.code == 0
    assert found.value != term


def test_closure_names_tree_and_origin_and_the_rule_that_gave_it():
    found = chexpert({"Pneumonia": 1}, "Lung Opacity", "irvin2019")
    assert found.note == "irvin2019: Pneumonia"
    assert line_of(found.rule)[:4] == ["Pneumonia", "Pneumonia", "Pneumonia", "exact"]
    assert (found.column, found.value) == ("Pneumonia", 1.0)
    found = chexpert({"Lung Lesion": 0}, "Nodule", "luo2020")
    assert found.note == "luo2020: Lung Lesion"
    assert line_of(found.rule)[:4] == ["Lung Lesion", "Lung Lesion", "Lung Lesion", "exact"]
    assert found.reference.startswith("Luo 2020")
    assert "nodule is also a phrase" in found.reference


@pytest.mark.parametrize(
    ("row", "label"),
    [({"Pneumonia": 1}, "Consolidation"), ({"Consolidation": 0}, "Pneumonia")],
    ids=["up", "down"],
)
def test_the_reference_of_a_closure_is_that_of_the_edge_it_went_along(row, label):
    # of the edges of this tree, that of Pneumonia and Consolidation alone has this remark
    assert "some public code puts Pneumonia directly under Lung Opacity" in chexpert(
        row, label, "irvin2019"
    ).reference  # fmt: skip


def test_closure_from_a_finding_that_another_term_is_broader_than():
    found = google({"Nodule or mass": "NO"}, "Lung Lesion", "luo2020")
    assert (math.isnan(found.code), found.relation) == (True, "")


def test_several_terms_of_a_finding_the_deciding_one_is_named(own):
    table = own("a,,Edema,exact", "b,,Edema,narrower", "c,,Edema,broader", "d,,Edema,negates")
    row = dict.fromkeys("abcd", math.nan)
    cases = [
        ({"a": 0, "b": 1}, 1, "b", "own.csv:3"),
        ({"a": -1, "b": 1}, 1, "b", "own.csv:3"),
        ({"a": 0, "b": -1, "d": 1}, -1, "b", "own.csv:3"),
        ({"c": 0, "d": 1}, 0, "c", "own.csv:4"),
        ({"b": 0, "d": 1}, 0, "d", "own.csv:5"),
        ({"a": 0, "c": 1}, 0, "a", "own.csv:2"),
    ]
    for said, code, term, rule in cases:
        found = table.explain(row | said, "Edema")
        assert (found.code, found.term, found.rule) == (code, term, rule)
    wider = table.explain(row | {"c": -1}, "Edema")
    assert (math.isnan(wider.code), wider.term, wider.relation) == (True, "c", "broader")
    assert wider.reason == "c is wider than Edema: it may be this or something else"


def test_a_narrower_term_that_is_absent_from_a_full_list(own):
    table = own("*,bat wings,Edema,narrower", "*,septal lines,Edema,narrower", "*,x,,", absent="negative")
    found = table.explain({"l": "x"}, "Edema")
    assert (found.code, found.term, found.relation, found.reason) == (0, "bat wings", "narrower", LISTED)


def test_a_series_and_terms_may_be_explained_too():
    table = LabelTable.load("chexpert")
    frame = chexpert_rows({"Edema": 1}, {"Edema": 0})
    assert table.explain(frame.iloc[1], "Edema").code == 0
    assert table.explain(table.read_terms(frame), "Edema").code == 1


def test_an_unknown_finding_cannot_be_explained():
    with pytest.raises(LabelNotFoundError, match="'Efusion'"):
        chexpert({}, "Efusion")


def test_file_policy_and_target_are_for_the_dataset_to_fill():
    found = chexpert({"Edema": 1}, "Edema")
    assert isinstance(found, Provenance)
    assert (found.file, found.policy) == ("", "")
    assert math.isnan(found.target)
