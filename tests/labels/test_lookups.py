from __future__ import annotations

import pytest

from xrdatasets.errors import DatasetNotFoundError, LabelNotFoundError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import Match, lookup


def found(*words):
    return [(match.dataset, match.term, match.finding, match.relation) for match in lookup(*words)]


def test_a_source_term_in_one_dataset():
    assert found("nih", "effusion") == [
        ("nih", "Effusion", "Effusion", "exact"),
        ("nih", "No Finding", "Effusion", "negates"),
    ]


FIRST = ("nih", "chexpert", "phantom_a", "phantom_b", "phantom_c")


def test_a_synonym_in_all_datasets_in_the_order_of_the_registry():
    rows = found("pleural effusion")
    keys = list(dict.fromkeys(row[0] for row in rows))
    assert keys == [key for key in dataset_keys() if key in keys]
    assert {"nih", "chexpert", "mimic_cxr", "padchest", "vindr", "openi", "brax"} <= set(keys)
    assert [row for row in rows if row[0] in FIRST] == [
        ("nih", "Effusion", "Effusion", "exact"),
        ("nih", "No Finding", "Effusion", "negates"),
        ("chexpert", "Pleural Effusion", "Effusion", "exact"),
        ("chexpert", "No Finding", "Effusion", "negates"),
        ("phantom_a", "Effusion", "Effusion", "exact"),
        ("phantom_a", "No Finding", "Effusion", "negates"),
        ("phantom_b", "Pleural fluid", "Effusion", "exact"),
        ("phantom_c", "Pleural Effusion", "Effusion", "exact"),
        ("phantom_c", "No Finding", "Effusion", "negates"),
    ]


@pytest.mark.parametrize("word", ["Nodule or mass=YES", "nodule_or_mass=yes"])
def test_a_value_of_a_category(word):
    assert found("nih_google", word) == [
        ("nih_google", "Nodule or mass=YES", "Nodule", "broader"),
        ("nih_google", "Nodule or mass=YES", "Mass", "broader"),
    ]


def test_an_unmapped_term_is_listed_with_its_note():
    (match,) = lookup("nih_google", "Fracture=NO")
    assert isinstance(match, Match)
    assert (match.finding, match.relation) == ("", "")
    assert match.note.startswith("NO is the 0 of the YES row")
    assert match.reference.startswith("Majkowska 2020")


def test_a_column_gives_all_its_values():
    assert [term for _, term, *_ in found("nih_google", "Airspace opacity")] == [
        "Airspace opacity=YES", "Airspace opacity=NO",
    ]  # fmt: skip


def test_a_word_of_one_dataset_alone():
    assert [row for row in found("PNEUMONIA", None) if row[0] == "kermany"] == [
        ("kermany", "label=PNEUMONIA", "Pneumonia", "exact"),
        ("kermany", "label=NORMAL", "Pneumonia", "negates"),
    ]
    assert [row for row in found("normal") if row[0] == "kermany"] == [
        ("kermany", "label=NORMAL", "Pneumonia", "negates")
    ]
    assert ("hannover", "COVID-19", "COVID-19", "exact") in found("covid")


def test_an_unknown_term_gives_the_nearest():
    with pytest.raises(
        LabelNotFoundError, match=r"^no mapping row of nih speaks of 'Efusion'\. Did you mean 'Effusion'"
    ):
        lookup("nih", "Efusion")
    with pytest.raises(
        LabelNotFoundError,
        match=rf"^no mapping row of {', '.join(dataset_keys())} speaks of 'xyzzy'\.$",
    ):
        lookup("xyzzy")


def test_a_finding_that_the_dataset_does_not_speak_of():
    with pytest.raises(LabelNotFoundError, match="no mapping row of hannover speaks of 'Hernia'"):
        lookup("hannover", "Hernia")


@pytest.mark.parametrize("word", ["*", "=", ""])
def test_the_marks_of_the_mapping_file_are_no_terms(word):
    with pytest.raises(LabelNotFoundError, match="no mapping row"):
        lookup("nih", word)


def test_an_unknown_dataset():
    with pytest.raises(DatasetNotFoundError, match="no dataset is called 'nope'"):
        lookup("nope", "Edema")
