"""MIMIC-CXR-JPG: labels of studies, three sources of them, dates, splits."""

import gzip

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests.fakes import mimic_cxr

SPACE = ["Effusion", "Edema", "Lung Opacity", "Pneumonia", "Support Devices", "Nodule"]
N, U = "never", "fillable"


@pytest.fixture
def root(tmp_path):
    return mimic_cxr.write(tmp_path / "mimic")


def rewrite(path, change):
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode()))


def cells(ds, row):
    return [
        (U if ds.unmentioned[row, column] else N) if np.isnan(code) else int(code)
        for column, code in enumerate(ds.codes[row])
    ]


def test_golden_rows(root):
    ds = xr.MIMICCXR(root, space=SPACE, views="*")
    assert cells(ds, 0) == [0, 0, 0, 0, 1, N]  # No Finding, and a device
    assert cells(ds, 2) == [-1, 0, U, U, U, N]
    assert cells(ds, 4) == [U, U, 1, -1, U, N]
    assert cells(ds, 5) == [U, U, U, U, U, N]  # a row of blanks
    assert cells(ds, 6) == [0, 0, 0, 0, U, N]  # No Finding does not look at devices


def test_labels_are_per_study_images_per_view(root):
    ds = xr.MIMICCXR(root, views="*", space="native")
    assert ds.table["study_id"][:2].tolist() == ["59000001", "59000001"]
    np.testing.assert_array_equal(ds.codes[0], ds.codes[1])


def test_a_study_without_a_label_row_is_unknown_in_all(root):
    ds = xr.MIMICCXR(root, views="*", space="chexpert14", policy=xr.U_ONES.with_unmentioned(0.0))
    assert ds.table["labelled"].tolist() == [True, True, True, False, True, True, True]
    assert np.isnan(ds.labels[3]).all()
    assert not ds.unmentioned[3].any()
    assert ds.unmentioned[5].all()
    found = ds.explain(3, "Edema")
    assert np.isnan(found.code)
    assert np.isnan(found.target)


def test_blanks_may_be_filled_but_not_those_of_no_report(root):
    ds = xr.MIMICCXR(root, views="*", space=["Edema"], policy=xr.U_ONES.with_unmentioned(0.0))
    np.testing.assert_array_equal(ds.labels[:, 0], [0, 0, 0, np.nan, 0, 0, 0])


def test_the_radiologist_s_table_joins_on_the_study_and_calls_it_airspace_opacity(root):
    ds = xr.MIMICCXR(root, labels="expert", views="*", space=SPACE, split="test")
    assert [cells(ds, row) for row in range(2)] == [[N] * 6, [U, 0, 1, U, U, N]]
    assert ds.explain(1, "Lung Opacity").file == "mimic-cxr-2.1.0-test-set-labeled.csv"
    assert "Airspace Opacity" not in ds.table


def test_negbio_is_another_table(root):
    rewrite(root / "mimic-cxr-2.0.0-negbio.csv.gz", lambda text: text.replace("-1.0", "1.0"))
    ds = xr.MIMICCXR(root, labels="negbio", space=["Effusion"])
    assert ds.codes[1, 0] == 1
    assert xr.MIMICCXR(root, space=["Effusion"]).codes[1, 0] == -1
    assert ds.explain(1, "Effusion").file == "mimic-cxr-2.0.0-negbio.csv.gz"


def test_another_word_for_the_labels(tmp_path):
    with pytest.raises(ValueError, match=r"labels: expected chexpert, negbio, expert, got 'chexbert'"):
        xr.MIMICCXR(tmp_path / "nowhere", labels="chexbert")


def test_the_study_date_is_a_date(root):
    table = xr.MIMICCXR(root, views="*").table
    assert table["StudyDate"].tolist()[:3] == [21800506, 21800506, 21800626]
    assert table["study_date"][0] == pd.Timestamp(2180, 5, 6)
    assert (table["study_date"][2] - table["study_date"][0]).days == 51
    assert (table["study_date"][6] - table["study_date"][5]).days == 1  # across the turn of the century


