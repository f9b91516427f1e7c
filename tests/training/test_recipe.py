"""Recipes: the papers' numbers, overrides, files, and errors that name the key."""

import dataclasses
import re
import tomllib

import pytest

import xrdatasets as xr
from xrdatasets.errors import LabelNotFoundError
from xrdatasets.training.recipe import Recipe, recipe_names
from xrdatasets.training.recipe_values import to_toml

NAMES = ("assemble2023", "baseline", "cohen2020", "luo2020", "pham2019")


def keys(recipe):
    """All values by dotted key."""
    document = recipe.as_dict()
    flat = {name: value for name, value in document.items() if not isinstance(value, dict)}
    for section, table in document.items():
        if isinstance(table, dict):
            flat |= {f"{section}.{name}": value for name, value in table.items()}
    return flat


def test_all_recipes_are_there():
    assert recipe_names() == NAMES


class TestPapers:
    """The numbers that the papers print."""

    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            (
                "luo2020",
                {
                    "epochs": 8, "data.size": 320, "model.backbone": "denseibn121", "model.head": "branch",
                    "loss.task_weight": "luo", "loss.common": 3.0, "loss.positive_weight": True,
                    "loss.reduction": "luo", "adversarial.strength": 0.03, "adversarial.mode": "alternating",
                    "ensembling.weight": 30.0, "ensembling.momentum": 0.9, "batches.equal": True,
                    "batches.size": 16, "optimiser.learning_rate": 1e-4, "optimiser.milestones": [3, 6],
                    "optimiser.factor": 0.1, "batches.view": "flip", "data.policy": "U-Ones",
                    "data.unmentioned": "negative",
                },
            ),
            (
                "pham2019",
                {
                    "epochs": 10, "data.space": "chexpert14", "model.head": "conditional",
                    "conditional.first": 5, "conditional.closure": True, "data.policy": "U-Ones+LSR",
                    "batches.size": 32, "optimiser.learning_rate": 1e-4, "optimiser.milestones": [1, 2, 3, 4],
                    "optimiser.factor": 0.1, "data.views": ["PA", "AP"],
                },
            ),
            (
                "assemble2023",
                {
                    "epochs": 64, "model.head": "class_query", "model.head_options": {"init": "paper"},
                    "assemble.pseudo": 1.0, "assemble.consistency": 1.0, "assemble.warm_up": 5,
                    "assemble.threshold": 0.5, "assemble.temperature": 4.0, "optimiser.learning_rate": 2e-4,
                    "optimiser.schedule": "plateau", "optimiser.factor": 0.5, "optimiser.patience": 5,
                    "optimiser.stopping": 10,
                },
            ),
            (
                "cohen2020",
                {
                    "data.space": "xrv18", "loss.reduction": "cohen", "loss.task_weight": "cohen",
                    "batches.size": 64, "batches.view": "cohen", "optimiser.learning_rate": 1e-3,
                    "optimiser.weight_decay": 1e-5, "optimiser.amsgrad": True, "data.policy": "U-Ignore",
                },
            ),
        ],
    )  # fmt: skip
    def test_numbers(self, name, wanted):
        found = keys(Recipe.load(name))
        assert {key: found[key] for key in wanted} == wanted

    def test_a_dataset_is_opened_as_the_paper_did(self):
        options = Recipe.load("luo2020").opening()
        assert options == {"size": 320, "views": "*", "policy": xr.U_ONES.with_unmentioned(0.0)}
        assert Recipe.load("pham2019").opening()["policy"].uncertain == (0.55, 0.85)


