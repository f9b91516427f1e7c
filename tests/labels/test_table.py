from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.labels.cells import CHEXPERT, NIH, chexpert_rows, google_rows, nih_rows, word, words
from xrdatasets.errors import DatasetNotFoundError, MappingError, TableError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import FindingColumns, FindingList, LabelTable, finding

ABSENT = ("negative", "unmentioned", "unknown")
# one rule alone; the words are what Edema is where a blank is negative, unmentioned, unknown
ALONE = {
    ("exact", 1): "1 1 1",
    ("exact", 0): "0 0 0",
    ("exact", -1): "-1 -1 -1",
    ("exact", None): "0 U N",
    ("narrower", 1): "1 1 1",
    ("narrower", 0): "0 U N",
    ("narrower", -1): "-1 -1 -1",
    ("narrower", None): "0 U N",
    ("broader", 1): "N N N",
    ("broader", 0): "0 0 0",
    ("broader", -1): "N N N",
    ("broader", None): "0 N N",
    ("negates", 1): "N N N",
    ("negates", 0): "N N N",
    ("negates", -1): "N N N",
    ("negates", None): "N N N",
    ("related", 1): "N N N",
    ("related", 0): "N N N",
    ("related", -1): "N N N",
    ("related", None): "N N N",
}
# two rules for Edema: relations, their codes, and what Edema is
PAIRS = {
    # positive beats uncertain beats negative
    ("exact", "exact", 1, -1): "1 1 1",
    ("exact", "exact", 1, 0): "1 1 1",
    ("exact", "exact", -1, 0): "-1 -1 -1",
    ("exact", "exact", 0, None): "0 0 0",
    ("exact", "exact", -1, None): "-1 -1 -1",
    ("exact", "narrower", 0, 1): "1 1 1",
    ("exact", "narrower", 0, -1): "-1 -1 -1",
    ("exact", "narrower", -1, 1): "1 1 1",
    ("exact", "narrower", 1, -1): "1 1 1",
    ("exact", "narrower", None, 0): "0 U N",
    ("exact", "narrower", 0, 0): "0 0 0",
    ("exact", "broader", 1, 0): "1 1 1",
    ("exact", "broader", -1, 0): "-1 -1 -1",
    # several narrower terms: 0 only if all are 0 in a list of all that was seen
    ("narrower", "narrower", 0, 0): "0 U N",
    ("narrower", "narrower", 0, None): "0 U N",
    ("narrower", "narrower", 0, 1): "1 1 1",
    ("narrower", "narrower", 0, -1): "-1 -1 -1",
    ("narrower", "narrower", 1, -1): "1 1 1",
    # a broader 1 or -1 leaves open whether it is this finding: neither unmentioned nor absent
    ("exact", "broader", None, 1): "N N N",
    ("exact", "broader", None, -1): "N N N",
    ("exact", "broader", None, 0): "0 0 0",
    ("exact", "broader", None, None): "0 U N",
    ("exact", "broader", 0, 1): "0 0 0",
    ("exact", "broader", 1, 1): "1 1 1",
    ("narrower", "broader", 0, 1): "N N N",
    ("narrower", "broader", 0, -1): "N N N",
    ("narrower", "broader", None, 1): "N N N",
    ("narrower", "broader", 1, 0): "1 1 1",
    # negates: on covered findings only, and weaker than 1 and -1
    ("exact", "negates", None, 1): "0 0 0",
    ("exact", "negates", None, 0): "0 U N",
    ("exact", "negates", None, -1): "0 U N",
    ("exact", "negates", 1, 1): "1 1 1",
    ("exact", "negates", -1, 1): "-1 -1 -1",
    ("exact", "negates", 0, 1): "0 0 0",
    ("narrower", "negates", None, 1): "0 0 0",
    ("narrower", "negates", 0, 1): "0 0 0",
    ("narrower", "negates", -1, 1): "-1 -1 -1",
    ("broader", "negates", None, 1): "0 N N",
    ("broader", "negates", 1, 1): "N N N",
    ("related", "negates", None, 1): "N N N",
    # documentation changes nothing
    ("exact", "related", None, 1): "0 U N",
    ("exact", "related", 0, 1): "0 0 0",
}


def by_absent(cells):
    return [
        pytest.param(*key, absent, cell, id="-".join(map(str, (*key, absent))))
        for key, line in cells.items()
        for absent, cell in zip(ABSENT, line.split(), strict=True)
    ]


def frame(**columns):
    return pd.DataFrame({name: [value] for name, value in columns.items()}, dtype=float)


