"""The table of weights: what its rows must be, and what a wrong one is told."""

from __future__ import annotations

import re

import pytest

from xrdatasets.errors import MappingError, WeightsNotFoundError
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import LabelSpace
from xrdatasets.models.weights import weights_table
from xrdatasets.models.weights.weights_table import COLUMNS, weights_entries, weights_entry

DIGEST = "ab" * 32
GOOD = {
    "name": "one",
    "alias": "",
    "source": "url",
    "location": "https://example.org/v1/one.pt",
    "sha256": "",
    "format": "torchxrayvision-module",
    "architecture": "densenet121",
    "space": "chexpert5",
    "trained": "",
    "size": "224",
    "intensity": "xrv",
    "trained_on": "nih|chexpert",
    "licence": "CC0",
    "reference": "someone",
    "note": "",
}
# findings with a label and a threshold, datasets, size: torchxrayvision 1.5.7, models.py
PUBLISHED = {
    "densenet121-res224-all": (18, 7, 224),
    "densenet121-res224-nih": (14, 1, 224),
    "densenet121-res224-pc": (15, 1, 224),
    "densenet121-res224-chex": (11, 1, 224),
    "densenet121-res224-rsna": (2, 1, 224),
    "densenet121-res224-mimic_nb": (11, 1, 224),
    "densenet121-res224-mimic_ch": (11, 1, 224),
    "resnet50-res512-all": (16, 5, 512),
}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put another table in place of ``weights.csv``."""

    def write(*rows):
        lines = [",".join(COLUMNS), *(",".join((GOOD | row)[column] for column in COLUMNS) for row in rows)]
        (tmp_path / "weights.csv").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(weights_table, "mappings", lambda: tmp_path)
        weights_table._table.cache_clear()

    yield write
    monkeypatch.undo()
    weights_table._table.cache_clear()


def test_the_published_names_of_torchxrayvision_are_rows():
    entries = {entry.name: entry for entry in weights_entries()}
    found = {
        name: (len(e.trained), len(e.trained_on), e.size) for name, e in entries.items() if name in PUBLISHED
    }
    assert found == PUBLISHED
    for name, entry in entries.items():
        if name in PUBLISHED:
            assert entry.location.startswith("https://github.com/mlmed/torchxrayvision/releases/download/v1/")
            assert entry.format == f"torchxrayvision-{'state' if name.startswith('resnet') else 'module'}"
            assert (entry.space, entry.intensity) == ("xrv18", "xrv")


def test_aliases_are_torchxrayvisions_short_names():
    for alias in ("all", "nih", "pc", "chex", "rsna", "mimic_nb", "mimic_ch"):
        assert weights_entry(alias).name == f"densenet121-res224-{alias}"


def test_every_row_holds():
    for entry in weights_entries():
        assert set(entry.trained) <= set(LabelSpace.load(entry.space).labels)
        assert set(entry.trained_on) <= set(dataset_keys())
        assert entry.licence
        assert "@" not in entry.location


def test_outputs_of_torchxrayvision_without_a_label_are_not_trained():
    assert weights_entry("rsna").trained == ("Pneumonia", "Lung Opacity")
    assert "Lung Lesion" not in weights_entry("resnet50-res512-all").trained


def test_an_empty_cell_means_that_all_were_trained(table):
    table({})
    assert weights_entry("one").trained == LabelSpace.load("chexpert5").labels


def test_trained_findings_are_in_the_order_of_the_space(table):
    table({"trained": "Effusion|Atelectasis"})
    assert weights_entry("one").trained == ("Atelectasis", "Effusion")


def test_a_name_in_another_case_is_found():
    assert weights_entry("DenseNet121-res224-ALL") == weights_entry("all")


def test_near_names_are_given():
    with pytest.raises(
        WeightsNotFoundError, match=r"no weights are called 'densenet121-res224-mimic'"
    ) as caught:
        weights_entry("densenet121-res224-mimic")
    assert "'densenet121-res224-mimic_nb'" in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_without_a_near_name_all_are_given():
    with pytest.raises(WeightsNotFoundError, match=r"Expected one of: .*resnet50-res512-all"):
        weights_entry("¿¿¿")


def test_the_file_is_the_last_part_of_an_address_without_its_query(table):
    table({"location": "https://example.org/v1/one.pt?download=1"})
    assert weights_entry("one").file == "one.pt"


def test_bundled_weights_are_a_file_of_the_package(table):
    table({"source": "bundled", "location": "one.safetensors", "format": "safetensors", "sha256": DIGEST})
    assert weights_entry("one").file == "one.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "expected name to be filled, got ''"),
        ({"licence": ""}, "expected licence to be filled, got ''"),
        ({"reference": ""}, "expected reference to be filled, got ''"),
        ({"name": "../one"}, "expected name of letters, digits, '.', '_' and '-', got '../one'"),
        ({"alias": "o n e"}, "expected alias of letters, digits"),
        ({"source": "web"}, "expected source to be one of bundled, url, got 'web'"),
        (
            {"location": "file:///etc/passwd"},
            "expected location to be an address that begins with https:// or",
        ),
        (
            {"location": "https://me:key@example.org/a.pt"},
            "expected location to be an address that begins with",
        ),
        ({"location": "https://example.org/"}, "expected location to end in the name of a file"),
        ({"location": "https://example.org/.."}, "expected location to end in the name of a file"),
        ({"source": "bundled", "location": "../one.pt"}, "expected location to end in the name of a file"),
        ({"source": "bundled", "location": "one.pt"}, "expected sha256 of a bundled file, got ''"),
        (
            {"sha256": DIGEST.upper()},
            "expected sha256 to be 64 hexadecimal digits in small letters, or empty",
        ),
        (
            {"sha256": "abc"},
            "expected sha256 to be 64 hexadecimal digits in small letters, or empty, got 'abc'",
        ),
        ({"format": "pickle"}, "expected format to be one of safetensors, torchxrayvision-module"),
        ({"architecture": "densenet"}, "expected architecture to be one of densenet121"),
        ({"space": "xrv19"}, "expected space to be one of "),
        ({"trained": "Hernia"}, "expected trained to name one or more of Atelectasis"),
        ({"trained": "Edema|Edema"}, "expected trained to name one or more of Atelectasis"),
        ({"size": "0"}, "expected size to be a whole number of at least 1, got '0'"),
        ({"size": "large"}, "expected size to be a whole number of at least 1, got 'large'"),
        ({"intensity": "raw"}, "expected intensity to be one of xrv, unit, got 'raw'"),
        ({"trained_on": ""}, "expected trained_on to name one or more of nih"),
        ({"trained_on": "nih|nihh"}, "expected trained_on to name one or more of nih"),
    ],
)
def test_a_wrong_row_is_named(table, change, message):
    table(change)
    with pytest.raises(MappingError, match=r"weights\.csv, line 2: ") as caught:
        weights_entries()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (({}, {"location": "https://example.org/two.pt"}), "each name and alias once, got 'one'"),
        (({}, {"name": "two", "alias": "ONE", "location": "https://example.org/two.pt"}), "once, got 'ONE'"),
        (({}, {"name": "two"}), "each file name once, got 'one.pt'"),
        (
            ({}, {"name": "two", "location": "https://example.org/v2/One.pt"}),
            "each file name once, got 'One.pt'",
        ),
    ],
)
def test_what_stands_twice(table, rows, message):
    table(*rows)
    with pytest.raises(MappingError, match=rf"line 3: expected .*{re.escape(message)}"):
        weights_entries()
