"""Stony Brook (RALO): a title above the table, images named by row, two experts under one head."""

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import stonybrook_covid as fake

NAN = np.nan
TITLE = "RALO Dataset"


@pytest.fixture
def root(tmp_path):
    return fake.write(tmp_path / "ralo")


def rewrite(root, *rows):
    fakes.write_table(root / "ralo-dataset-metadata.csv", TITLE, fake.HEAD, *rows)


def test_the_title_is_skipped_and_both_experts_count(root):
    table = xr.StonyBrookCOVID(root).table
    assert table["geographic_extent"].tolist() == [5, 0, 0.5, 8]
    assert table["opacity"].tolist() == [4.5, 0, 0.5, 7]
    assert table["opacity_expert1"].tolist() == [4, 0, 0, 7]
    np.testing.assert_array_equal(table["opacity_expert2"], [5, 0, 1, NAN])
    np.testing.assert_array_equal(table["geographic_extent_expert2"], [5, 0, 1, NAN])


def test_lung_opacity_where_either_expert_saw_any(root):
    ds = xr.StonyBrookCOVID(root, space=["Lung Opacity", "COVID-19", "Pneumonia"])
    expected = [[1, 1, NAN], [0, 1, NAN], [1, 1, NAN], [1, 1, NAN]]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))


def test_a_row_without_scores_stays_unknown(root):
    rewrite(root, fake.ROWS[0], "A009,20200501_000000" + "," * 15)
    ds = xr.StonyBrookCOVID(root, space=["Lung Opacity", "COVID-19"])
    np.testing.assert_array_equal(ds.codes, np.array([[1, 1], [NAN, 1]], dtype=np.float32))
    assert np.isnan(ds.table["opacity"][1])


def test_rows_keep_their_number_when_others_are_left_out(root):
    (root / "CXR_images_scored" / "1.jpg").unlink()
    ds = xr.StonyBrookCOVID(root, missing="drop", size=16)
    assert ds.table["image_id"].tolist() == ["0", "2", "3"]
    assert ds.image_source(ds.table.iloc[1]).name == "2.jpg"
    last = xr.StonyBrookCOVID(root, missing="drop", one_per_patient=True)
    assert last.table["image_id"].tolist() == ["0", "2", "3"]
    assert ds.select([2]).table["opacity"].tolist() == [7]


def test_all_views_are_ap(root):
    assert xr.StonyBrookCOVID(root).table["view"].tolist() == ["AP"] * 4
    with pytest.raises(xr.EmptyDatasetError, match=r"The table has: AP 4"):
        xr.StonyBrookCOVID(root, views="PA")


def test_patients_exams_and_days(root):
    table = xr.StonyBrookCOVID(root).table
    assert table["patient_id"].tolist() == ["A001", "A001", "A002", "A003"]
    assert table["study_id"][0] == "A001_20200323_101500"
    assert table["exam_date"].tolist()[:2] == [pd.Timestamp("2020-03-23"), pd.Timestamp("2020-03-25")]


@pytest.mark.parametrize("score", ["9", "-1", "high"])
def test_a_score_that_is_none(root, score):
    rewrite(root, fake.ROWS[0], fake.ROWS[1].replace("0,0,0,0,0,0,,", f"0,0,0,0,0,{score},,", 1))
    message = (
        r"column 'Total OPACITY': expected a score from 0 to 8, got .* in row 1 of the data \(1 such cells\)"
    )
    with pytest.raises(xr.TableError, match=message):
        xr.StonyBrookCOVID(root)


def test_a_date_that_is_none(root):
    rewrite(root, fake.ROWS[0].replace("20200323_", "20201323_"))
    with pytest.raises(xr.TableError, match=r"column 'Exam_DateTime': expected a date and time"):
        xr.StonyBrookCOVID(root)


def test_a_table_whose_title_was_removed(root):
    fakes.write_table(root / "ralo-dataset-metadata.csv", fake.HEAD, *fake.ROWS)
    with pytest.raises(xr.TableError, match=r"has no column 'Subject_ID', 'Exam_DateTime'"):
        xr.StonyBrookCOVID(root)


def test_missing_table(root):
    (root / "ralo-dataset-metadata.csv").unlink()
    with pytest.raises(
        xr.DatasetNotFoundError, match=r"no ralo-dataset-metadata.csv in .* Get it from https"
    ):
        xr.StonyBrookCOVID(root)
