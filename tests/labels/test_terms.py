from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.labels.cells import google_rows, nih_rows, words
from xrdatasets.errors import MappingError, TableError
from xrdatasets.labels import FindingColumns, FindingList, LabelTable, Term, TermMatrix
from xrdatasets.labels.terms import reader_of, word_of

NAN = float("nan")
EDEMA = Term("e", "")
COLUMNS_OF_CODES = {
    "int64": (pd.Series([1, 0, -1]), [1, 0, -1]),
    "int8": (pd.Series([1, 0, -1], dtype="int8"), [1, 0, -1]),
    "uint8": (pd.Series([1, 0], dtype="uint8"), [1, 0]),
    "float64": (pd.Series([1.0, 0.0, -1.0, None]), [1, 0, -1, NAN]),
    "float32": (pd.Series([1.0, -0.0, None], dtype="float32"), [1, 0, NAN]),
    "bool": (pd.Series([True, False]), [1, 0]),
    "bool with blanks": (pd.Series([True, None, False], dtype=object), [1, NAN, 0]),
    "Int64": (pd.Series([1, None, -1, 0], dtype="Int64"), [1, NAN, -1, 0]),
    "Float64": (pd.Series([1.0, None, -1.0, 0.0], dtype="Float64"), [1, NAN, -1, 0]),
    "boolean": (pd.Series([True, None, False], dtype="boolean"), [1, NAN, 0]),
    "text": (pd.Series(["1.0", "0", "-1", " 1 ", "-1.0", None]), [1, 0, -1, 1, -1, NAN]),
    "string": (pd.Series(["1", None, "0.0"], dtype="string"), [1, NAN, 0]),
    "mixed": (pd.Series([1, "0", -1.0, None, pd.NA, NAN], dtype=object), [1, 0, -1, NAN, NAN, NAN]),
    "category of numbers": (pd.Series([1, 0, None, -1]).astype("category"), [1, 0, NAN, -1]),
    "category of text": (pd.Series(["1", "0.0", None]).astype("category"), [1, 0, NAN]),
    "all blank": (pd.Series([None, None], dtype=object), [NAN, NAN]),
    "no rows": (pd.Series([], dtype=object), []),
}
BAD_CELLS = {
    "two": (pd.Series([1, 2, 2]), "got np.int64(2) in row 2 of the data (2 such cells)."),
    "word": (pd.Series([1, None, "maybe"], dtype=object), "got 'maybe' in row 3 of the data (1 such cells)."),
    "word for true": (pd.Series(["True"]), "got 'True' in row 1 of the data (1 such cells)."),
    "half": (pd.Series([0.5, 1.0]), "got np.float64(0.5) in row 1 of the data (1 such cells)."),
    "infinity": (pd.Series([0.0, np.inf]), "got np.float64(inf) in row 2 of the data (1 such cells)."),
    "minus two": (
        pd.Series([None, -2], dtype="Int64"),
        "got np.int64(-2) in row 2 of the data (1 such cells).",
    ),
    "word for nothing": (pd.Series(["nan"]), "got 'nan' in row 1 of the data (1 such cells)."),
    "category": (pd.Series(["1", "u"]).astype("category"), "got 'u' in row 2 of the data (1 such cells)."),
    "date": (pd.Series([pd.Timestamp("2020-01-01")]), "in row 1 of the data (1 such cells)."),
}


def codes(column, terms=(EDEMA,), *, absent="unknown"):
    return FindingColumns().read(column.to_frame("e"), terms, absent=absent, where="own").codes


@pytest.mark.parametrize("kind", COLUMNS_OF_CODES)
def test_a_column_of_codes_of_any_type(kind):
    column, expected = COLUMNS_OF_CODES[kind]
    np.testing.assert_array_equal(codes(column), np.array(expected, np.float32).reshape(-1, 1))


@pytest.mark.parametrize("kind", BAD_CELLS)
def test_what_is_no_code_is_refused_with_column_and_row(kind):
    column, message = BAD_CELLS[kind]
    with pytest.raises(TableError) as caught:
        codes(column)
    assert str(caught.value).startswith("own: column 'e': expected 1, 0, -1 or a blank, got ")
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(("absent", "cell"), [("negative", "0"), ("unmentioned", "U"), ("unknown", "N")])
def test_a_blank_means_what_the_release_says(own, absent, cell):
    frame = pd.DataFrame({"e": [None, 1.0]})
    assert words(own("e,,Edema,exact", absent=absent).apply(frame), "Edema") == [cell, "1"]


