"""Operating points of published weights: what holds of all, and what a wrong table is told."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal

import pytest

from xrdatasets.errors import MappingError
from xrdatasets.models.weights import points_table
from xrdatasets.models.weights.points_table import COLUMNS, has_corrected_points, points_of
from xrdatasets.models.weights.weights_table import weights_entries, weights_entry
from xrdatasets.resources import mappings, read_rows

PICKLED = [entry for entry in weights_entries() if entry.format != "safetensors"]
ids = pytest.mark.parametrize("entry", PICKLED, ids=lambda entry: entry.name)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put other operating points in place of those of ``rsna``, which has two findings."""
    (tmp_path / "operating_points").mkdir()
    entry = weights_entry("rsna")

    def write(*rows):
        file = tmp_path / "operating_points" / f"{entry.name}.csv"
        file.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
        monkeypatch.setattr(points_table, "mappings", lambda: tmp_path)
        points_table._table.cache_clear()
        return entry

    yield write
    monkeypatch.undo()
    points_table._table.cache_clear()


@ids
def test_every_finding_that_was_trained_has_a_point_between_0_and_1(entry):
    points = points_of(entry)
    assert tuple(points) == entry.trained
    assert all(0 < point < 1 for point in points.values())


@ids
def test_the_corrected_points_are_the_logits_of_the_published(entry):
    """The inverse of sigmoid(p): p = ln(t / (1 - t)), from the decimal digits of the table."""
    for row in read_rows(mappings() / "operating_points" / f"{entry.name}.csv", COLUMNS):
        if row.cells["corrected"]:
            published = Decimal(row.cells["published"])
            logit = (published / (1 - published)).ln()
            assert abs(Decimal(row.cells["corrected"]) - logit) < Decimal("1e-7")


def test_only_the_resnet_has_corrected_points():
    """Values of a second sigmoid lie above a half: sigmoid(0) = 1/2 and sigmoid(1) = 0.731."""
    assert [entry.name for entry in PICKLED if has_corrected_points(entry)] == ["resnet50-res512-all"]
    for entry in PICKLED:
        doubled = all(1 / 2 < point < 1 / (1 + math.exp(-1)) for point in points_of(entry).values())
        assert doubled == has_corrected_points(entry)


def test_points_of_torchxrayvision():
    """As `op_threshs` of models.py in torchxrayvision 1.5.7 has them."""
    assert points_of(weights_entry("all"))["Pneumothorax"] == 0.0098118475
    assert points_of(weights_entry("nih"))["Hernia"] == 0.0004403434
    assert points_of(weights_entry("rsna")) == {"Pneumonia": 0.13486601, "Lung Opacity": 0.13511065}
    assert points_of(weights_entry("resnet50-res512-all"))["Effusion"] == 0.51862943


def test_where_nothing_is_corrected_it_is_said():
    with pytest.raises(ValueError, match=r"densenet121-res224-all: its published .* need no correction"):
        points_of(weights_entry("all"), "corrected")


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected 'published' or 'corrected', got 'best'"):
        points_of(weights_entry("all"), "best")


def test_the_dict_is_the_callers_own():
    points_of(weights_entry("rsna")).clear()
    assert len(points_of(weights_entry("rsna"))) == 2


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        (["Hernia,0.5,,x"], 2, "each finding once, of those that densenet121-res224-rsna was trained on"),
        (["Pneumonia,0.5,,x", "Pneumonia,0.4,,x"], 3, "each finding once, of those"),
        (["Pneumonia,0.5,,"], 2, "expected a source, got ''"),
        (["Pneumonia,0,,x"], 2, "expected published to be a number above 0 and below 1, got '0'"),
        (["Pneumonia,0.000,,x"], 2, "expected published to be a number above 0 and below 1, got '0.000'"),
        (["Pneumonia,1.0,,x"], 2, "expected published to be a number above 0 and below 1, got '1.0'"),
        (["Pneumonia,nan,,x"], 2, "expected published to be a number above 0 and below 1, got 'nan'"),
        (["Pneumonia,0.5,-0.1,x"], 2, "expected corrected to be a number above 0 and below 1, got '-0.1'"),
        (["Pneumonia,0.5,,x"], 2, "expected a row for Lung Opacity, got the end"),
        (["Pneumonia,0.5,0.1,x", "Lung Opacity,0.5,,y"], 3, "corrected to be filled in all rows or in none"),
    ],
)
def test_a_wrong_row_is_named(table, rows, line, message):
    entry = table(*rows)
    with pytest.raises(MappingError, match=rf"rsna\.csv, line {line}: ") as caught:
        points_of(entry)
    assert message in str(caught.value).replace("'the end of the file'", "the end")


def test_weights_without_a_table_are_named():
    entry = dataclasses.replace(weights_entry("rsna"), name="nothing")
    with pytest.raises(MappingError, match=r"nothing\.csv: cannot be read"):
        points_of(entry)
