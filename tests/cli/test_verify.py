from __future__ import annotations

import json

import pytest


@pytest.fixture
def hannover(fake, monkeypatch):
    """A release of three images, of which all is known."""
    import dataclasses

    from xrdatasets.facts import Facts
    from xrdatasets.reports import verification

    root = fake("hannover")
    load, known = Facts.load, verification._known_counts
    facts = dataclasses.replace(load("hannover"), images=3, patients=2)
    monkeypatch.setattr(Facts, "load", lambda key: facts if key == "hannover" else load(key))
    monkeypatch.setattr(verification, "_known_counts", lambda key: [] if key == "hannover" else known(key))
    return root


def test_a_release_that_agrees(run, hannover):
    code, out, err = run("verify", f"hannover={hannover}", "--decode")
    assert (code, err) == (0, "")
    assert out == (
        f"hannover in {hannover}: agrees with its release.\n"
        "2 of 2 known counts agree.\n"
        "3 images opened, 0 of them damaged.\n\n"
    )


def test_a_release_that_differs_is_exit_1(run, fake):
    root = fake("nih")
    code, out, err = run("verify", f"nih={root}")
    assert (code, err) == (1, "")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith(f"nih in {root}: differs from its release.\n15 of 47 known counts agree.\n")
    assert ["images", "112,120", "5"] in lines
    assert ["patients", "30,805", "3"] in lines
    assert ["positive", "Hernia", "227", "1"] in lines
    assert "uncertain" not in out
    assert "opened" not in out


def test_the_split_that_was_counted_is_said(run, fake):
    assert (
        "known counts agree (those of findings in the split train)."
        in run("verify", f"chexpert={fake('chexpert')}").out
    )


def test_what_is_wrong_with_the_files(run, hannover, monkeypatch):
    from xrdatasets.datasets import exclusions

    (hannover / "png" / "b343e657.png").unlink()
    (hannover / "png" / "c9280a30.png").write_bytes(b"x")
    monkeypatch.setattr(exclusions, "_all_excluded", lambda: {"hannover": {"other": "a placeholder"}})
    code, out, _ = run("verify", f"hannover={hannover}", "--decode")
    assert code == 1
    assert "2 of 2 known counts agree.\nImages without a file: 1 (b343e657)\n" in out
    assert "Left out when opened, by exclusions.csv: 1\n" in out
    assert "other  a placeholder\n" in out
    assert "2 images opened, 1 of them damaged.\n" in out
    assert "\nc9280a30  hannover" in out


def test_a_long_list_is_cut_for_people_alone(run, fake):
    root = fake("nih")
    for path in (root / "images").iterdir():
        path.unlink()
    import xrdatasets.cli.verify as module

    out = run("verify", f"nih={root}").out
    assert "Images without a file: 5 (00000001_000, " in out
    assert "more" not in out
    module.MOST_SHOWN, before = 2, module.MOST_SHOWN
    try:
        out = run("verify", f"nih={root}").out
        assert "Images without a file: 5 (00000001_000, 00000001_001, and 3 more)\n" in out
        document = json.loads(run("verify", f"nih={root}", "--json").out)
        assert len(document["datasets"][0]["missing"]) == 5
        assert module._rows([("a", "b")] * 3)[1] == "and 1 more (--json has all)"
    finally:
        module.MOST_SHOWN = before


def test_json(run, hannover, fake):
    (hannover / "png" / "c9280a30.png").write_bytes(b"x")
    kermany = fake("kermany")
    code, out, err = run(
        "verify", f"Hannover={hannover}", f"kermany={kermany}", "--decode", "--workers", "1", "--json"
    )
    assert (code, err) == (1, "")
    document = json.loads(out)
    assert (document["version"], document["command"], document["ok"]) == (1, "verify", False)
    first, second = document["datasets"]
    assert set(first) == {
        "dataset", "root", "ok", "checks", "counted_split", "missing", "doubles", "exclusions", "decoded",
        "damaged",
    }  # fmt: skip
    assert (first["dataset"], first["root"], first["ok"]) == ("hannover", str(hannover), False)
    assert first["checks"] == [
        {"what": "images", "finding": None, "expected": 3, "found": 3, "agrees": True},
        {"what": "patients", "finding": None, "expected": 2, "found": 2, "agrees": True},
    ]
    assert [image["image_id"] for image in first["damaged"]] == ["c9280a30"]
    assert first["decoded"] == 3
    assert (second["dataset"], second["ok"], second["damaged"]) == ("kermany", False, [])


def test_json_of_what_is_not_known(run, fake):
    document = json.loads(run("verify", f"kermany={fake('kermany')}", "--json").out)
    images, patients, *labels = document["datasets"][0]["checks"]
    assert images == {"what": "images", "finding": None, "expected": 5856, "found": 6, "agrees": False}
    assert (patients["expected"], patients["agrees"]) == (None, None)
    assert labels[0] == {
        "what": "positive", "finding": "Pneumonia", "expected": 4273, "found": 3, "agrees": False,
    }  # fmt: skip
    assert document["datasets"][0]["decoded"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nih"], "expected NAME=ROOT, got 'nih'. For example: nih=/data/nih"),
        (["nih=/nowhere", "--workers", "0"], "--workers: expected at least 1, got 0."),
        (["nih=/nowhere"], "nih: root '/nowhere' does not exist. Expected the folder of the download. "),
        (["nihh=x"], "no dataset is called 'nihh'."),
    ],
)
def test_mistakes_are_exit_2(refused, words, message):
    assert refused("verify", *words).startswith(message)


def test_help(run):
    code, out, _ = run("verify", "--help")
    assert code == 0
    assert "\n    xrdatasets verify " in out
    assert max(map(len, out.splitlines())) <= 80
    assert "Raises" not in out