def test_the_row_is_counted_from_one_whatever_the_index():
    column = pd.Series([1, 7], index=[10, 20])
    with pytest.raises(TableError, match=r"got np\.int64\(7\) in row 2 of the data"):
        codes(column)


def test_a_missing_column_names_those_there_are():
    with pytest.raises(TableError, match=r"^own: expected a column 'e', got a, 7\.$"):
        FindingColumns().read(pd.DataFrame({"a": [1], 7: [2]}), [EDEMA], absent="unknown", where="own")
    with pytest.raises(TableError, match=r"^nih: expected a column 'Finding Labels', got x\.$"):
        FindingList("Finding Labels").read(pd.DataFrame({"x": ["a"]}), [], absent="negative", where="nih")


def test_a_column_that_stands_twice_is_refused():
    frame = pd.DataFrame([[1, 0]], columns=["e", "e"])
    with pytest.raises(TableError, match="'e'"):
        FindingColumns().read(frame, [EDEMA], absent="unknown", where="own")


def test_a_column_that_no_term_names_may_hold_anything(own):
    frame = pd.DataFrame({"e": [1], "report": ["words, words"]})
    assert words(own("e,,Edema,exact").apply(frame), "Edema") == ["1"]


YES_NO = (Term("e", "YES"), Term("e", "NO"))
CATEGORIES = {
    "text": pd.Series(["YES", "NO", None]),
    "blanks around": pd.Series([" YES", "NO ", None]),
    "object": pd.Series(["YES", "NO", pd.NA], dtype=object),
    "category": pd.Series(["YES", "NO", None]).astype("category"),
    "category with a value that no row has": pd.Series(
        pd.Categorical(["YES", "NO", None], categories=["MAYBE", "NO", "YES"])
    ),
    "string": pd.Series(["YES", "NO", None], dtype="string"),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_a_column_of_categories(kind):
    found = codes(CATEGORIES[kind], YES_NO)
    np.testing.assert_array_equal(found, np.array([[1, 0], [0, 1], [NAN, NAN]], np.float32))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 0]),
        pd.Series([1.0, 0.0]),
        pd.Series(["1", "0"]),
        pd.Series([1, 0], dtype="Int64"),
        pd.Series([1.0, 0.0], dtype="float32"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_may_be_categories(column):
    found = codes(column, (Term("e", "1"), Term("e", "0")))
    np.testing.assert_array_equal(found, np.array([[1, 0], [0, 1]], np.float32))


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (pd.Series(["YES", None, "MAYBE", "MAYBE"]), r"got 'MAYBE' in row 3 of the data \(2 such cells\)\."),
        (pd.Series(["yes"]), r"got 'yes' in row 1"),
        (pd.Series([None, True], dtype=object), r"got True in row 2"),
    ],
)
def test_an_unknown_category_is_refused_with_row_and_choice(column, got):
    with pytest.raises(MappingError, match=rf"own: column 'e': expected one of 'YES', 'NO', {got}"):
        codes(column, YES_NO)


def test_one_table_may_have_codes_categories_and_a_constant():
    terms = (Term("k", "A"), Term("c", ""), Term("=", "COVID-19"), Term("k", "B"))
    frame = pd.DataFrame({"c": [-1, None], "k": ["B", None]})
    read = FindingColumns().read(frame, terms, absent="unknown", where="own")
    np.testing.assert_array_equal(read.codes, np.array([[0, -1, 1, 1], [NAN, NAN, 1, NAN]], np.float32))
    assert read.terms == terms


LISTED = tuple(Term("*", word) for word in ("Edema", "Mass", "Lung cancer"))


def listed(*cells, separator="|", absent="negative"):
    frame = pd.DataFrame({"l": pd.Series(cells, dtype=object), "other": [0] * len(cells)})
    return FindingList("l", separator).read(frame, LISTED, absent=absent, where="own")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Edema", [1, 0, 0]),
        ("Mass|Edema", [1, 1, 0]),
        (" Edema | Lung cancer ", [1, 0, 1]),
        ("Edema|Edema", [1, 0, 0]),
        ("Edema||Mass|", [1, 1, 0]),
    ],
)
def test_a_list_in_a_cell(cell, expected):
    np.testing.assert_array_equal(listed(cell).codes, np.array([expected], np.float32))


