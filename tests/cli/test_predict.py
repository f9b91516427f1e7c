"""The command ``predict``: tables, files, JSON, exit codes, interrupts."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fakes import write_dicom
from tests.prediction.conftest import FINDINGS, make_classifier, write_png
from xrdatasets.models import Classifier, InputSpec, Network, backbone
from xrdatasets.prediction import find_images

COMMAND = ("-m", "xrdatasets", "predict")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    make_classifier(operating_points={"Effusion": 0.3}).save(path)
    return path


@pytest.fixture
def films(tmp_path):
    for number in (1, 2, 10):
        write_png(tmp_path / "films" / f"{number}.png", number)
    write_dicom(tmp_path / "films" / "ward" / "IM1", seed=4)
    (tmp_path / "films" / "notes.txt").write_text("none")
    return tmp_path / "films"


@pytest.fixture
def told(films, weights, run):
    """JSON of a call."""

    def call(*words, code=0):
        done = run("predict", *words, "--weights", weights, "--json")
        assert done.code == code
        return json.loads(done.out)

    return call


def test_a_table_on_the_terminal(run, films, weights):
    code, out, err = run("predict", films, "--weights", weights)
    assert (code, err) == (0, "")
    head, _, *rows, blank, last = out.splitlines()
    assert head.split() == ["Image", *FINDINGS]
    assert [row.split()[0] for row in rows] == list(find_images(films).paths)
    assert (blank, last) == ("", "4 images read, 1 other files left out.")


def test_of_many_findings_the_most_probable_are_shown(run, films, tmp_path):
    points = np.linspace(0.1, 0.9, 14).tolist()
    model = Classifier(
        Network(backbone("mini", width=4), 14), "nih14", inputs=InputSpec(size=32), operating_points=points
    )
    model.save(tmp_path / "nih.safetensors")
    code, out, _ = run("predict", films / "1.png", "--weights", tmp_path / "nih.safetensors")
    values = model(model.preprocess(films / "1.png"))[0].tolist()
    best = sorted(zip(values, model.pathologies, strict=True), reverse=True)[:3]
    assert code == 0
    assert ", ".join(f"{name} {value:.3f}" for value, name in best) in out


def test_json(told, films, weights):
    found = told(films)
    assert (found["version"], found["command"], found["images"], found["skipped"]) == (1, "predict", 4, 1)
    assert found["weights"]["name"] == str(weights)
    assert found["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert found["failed"] == []
    assert found["operating_points"] == {"Atelectasis": None, "Effusion": 0.3, "Nodule": None}
    model = make_classifier(operating_points={"Effusion": 0.3})
    for row in found["predictions"]:
        wanted = model(model.preprocess(row["path"]))[0].tolist()
        np.testing.assert_allclose([row["probabilities"][name] for name in FINDINGS], wanted, atol=2e-6)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_file(run, told, films, tmp_path, weights, ending):
    out = tmp_path / f"a.{ending}"
    code, shown, err = run("predict", films, "--weights", weights, "--out", out, "--batch-size", 3)
    assert (code, err) == (0, "")
    assert shown == f"4 images read, 1 other files left out. Written to {out}.\n"
    if ending == "csv":
        assert pd.read_csv(out)["path"].tolist() == list(find_images(films).paths)
    if ending == "json":
        assert json.loads(out.read_text()) == told(films, "--batch-size", 3)
    out.unlink()
    found = told(films, "--out", out)
    assert (found["out"], found["images"]) == (str(out), 4)
    assert "predictions" not in found


def test_bad_files_are_at_the_end_and_the_code_is_1(run, told, films, weights, tmp_path):
    (films / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    words = ("predict", films, films / "gone.png", "--weights", weights, "--out", tmp_path / "a.csv")
    code, out, err = run(*words)
    assert code == 1
    assert out.startswith("3 images read, 2 could not be, 1 other files left out.")
    lines = err.splitlines()
    assert lines[0].startswith(f"{films / '2.png'}: ")
    assert lines[1].startswith(f"{films / 'gone.png'}: No such file or directory")
    assert pd.read_csv(tmp_path / "a.csv").shape == (3, 4)
    meta = json.loads((tmp_path / "a.csv.meta.json").read_text())
    assert [each["path"] for each in meta["failed"]] == [str(films / "2.png"), str(films / "gone.png")]
    assert told(films, code=1)["failed"][0] == meta["failed"][0]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_names_on_stdin(told, films, monkeypatch, separator):
    given = [films / "10.png", films / "ward", films / "1.png"]
    text = separator.join(os.fsencode(path) for path in given) + separator
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    found = told("-", films / "2.png", films / "1.png")
    names = [Path(row["path"]).name for row in found["predictions"]]
    assert names == ["10.png", "IM1", "1.png", "2.png"]


def test_patterns_limits_and_folders_of_folders(told, films, monkeypatch):
    monkeypatch.chdir(films)
    assert [row["path"] for row in told("**/[I1]*")["predictions"]] == ["1.png", "10.png", "ward/IM1"]
    assert told(".", "--limit", 2)["images"] == 2
    assert told(".", "--no-recursive")["images"] == 3


def test_heatmaps(told, films, tmp_path):
    found = told(films, "--heatmaps", tmp_path / "m", "--finding", "nodule", "--finding", "Effusion")
    files = {file for row in found["predictions"] for file in row["heatmaps"].values()}
    assert [list(row["heatmaps"]) for row in found["predictions"]] == [["Nodule", "Effusion"]] * 4
    assert files == {str(path) for path in (tmp_path / "m").iterdir()}


def test_without_operating_points(told, films):
    raw, mapped = told(films, "--operating-points", "none"), told(films)
    assert raw["operating_points"]["Effusion"] is None
    for plain, moved in zip(raw["predictions"], mapped["predictions"], strict=True):
        p, q = plain["probabilities"]["Effusion"], moved["probabilities"]["Effusion"]
        # Cohen et al., MIDL 2020, equation 1, with the operating point 0.3
        assert q == pytest.approx(p / 0.6 if p < 0.3 else 1 - (1 - p) / 1.4, abs=1e-6)


def test_a_second_call_is_refused_and_overwrites_if_told(run, refused, films, weights, tmp_path):
    words = ("predict", films, "--weights", weights, "--out", tmp_path / "a.csv")
    assert run(*words).code == 0
    assert "is there already. Pass another name, or --overwrite." in refused(*words)
    assert run(*words, "--overwrite").code == 0


def test_other_weights_do_not_go_on(refused, run, films, weights, tmp_path, monkeypatch):
    from xrdatasets.prediction.run import Run

    words = ("predict", films, "--out", tmp_path / "a.csv", "--weights")
    monkeypatch.setattr(Run, "go", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(*words, weights).code == 130
    monkeypatch.undo()
    make_classifier(1).save(tmp_path / "other.safetensors")
    message = refused(*words, tmp_path / "other.safetensors")
    assert "tiny.safetensors" in message
    assert "other.safetensors" in message
    assert "--overwrite" in message
    assert run(*words, weights).code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["films"], "Missing option '--weights'"),
        (["--weights", "tiny.safetensors"], "Missing argument 'PATH…'"),
        (["films", "--weights", "gone.safetensors"], "gone.safetensors"),
        (["films", "--weights", "densenet121-res225-all"], "densenet121-res224-all"),
        (["empty", "--weights", "tiny.safetensors"], "expected images, got none in 'empty'"),
        (["x*.png", "--weights", "tiny.safetensors"], "nothing matches 'x*.png'"),
        (["films", "--weights", "tiny.safetensors", "--out", "a.txt"], "ends in .csv, .json, .jsonl"),
        (["films", "--weights", "tiny.safetensors", "--batch-size", "0"], "batch_size: expected"),
        (["films", "--weights", "tiny.safetensors", "--limit", "0"], "limit: expected"),
        (["films", "--weights", "tiny.safetensors", "--device", "tpu"], "--device: expected auto or one of"),
        (["films", "--weights", "tiny.safetensors", "--device", "cpu:1"], "--device: expected"),
        (["films", "--weights", "tiny.safetensors", "--device", "cuda:99"], "--device: expected"),
        (
            ["films", "--weights", "tiny.safetensors", "--finding", "Mass"],
            "--finding: expected --heatmaps too",
        ),
        (
            ["films", "--weights", "tiny.safetensors", "--heatmaps", "m", "--finding", "Mass"],
            "'Mass' is not in",
        ),
        (
            ["films", "--weights", "tiny.safetensors", "--operating-points", "best"],
            "operating_points: expected",
        ),
    ],
)
def test_mistakes(refused, films, weights, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert message in refused("predict", *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_would_move_the_cursor(run, films, weights):
    path = write_png(films / "a\x1b[2J\nb.png")
    code, out, _ = run("predict", path, "--weights", weights)
    assert (code, "\x1b" in out) == (0, False)
    path.write_bytes(b"")
    code, _, err = run("predict", path, "--weights", weights)
    assert code == 1
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_an_interrupt_says_where_it_goes_on(process, films, weights, tmp_path):
    code = (
        "import signal, sys; from xrdatasets.cli import main; from xrdatasets.prediction import run\n"
        # a shell starts what it runs in the background with interrupts ignored, and children inherit that
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "whole = run.Run._predict\n"
        "def predict(self, batch):\n"
        "    done = whole(self, batch)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return done\n"
        "run.Run._predict = predict\n"
        "sys.exit(main.main(sys.argv[1:]))"
    )
    out = tmp_path / "a.csv"
    words = ("predict", films, "--weights", weights, "--out", out, "--batch-size", "3", "--workers", "2")
    done = process("-c", code, *words)
    assert (done.returncode, done.stdout) == (130, "")
    assert (
        done.stderr == f"interrupted: what is done is in {out}.part; the same command goes on from there.\n"
    )
    assert len(Path(f"{out}.part").read_text().splitlines()) == 4
    done = process("-m", "xrdatasets", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert pd.read_csv(out)["path"].tolist() == list(find_images(films).paths)
    assert not Path(f"{out}.part").exists()


def test_help_imports_nothing_heavy(process):
    code = (
        "import sys; from xrdatasets.cli.main import main; main(['predict', '--help']); "
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert "--heatmaps" in done.stdout


@pytest.mark.data
class TestRealFiles:
    @pytest.fixture
    def data(self):
        if not os.environ.get("XRDATASETS_DATA"):
            pytest.skip("XRDATASETS_DATA is not set")
        return Path(os.environ["XRDATASETS_DATA"])

    def test_nih_as_it_was_published(self, run, data, weights, tmp_path):
        root = data / "nih_original"
        images = sorted(path.name for path in root.rglob("*.png"))
        code, _, err = run("predict", root, "--weights", weights, "--out", tmp_path / "a.csv")
        assert (code, err) == (0, "")
        read = pd.read_csv(tmp_path / "a.csv")
        assert sorted(Path(path).name for path in read["path"]) == images
        assert read[list(FINDINGS)].notna().all(axis=None)
        assert not read.duplicated(list(FINDINGS)).any()

    def test_dicom(self, run, data, weights, tmp_path):
        paths = sorted((data / "fixtures").rglob("*.dcm"))
        code, out, err = run(
            "predict", *paths, "--weights", weights, "--json", "--heatmaps", tmp_path / "maps"
        )
        assert (code, err) == (0, "")
        assert json.loads(out)["images"] == len(paths) == len(list((tmp_path / "maps").iterdir()))
