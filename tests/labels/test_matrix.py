from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from tests.labels.cells import CHEXPERT, chexpert_rows, google_rows, nih_rows, word, words
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels import U_ONES, LabelMatrix, LabelSpace, LabelTable, Tree

NAN = np.nan


def chexpert(*rows, keys=None):
    return LabelTable.load("chexpert").apply(chexpert_rows(*rows), keys=keys)


def nih(*lists, keys=None):
    return LabelTable.load("nih").apply(nih_rows(*lists), keys=keys)


def google(*rows):
    return LabelTable.load("nih_google").apply(google_rows(*rows))


ROWS = ({"Edema": 1}, {"Edema": -1}, {"Edema": 0}, {"No Finding": 1}, {})


def test_codes_and_unmentioned_have_the_columns_of_the_space():
    matrix = chexpert(*ROWS).relabel(["Edema", "Hernia", "Support Devices"])
    np.testing.assert_array_equal(
        matrix.codes,
        np.array([[1, NAN, NAN], [-1, NAN, NAN], [0, NAN, NAN], [0, NAN, NAN], [NAN, NAN, NAN]], np.float32),
    )
    assert matrix.unmentioned.tolist() == [[False, False, True]] * 4 + [[True, False, True]]
    assert (matrix.codes.dtype, matrix.unmentioned.dtype) == (np.float32, np.bool_)


def test_an_empty_space_has_no_columns():
    matrix = chexpert(*ROWS).relabel([])
    assert matrix.codes.shape == matrix.unmentioned.shape == matrix.targets(U_ONES).shape == (5, 0)
    assert matrix.counts().shape == (0, 5)


def test_relabel_changes_what_one_sees_and_nothing_else():
    matrix = chexpert(*ROWS)
    away = matrix.relabel("nih14")
    assert away.space.labels == LabelSpace.load("nih14").labels
    assert words(away, "Edema") == ["1", "-1", "0", "0", "U"]
    back = away.relabel(matrix.space)
    np.testing.assert_array_equal(back.codes, matrix.codes)
    np.testing.assert_array_equal(back.unmentioned, matrix.unmentioned)
    assert back.space is matrix.space


def test_native_is_what_the_dataset_labels_and_returns_after_any_space():
    matrix = chexpert(*ROWS)
    assert matrix.space.name == "native"
    assert matrix.relabel("nih14").relabel("native").space == matrix.space
    assert sorted(matrix.space.labels) == sorted(LabelSpace.load("chexpert13").labels)


def test_native_of_several_datasets_is_what_any_of_them_labels():
    joined = LabelMatrix.concat([google({}), chexpert({})]).relabel("xrv18").relabel("native")
    assert sorted(joined.space.labels) == sorted(LabelSpace.load("chexpert13").labels)
    joined = LabelMatrix.concat([google({}), nih("Mass")]).relabel("native")
    assert set(joined.space.labels) == {*LabelSpace.load("nih14").labels, "Fracture", "Lung Opacity"}
    assert len(joined.space) == 16


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([2, 0], ["0", "1"]),
        ([-1], ["U"]),
        ([0, 0], ["1", "1"]),
        ([], []),
        (np.array([1], dtype=np.uint8), ["-1"]),
        ([True, False, False, True, False], ["1", "0"]),
        (pd.Series([False] * 4 + [True]), ["U"]),
        (np.zeros(5, dtype=bool), []),
    ],
    ids=["order", "negative", "twice", "none", "uint8", "mask", "series", "empty mask"],
)
def test_select_by_numbers_or_mask(rows, expected):
    matrix = chexpert(*ROWS, keys=list("abcde")).select(rows)
    assert words(matrix, "Edema") == expected
    assert len(matrix) == len(expected)


