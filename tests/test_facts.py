from __future__ import annotations

import pytest

from xrdatasets import facts
from xrdatasets.errors import DatasetNotFoundError, MappingError
from xrdatasets.facts import COLUMNS, Facts, dataset_keys

ROW = "k,T,R,L,u,{absent},{frontal},fam,{images},{patients},ref\n"
GOOD = {"absent": "negative", "frontal": "no", "images": "5", "patients": ""}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a table of datasets of one's own."""

    def make(*rows):
        lines = [ROW.format_map(GOOD | row) for row in rows]
        (tmp_path / "datasets.csv").write_text(",".join(COLUMNS) + "\n" + "".join(lines), encoding="utf-8")
        monkeypatch.setattr(facts, "mappings", lambda: tmp_path)
        return facts._all_facts.__wrapped__()

    return make


@pytest.mark.parametrize(
    ("key", "absent", "frontal_only", "family", "images", "patients"),
    [
        ("nih", "negative", False, "nih", 112_120, 30_805),
        ("nih_google", "unknown", False, "nih", 4_376, 1_695),
        ("chexpert", "unmentioned", False, "chexpert", 223_648, 64_740),
        ("kermany", "unknown", True, "kermany", 5_856, None),
        ("hannover", "unknown", False, "hannover", 243, 71),
    ],
)
def test_what_each_release_states(key, absent, frontal_only, family, images, patients):
    found = Facts.load(key)
    assert (found.key, found.absent, found.frontal_only, found.image_family) == (
        key, absent, frontal_only, family,
    )  # fmt: skip
    assert (found.images, found.patients) == (images, patients)
    assert all((found.title, found.release, found.licence, found.reference))
    assert found.url.startswith("https://")


def test_the_keys_are_in_the_order_of_the_table():
    assert dataset_keys()[:5] == ("nih", "nih_google", "chexpert", "kermany", "hannover")


def test_an_unknown_dataset_gives_those_there_are():
    with pytest.raises(
        DatasetNotFoundError,
        match=r"^no dataset is called 'NIH'\. Expected one of: nih, nih_google, chexpert",
    ):
        Facts.load("NIH")


def test_a_row_is_read_cell_by_cell(read):
    assert read({"frontal": "yes"})["k"] == Facts(
        "k", "T", "R", "L", "u", "negative", True, "fam", 5, None, "ref"
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"absent": "no"}, r"line 2: expected absent to be negative, unmentioned or unknown, got 'no'\."),
        ({"absent": ""}, r"line 2: expected absent to be negative, unmentioned or unknown, got ''\."),
        ({"frontal": "maybe"}, r"line 2: expected frontal_only to be yes or no, got 'maybe'\."),
        ({"frontal": ""}, r"line 2: expected frontal_only to be yes or no, got ''\."),
        ({"images": "many"}, r"line 2: .*'many'"),
        ({"patients": "1,695"}, r"line 2: expected 11 cells"),
        ({"patients": "about 70"}, r"line 2: .*'about 70'"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(read, row, message):
    with pytest.raises(MappingError, match=r"datasets\.csv, " + message):
        read(row)


def test_a_key_that_stands_twice_is_refused(read):
    with pytest.raises(MappingError, match=r"datasets\.csv, line 3"):
        read({}, {"absent": "unknown"})