def test_a_missing_date_is_no_date(root):
    rewrite(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        lambda text: text.replace("21800506", "").replace("21991231", "21991331"),
    )
    table = xr.MIMICCXR(root, views="*").table
    assert table["study_date"].isna().tolist() == [True, True, False, False, False, True, False]
    assert table["study_date"][2] == pd.Timestamp(2180, 6, 26)


@pytest.mark.parametrize("blank", ["", "NA", "nan", "None"])
def test_a_blank_word_is_not_known_however_it_is_written(root, blank):
    rewrite(root / "mimic-cxr-2.0.0-metadata.csv.gz", lambda text: text.replace("postero-anterior", blank))
    rewrite(root / "mimic-cxr-2.0.0-split.csv.gz", lambda text: text.replace("validate", blank))
    table = xr.MIMICCXR(root, views="*").table
    for column in ("ViewCodeSequence_CodeMeaning", "split"):
        assert table[column].isna().any()
        assert blank not in table[column].cat.categories


def test_table(root):
    table = xr.MIMICCXR(root, views="*").table
    assert table["view"].tolist() == ["PA", "LATERAL", "AP", "AP", "PA", "UNKNOWN", "AP"]
    assert table["patient_id"].tolist() == [f"1900000{n}" for n in (1, 1, 1, 2, 3, 4, 4)]
    assert table["split"].tolist() == ["train"] * 4 + ["val"] + ["test"] * 2
    assert table["image_id"][0] == "0000000a-00000001"
    assert table["age"].isna().all()
    assert table["sex"].isna().all()
    assert table["Rows"].tolist() == [60] * 7