@pytest.mark.parametrize("cell", [None, NAN, pd.NA, "", "  "], ids=repr)
@pytest.mark.parametrize("absent", ["negative", "unmentioned"])
def test_an_empty_list_says_nothing_of_any_finding(own, cell, absent):
    table = own("*,Edema,Edema,exact", "*,Mass,Mass,exact", absent=absent)
    matrix = table.apply(pd.Series(["Mass", cell], name="l", dtype=object))
    assert words(matrix, "Mass") == ["1", "N"]
    assert words(matrix, "Edema")[1] == "N"


def test_the_separator_is_a_choice():
    np.testing.assert_array_equal(listed("Edema;Mass", separator=";").codes, [[1, 1, 0]])
    np.testing.assert_array_equal(listed("Edema, Lung cancer", separator=",").codes, [[1, 0, 1]])


@pytest.mark.parametrize(("absent", "expected"), [("negative", 0), ("unmentioned", NAN), ("unknown", NAN)])
def test_a_term_that_is_not_in_the_list(absent, expected):
    np.testing.assert_array_equal(listed("Edema", absent=absent).codes, np.array([[1, expected, expected]]))


def test_a_word_that_the_mapping_file_lacks_is_refused():
    with pytest.raises(
        MappingError,
        match=r"^own: column 'l' names 'Hernia', 'Mas', which its mapping file does not have\. "
        r"Expected one of: Edema, Mass, Lung cancer\. Add a row for it \(relation empty if unmapped\)\.$",
    ):
        listed("Edema|Mas", "Hernia")


def test_of_many_unknown_words_three_are_named():
    with pytest.raises(MappingError, match=r"names 'a', 'b', 'c', which"):
        listed("d|c", "b|a")


def test_a_list_may_be_a_category():
    frame = pd.DataFrame({"l": pd.Categorical(["Edema|Mass", None, "Mass"])})
    read = FindingList("l").read(frame, LISTED, absent="negative", where="own")
    np.testing.assert_array_equal(read.codes, [[1, 1, 0], [NAN, NAN, NAN], [0, 1, 0]])


def test_the_reader_follows_the_mapping_file():
    frame = pd.DataFrame({"a": [1], "b": [2]})
    assert reader_of([EDEMA, Term("=", "x")], frame) == FindingColumns()
    assert reader_of(LISTED, frame[["b"]]) == FindingList("b")
    with pytest.raises(
        TableError,
        match=r"speaks of a list \('\*'\), and the table has 2 columns\. Pass the one column of lists",
    ):
        reader_of(LISTED, frame)


def test_a_whole_table_of_a_list_dataset_is_refused_by_apply():
    frame = pd.DataFrame({"Image Index": ["a.png"], "Finding Labels": ["Mass"]})
    with pytest.raises(TableError, match="Pass the one column of lists"):
        LabelTable.load("nih").apply(frame)


@pytest.mark.parametrize(
    ("value", "word"),
    [(1.0, "1"), (np.float64(-1), "-1"), (0.5, "0.5"), (3, "3"), (" a b ", "a b"), (True, "True")],
)
def test_a_cell_as_the_mapping_file_writes_it(value, word):
    assert word_of(value) == word


def test_terms_can_be_selected_and_are_read_only():
    table = LabelTable.load("nih_google")
    terms = table.read_terms(google_rows({"Fracture": "YES"}, {}, {"Fracture": None}))
    assert (len(terms), terms.codes.shape, terms.codes.dtype) == (3, (3, 8), np.float32)
    picked = terms.select(np.array([2, 0]))
    assert (type(picked), len(picked), picked.terms) == (TermMatrix, 2, terms.terms)
    np.testing.assert_array_equal(picked.codes[:, 0], [NAN, 1])
    assert picked.state(Term("Fracture", "YES")).tolist() == picked.states[0].tolist()
    for part in (terms, picked):
        with pytest.raises(ValueError, match="read-only"):
            part.states[0, 0] = 1


def test_a_term_that_was_not_read_has_no_state():
    with pytest.raises(ValueError, match="not in tuple"):
        LabelTable.load("nih").read_terms(nih_rows("Mass")).state(EDEMA)
