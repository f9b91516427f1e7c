from __future__ import annotations

import csv
import json

import pytest

from xrdatasets.resources import mappings


def rows(*path):
    with mappings().joinpath(*path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_datasets_are_the_rows_of_their_table(run):
    code, out, err = run("list", "datasets")
    assert (code, err) == (0, "")
    for row in rows("datasets.csv"):
        assert row["title"] in out
        assert f"{row['key']}: {row['licence']}\n{row['url'] or 'needs no download'}\n" in out
    assert "112,120    30,805        14  negative" in out


def test_datasets_as_json(run):
    document = json.loads(run("list", "datasets", "--json").out)
    assert (document["version"], document["command"], document["what"]) == (1, "list", "datasets")
    facts = {item["key"]: item for item in document["items"]}
    assert list(facts) == [row["key"] for row in rows("datasets.csv")]
    assert facts["nih_google"]["class"] == "NIHGoogle"
    assert facts["nih_google"]["findings"] == ["Pneumothorax", "Fracture", "Lung Opacity"]
    assert facts["nih"]["images"] == 112120
    assert facts["kermany"]["patients"] is None
    assert {"title", "release", "licence", "url", "absent", "frontal_only", "reference"} <= set(facts["nih"])


def test_every_class_of_the_registry_is_listed(run):
    from xrdatasets.datasets import CLASSES, table_keys

    document = json.loads(run("list", "datasets", "--json").out)
    classes = {key: cls for name, cls in CLASSES.items() for key in table_keys(name)}
    assert {item["key"]: item["class"] for item in document["items"]} == classes


def test_spaces(run):
    out = run("list", "spaces").out
    assert "\nchexpert5      5  Atelectasis, Cardiomegaly, Consolidation, Edema, Effusion\n" in out
    assert out.endswith("Also: native, what a dataset itself labels.\n")
    items = json.loads(run("list", "spaces", "--json").out)["items"]
    assert {item["name"]: len(item["findings"]) for item in items}["xrv18"] == 18
    assert [item["name"] for item in items] == sorted(item["name"] for item in items)
    for item in items:
        assert item["findings"] == [row["finding"] for row in rows("spaces", f"{item['name']}.csv")]


def test_policies(run):
    lines = run("list", "policies").out.splitlines()
    said = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines[2:7]}
    assert said == {
        "U-Ignore": "unknown",
        "U-Zeros": "0",
        "U-Ones": "1",
        "U-Ones+LSR": "a number drawn from 0.55 to 0.85",
        "U-Zeros+LSR": "a number drawn from 0 to 0.3",
    }


def test_policies_as_json(run):
    items = json.loads(run("list", "policies", "--json").out)["items"]
    uncertain = {item["name"]: item["uncertain"] for item in items}
    assert uncertain == {
        "U-Ignore": None,
        "U-Zeros": 0.0,
        "U-Ones": 1.0,
        "U-Ones+LSR": [0.55, 0.85],
        "U-Zeros+LSR": [0.0, 0.3],
    }
    assert all(item["unmentioned"] is None for item in items)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache with the file of one name."""
    monkeypatch.setenv("XRDATASETS_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt").write_text("")


def test_weights_are_the_rows_of_their_table(run, cache):
    code, out, err = run("list", "weights")
    assert (code, err) == (0, "")
    for row in rows("weights.csv"):
        assert f"{row['name']}: {row['licence']}\n{row['architecture']}. {row['reference']}\n" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert lines["densenet121-res224-rsna"].split()[1:] == ["rsna", "2", "224", "yes", "rsna"]
    assert lines["resnet50-res512-all"].endswith("512  on first use  padchest, nih, rsna, siim, vindr")


def test_weights_as_json(run, cache):
    document = json.loads(run("list", "weights", "--json").out)
    assert (document["version"], document["command"], document["what"]) == (1, "list", "weights")
    items = {item["name"]: item for item in document["items"]}
    assert list(items) == [row["name"] for row in rows("weights.csv")]
    columns = {key: value for key, value in rows("weights.csv")[0].items() if key not in LISTED}
    assert items["densenet121-res224-all"] | {"size": "224"} == items["densenet121-res224-all"] | columns
    assert len(items["densenet121-res224-all"]["trained"]) == 18
    assert items["densenet121-res224-rsna"]["trained"] == ["Pneumonia", "Lung Opacity"]
    assert items["resnet50-res512-all"]["trained_on"] == ["padchest", "nih", "rsna", "siim", "vindr"]
    assert [name for name, item in items.items() if item["here"]] == ["densenet121-res224-rsna"]


LISTED = ("trained", "trained_on")


@pytest.mark.parametrize("word", ["dataset", "", "models"])
def test_there_is_nothing_else_to_list(refused, word):
    assert (
        refused("list", word) == f"list: expected datasets, spaces, policies, weights, recipes, got {word!r}."
    )
