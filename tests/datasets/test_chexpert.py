"""CheXpert: golden rows, layouts, views, paths."""

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import chexpert

N, U = "never", "fillable"


@pytest.fixture
def root(tmp_path):
    return chexpert.write(tmp_path / "chexpert")


def cells(ds, row):
    return [
        (U if ds.unmentioned[row, column] else N) if np.isnan(code) else int(code)
        for column, code in enumerate(ds.codes[row])
    ]


def test_golden_rows(root):
    ds = xr.CheXpert(root, space=["Nodule", "Effusion", "Hernia", "Support Devices"], split="train")
    assert cells(ds, 0) == [N, 0, N, U]  # No Finding
    assert cells(ds, 1) == [N, -1, N, U]  # Pleural Effusion uncertain
    assert cells(ds, 2) == [N, -1, N, U]  # both
    assert cells(ds, 3) == [N, U, N, U]  # nothing mentioned


@pytest.mark.parametrize("where", ["", chexpert.FOLDER])
def test_root_may_be_the_release_or_the_folder_around_it(root, where):
    assert len(xr.CheXpert(root / where, size=8)) == 5
    assert xr.CheXpert(root / where, size=8)[4]["img"].shape == (1, 8, 8)


def test_full_size_layout_has_no_train_folder(tmp_path, root):
    full = xr.CheXpert(chexpert.write_full(tmp_path / "full"))
    small = xr.CheXpert(root)
    assert full.table["image_id"].tolist() == small.table["image_id"].tolist()
    np.testing.assert_array_equal(full.codes, small.codes)
    assert [tuple(sample["img"].shape) for sample in full] == [(1, 80, 100)] * 5


def test_table(root):
    table = xr.CheXpert(root, views="*").table
    assert table["image_id"][3] == "train/patient00002/study2/view2_lateral"
    assert table["patient_id"].tolist() == [
        f"patient{n}" for n in ("00001", *["00002"] * 3, "00003", "64541")
    ]
    assert table["study_id"][3] == "patient00002/study2"
    assert table["view"].tolist() == ["AP", "PA", "AP", "LATERAL", "AP", "AP"]
    assert table["split"].tolist() == ["train"] * 5 + ["val"]
    assert table["sex"].tolist() == ["F", "M", "M", "M", "F", "M"]


def test_age_zero_is_unknown(root):
    assert np.isnan(xr.CheXpert(root).table["age"][1])


def test_raw_terms(root):
    terms = xr.CheXpert(root, split="train").terms
    assert terms.columns.tolist() == list(chexpert.LABELS)
    assert terms["Pleural Effusion"].fillna(9).tolist() == [9, -1, -1, 9]
    assert "Pleural Effusion" not in xr.CheXpert(root).table


def test_explain_names_the_table_of_the_row(root):
    ds = xr.CheXpert(root)
    assert [ds.explain(row, "Edema").file for row in (0, len(ds) - 1)] == ["train.csv", "valid.csv"]


def test_splits_are_the_tables(root):
    assert len(xr.CheXpert(root, split="val")) == 1
    (root / chexpert.FOLDER / "valid.csv").unlink()
    assert len(xr.CheXpert(root)) == 4
    with pytest.raises(xr.DatasetNotFoundError, match=r"chexpert: no valid.csv in"):
        xr.CheXpert(root, split="val")
    with pytest.raises(xr.SplitNotFoundError, match=r"no split 'test'. It has: train"):
        xr.CheXpert(root, split="test")


def test_frontal_images_without_direction_and_with_a_lateral_one(root):
    path = root / chexpert.FOLDER / "train.csv"
    text = path.read_text().replace("Frontal,AP", "Frontal,", 1).replace("Frontal,PA", "Frontal,LL", 1)
    path.write_text(text)
    table = xr.CheXpert(root, views="*").table
    assert table["view"].tolist()[:2] == ["UNKNOWN", "LATERAL"]


@pytest.mark.parametrize(
    "path",
    [
        "CheXpert-v1.0-small/train/patient/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/study/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/studyA/view1_frontal.jpg",
        "elsewhere/patient00002/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.png",
        "",
        "CheXpert-v1.0-small/train/pätient00002/study1/view1_frontal.jpg",
    ],
)
def test_a_path_of_another_form_is_named(root, path):
    table = root / chexpert.FOLDER / "train.csv"
    good = "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg"
    table.write_text(table.read_text().replace(good, path))
    with pytest.raises(xr.TableError, match=r"row 2 of the data: expected a path like 'CheXpert-v1.0-small"):
        xr.CheXpert(root)


def test_a_cell_that_is_no_code_is_named(root):
    table = root / chexpert.FOLDER / "train.csv"
    table.write_text(table.read_text().replace("-1.0", "maybe", 1))
    message = (
        r"chexpert: column 'Pleural Effusion': expected 1, 0, -1 or a blank, got 'maybe' "
        r"in the row of 'train/patient00002/study1/view1_frontal'"
    )
    with pytest.raises(xr.TableError, match=message):
        xr.CheXpert(root)