@pytest.mark.parametrize(("relation", "code", "absent", "cell"), by_absent(ALONE))
def test_one_relation(own, relation, code, absent, cell):
    table = own(f"a,,Edema,{relation}", absent=absent)
    assert word(table.apply(frame(a=code)), "Edema") == cell


@pytest.mark.parametrize(("one", "two", "first", "second", "absent", "cell"), by_absent(PAIRS))
def test_two_relations(own, one, two, first, second, absent, cell):
    table = own(f"a,,Edema,{one}", f"b,,Edema,{two}", absent=absent)
    assert word(table.apply(frame(a=first, b=second)), "Edema") == cell
    swapped = own(f"b,,Edema,{two}", f"a,,Edema,{one}", absent=absent)
    assert word(swapped.apply(frame(a=first, b=second)), "Edema") == cell


def test_the_same_term_may_be_broader_than_two_findings(own):
    table = own("a,,Nodule,broader", "a,,Mass,broader", "n,,Nodule,exact")
    matrix = table.apply(pd.DataFrame({"a": [1, 0, -1, np.nan], "n": [np.nan] * 4}))
    assert words(matrix, "Nodule") == ["N", "0", "N", "U"]
    assert words(matrix, "Mass") == ["N", "0", "N", "N"]


@pytest.mark.parametrize(("absent", "cells"), [("negative", "0 1 0"), ("unmentioned", "U 1 U")])
def test_narrower_terms_of_a_list(own, absent, cells):
    table = own("*,septal lines,Edema,narrower", "*,bat wings,Edema,narrower", "*,other,,", absent=absent)
    matrix = table.apply(nih_rows("other", "other|bat wings", "other"))
    assert words(matrix, "Edema") == cells.split()


def test_a_broader_term_of_a_list_blocks_absence(own):
    table = own("*,lesion,Nodule,broader", "*,nodule,Nodule,exact", "*,normal,,", absent="negative")
    matrix = table.apply(nih_rows("lesion", "normal", "nodule", "lesion|nodule"))
    assert words(matrix, "Nodule") == ["N", "0", "1", "1"]


@pytest.mark.parametrize("covered", [False, True])
def test_a_second_broader_term_that_is_not_in_the_list_does_not_lift_the_block(own, covered):
    rules = ["*,lesion,Nodule,broader", "*,nodule or mass,Nodule,broader", "*,normal,,"]
    table = own(*rules, *(["*,nodule,Nodule,exact"] if covered else []), absent="negative")
    matrix = table.apply(nih_rows("lesion", "nodule or mass", "normal"))
    assert words(matrix, "Nodule") == ["N", "N", "0"]


def test_negates_leaves_findings_that_are_not_covered_alone(own):
    table = own("normal,,Hernia,negates", "normal,,Edema,negates", "e,,Edema,exact")
    matrix = table.apply(frame(normal=1, e=None))
    assert (word(matrix, "Hernia"), word(matrix, "Edema")) == ("N", "0")
    assert table.covered == ("Edema",)


@pytest.mark.parametrize(
    ("relation", "covered"),
    [("exact", True), ("narrower", True), ("broader", False), ("negates", False), ("related", False)],
)
def test_covered_is_what_exact_and_narrower_reach(own, relation, covered):
    assert own(f"a,,Edema,{relation}").covered == (("Edema",) if covered else ())


def test_a_constant_labels_every_row(own):
    table = own("=,COVID-19,COVID-19,exact", "=,COVID-19,Pneumonia,related", "a,,Edema,exact")
    matrix = table.apply(pd.DataFrame({"a": [1, None]}))
    assert words(matrix, "COVID-19") == ["1", "1"]
    assert words(matrix, "Edema") == ["1", "U"]
    assert words(matrix, "Pneumonia") == ["N", "N"]


def test_a_constant_beside_a_list_labels_every_row(own):
    table = own("*,Edema,Edema,exact", "=,COVID-19,COVID-19,exact", absent="negative")
    assert words(table.apply(nih_rows("Edema")), "COVID-19") == ["1"]


def test_a_column_beside_a_list_is_not_read_as_a_word_of_the_list(own):
    table = own("*,Edema,Edema,exact", "hernia,,Hernia,exact", absent="negative")
    with pytest.raises((TableError, MappingError)):
        table.apply(nih_rows("Edema"))


def test_a_table_without_any_mapped_term_labels_nothing(own):
    table = own("a,,,")
    matrix = table.apply(frame(a=1))
    assert (table.covered, len(table.native), matrix.codes.shape) == ((), 0, (1, 0))
    assert word(matrix, "Edema") == "N"
    assert matrix.relabel("union20").codes.shape == (1, 20)


