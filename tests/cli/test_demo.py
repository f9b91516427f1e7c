"""``xrdatasets demo``: every step runs, says what it did, and its numbers are computed."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

import xrdatasets as xr
from xrdatasets.cli import demo

FILES = ["auc.csv", "contact-sheet.png", "labels.csv", "policies.csv", "statistics.csv"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """One epoch: what the networks learn is measured elsewhere."""
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "SHEET", 32)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_step_says_what_it_does_and_the_files_are_there(run, tmp_path):
    out = tmp_path / "deep" / "demo"
    code, text, err = run("demo", "--images", "200", "--out", str(out))
    assert (code, err) == (0, "")
    steps = [line for line in text.splitlines() if line[:1].isdigit()]
    assert [line.split(".")[0] for line in steps] == list("123456789")
    assert sorted(path.name for path in out.iterdir()) == FILES
    for word in (
        "nothing is downloaded",
        "One matrix: 600 images x 21 findings",
        "U-Ones",
        "Trained on",
        "full truth",
    ):
        assert word in text
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.mode == "L"
        assert np.asarray(sheet).std() > 10


def test_its_numbers_are_those_of_the_library(run, tmp_path):
    code, text, _ = run("demo", "--images", "200", "--out", str(tmp_path), "--seed", "3", "--json")
    document = json.loads(text)
    assert code == 0
    assert (document["images"], document["seed"]) == (200, 3)
    hospitals = {key: xr.Phantom(200, key, seed=3) for key in "ABC"}
    joint = xr.concat(list(hospitals.values()))
    assert document["known"] == pytest.approx(float((~np.isnan(joint.codes)).mean()))
    counted = {
        (row["dataset"], row["finding"]): int(row["positive"]) for row in rows(tmp_path / "statistics.csv")
    }
    for key, ds in hospitals.items():
        totals = ds.totals()["positive"]
        assert {finding: counted[key, finding] for finding in totals.index} == totals.to_dict()
    codes = rows(tmp_path / "labels.csv")
    assert [row["image_id"] for row in codes] == joint.table["image_id"].tolist()
    written = [[float(row[name] or "nan") for name in joint.pathologies] for row in codes]
    np.testing.assert_array_equal(np.array(written, dtype=np.float32), joint.codes)
    assert document["explained"]["relation"] == "broader"
    check_areas(document, rows(tmp_path / "auc.csv"), hospitals)


def check_areas(document, areas, hospitals):
    """The table is the mean of the file, over the findings that all hospitals label."""
    native = {key: set(ds.relabel("native").pathologies) for key, ds in hospitals.items()}
    lost = {area["finding"] for area in areas if not area["auc"]}  # one class alone, somewhere
    common = set.intersection(*native.values()) - lost
    assert 4 <= len(common) <= 6
    assert [row["trained_on"] for row in document["auc"]] == ["A", "B", "C", "A+B+C", "A+B+C, full truth"]
    for row in document["auc"]:
        for key, mean in row["tested_on"].items():
            found = [
                float(area["auc"])
                for area in areas
                if (area["trained_on"], area["tested_on"]) == (row["trained_on"], key)
                and area["finding"] in common
            ]
            assert len(found) == len(common)
            assert mean == pytest.approx(math.fsum(found) / len(found))
        assert (row["all_findings"] is None) == (row["trained_on"] in native)
    taught = {area["finding"] for area in areas if area["trained_on"] == "B"}
    assert taught == native["B"]  # a network is not asked for what it was never told


def test_what_stands_in_the_folder_stays(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert run("demo", "--images", "200", "--out", str(tmp_path), "--json")[0] == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "199"], "--images: expected at least 200, got 199"),
        (["--seed", "-1"], "--seed: expected a whole number from 0 to 4294967295, got -1"),
        (["--seed", "4294967296"], "--seed: expected a whole number from 0 to 4294967295"),
        (["--images", "many"], "Invalid value for '--images'"),
    ],
)
def test_wrong_options_are_one_line(run, tmp_path, words, message):
    code, out, err = run("demo", *words, "--out", str(tmp_path / "demo"))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_a_file_in_place_of_the_folder(run, tmp_path):
    (tmp_path / "file").write_text("x")
    code, out, err = run("demo", "--out", str(tmp_path / "file"))
    assert (code, out) == (2, "")
    assert "is no folder. Expected a folder, or a name that is free" in err