def test_tables_that_are_not_gzipped(root):
    whole = xr.MIMICCXR(root).table.astype(str)
    for path in root.glob("*.csv.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert xr.MIMICCXR(root).table.astype(str).equals(whole)


def test_tables_under_the_names_of_another_release(root):
    for path in root.glob("mimic-cxr-2.0.0-*"):
        path.rename(root / path.name.replace("2.0.0", "2.2.0"))
    assert len(xr.MIMICCXR(root, split="test")) == 1


def test_without_the_split_table_there_are_no_splits(root):
    (root / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert xr.MIMICCXR(root).table["split"].isna().all()
    with pytest.raises(
        xr.SplitNotFoundError,
        match=r"no split 'test'. It has none. Needed for a split: mimic-cxr-2.0.0-split",
    ):
        xr.MIMICCXR(root, split="test")


def test_a_study_that_the_split_table_lacks_has_none(root):
    rewrite(
        root / "mimic-cxr-2.0.0-split.csv.gz",
        lambda text: "".join(line for line in text.splitlines(keepends=True) if "59000002" not in line),
    )
    assert xr.MIMICCXR(root, views="*").table["split"].isna().tolist() == [False] * 2 + [True] + [False] * 4


def test_a_study_in_two_splits(root):
    rewrite(root / "mimic-cxr-2.0.0-split.csv.gz", lambda text: text.replace("train", "test", 1))
    with pytest.raises(xr.TableError, match=r"split.csv.gz': study 59000001 stands in two splits"):
        xr.MIMICCXR(root)


def test_a_study_labelled_twice(root):
    rewrite(root / "mimic-cxr-2.0.0-negbio.csv.gz", lambda text: text + text.splitlines()[1] + "\n")
    with pytest.raises(
        xr.TableError, match=r"negbio.csv.gz': expected one row for each study_id, got two for 59000006"
    ):
        xr.MIMICCXR(root, labels="negbio")


@pytest.mark.parametrize("name", ["metadata", "chexpert"])
def test_missing_tables(root, name):
    (root / f"mimic-cxr-2.0.0-{name}.csv.gz").unlink()
    with pytest.raises(
        xr.DatasetNotFoundError, match=rf"mimic_cxr: no mimic-cxr-2.0.0-{name}.csv in .* \(or .csv.gz\)"
    ):
        xr.MIMICCXR(root)


@pytest.mark.parametrize(
    ("name", "column"),
    [("metadata", "ViewPosition"), ("split", "split"), ("chexpert", "Edema"), ("chexpert", "study_id")],
)
def test_a_column_that_is_not_there(root, name, column):
    rewrite(root / f"mimic-cxr-2.0.0-{name}.csv.gz", lambda text: text.replace(column, "Other", 1))
    with pytest.raises(xr.TableError, match=rf"{name}.csv.gz' has no column '{column}'"):
        xr.MIMICCXR(root)


def test_an_id_that_is_no_number_is_named(root):
    rewrite(root / "mimic-cxr-2.0.0-metadata.csv.gz", lambda text: text.replace("59000002", "s59000002"))
    with pytest.raises(
        xr.TableError, match=r"row 3 of the data: column 'study_id': expected a number, got 's59000002'"
    ):
        xr.MIMICCXR(root)


def test_a_cell_that_is_no_code_is_named(root):
    rewrite(root / "mimic-cxr-2.0.0-chexpert.csv.gz", lambda text: text.replace("-1.0", "maybe", 1))
    message = (
        r"mimic_cxr: column 'Pneumonia': expected 1, 0, -1 or a blank, got 'maybe' in the row of "
        r"'0000000c-00000005'"
    )
    with pytest.raises(xr.TableError, match=message):
        xr.MIMICCXR(root)


def test_a_number_that_is_no_code_is_named(root):
    rewrite(root / "mimic-cxr-2.0.0-chexpert.csv.gz", lambda text: text.replace("-1.0", "0.7", 1))
    with pytest.raises(xr.TableError, match=r"'Pneumonia': expected 1, 0, -1 or a blank, got .*0.7"):
        xr.MIMICCXR(root)


def test_a_table_without_rows(root):
    rewrite(root / "mimic-cxr-2.0.0-metadata.csv.gz", lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(xr.EmptyDatasetError, match=r"mimic_cxr: the table has no rows"):
        xr.MIMICCXR(root)


def test_a_copy_of_the_images_elsewhere_does_not_count(root):
    path = next((root / "files").rglob("0000000a-00000001.jpg"))
    (root / "resized").mkdir()
    (root / "resized" / path.name).write_bytes(b"smaller")
    assert xr.MIMICCXR(root)[0]["img"].shape == (1, 60, 50)


def test_equal_ids_are_one_text(root):
    table = xr.MIMICCXR(root, views="*").table
    patients = table["patient_id"].to_numpy(dtype=object)
    assert patients[0] is patients[2]


def test_an_empty_table(root):
    rewrite(root / "mimic-cxr-2.0.0-chexpert.csv.gz", lambda text: "")
    with pytest.raises(xr.TableError, match=r"mimic_cxr: .*chexpert.csv.gz' is empty"):
        xr.MIMICCXR(root)


def test_a_table_of_labels_that_labels_no_image(root):
    rewrite(root / "mimic-cxr-2.0.0-chexpert.csv.gz", lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(xr.TableError, match=r"chexpert.csv.gz' has labels for none of 7 images"):
        xr.MIMICCXR(root)


def test_that_most_images_have_no_labels_is_logged(root, caplog):
    assert "no labels" not in (xr.MIMICCXR(root, labels="expert") and caplog.text)  # meant for a few
    rewrite(root / "mimic-cxr-2.0.0-chexpert.csv.gz", lambda text: "\n".join(text.splitlines()[:3]) + "\n")
    xr.MIMICCXR(root)
    assert "chexpert.csv.gz' has no labels for 5 of 7 images" in caplog.text


@pytest.mark.parametrize("study", ["9" * 20, "\u0665\u0669", "9" * 400])
def test_an_id_that_is_no_number_of_nine_digits(root, study):
    rewrite(root / "mimic-cxr-2.0.0-metadata.csv.gz", lambda text: text.replace("59000001", study))
    with pytest.raises(xr.TableError, match=r"too large|expected a number"):
        xr.MIMICCXR(root)
