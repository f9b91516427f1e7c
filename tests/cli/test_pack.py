"""The command ``pack``, and packed files wherever a folder may be named."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xrdatasets as xr


@pytest.fixture
def nih(fake):
    return fake("nih")


def test_a_file_is_written_and_told_of(run, nih, tmp_path):
    file = tmp_path / "nih.h5"
    code, out, err = run("pack", f"nih={nih}", file, "--size", "16", "--workers", "0")
    assert (code, err) == (0, "")
    assert f"nih in {nih}: 5 images of 16 x 16 uint8.\nWritten to {file}: " in out
    np.testing.assert_array_equal(xr.open(file).labels, xr.NIH(nih).labels)


def test_json(run, nih, tmp_path):
    file = tmp_path / "nih.h5"
    code, out, _ = run(
        "pack", f"nih={nih}", file, "--size", 16, "--views", "PA", "--dtype", "uint16", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert told.pop("seconds") >= 0
    assert told == {
        "command": "pack", "version": 1, "dataset": "nih", "root": str(nih), "file": str(file), "images": 3,
        "left_out": 0, "size": 16, "dtype": "uint16", "bytes": file.stat().st_size,
    }  # fmt: skip


def test_options_reach_the_dataset(run, fake, tmp_path):
    root, file = fake("kermany"), tmp_path / "k.h5"
    run("pack", f"kermany={root}", file, "--size", 16, "--split", "test", "--engine", "gaussian", "--no-crop")
    ds = xr.Kermany(root, size=16, split="test", engine="gaussian", crop=False)
    packed = xr.open(file)
    assert len(packed) == len(ds)
    assert (packed[0]["img"] - ds[0]["img"]).abs().max() <= 1024 / 255 + 1e-3


def test_the_phantom(run, tmp_path):
    file = tmp_path / "p.h5"
    code, _, err = run("stats", f"phantom={file}")
    assert code == 2
    xr.pack(xr.Phantom(5, "B", size=16), file, workers=0)
    code, out, err = run("stats", f"phantom={file}", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["datasets"][0]["images"] == 5


def test_damaged_images(run, refused, nih, tmp_path):
    next(iter((nih / "images").iterdir())).write_bytes(b"\x89PNG\r\n\x1a\n")
    words = ("pack", f"nih={nih}", tmp_path / "nih.h5", "--size", 16, "--workers", 0)
    assert "cannot read" in refused(*words)
    code, out, _ = run(*words, "--damaged", "drop")
    assert code == 0
    assert "4 images of 16 x 16 uint8, 1 damaged ones left out." in out


def test_stats_of_a_packed_file_are_those_of_the_release(run, nih, tmp_path):
    file = xr.pack(xr.NIH(nih), tmp_path / "nih.h5", size=16, workers=0)
    of_release = json.loads(run("stats", f"nih={nih}", "--json").out)
    of_file = json.loads(run("stats", f"nih={file}", "--json").out)
    for told in (of_release, of_file):
        told["datasets"][0].pop("root")
    assert of_release == of_file


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nih=nowhere", "a.h5", "--size", "16"], "does not exist"),
        (["nih", "a.h5", "--size", "16"], "expected NAME=ROOT"),
        (["nih={root}", "a.h5"], "Missing option '--size'"),
        (["nih={root}", "a.h5", "--size", "0"], "size: expected a positive integer"),
        (["nih={root}", "a.h5", "--size", "16", "--dtype", "float"], "dtype: expected 'uint8' or 'uint16'"),
        (["nih={root}", "a.h5", "--size", "16", "--workers", "-1"], "workers: expected"),
        (
            ["nih={root}", "a.h5", "--size", "16", "--missing", "keep"],
            "--missing: expected 'error' or 'drop'",
        ),
        (["nih={root}", "a.h5", "--size", "16", "--damaged", "keep"], "damaged: expected 'error' or 'drop'"),
        (["nih={root}", "gone/a.h5", "--size", "16"], "is no folder"),
        (["nih={root}", "{root}", "--size", "16"], "is a folder"),
        (["nih={root}", "a.h5", "--size", "16", "--views", "LL2"], "--views: expected"),
        (["nih={root}", "a.h5", "--size", "16", "--engine", "cubic"], "engine: expected"),
    ],
)
def test_mistakes(refused, nih, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("pack", *(word.format(root=nih) for word in words))
    assert not [path for path in tmp_path.iterdir() if path.suffix in {".h5", ".part", ".journal"}]


def test_a_file_that_is_there(run, refused, nih, tmp_path):
    words = ("pack", f"nih={nih}", tmp_path / "nih.h5", "--size", 16, "--workers", 0)
    assert run(*words).code == 0
    assert "is there already. Pass another name, or --overwrite." in refused(*words)
    assert run(*words, "--overwrite").code == 0


def test_a_file_of_another_dataset(refused, nih, tmp_path):
    file = xr.pack(xr.NIH(nih), tmp_path / "nih.h5", size=16, workers=0)
    assert "expected a packed file of kermany" in refused("stats", f"kermany={file}")


def test_a_part_of_a_packed_file(run, refused, nih, tmp_path):
    packed, part = tmp_path / "nih.h5", tmp_path / "part.h5"
    run("pack", f"nih={nih}", packed, "--size", "16", "--workers", "0")
    code, _, err = run("pack", f"nih={packed}", part, "--size", "16", "--views", "AP", "--workers", "0")
    assert (code, err) == (0, "")
    ours, theirs = xr.open(part), xr.NIH(nih, views="AP")
    assert ours.table.image_id.tolist() == theirs.table.image_id.tolist()
    again = ("pack", f"nih={packed}", tmp_path / "b.h5", "--size", "32", "--workers", "0")
    assert refused(*again).startswith("size: expected 16, that of the packed images, got 32.")


def test_a_scheduler_that_is_not_there(refused, nih, tmp_path):
    pytest.importorskip("distributed")
    words = ("pack", f"nih={nih}", tmp_path / "a.h5", "--size", 16, "--dask", "nonsense://x")
    assert "--dask: no scheduler answers at 'nonsense://x'" in refused(*words)