def test_read_takes_a_path_as_text_and_blanks_are_unmentioned_unless_stated(own, tmp_path):
    own("a,,Edema,exact")
    table = LabelTable.read(str(tmp_path / "own.csv"), dataset="mine")
    assert (table.dataset, table.absent) == ("mine", "unmentioned")
    assert word(table.apply(frame(a=None)), "Edema") == "U"


def test_read_refuses_an_unknown_meaning_of_blanks(own):
    with pytest.raises(ValueError, match="absent"):
        own("a,,Edema,exact", absent="no").apply(frame(a=1))


def test_load_refuses_an_unknown_dataset_and_lists_those_there_are():
    keys = ", ".join(dataset_keys())
    expected = rf"no dataset is called 'nhi'\. Expected one of: {keys}\."
    with pytest.raises(DatasetNotFoundError, match=expected):
        LabelTable.load("nhi")


NATIVE = {
    "nih": (
        "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis",
        "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia",
    ),
    "chexpert": (
        "Atelectasis", "Consolidation", "Pneumothorax", "Edema", "Effusion", "Pneumonia", "Cardiomegaly",
        "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum", "Pleural Other",
        "Support Devices",
    ),
    "nih_google": ("Pneumothorax", "Fracture", "Lung Opacity"),
    "kermany": ("Pneumonia",),
    "hannover": ("COVID-19",),
}  # fmt: skip


@pytest.mark.parametrize("dataset", NATIVE)
def test_native_is_what_the_dataset_labels(dataset):
    table = LabelTable.load(dataset)
    assert table.native.labels == NATIVE[dataset]
    assert table.native.name == "native"
    assert tuple(name for name in table.covered if name != "No Finding") == NATIVE[dataset]


# what a blank means, as each release says (LabelTable's `absent`)
BLANKS = {
    "negative": {"nih", "padchest", "vindr", "openi", "chestx_det", "phantom_a"},
    "unmentioned": {"chexpert", "chexpert_plus", "mimic_cxr", "brax", "phantom_c"},
}


def test_every_dataset_has_a_mapping_file_and_a_meaning_of_blanks():
    for key in dataset_keys():
        expected = next((word for word, keys in BLANKS.items() if key in keys), "unknown")
        assert LabelTable.load(key).absent == expected, key


NOT_NEGATED = {"nih": {"No Finding"}, "chexpert": {"No Finding", "Support Devices"}}
NOT_NEGATED |= {"phantom_a": NOT_NEGATED["nih"], "phantom_c": NOT_NEGATED["chexpert"]}


@pytest.mark.parametrize("dataset", NOT_NEGATED)
def test_no_finding_negates_every_covered_finding_of_kind_finding(dataset):
    table = LabelTable.load(dataset)
    rules = [rule for rule in table.rules if rule.relation == "negates"]
    names = NIH if dataset in ("nih", "phantom_a") else [finding(name) for name in CHEXPERT]
    assert {rule.term.source or rule.term.column for rule in rules} == {"No Finding"}
    assert sorted(rule.target for rule in rules) == sorted(set(names) - NOT_NEGATED[dataset])
    assert {finding(rule.target).kind for rule in rules} == {"finding"}


def test_the_terms_are_each_term_once_in_the_order_of_the_file():
    assert tuple(term.name for term in LabelTable.load("chexpert").terms) == CHEXPERT
    assert tuple(term.name for term in LabelTable.load("nih").terms) == (*NIH, "No Finding")
    assert [term.name for term in LabelTable.load("nih_google").terms] == [
        "Fracture=YES", "Fracture=NO", "Pneumothorax=YES", "Pneumothorax=NO", "Airspace opacity=YES",
        "Airspace opacity=NO", "Nodule or mass=YES", "Nodule or mass=NO",
    ]  # fmt: skip


def test_the_rules_of_a_finding_by_relation():
    table = LabelTable.load("chexpert")
    assert [rule.term.name for rule in table.rules_of("Effusion", "exact")] == ["Pleural Effusion"]
    assert [rule.term.name for rule in table.rules_of("Effusion", "negates", "broader")] == ["No Finding"]
    assert table.rules_of("Nodule", "exact", "narrower", "broader") == ()


def test_apply_takes_terms_that_were_read_already():
    table = LabelTable.load("nih")
    terms = table.read_terms(
        pd.DataFrame({"labels": ["Edema;Mass", "Hernia"], "x": [0, 1]}), reader=FindingList("labels", ";")
    )
    assert words(table.apply(terms), "Mass") == ["1", "0"]
    chexpert = LabelTable.load("chexpert")
    terms = chexpert.read_terms(chexpert_rows({"Edema": -1}), reader=FindingColumns())
    assert words(chexpert.apply(terms), "Edema") == ["-1"]


