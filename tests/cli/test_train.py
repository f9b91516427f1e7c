"""The command ``train``: from folders, packed files and phantoms to a classifier that ``predict`` takes."""

from __future__ import annotations

import json
import signal

import pytest

import xrdatasets as xr
from xrdatasets.training.recipe import Recipe

SMALL = (
    "--size", 16, "--epochs", 1, "--workers", 0, "--accelerator", "cpu",
    "--set", "model.backbone=mini", "--set", "model.backbone_options={width = 2}", "--set", "batches.size=4",
)  # fmt: skip

DRY = "--dry-run"


@pytest.fixture
def two(tmp_path):
    """A packed phantom, and a phantom that is drawn."""
    file = tmp_path / "a.h5"
    xr.pack(xr.Phantom(24, "A", size=16), file, size=16, workers=0)
    other = tmp_path / "c.h5"
    xr.pack(xr.Phantom(16, "C", size=16), other, size=16, workers=0)
    return ("--data", f"phantom={file}", "--data", f"phantom={other}")


def test_to_the_end_and_used(run, two, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--recipe", "luo2020", *two, "--out", out, *SMALL, "--set", "data.min_positives=1")
    code, said, err = run(*words)
    assert (code, err) == (0, "")
    assert f"Written to {out}.\nUse it: xrdatasets predict film.png --weights {out}" in said
    assert "Effusion" in said
    film = tmp_path / "film.png"
    from PIL import Image

    Image.new("L", (20, 20), 128).save(film)
    code, said, _ = run("predict", film, "--weights", out, "--workers", 0, "--json")
    assert code == 0
    assert "Effusion" in json.loads(said)["predictions"][0]["probabilities"]
    recipe = Recipe.load(out / "recipe.toml")
    assert recipe.model.backbone_options == {"width": 2}
    assert recipe.adversarial.strength == 0.03


def test_json(run, two, tmp_path):
    words = ("train", "--recipe", "baseline", *two, "--out", tmp_path / "run", *SMALL, "--seed", 3, "--json")
    code, said, _ = run(*words)
    told = json.loads(said)
    assert (code, told["command"], told["version"]) == (0, "train", 1)
    assert told["recipe"]["seed"] == 3
    assert told["trained"]["weights"] == str(tmp_path / "run" / "classifier.safetensors")
    assert set(told["trained"]["aucs"]) == {each["name"] for each in told["plan"]["findings"]}


class TestDryRun:
    def test_nothing_is_written(self, run, two, tmp_path):
        out = tmp_path / "run"
        code, said, err = run("train", "--recipe", "luo2020", *two, "--out", out, *SMALL, "--dry-run")
        assert (code, err, out.exists()) == (0, "", False)
        assert "Loss: known, ensembling, adversarial." in said
        assert "The classifier is for phantom_a." in said
        assert "Effusion" in said
        assert "Learning rate (steps): 0.0001." in said

    def test_json_has_counts_sets_and_steps(self, run, two, tmp_path):
        words = (
            "train",
            "--recipe",
            "luo2020",
            *two,
            "--out",
            tmp_path / "run",
            *SMALL,
            "--dry-run",
            "--json",
        )
        told = json.loads(run(*words).out)
        assert told["trained"] is None
        assert [each["name"] for each in told["plan"]["datasets"]] == ["phantom_a", "phantom_c"]
        findings = {each["name"]: each for each in told["plan"]["findings"]}
        assert findings["Effusion"]["set"] == "common"
        assert findings["Hernia"]["set"] == "internal"
        assert findings["Fracture"]["set"] == "external"
        assert told["plan"]["epochs"] == 1

    def test_options_win_over_the_recipe_and_settings_over_options(self, run, two, tmp_path):
        words = (
            "train",
            "--recipe",
            "luo2020",
            *two,
            "--out",
            tmp_path / "run",
            *SMALL,
            "--dry-run",
            "--json",
        )
        more = ("--set", "epochs=5", "--set", "adversarial.strength=0", "--space", "nih14")
        told = json.loads(run(*words, *more).out)
        assert told["plan"]["epochs"] == 5
        assert told["plan"]["pieces"] == ["known", "ensembling"]
        assert len(told["plan"]["findings"]) == 14

    def test_a_file_of_one_s_own(self, run, two, tmp_path):
        (tmp_path / "mine.toml").write_text('base = "luo2020"\nensembling = { hard = true }\n')
        words = ("--recipe", tmp_path / "mine.toml", *two, "--out", tmp_path / "run", *SMALL, "--dry-run")
        assert "Loss: known, hard labels, adversarial." in run("train", *words).out


class TestMistakes:
    def test_each_is_one_line(self, refused, two, tmp_path):
        words = ("train", *two, "--out", tmp_path / "run", *SMALL)
        assert "none of the name 'luo'" in refused(*words, "--recipe", "luo")
        assert "did you mean adversarial.strength" in refused(
            *words, "--recipe", "luo2020", "--set", "adversarial.strengths=0"
        )
        assert refused(*words, "--recipe", "luo2020", "--set", "epochs") == (
            "--set: expected KEY=VALUE, got 'epochs'. For example: --set adversarial.strength=0"
        )
        assert "precision: expected one of '32', 'bf16', '16'" in refused(
            *words, "--recipe", "luo2020", "--precision", "64"
        )
        assert "--missing: expected error or drop" in refused(
            *words, "--recipe", "luo2020", "--missing", "keep"
        )
        assert "model.head = 'branch'" in refused(*words, "--recipe", "luo2020", "--set", "model.head=linear")

    def test_the_size_of_a_packed_file(self, refused, two, tmp_path):
        said = refused("train", "--recipe", "luo2020", *two, "--out", tmp_path / "run")
        assert said.endswith("as the recipe's data.size says, got 16. Pass --size.")

    def test_a_finished_training(self, run, refused, two, tmp_path):
        words = ("train", "--recipe", "baseline", *two, "--out", tmp_path / "run", *SMALL)
        assert run(*words).code == 0
        assert refused(*words).endswith("has a finished training. Pass --overwrite to begin anew.")
        assert run(*words, "--overwrite").code == 0

    def test_an_interrupt_says_how_to_go_on(self, run, two, tmp_path, monkeypatch):
        import xrdatasets.training.run

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(xrdatasets.training.run, "train", interrupted)
        handler = signal.getsignal(signal.SIGINT)
        code, _, err = run("train", "--recipe", "baseline", *two, "--out", tmp_path / "run", *SMALL)
        assert code == 130
        assert "the same command with --resume goes on" in err
        assert signal.getsignal(signal.SIGINT) is handler


def test_recipes_are_listed(run):
    code, said, _ = run("list", "recipes")
    assert code == 0
    assert "luo2020" in said
    items = json.loads(run("list", "recipes", "--json").out)["items"]
    assert [item["name"] for item in items] == [
        "assemble2023",
        "baseline",
        "cohen2020",
        "luo2020",
        "pham2019",
    ]
    assert items[3]["recipe"]["ensembling"]["weight"] == 30.0