class TestOverride:
    @pytest.mark.parametrize("name", NAMES)
    def test_each_value_alone(self, name):
        """Every key can be written, and moves nothing else (the options of a head go with it)."""
        recipe = Recipe.load(name)
        for key, value in keys(recipe).items():
            assert recipe.override({key: value}) == recipe
        changed = keys(recipe.override({"epochs": 3, "optimiser.clip": 1}))
        before = keys(recipe)
        assert {key for key in changed if changed[key] != before[key]} == {"epochs", "optimiser.clip"}

    def test_the_recipe_itself_stays(self):
        recipe = Recipe.load("luo2020")
        recipe.override({"adversarial.strength": 0, "model.backbone_options.growth": 8})
        assert recipe == Recipe.load("luo2020")

    def test_options_of_the_network(self):
        recipe = Recipe().override({"model.backbone": "mini", "model.backbone_options.width": 4})
        assert recipe.model.backbone_options == {"width": 4}

    def test_another_head_does_not_inherit_the_old_one_s_options(self):
        recipe = Recipe.load("assemble2023").override({"model.head": "linear"})
        assert recipe.model.head_options == {}

    def test_whole_numbers_are_floats_where_those_are_expected(self):
        assert type(Recipe().override({"optimiser.learning_rate": 1}).optimiser.learning_rate) is float

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"adversarial.kinds": 1}, "no key 'adversarial.kinds'; did you mean adversarial.kind"),
            ({"strength": 1}, r"no key 'strength'; did you mean .*\.strength"),
            ({"adversarial": 1}, "no key 'adversarial'"),
            ({"model.backbone.width": 1}, "no key 'model.backbone.width'"),
            ({"epochs": 0}, "epochs: expected a whole number at least 1, for example 8, got 0"),
            ({"epochs": True}, "epochs: expected a whole number at least 1, for example 8, got True"),
            ({"epochs": 1.5}, "epochs: expected a whole number at least 1, for example 8, got 1.5"),
            ({"loss.reduction": "mean"}, "loss.reduction: expected one of 'entry', 'luo', 'cohen', 'sum'"),
            ({"ensembling.weight": -1}, "ensembling.weight: expected a number at least 0"),
            ({"ensembling.momentum": 1.0}, "ensembling.momentum: expected a number at least 0 at most"),
            ({"optimiser.learning_rate": 0}, "optimiser.learning_rate: expected a number above 0"),
            ({"optimiser.learning_rate": float("nan")}, "optimiser.learning_rate: expected a number above 0"),
            ({"optimiser.milestones": ["a"]}, "optimiser.milestones: expected a list, each a whole number"),
            ({"data.joint": 1}, "data.joint: expected true or false"),
            ({"model.head_options": 3}, "model.head_options: expected a table of options"),
            ({"model.backbone": "densnet121"}, "model.backbone: .* did you mean densenet121"),
            ({"model.channels": 2}, "model.channels: expected 1 or 3"),
            ({"data.space": "nih15"}, "data.space: no label space is called 'nih15'; did you mean nih14"),
            ({"adversarial.strength": 0.1}, "'task' needs model.head = 'branch'"),
            ({"alignment.strength": 0.1}, "alignment.strength is for model.head = 'per_dataset'"),
            (
                {"ensembling.hard": True, "model.head": "per_dataset"},
                "ensembling.hard does not go with model.head = 'per_dataset'",
            ),
            ({"loss.kind": "asymmetric", "loss.positive_weight": True}, "asymmetric' has neither"),
            ({"assemble.consistency": 1.0}, "set batches.view = 'weak'"),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_errors_name_the_key(self, changes, message):
        with pytest.raises(ValueError, match=message):
            Recipe().override(changes)

    def test_an_unknown_policy_is_refused_at_once(self):
        with pytest.raises(LabelNotFoundError, match="no policy is called 'U-Ons'"):
            Recipe().override({"data.policy": "U-Ons"})


class TestFiles:
    @pytest.mark.parametrize("name", NAMES)
    def test_what_is_written_is_read_back(self, name, tmp_path):
        recipe = Recipe.load(name).override(
            {
                "assemble.temperature": float("inf"),
                "data.space": ["Mass", "Effusion"],
                "description": 'é "\\"\n',
            }
        )
        path = tmp_path / "recipe.toml"
        path.write_text(recipe.to_toml(), encoding="utf-8")
        assert Recipe.load(path) == recipe

    def test_a_file_says_what_differs_from_its_base(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text('base = "luo2020"\n[adversarial]\nstrength = 0.1\n')
        recipe = Recipe.load(str(path))
        assert recipe == Recipe.load("luo2020").override({"name": "mine", "adversarial.strength": 0.1})

    def test_no_toml(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text("epochs = = 3")
        with pytest.raises(ValueError, match=re.escape(f"recipe {str(path)!r}: expected TOML, got a file")):
            Recipe.load(path)

    def test_no_such_recipe(self):
        with pytest.raises(ValueError, match="none of the name 'luo2021'; did you mean luo2020"):
            Recipe.load("luo2021")

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            Recipe.load(tmp_path / "absent.toml")

    def test_toml_has_no_word_for_none(self):
        with pytest.raises(ValueError, match="TOML has no value for None"):
            to_toml({"name": None})

    def test_odd_keys_and_nested_tables(self):
        document = {"a b": 1, "c": {"d e": {"f": [1.5, True]}}}
        assert tomllib.loads(to_toml(document)) == document


def test_every_value_is_documented():
    """Each field of a section stands in its docstring."""
    sections = [Recipe(), *(getattr(Recipe(), each.name) for each in dataclasses.fields(Recipe))]
    for section in filter(dataclasses.is_dataclass, sections):
        for each in dataclasses.fields(section):
            assert f"        {each.name}: " in f"    {type(section).__doc__}", (type(section), each.name)