def test_keys_are_the_row_numbers_unless_given():
    table = LabelTable.load("nih")
    assert list(table.apply(nih_rows("Mass", "Edema")).keys) == ["0", "1"]
    assert list(table.apply(nih_rows("Mass", "Edema"), keys=["b", "a"]).keys) == ["b", "a"]


@pytest.mark.parametrize("keys", [["a"], ["a", "b", "c"]])
def test_keys_must_be_as_many_as_rows(keys):
    with pytest.raises(ValueError, match="keys"):
        LabelTable.load("nih").apply(nih_rows("Mass", "Edema"), keys=keys)


def test_no_rows_give_an_empty_matrix():
    matrix = LabelTable.load("chexpert").apply(chexpert_rows()).relabel("union20")
    assert (len(matrix), matrix.codes.shape, matrix.unmentioned.shape) == (0, (0, 20), (0, 20))
    assert LabelTable.load("nih").apply(nih_rows()).codes.shape == (0, 14)
    assert LabelTable.load("nih_google").apply(google_rows({}).iloc[:0]).codes.shape == (0, 3)


def test_many_rows_are_as_few_rows():
    few = chexpert_rows({"Edema": 1}, {"Edema": 0, "No Finding": 1}, {"Edema": -1}, {"No Finding": 1}, {})
    matrix = LabelTable.load("chexpert").apply(pd.concat([few] * 40_000, ignore_index=True))
    edema = matrix.counts().loc["Edema"]
    assert edema.to_dict() == {
        "positive": 40_000,
        "negative": 80_000,
        "uncertain": 40_000,
        "unmentioned": 40_000,
        "unlabelled": 0,
    }
    many = LabelTable.load("nih").apply(nih_rows(*["Mass|Edema", None, "Mass"] * 40_000))
    np.testing.assert_array_equal(many.relabel(["Edema"]).codes[:, 0], np.tile([1, np.nan, 0], 40_000))


def test_a_table_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LabelTable.load("nih").absent = "unknown"


# official counts of the release (Wang 2017, Data_Entry_2017_v2020)
NIH_COUNTS = {
    "Infiltration": 19_894,
    "Effusion": 13_317,
    "Atelectasis": 11_559,
    "Nodule": 6_331,
    "Mass": 5_782,
    "Pneumothorax": 5_302,
    "Consolidation": 4_667,
    "Pleural_Thickening": 3_385,
    "Cardiomegaly": 2_776,
    "Emphysema": 2_516,
    "Edema": 2_303,
    "Fibrosis": 1_686,
    "Pneumonia": 1_431,
    "Hernia": 227,
}


@pytest.fixture
def real_table():
    """Read a real label table, where there is one."""
    root = os.environ.get("XRDATASETS_DATA")
    if not root:
        pytest.skip("needs real tables: set XRDATASETS_DATA to the folder that has them")
    return lambda name: pd.read_csv(Path(root) / "tables" / name)


@pytest.mark.data
def test_the_official_counts_of_nih(real_table):
    matrix = LabelTable.load("nih").apply(real_table("Data_Entry_2017_v2020.csv.gz")["Finding Labels"])
    counts = matrix.counts()
    assert len(matrix) == 112_120
    assert counts["positive"].to_dict() == NIH_COUNTS
    assert counts["negative"].to_dict() == {name: 112_120 - count for name, count in NIH_COUNTS.items()}
    assert counts[["uncertain", "unmentioned", "unlabelled"]].to_numpy().sum() == 0
    assert (matrix.relabel(["No Finding"]).codes == 1).sum() == 60_361


@pytest.mark.data
def test_the_counts_of_google(real_table):
    table = real_table("google2019_nih-chest-xray-labels.csv.gz")
    counts = LabelTable.load("nih_google").apply(table).relabel(
        ["Nodule", "Mass", "Fracture", "Pneumothorax", "Lung Opacity", "Hernia"]
    ).counts()  # fmt: skip
    # Majkowska 2020, test and validation: 72 + 114, 195 + 43, 1,135 + 1,031 and 295 + 310 of 4,376 images
    assert counts[["positive", "negative", "unlabelled"]].to_numpy().tolist() == [
        [0, 3_771, 605], [0, 3_771, 605], [186, 4_190, 0], [238, 4_138, 0], [2_166, 2_210, 0], [0, 0, 4_376],
    ]  # fmt: skip
