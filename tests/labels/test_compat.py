"""torchxrayvision's rules for labels, where they are not ours: what they say, wrong as it may be."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import LabelTable
from xrdatasets.labels.findings import all_findings
from xrdatasets.resources import mappings

KEYS = sorted(
    path.name.removesuffix(".csv") for path in (mappings() / "compat").iterdir() if path.name.endswith(".csv")
)


def rows(folder, key):
    text = (mappings() / folder / f"{key}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("key", KEYS)
def test_rows_lead_somewhere_and_say_who_says_so(key):
    for row in rows("compat", key):
        assert bool(row["target"]) == bool(row["relation"])
        assert not row["target"] or row["target"] in all_findings()
        assert row["reference"]


@pytest.mark.parametrize("key", KEYS)
def test_negates_acts_on_covered_findings(key):
    table = LabelTable.load(key, compat="xrv")
    negated = {rule.target for rule in table.rules if rule.relation == "negates"}
    assert negated <= set(table.covered)


@pytest.mark.parametrize("key", sorted(set(KEYS) - {"openi"}))  # it reads other words of the reports
def test_the_two_tables_know_the_same_terms(key):
    assert set(LabelTable.load(key, compat="xrv").terms) == set(LabelTable.load(key).terms)


@pytest.mark.parametrize("key", KEYS)
def test_it_differs_from_our_table(key):
    rules = [[(rule.term, rule.target, rule.relation) for rule in LabelTable.load(key, compat=compat).rules]
             for compat in (None, "xrv")]  # fmt: skip
    assert rules[0] != rules[1]


@pytest.mark.parametrize(
    ("term", "finding"),
    [
        ("pseudonodule", "Nodule"),
        ("subcutaneous emphysema", "Emphysema"),
        ("pericardial effusion", "Effusion"),
        ("mediastinal mass", "Mass"),
        ("hiatal hernia", "Hernia"),
        ("consolidation", "Infiltration"),
        ("air bronchogram", "Consolidation"),
        ("pacemaker", "Support Devices"),
        ("pleural thickening", "Pleural_Thickening"),
    ],
)
def test_padchest_s_terms_are_searched_for_words(term, finding):
    """Our table says nothing of the kind, or it says so for another reason."""
    table = LabelTable.load("padchest", compat="xrv")
    matrix = table.apply(pd.Series([term], name="Labels")).relabel([finding])
    assert matrix.codes.tolist() == [[1.0]]
    assert table.apply(pd.Series(["normal"], name="Labels")).relabel([finding]).codes.tolist() == [[0.0]]


@pytest.mark.parametrize("term", ["pseudonodule", "subcutaneous emphysema", "pericardial effusion"])
def test_of_which_nothing_follows_by_our_table(term):
    matrix = LabelTable.load("padchest").apply(pd.Series([term], name="Labels"))
    assert not (matrix.relabel(["Nodule", "Emphysema", "Effusion"]).codes == 1).any()


def test_mimic_s_no_finding_excludes_devices_too(fake):
    options = {"space": ["Edema", "Support Devices"], "views": "*"}
    root = fake("mimic_cxr")
    codes = {compat: xr.MIMICCXR(root, compat=compat, **options) for compat in (None, "xrv")}
    ids = codes[None].table["image_id"].tolist()
    row = ids.index("0000000d-00000007")  # No Finding, and not a word of devices
    np.testing.assert_array_equal(codes[None].codes[row], [0, np.nan])
    np.testing.assert_array_equal(codes["xrv"].codes[row], [0, 0])


def test_what_covid_does_not_name_is_negative():
    words = pd.Series(["Pneumonia/Viral", "Tuberculosis", "Unknown"], name="finding")
    names = ["Pneumonia", "COVID-19", "Tuberculosis"]
    table = LabelTable.load("covid19", compat="xrv")
    lists = words.str.replace("/", "|")
    nan = np.nan
    expected = [[1, 0, 0], [0, 0, 1], [nan, nan, nan]]
    np.testing.assert_array_equal(table.apply(lists).relabel(names).codes, expected)
    assert np.isnan(LabelTable.load("covid19").apply(lists).relabel(names).codes[1, 0])


def test_rsna_s_target_is_a_pneumonia_too():
    table = pd.DataFrame({"Target": [1, 0], "class": ["Lung Opacity", "Normal"]})
    names = ["Lung Opacity", "Pneumonia"]
    codes = LabelTable.load("rsna", compat="xrv").apply(table).relabel(names).codes
    np.testing.assert_array_equal(codes, [[1, 1], [0, 0]])
    assert np.isnan(LabelTable.load("rsna").apply(table).relabel(names).codes[:, 1]).all()


@pytest.mark.parametrize("key", ["chexpert", "chexlocalize", "brax", "mimic_cxr"])
def test_no_finding_overrules_what_the_same_row_says(key):
    """As where rows of several images are mixed; our own tables let the 1 and the -1 stand."""
    columns = {term.column for term in LabelTable.load(key).terms}
    row = pd.DataFrame(
        [dict.fromkeys(columns) | {"No Finding": 1, "Edema": 1, "Pneumonia": -1, "Support Devices": 1}],
        dtype=float,
    )
    space = ["Edema", "Pneumonia", "Support Devices"]
    assert LabelTable.load(key).apply(row).relabel(space).codes.tolist() == [[1, -1, 1]]
    devices = 0 if key == "mimic_cxr" else 1
    table = LabelTable.load(key, compat="xrv")
    assert table.apply(row).relabel(space).codes.tolist() == [[0, 0, devices]]
    found = table.explain(row.iloc[0], "Edema")
    assert (found.code, found.relation, found.term) == (0, "overrules", "No Finding")


def test_vindr_s_classes_are_read_each_by_itself():
    columns = {term.column for term in LabelTable.load("vindr").terms}
    row = pd.DataFrame([dict.fromkeys(columns, 0) | {"Consolidation": 1, "Pleural thickening": 1}])
    space = ["Lung Opacity", "Consolidation", "Pleural Other"]
    codes = {compat: LabelTable.load("vindr", compat=compat).apply(row).relabel(space).codes[0]
             for compat in (None, "xrv")}  # fmt: skip
    np.testing.assert_array_equal(codes[None], [1, 1, np.nan])
    np.testing.assert_array_equal(codes["xrv"], [0, 1, 1])


def test_our_own_tables_never_overrule():
    for key in dataset_keys():
        assert "overrules" not in {rule.relation for rule in LabelTable.load(key).rules}