def test_select_takes_the_keys_along():
    matrix = chexpert(*ROWS, keys=list("abcde"))
    assert list(matrix.select([3, -4]).keys) == ["d", "b"]
    assert matrix.select([3, -4]).key_hashes.tolist() == matrix.key_hashes[[3, 1]].tolist()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([True, False], ValueError, r"^rows: expected a mask of shape \(5,\), got \(2,\)\.$"),
        (
            [0.0, 1.0],
            ValueError,
            r"^rows: expected row numbers or a mask of booleans, got float64 of shape \(2,\)",
        ),
        ([["a"]], ValueError, r"^rows: expected row numbers or a mask of booleans"),
        ([[0, 1]], ValueError, r"got int64 of shape \(1, 2\)"),
        (0, ValueError, r"got int64 of shape \(\)"),
        ([5], IndexError, r"^rows: expected numbers below 5, got 5 to 5\.$"),
        ([0, -6], IndexError, r"^rows: expected numbers below 5, got -6 to 0\.$"),
    ],
)
def test_select_refuses_what_is_no_choice_of_rows(rows, error, message):
    with pytest.raises(error, match=message):
        chexpert(*ROWS).select(rows)


def test_concat_is_one_after_the_other():
    matrix = LabelMatrix.concat([nih("Mass", keys=["n"]), chexpert({"Edema": -1}, {}, keys=["c", "d"])])
    assert words(matrix, "Mass") == ["1", "N", "N"]
    assert words(matrix, "Edema") == ["0", "-1", "U"]
    assert words(matrix, "Fracture") == ["N", "U", "U"]
    assert list(matrix.keys) == ["n", "c", "d"]


def test_concat_joins_the_spaces_in_first_seen_order():
    parts = [nih("Mass").relabel(["Mass", "Edema"]), chexpert({}).relabel(["Fracture", "Mass"])]
    joined = LabelMatrix.concat(parts)
    assert (joined.space.name, joined.space.labels) == ("joined", ("Mass", "Edema", "Fracture"))
    same = LabelMatrix.concat([nih("Mass").relabel("xrv18"), chexpert({}).relabel("xrv18")])
    assert same.space == LabelSpace.load("xrv18")


def test_concat_of_one_is_that_one():
    matrix = chexpert(*ROWS)
    again = LabelMatrix.concat([matrix])
    np.testing.assert_array_equal(again.codes, matrix.codes)
    assert (again.space, again.covered, list(again.keys)) == (matrix.space, matrix.covered, list(matrix.keys))


def test_concat_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^concat: expected at least one matrix, got none\.$"):
        LabelMatrix.concat([])


def test_concat_with_a_table_that_labels_nothing(own):
    nothing = own("a,,,").apply(pd.DataFrame({"a": [1.0]}))
    matrix = LabelMatrix.concat([nothing, nih("Mass")])
    assert words(matrix, "Mass") == ["N", "1"]
    assert len(LabelMatrix.concat([nothing, nothing])) == 2


