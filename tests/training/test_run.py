"""A training from datasets to a file: what is written, what is refused, and what the classifier knows."""

import csv
import json
import tomllib

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import xrdatasets as xr
from tests.training.small import hospitals, recipe
from xrdatasets.errors import EmptyDatasetError
from xrdatasets.models import load
from xrdatasets.training.gathering import Gathered
from xrdatasets.training.plan import Plan
from xrdatasets.training.recipe import Recipe
from xrdatasets.training.run import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A luo2020 training of two epochs."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return train(recipe(epochs=2), hospitals(), out, workers=0, accelerator="cpu")


class TestWhatIsWritten:
    def test_the_files(self, run):
        files = {path.relative_to(run.out).as_posix() for path in run.out.rglob("*") if path.is_file()}
        assert files == {
            "classifier.safetensors", "recipe.toml", "metrics.csv", "provenance.json",
            "checkpoints/last.ckpt", "checkpoints/best.ckpt",
        }  # fmt: skip

    def test_the_recipe_is_resolved(self, run):
        assert Recipe.load(run.out / "recipe.toml") == recipe(epochs=2)
        assert tomllib.loads((run.out / "recipe.toml").read_text())["adversarial"]["strength"] == 0.03

    def test_one_row_of_figures_for_each_epoch(self, run):
        with (run.out / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        # 24 or fewer training images of A, 4 at a time; the discriminators' steps are not counted
        steps = -(-run.classifier.card.provenance["data"][0]["train"] // 4)
        assert [int(row["step"]) for row in rows] == [steps, 2 * steps]
        assert float(rows[0]["train/ensembling"]) == 0.0  # there is no earlier epoch yet
        assert all(float(row["train/discriminators"]) > 0 for row in rows)
        assert {"learning_rate", "seconds", "validation/auc", "validation/auc/Effusion"} <= set(rows[0])

    def test_where_it_comes_from(self, run):
        story = json.loads((run.out / "provenance.json").read_text())
        assert story == run.classifier.card.provenance
        assert [each["name"] for each in story["data"]] == ["phantom_a", "phantom_c"]
        assert story["versions"]["torch"] == torch.__version__
        assert "labels/phantom_a.csv" in story["mappings"]
        assert all(len(digest) == 64 for digest in story["mappings"].values())
        assert story["parts"][0]["policy"] == "U-Ones, unmentioned=0"
        assert str(run.out) not in json.dumps(story)

    def test_the_file_is_the_classifier(self, run):
        read, image = load(run.out), torch.rand(2, 1, 16, 16) * 2000 - 1000
        torch.testing.assert_close(read(image), run.classifier(image), equal_nan=True)
        assert read.card.recipe == "luo2020"
        assert read.inputs.size == 16


class TestClassifier:
    def test_outputs_count_as_trained_from_so_many_positives_on(self, run):
        data = run.classifier.card.provenance["data"]
        for name, trained in zip(run.classifier.pathologies, run.classifier.trained.tolist(), strict=True):
            positive, negative = (sum(each[side][name] for each in data) for side in ("positive", "negative"))
            assert trained == (positive >= 2 and negative > 0)
        assert 0 < run.classifier.trained.sum() < len(run.classifier.pathologies)

    def test_figures_and_operating_points_are_those_of_its_own_predictions(self, run):
        data = Gathered.of(recipe(epochs=2), hospitals())
        images = torch.stack([sample["img"] for sample in data.validation])
        scores = run.classifier.probabilities(images).detach().numpy()
        for column, name in enumerate(run.classifier.pathologies):
            known = ~np.isnan(data.truth[:, column])
            classes = set(data.truth[known, column].tolist())
            if classes == {0.0, 1.0}:
                wanted = roc_auc_score(data.truth[known, column], scores[known, column])
                assert run.aucs[name] == pytest.approx(wanted, abs=1e-12)
            else:
                assert np.isnan(run.aucs[name])
            point = run.classifier.operating_points[column].item()
            there = classes == {0.0, 1.0} and bool(run.classifier.trained[column])
            assert np.isnan(point) != there
            assert not there or np.isclose(scores[known, column], point, atol=1e-6).any()
        assert run.score == pytest.approx(np.nanmean(list(run.aucs.values())))
        told = run.classifier.card.metrics["validation"]
        assert told["auc"] == pytest.approx(run.score)

    def test_it_is_the_best_epoch_s(self, run):
        with (run.out / "metrics.csv").open() as file:
            scores = [float(row["validation/auc"]) for row in csv.DictReader(file)]
        assert scores[run.best_epoch - 1] == max(scores)
        assert run.score == pytest.approx(max(scores), abs=1e-6)


class TestFolder:
    def test_a_finished_training_is_refused(self, run):
        for resume in (False, True):
            with pytest.raises(ValueError, match=r"has a finished training\. Pass overwrite=True"):
                train(recipe(epochs=2), hospitals(), run.out, resume=resume, workers=0)

    def test_a_folder_of_something_else_is_refused_and_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years")
        for options in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(ValueError, match="has other files"):
                train(recipe(), hospitals(), tmp_path, **options)
        assert (tmp_path / "thesis.txt").read_text() == "years"

    def test_overwrite_removes_what_a_training_wrote_alone(self, tmp_path):
        (tmp_path / "recipe.toml").write_text("")
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / "classifier.safetensors").write_text("old")
        done = train(recipe("baseline", epochs=1), hospitals(), tmp_path, overwrite=True, workers=0)
        assert (tmp_path / "notes.txt").read_text() == "mine"
        assert load(tmp_path).card.name == "baseline"
        assert done.epochs == 1

    def test_a_file_in_its_place(self, tmp_path):
        (tmp_path / "run").write_text("")
        with pytest.raises(ValueError, match="is no folder"):
            train(recipe(), hospitals(), tmp_path / "run")

    def test_both_words(self, tmp_path):
        with pytest.raises(ValueError, match="one of the two, got both"):
            train(recipe(), hospitals(), tmp_path, resume=True, overwrite=True)


class TestDevices:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"accelerator": "abacus"}, "devices that are here, got devices=1, accelerator='abacus'"),
            ({"devices": 0}, "devices: expected a whole number of at least 1, got 0"),
            ({"workers": -1}, "workers: expected a whole number of at least 0, got -1"),
        ],
        ids=["accelerator", "devices", "workers"],
    )
    def test_what_is_not_here_is_refused(self, options, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            train(recipe("baseline"), hospitals(), tmp_path / "run", **{"workers": 0} | options)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
    def test_a_gpu_that_is_not_here(self, tmp_path):
        with pytest.raises(ValueError, match="devices that are here, got devices=1, accelerator='gpu'"):
            train(recipe("baseline"), hospitals(), tmp_path / "run", workers=0, accelerator="gpu")

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    @pytest.mark.parametrize("precision", ["32", "bf16", "16"])
    def test_on_a_gpu(self, precision, tmp_path):
        chosen = recipe(precision=precision, epochs=2, optimiser__clip=1.0, batches__accumulate=2)
        done = train(chosen, hospitals(), tmp_path / "run", workers=0, accelerator="gpu")
        assert done.epochs == 2


class TestRecipes:
    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            ("baseline", {}),
            ("cohen2020", {}),
            ("cohen2020", {"model__head": "per_dataset", "alignment__strength": 0.1}),
            ("pham2019", {"conditional__first": 1, "epochs": 2}),
            ("assemble2023", {"assemble__warm_up": 0, "optimiser__patience": 0}),
            ("luo2020", {"adversarial__mode": "reversal", "ensembling__hard": True, "model__channels": 3}),
            ("luo2020", {"adversarial__kind": "holistic", "model__head": "per_dataset"}),
            ("luo2020", {"optimiser__clip": 0.1, "batches__accumulate": 2, "precision": "bf16"}),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
    )
    def test_each_trains_to_its_end(self, name, changes, tmp_path):
        chosen = recipe(name, **{"epochs": 1} | changes)
        done = train(chosen, hospitals(), tmp_path / "run", workers=0, accelerator="cpu")
        image = torch.zeros(1, 1, 16, 16)
        assert load(done.out)(image).shape == (1, len(done.classifier.pathologies))

    def test_accumulation_makes_fewer_steps(self, tmp_path):
        chosen = recipe("baseline", epochs=1, batches__accumulate=3)
        train(chosen, hospitals(), tmp_path / "run", workers=0, accelerator="cpu")
        with (tmp_path / "run" / "metrics.csv").open() as file:
            steps = int(next(csv.DictReader(file))["step"])
        assert steps == Plan.of(chosen, hospitals()).steps

    def test_training_ends_early_where_nothing_rises(self, tmp_path):
        chosen = recipe("baseline", epochs=9, optimiser__stopping=1, optimiser__learning_rate=1e-12)
        done = train(chosen, hospitals(), tmp_path / "run", workers=0, accelerator="cpu")
        assert 2 <= done.epochs < 9

    def test_workers_bring_the_same_batches(self, tmp_path):
        states = []
        for workers in (0, 2):
            chosen = recipe("baseline", epochs=1)
            done = train(chosen, hospitals(), tmp_path / str(workers), workers=workers, accelerator="cpu")
            states.append(done.classifier.network.state_dict())
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, rtol=0, atol=0)


