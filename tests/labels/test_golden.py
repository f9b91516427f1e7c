"""The cells that define what a code is: one test each, written out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.labels.cells import chexpert_rows, google_rows, nih_rows, word
from xrdatasets.labels import U_IGNORE, LabelTable

SOURCES = {
    ("nih", "Effusion|Hernia"): nih_rows("Effusion|Hernia"),
    ("nih", "No Finding"): nih_rows("No Finding"),
    ("chexpert", "No Finding=1"): chexpert_rows({"No Finding": 1}),
    ("chexpert", "Pleural Effusion=-1"): chexpert_rows({"Pleural Effusion": -1}),
    ("chexpert", "No Finding=1, Pleural Effusion=-1"): chexpert_rows(
        {"No Finding": 1, "Pleural Effusion": -1}
    ),
    ("chexpert", "blank"): chexpert_rows({}),
    ("nih_google", "Nodule or mass=YES"): google_rows({"Nodule or mass": "YES"}),
    ("nih_google", "Nodule or mass=NO"): google_rows({"Nodule or mass": "NO"}),
    ("kermany", "NORMAL"): pd.DataFrame({"label": ["NORMAL"]}),
    ("kermany", "PNEUMONIA"): pd.DataFrame({"label": ["PNEUMONIA"]}),
    ("hannover", "any"): pd.DataFrame({"image_id": ["fff13f3a"]}),
}
COLUMNS = ("Nodule", "Effusion", "Hernia", "Support Devices")
GOLDEN = {
    ("nih", "Effusion|Hernia"): "0 1 1 N",
    ("nih", "No Finding"): "0 0 0 N",
    ("chexpert", "No Finding=1"): "N 0 N U",
    ("chexpert", "Pleural Effusion=-1"): "N -1 N U",
    ("chexpert", "No Finding=1, Pleural Effusion=-1"): "N -1 N U",
    ("chexpert", "blank"): "N U N U",
    ("nih_google", "Nodule or mass=YES"): "N N N N",
    ("nih_google", "Nodule or mass=NO"): "0 N N N",
    ("kermany", "NORMAL"): "N N N N",
    ("kermany", "PNEUMONIA"): "N N N N",
    ("hannover", "any"): "N N N N",
}
MORE = (
    ("nih", "Effusion|Hernia", "Mass", "0"),
    ("nih", "Effusion|Hernia", "Lung Opacity", "N"),
    ("nih", "Effusion|Hernia", "Pleural Other", "N"),
    ("nih", "No Finding", "Pleural_Thickening", "0"),
    ("nih", "No Finding", "Fracture", "N"),
    ("nih", "No Finding", "Enlarged Cardiomediastinum", "N"),
    ("chexpert", "No Finding=1", "Lung Opacity", "0"),
    ("chexpert", "No Finding=1", "Fracture", "0"),
    ("chexpert", "No Finding=1", "Pleural Other", "0"),
    ("chexpert", "No Finding=1", "Pleural_Thickening", "N"),
    ("chexpert", "No Finding=1", "Mass", "N"),
    ("chexpert", "Pleural Effusion=-1", "Edema", "U"),
    ("chexpert", "No Finding=1, Pleural Effusion=-1", "Edema", "0"),
    ("chexpert", "blank", "Lung Lesion", "U"),
    ("chexpert", "blank", "Emphysema", "N"),
    ("nih_google", "Nodule or mass=YES", "Mass", "N"),
    ("nih_google", "Nodule or mass=YES", "Lung Lesion", "N"),
    ("nih_google", "Nodule or mass=YES", "Fracture", "0"),
    ("nih_google", "Nodule or mass=NO", "Mass", "0"),
    ("nih_google", "Nodule or mass=NO", "Lung Opacity", "0"),
    ("nih_google", "Nodule or mass=NO", "Pneumonia", "N"),
    ("kermany", "NORMAL", "Pneumonia", "0"),
    ("kermany", "PNEUMONIA", "Pneumonia", "1"),
    ("kermany", "NORMAL", "Consolidation", "N"),
    ("hannover", "any", "Pneumonia", "N"),
)
CELLS = [
    (dataset, source, label, cell)
    for (dataset, source), line in GOLDEN.items()
    for label, cell in zip(COLUMNS, line.split(), strict=True)
] + list(MORE)


def golden(function):
    ids = [f"{dataset}:{source}:{label}" for dataset, source, label, _ in CELLS]
    return pytest.mark.parametrize(("dataset", "source", "label", "cell"), CELLS, ids=ids)(function)


def in_union20(dataset, source):
    return LabelTable.load(dataset).apply(SOURCES[dataset, source]).relabel("union20")


@golden
def test_golden_cell(dataset, source, label, cell):
    matrix = in_union20(dataset, source)
    column = matrix.space.labels.index(label)
    code, fillable = matrix.codes[0, column], matrix.unmentioned[0, column]
    assert str(code) == {"1": "1.0", "0": "0.0", "-1": "-1.0", "U": "nan", "N": "nan"}[cell]
    assert fillable == (cell == "U")


@golden
def test_unmentioned_zero_fills_u_and_nothing_else(dataset, source, label, cell):
    matrix = in_union20(dataset, source)
    target = matrix.targets(U_IGNORE.with_unmentioned(0.0))[0, matrix.space.labels.index(label)]
    assert str(target) == {"1": "1.0", "0": "0.0", "-1": "nan", "U": "0.0", "N": "nan"}[cell]


@pytest.mark.parametrize(
    ("dataset", "source", "cell"),
    [("hannover", "any", "1"), ("chexpert", "No Finding=1", "N"), ("nih", "No Finding", "N")],
)
def test_golden_cell_of_covid_19(dataset, source, cell):
    matrix = LabelTable.load(dataset).apply(SOURCES[dataset, source]).relabel("bundled21")
    assert word(matrix, "COVID-19") == cell


@pytest.mark.parametrize(
    ("dataset", "source", "cell"),
    [
        ("nih", "No Finding", "1"),
        ("nih", "Effusion|Hernia", "0"),
        ("chexpert", "No Finding=1", "1"),
        ("chexpert", "blank", "U"),
        ("kermany", "NORMAL", "N"),
        ("hannover", "any", "N"),
    ],
)
def test_golden_cell_of_no_finding(dataset, source, cell):
    assert word(LabelTable.load(dataset).apply(SOURCES[dataset, source]), "No Finding") == cell