# source of CheXpert, hierarchy, finding: code without and with closure
CLOSURE = [
    ({"Pneumonia": 1}, "irvin2019", "Consolidation", "U", "1"),
    ({"Pneumonia": 1}, "irvin2019", "Lung Opacity", "U", "1"),
    ({"Pneumonia": 1}, "irvin2019", "Edema", "U", "U"),
    ({"Pneumonia": 1}, "irvin2019", "Enlarged Cardiomediastinum", "U", "U"),
    ({"Pneumonia": 1, "Consolidation": 0}, "irvin2019", "Consolidation", "0", "0"),
    ({"Pneumonia": 1, "Consolidation": 0}, "irvin2019", "Lung Opacity", "U", "1"),
    ({"Pneumonia": 1, "Lung Opacity": -1}, "irvin2019", "Lung Opacity", "-1", "-1"),
    ({"Pneumonia": -1}, "irvin2019", "Lung Opacity", "U", "U"),
    ({"Cardiomegaly": 1}, "irvin2019", "Enlarged Cardiomediastinum", "U", "1"),
    (
        {"Cardiomegaly": 1, "Enlarged Cardiomediastinum": 0},
        "irvin2019",
        "Enlarged Cardiomediastinum",
        "0",
        "0",
    ),
    ({"Cardiomegaly": 0}, "irvin2019", "Enlarged Cardiomediastinum", "U", "U"),
    ({"Enlarged Cardiomediastinum": 1}, "irvin2019", "Cardiomegaly", "U", "U"),
    ({"Lung Opacity": 0}, "irvin2019", "Atelectasis", "U", "0"),
    ({"Lung Opacity": 0}, "irvin2019", "Pneumonia", "U", "0"),
    ({"Lung Opacity": 0, "Edema": -1}, "irvin2019", "Edema", "-1", "-1"),
    ({"Lung Opacity": 0, "Edema": 1}, "irvin2019", "Edema", "1", "1"),
    ({"Lung Opacity": 0, "Pneumonia": 1}, "irvin2019", "Lung Opacity", "0", "0"),
    ({"Lung Opacity": 0, "Pneumonia": 1}, "irvin2019", "Consolidation", "U", "1"),
    ({"Lung Opacity": -1}, "irvin2019", "Edema", "U", "U"),
    ({"Lung Opacity": 0}, "irvin2019", "Infiltration", "N", "N"),
    ({"Lung Opacity": 0}, "irvin2019", "Effusion", "U", "U"),
    ({"Lung Lesion": 0}, "luo2020", "Mass", "N", "0"),
    ({"Lung Lesion": 0}, "luo2020", "Nodule", "N", "0"),
    ({"Lung Lesion": 1}, "luo2020", "Nodule", "N", "N"),
    ({"Lung Lesion": -1}, "luo2020", "Mass", "N", "N"),
    ({}, "luo2020", "Mass", "N", "N"),
    ({"Lung Opacity": 0}, "luo2020", "Infiltration", "N", "0"),
    ({"Lung Opacity": 0}, "luo2020", "Edema", "U", "U"),
    ({"Pleural Other": 0}, "luo2020", "Fibrosis", "N", "0"),
    ({"Pleural Other": 1}, "luo2020", "Fibrosis", "N", "N"),
    # a 0 that only follows from No Finding says nothing of what CheXpert does not look for
    ({"No Finding": 1}, "luo2020", "Lung Lesion", "0", "0"),
    ({"No Finding": 1}, "luo2020", "Mass", "N", "N"),
    ({"No Finding": 1}, "luo2020", "Nodule", "N", "N"),
    ({"No Finding": 1}, "luo2020", "Infiltration", "N", "N"),
    ({"No Finding": 1}, "luo2020", "Fibrosis", "N", "N"),
]


@pytest.mark.parametrize(("row", "tree", "label", "before", "after"), CLOSURE)
def test_closure_of_chexpert(row, tree, label, before, after):
    matrix = chexpert(row)
    assert word(matrix, label) == before
    assert word(matrix.close(Tree.load(tree)), label) == after


@pytest.mark.parametrize(
    ("listed", "tree", "label", "after"),
    [
        ("Mass", "luo2020", "Lung Lesion", "1"),
        ("Nodule", "luo2020", "Lung Lesion", "1"),
        ("Nodule", "luo2020", "Mass", "0"),
        ("Infiltration", "luo2020", "Lung Opacity", "1"),
        ("Fibrosis", "luo2020", "Pleural Other", "1"),
        ("Edema", "luo2020", "Lung Opacity", "N"),
        ("No Finding", "luo2020", "Lung Lesion", "N"),
        ("Edema", "irvin2019", "Lung Opacity", "1"),
        ("Pneumonia", "irvin2019", "Lung Opacity", "1"),
        ("Pneumonia", "irvin2019", "Consolidation", "0"),
        ("Cardiomegaly", "irvin2019", "Enlarged Cardiomediastinum", "1"),
        ("Mass", "irvin2019", "Lung Lesion", "N"),
        ("No Finding", "irvin2019", "Lung Opacity", "N"),
    ],
)
def test_closure_of_nih(listed, tree, label, after):
    assert word(nih(listed).close(Tree.load(tree)), label) == after


@pytest.mark.parametrize(
    ("row", "label", "after"),
    [
        ({"Airspace opacity": "NO"}, "Infiltration", "0"),
        ({"Airspace opacity": "YES"}, "Infiltration", "N"),
        ({"Nodule or mass": "YES"}, "Lung Lesion", "N"),
        ({"Nodule or mass": "NO"}, "Lung Lesion", "N"),
    ],
)
def test_closure_of_google(row, label, after):
    assert word(google(row).close(Tree.load("luo2020")), label) == after


