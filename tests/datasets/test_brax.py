"""BRAX: groups of ages, paths, views, the PNG before the DICOM."""

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import brax

N, U = "never", "fillable"


@pytest.fixture
def root(tmp_path):
    return brax.write(tmp_path / "brax")


def rewrite(root, change):
    path = root / "master_spreadsheet_update.csv"
    path.write_text(change(path.read_text()))


def cells(ds, row):
    return [
        (U if ds.unmentioned[row, column] else N) if np.isnan(code) else int(code)
        for column, code in enumerate(ds.codes[row])
    ]


def test_golden_rows(root):
    ds = xr.BRAX(root, space=["Effusion", "Edema", "Lung Opacity", "Support Devices", "Nodule"], views="*")
    assert [cells(ds, row) for row in (0, 2, 3, 4)] == [
        [0, 0, 0, 1, N],  # No Finding, and a device
        [-1, 0, U, U, N],
        [U, U, U, U, N],
        [U, U, 1, U, N],
    ]


def test_table(root):
    table = xr.BRAX(root, views="*").table
    assert table["image_id"][0] == "id_aa01/Study_1.8/Series_1.8/image-1-9"
    assert table["patient_id"].tolist() == ["aa01", "aa01", "bb02", "bb02", "cc03", "dd04"]
    assert table["study_id"].tolist() == ["001", "001", "002", "003", "004", "005"]
    assert table["view"].tolist() == ["PA", "LATERAL", "AP", "UNKNOWN", "PA", "LATERAL"]
    assert table["sex"].astype(object).fillna("").tolist() == ["F", "F", "M", "M", "", "M"]
    assert table["split"].isna().all()
    assert "PngPath" not in table


def test_ages_are_lower_bounds_of_groups(root):
    table = xr.BRAX(root, views="*").table
    assert table["age"].fillna(-1).tolist() == [45, 45, 85, 85, 60, -1]
    assert table["PatientAge"][2] == "85 or more"


@pytest.mark.parametrize("word", ["60 - 64", "60-64", "60 to 64", "60+", " 60 "])
def test_other_ways_to_write_a_group(root, word, caplog):
    rewrite(root, lambda text: text.replace(",O,60,", f",O,{word},"))
    assert xr.BRAX(root, views="*").table["age"][4] == 60
    assert not caplog.text


def test_an_age_that_is_none_is_unknown_and_reported(root, caplog):
    rewrite(root, lambda text: text.replace(",O,60,", ",O,old,"))
    assert np.isnan(xr.BRAX(root, views="*").table["age"][4])
    assert "'old' are no ages" in caplog.text


def test_the_png_is_read_where_the_dicom_lies_beside(root):
    for row in brax.ROWS:
        path = root / "Anonymized_DICOMs" / brax.folder(row) / f"image-{row[4]}-9.dcm"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"DICOM")
    ds = xr.BRAX(root)
    assert ds.image_source(ds.table.iloc[0]).suffix == ".png"
    assert ds[0]["img"].shape == (1, 60, 50)


def test_a_download_of_the_dicoms_alone(root):
    (root / "images").rename(root / "Anonymized_DICOMs")
    for path in (root / "Anonymized_DICOMs").rglob("*.png"):
        path.rename(path.with_suffix(".dcm"))
    ds = xr.BRAX(root)
    assert ds.image_source(ds.table.iloc[0]).suffix == ".dcm"


def test_the_older_spreadsheet(root):
    (root / "master_spreadsheet_update.csv").rename(root / "master_spreadsheet.csv")
    ds = xr.BRAX(root)
    assert len(ds) == 3
    assert ds.explain(0, "Edema").file == "master_spreadsheet.csv"


def test_no_splits(root):
    with pytest.raises(xr.SplitNotFoundError, match=r"brax: no split 'train'. It has none"):
        xr.BRAX(root, split="train")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("images/id_bb02/Study_2.8", "../id_bb02/Study_2.8"),
        ("images/id_bb02/Study_2.8", "/images/id_bb02/Study_2.8"),
        ("images/id_bb02/Study_2.8", "C:/images/id_bb02/Study_2.8"),
        ("Anonymized_DICOMs/id_bb02/Study_2.8", "../../id_bb02/Study_2.8"),
    ],
)
def test_a_path_that_leaves_the_root_is_refused(root, old, new):
    rewrite(root, lambda text: text.replace(old, new))
    with pytest.raises(xr.TableError, match=r"row 3 of the data: .* points outside the root"):
        xr.BRAX(root)


@pytest.mark.parametrize("path", ["images/id_bb02/Series_3.8/image-3-9.png", ""])
def test_a_path_of_another_form_is_named(root, path):
    rewrite(root, lambda text: text.replace("images/id_bb02/Study_2.8/Series_3.8/image-3-9.png", path))
    with pytest.raises(xr.TableError, match=r"row 3 of the data: column 'PngPath': expected a path like"):
        xr.BRAX(root)


def test_missing_table(root):
    (root / "master_spreadsheet_update.csv").unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"brax: no master_spreadsheet_update.csv in"):
        xr.BRAX(root)


@pytest.mark.parametrize("column", ["PngPath", "ViewPosition", "Edema"])
def test_a_column_that_is_not_there(root, column):
    rewrite(root, lambda text: text.replace(column, "Other", 1))
    with pytest.raises(xr.TableError, match=rf"update.csv' has no column '{column}'"):
        xr.BRAX(root)


def test_a_cell_that_is_no_code_is_named(root):
    rewrite(root, lambda text: text.replace("-1.0", "maybe", 1))
    with pytest.raises(
        xr.TableError, match=r"brax: column 'Pleural Effusion': expected 1, 0, -1 or a blank, got 'maybe'"
    ):
        xr.BRAX(root)


def test_a_view_that_nobody_knows(root):
    rewrite(root, lambda text: text.replace(",RL,", ",UPSIDE,"))
    with pytest.raises(xr.TableError, match=r"brax: column 'ViewPosition' has the view 'UPSIDE'"):
        xr.BRAX(root)


def test_an_empty_table(root):
    rewrite(root, lambda text: "")
    with pytest.raises(xr.TableError, match=r"brax: .*master_spreadsheet_update.csv' is empty"):
        xr.BRAX(root)


def test_a_table_without_the_dicoms(root):
    rewrite(root, lambda text: "\n".join(line.split(",", 1)[1] for line in text.splitlines()))
    assert len(xr.BRAX(root)) == 3