def test_a_number_that_is_no_code_is_named(root):
    table = root / chexpert.FOLDER / "train.csv"
    table.write_text(table.read_text().replace("-1.0", "2.0", 1))
    with pytest.raises(xr.TableError, match=r"'Pleural Effusion': expected 1, 0, -1 or a blank, got .*2.0"):
        xr.CheXpert(root)


def test_table_without_a_label_column(root):
    table = root / chexpert.FOLDER / "train.csv"
    table.write_text(table.read_text().replace("Lung Opacity", "Opacity"))
    with pytest.raises(xr.TableError, match=r"train.csv' has no column 'Lung Opacity'"):
        xr.CheXpert(root)


def test_table_without_rows(root):
    table = root / chexpert.FOLDER / "train.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(xr.EmptyDatasetError, match=r"train.csv' has no rows"):
        xr.CheXpert(root)


def test_many_blocks_equal_one(root, monkeypatch):
    whole = xr.CheXpert(root, views="*")
    monkeypatch.setattr("xrdatasets.datasets.releases.chexpert.BLOCK", 2)
    monkeypatch.setattr("xrdatasets.datasets.releases.paths.BLOCK", 2)
    blocks = xr.CheXpert(root, views="*")
    assert blocks.table.astype(str).equals(whole.table.astype(str))
    np.testing.assert_array_equal(blocks.codes, whole.codes)


def test_policies_on_the_blank_and_the_uncertain(root):
    ds = xr.CheXpert(root, space=["Effusion", "Support Devices", "Nodule"], split="train")
    nan = np.nan
    filled = ds.with_policy(xr.U_ONES.with_unmentioned(0.0)).labels
    np.testing.assert_array_equal(filled, [[0, 0, nan], [1, 0, nan], [1, 0, nan], [0, 0, nan]])
    np.testing.assert_array_equal(
        ds.labels, [[0, nan, nan], [nan, nan, nan], [nan, nan, nan], [nan, nan, nan]]
    )
    drawn = ds.with_policy(xr.U_ONES_LSR).labels[1:3, 0]
    assert ((drawn >= 0.55) & (drawn <= 0.85)).all()
    # a draw belongs to the image, wherever it stands
    np.testing.assert_array_equal(ds.select([2, 1]).with_policy(xr.U_ONES_LSR).labels[:, 0], drawn[::-1])


def test_small_and_full_side_by_side_are_not_mixed(tmp_path):
    chexpert.write(tmp_path)
    chexpert.write_full(tmp_path / "CheXpert-v1.0")
    ds = xr.CheXpert(tmp_path)
    assert {tuple(sample["img"].shape) for sample in ds} == {(1, 40, 50)}
    full = xr.CheXpert(tmp_path / "CheXpert-v1.0")
    assert {tuple(sample["img"].shape) for sample in full} == {(1, 80, 100)}


@pytest.mark.parametrize(
    "root", ["", "CheXpert-v1.0", "CheXpert-v1.0/CheXpert-v1.0 batch 1 (validate & csv)"]
)
def test_full_release_from_any_of_its_levels(tmp_path, root):
    chexpert.write_full(tmp_path / "CheXpert-v1.0")
    assert len(list(xr.CheXpert(tmp_path / root, size=8))) == 5


def test_an_age_that_is_no_number_is_unknown(root, caplog):
    table = root / chexpert.FOLDER / "train.csv"
    table.write_text(table.read_text().replace(",68,", ",90+,"))
    ages = xr.CheXpert(root, split="train").table["age"]
    assert np.isnan(ages.tolist()[:2]).all()
    assert ages.tolist()[2:] == [83, 41]
    assert "'90+' are no ages" in caplog.text


def test_tables_that_are_links(tmp_path, root):
    folder = root / chexpert.FOLDER
    (tmp_path / "tables").mkdir()
    for name in ("train.csv", "valid.csv"):
        (folder / name).rename(tmp_path / "tables" / name)
        (folder / name).symlink_to(tmp_path / "tables" / name)
    assert len(list(xr.CheXpert(root, size=8))) == 5


@pytest.mark.parametrize("head", ["../", "/", "C:", "~/", "..\\"])
def test_paths_that_leave_the_root(root, head):
    path = next(root.rglob("train.csv"))
    path.write_text(path.read_text().replace("CheXpert-v1.0-small/", f"{head}CheXpert-v1.0-small/"))
    with pytest.raises(xr.TableError, match=r"train.csv', row 1 of the data: .* points outside the root"):
        xr.CheXpert(root)


@pytest.mark.parametrize("word", ["patient", "study"])
def test_numbers_of_more_digits_than_fit(root, word):
    path = next(root.rglob("train.csv"))
    path.write_text(path.read_text().replace(f"/{word}", f"/{word}4294967296"))
    with pytest.raises(xr.TableError, match=r"train.csv', row 1 of the data: expected a path like"):
        xr.CheXpert(root)