def test_closure_leaves_the_original_and_what_is_covered_as_they_are():
    matrix = nih("Mass")
    closed = matrix.close(Tree.load("luo2020"))
    assert word(matrix, "Lung Lesion") == "N"
    assert (closed.covered, closed.space) == (matrix.covered, matrix.space)


def test_both_hierarchies_may_be_applied():
    closed = chexpert({"Lung Opacity": 0}).close(Tree.load("irvin2019")).close(Tree.load("luo2020"))
    assert [word(closed, label) for label in ("Edema", "Infiltration")] == ["0", "0"]


def test_a_synonym_names_the_same_column():
    matrix = chexpert({"Pleural Effusion": 1}, {"Pleural Effusion": -1})
    assert matrix.column("Pleural Effusion").tolist() == matrix.column("Effusion").tolist()


def test_a_column_of_no_finding_at_all_is_an_error():
    with pytest.raises(LabelNotFoundError, match="'Efusion'"):
        chexpert({}).column("Efusion")


def test_counts_add_up():
    matrix = LabelMatrix.concat([chexpert(*ROWS), nih("Edema", "No Finding", None)]).relabel(
        ["Edema", "Hernia", "Lung Opacity"]
    )
    counts = matrix.counts()
    assert list(counts.columns) == ["positive", "negative", "uncertain", "unmentioned", "unlabelled"]
    assert (list(counts.index), counts.index.name) == (["Edema", "Hernia", "Lung Opacity"], "finding")
    assert counts.to_numpy().tolist() == [[2, 3, 1, 1, 1], [0, 2, 0, 0, 6], [0, 1, 0, 4, 3]]
    closed = matrix.close(Tree.load("irvin2019")).counts()
    assert closed.loc["Lung Opacity"].tolist() == [2, 1, 0, 3, 2]


@pytest.mark.parametrize("name", ["codes", "unmentioned", "states", "key_hashes"])
@pytest.mark.parametrize(
    "make",
    [
        lambda matrix: matrix,
        lambda matrix: matrix.relabel("xrv18"),
        lambda matrix: matrix.select([1, 0]),
        lambda matrix: matrix.close(Tree.load("irvin2019")),
        lambda matrix: LabelMatrix.concat([matrix, matrix]),
    ],
    ids=["apply", "relabel", "select", "close", "concat"],
)
def test_arrays_are_read_only(make, name):
    array = getattr(make(chexpert(*ROWS)), name)
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0, ...] = 0


def test_a_column_is_read_only_stored_or_not():
    for label in ("Edema", "Hernia"):
        assert not chexpert(*ROWS).column(label).flags.writeable


def test_a_matrix_pickles():
    matrix = chexpert(*ROWS, keys=list("abcde")).relabel("xrv18")
    again = pickle.loads(pickle.dumps(matrix))
    np.testing.assert_array_equal(again.codes, matrix.codes)
    assert (again.space, again.covered, list(again.keys)) == (matrix.space, matrix.covered, list("abcde"))


def test_the_columns_of_chexpert_are_each_read_into_their_own_finding():
    found = chexpert(*[{name: 1} for name in CHEXPERT]).relabel("chexpert14").codes
    assert (found == 1).tolist() == np.eye(14, dtype=bool).tolist()


def test_a_code_between_stops_a_negative_from_above():
    """Lung Opacity is negative, Consolidation positive: its kind Pneumonia is left open (Irvin 2019)."""
    table = LabelTable.load("chexpert")
    row = dict.fromkeys((term.column for term in table.terms), np.nan)
    frame = pd.DataFrame([row | {"Lung Opacity": 0.0, "Consolidation": 1.0}, row | {"Lung Opacity": 0.0}])
    closed = table.apply(frame).close(Tree.load("irvin2019")).relabel(["Consolidation", "Pneumonia"]).codes
    np.testing.assert_array_equal(closed, [[1, np.nan], [0, 0]])


def test_two_trees_follow_each_other():
    """A mass is a lesion (Luo 2020), and a lesion an opacity (Irvin 2019)."""
    matrix = LabelTable.load("nih").apply(pd.Series(["Mass"]))
    closed = matrix.close(Tree.load("luo2020")).close(Tree.load("irvin2019"))
    assert closed.relabel(["Lung Lesion", "Lung Opacity"]).codes.tolist() == [[1, 1]]