class TestGathered:
    def test_no_patient_is_on_both_sides(self):
        data = Gathered.of(recipe(), hospitals(60, 40))
        train_, validation = (set(side.table["patient_id"]) for side in (data.train, data.validation))
        assert train_
        assert validation
        assert not train_ & validation
        assert sum(data.counts.images) == len(data.train)
        assert len(data.train) + len(data.validation) == 100

    def test_only_the_internal_dataset(self):
        data = Gathered.of(recipe(data__joint=False, data__internal=1), hospitals())
        assert data.counts.datasets == ("phantom_c",)
        assert set(data.train.table["dataset"]) == {"phantom_c"}

    def test_one_space_for_all_in_the_order_of_the_datasets(self):
        first, second = hospitals()
        labels = Gathered.of(recipe(), [first, second]).counts.space.labels
        natives = [*first.relabel("native").pathologies, *second.relabel("native").pathologies]
        assert labels == tuple(dict.fromkeys(natives))

    def test_own_validation_and_test_splits_are_kept(self, fake):
        kermany, phantom = xr.Kermany(fake("kermany"), size=16), hospitals()[0]
        words = kermany.table["split"]
        assert set(words) == {"train", "test", "val"}
        data = Gathered.of(recipe("baseline"), [phantom, kermany])
        assert set(data.train.table["split"].dropna()) == {"train"}
        assert set(data.validation.table["split"].dropna()) == {"val"}
        assert data.held_out == (words == "test").sum()
        assert (data.validation.table["split"] == "val").sum() == (words == "val").sum()
        assert data.validation.table["split"].isna().any()

    def test_a_dataset_that_was_opened_as_its_test_split_takes_part(self, fake):
        data = Gathered.of(
            recipe("baseline"), [hospitals()[0], xr.Kermany(fake("kermany"), split="test", size=16)]
        )
        assert data.held_out == 0

    def test_uncertain_labels_are_no_truth(self):
        data = Gathered.of(recipe("pham2019", data__validation=0.5), hospitals(10, 60))
        codes = data.validation.codes
        assert (codes == -1).any()
        assert np.isnan(data.truth[codes == -1]).all()
        assert set(np.unique(data.truth[~np.isnan(data.truth)])) == {0.0, 1.0}

    def test_another_size_than_the_recipe_s(self):
        with pytest.raises(ValueError, match=r"phantom_a: expected images of 16 x 16, as"):
            Gathered.of(recipe(), [xr.Phantom(10, size=32)])

    def test_no_such_internal_dataset(self):
        with pytest.raises(ValueError, match=r"data\.internal: expected the number of a dataset, 0 to 1"):
            Gathered.of(recipe(data__internal=2), hospitals())

    def test_one_patient_is_not_enough(self):
        with pytest.raises((ValueError, EmptyDatasetError)):
            Gathered.of(recipe(), [xr.Phantom(1, size=16)])

    def test_a_dataset_that_is_joined_already_is_one(self):
        one, other = hospitals()
        data = Gathered.of(recipe(), [one, xr.concat([other, xr.Phantom(10, "B", size=16)])])
        assert data.counts.datasets == ("phantom_a", "phantom_c+phantom_b")
        assert data.counts.parts == (0, 1, 1)
        assert len(data.counts.images) == 2

    def test_the_same_twice_has_two_names(self):
        one, _ = hospitals()
        data = Gathered.of(recipe(), [one, xr.Phantom(20, size=16, seed=1)])
        assert data.counts.datasets == ("phantom_a_1", "phantom_a_2")


def test_the_plan_is_what_happens(run):
    plan = Plan.of(recipe(epochs=2), hospitals())
    assert plan.pieces == ["known", "ensembling", "adversarial"]
    assert plan.parameters == sum(each.numel() for each in run.classifier.network.parameters())
    assert plan.steps == -(-plan.datasets[0]["train"] // 4)
    assert [each["name"] for each in plan.findings if each["trained"]] == [
        name
        for name, trained in zip(run.classifier.pathologies, run.classifier.trained.tolist(), strict=True)
        if trained
    ]
    weights = {each["set"]: each["task_weight"] for each in plan.findings}
    assert weights == {"common": 3.0, "internal": 1.0, "external": 1.0}
    json.dumps(plan.as_dict(), allow_nan=False)
