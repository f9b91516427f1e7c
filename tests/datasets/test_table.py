"""One's own table: mapping files, image names, mistakes."""

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import table

HEAD = "column,source,target,relation,note,reference"


@pytest.fixture
def root(tmp_path):
    return table.write(tmp_path / "own")


def open_(root, **options):
    return xr.TableDataset(root, **{**table.OPTIONS, **options})


def test_codes_blanks_and_uncertainty(root):
    ds = open_(root, space="native")
    assert ds.pathologies == ("Effusion", "Cardiomegaly")
    nan = np.nan
    np.testing.assert_array_equal(ds.codes, [[1, 0], [nan, -1], [0, nan]])
    np.testing.assert_array_equal(ds.unmentioned, [[False, False], [True, False], [False, True]])
    np.testing.assert_array_equal(
        open_(root, space="native", absent="unknown").unmentioned, np.zeros((3, 2), bool)
    )
    np.testing.assert_array_equal(
        open_(root, space="native", absent="negative").codes, [[1, 0], [0, -1], [0, 0]]
    )


def test_table_and_name(root):
    ds = open_(root, name="our_hospital")
    assert ds.table["dataset"].tolist() == ["our_hospital"] * 3
    assert ds.table["patient_id"].tolist() == ["7", "7", "8"]
    assert ds.table["image_id"].tolist() == ["a/1", "a/2", "b/1"]
    assert ds.table["unused"].tolist() == ["x", "x", "x"]
    assert ds.explain(0, "Effusion").file == "labels.csv"
    assert ds.explain(0, "Effusion").rule == "mapping.csv:2"
    assert ds.explain(0, "Effusion").value == 1


def test_findings_as_lists(root):
    fakes.write_table(
        root / "labels.csv", "file,seen", "a/1.png,fluid ; big heart", "a/2.png,nothing", "b/1.png,"
    )
    fakes.write_table(
        root / "mapping.csv", HEAD, "*,fluid,Effusion,exact,,", "*,big heart,Cardiomegaly,exact,,",
        "*,nothing,Effusion,negates,,", "*,nothing,Cardiomegaly,negates,,",
    )  # fmt: skip
    ds = open_(
        root,
        columns={"image_id": "file"},
        list_column="seen",
        separator=";",
        space="native",
        absent="negative",
    )
    np.testing.assert_array_equal(ds.codes, [[1, 1], [0, 0], [np.nan, np.nan]])
    assert not ds.unmentioned.any()
    found = ds.explain(0, "Effusion")
    assert (found.column, found.term, found.value) == ("seen", "fluid", "fluid ; big heart")
    with pytest.raises(ValueError, match=r"list_column: the mapping file speaks of a list"):
        open_(root, columns={"image_id": "file"})
    with pytest.raises(xr.TableError, match=r"expected a column 'signs'"):
        open_(root, columns={"image_id": "file"}, list_column="signs")


def test_file_names_alone(root):
    fakes.write_table(root / "labels.csv", "file,fluid,big heart", "c.png,1,0")
    fakes.write_image(root / "deep" / "er" / "c.jpg")
    assert open_(root, columns={"image_id": "file"}, size=8)[0]["img"].shape == (1, 8, 8)


def test_two_files_of_one_name_are_not_guessed(root):
    fakes.write_table(root / "labels.csv", "file,fluid,big heart", "1.png,1,0")
    message = r"table: image '1' may be .*a/1.png' or .*b/1.png'. Expected one file for each image"
    with pytest.raises(xr.DatasetNotFoundError, match=message):
        open_(root, columns={"image_id": "file"})
    kept = open_(root, columns={"image_id": "file"}, missing="keep")
    with pytest.raises(xr.DatasetNotFoundError, match=message):
        kept[0]


def test_paths_of_unlike_depth_that_could_be_one_file(root):
    fakes.write_table(root / "labels.csv", "file,fluid,big heart", "a/1.png,1,0", "1.png,0,0")
    with pytest.raises(xr.TableError, match=r"'a/1' and '1' could be the same file"):
        open_(root, columns={"image_id": "file"})


def test_an_image_in_two_rows(root):
    with (root / "labels.csv").open("a") as file:
        file.write("a/1.png,7,PA,F,33,0,0,x\n")
    with pytest.raises(xr.TableError, match=r"image 'a/1' stands in more than one row"):
        open_(root)


def test_paths_that_leave_the_root_are_refused(root, tmp_path):
    fakes.write_image(tmp_path / "secret.png")
    for path in (
        "../secret.png",
        "a/../../secret.png",
        str(tmp_path / "secret.png"),
        "C:secret.png",
        "~/s.png",
    ):
        fakes.write_table(root / "labels.csv", "file,fluid,big heart", f"{path},1,0")
        with pytest.raises(
            xr.TableError, match=r"labels.csv', row 1 of the data: .* points outside the root"
        ):
            open_(root, columns={"image_id": "file"})


def test_names_that_are_too_long_for_a_file(root):
    with pytest.raises(xr.DatasetNotFoundError, match=r"no table"):
        xr.TableDataset("x" * 5000, **table.OPTIONS)


def test_folds_of_ones_own(root):
    text = "file,fluid,big heart,split\na/1.png,1,0,fold 1\na/2.png,0,0,train\nb/1.png,0,0,\n"
    (root / "labels.csv").write_text(text)
    columns = {"image_id": "file"}
    assert open_(root, columns=columns, split="fold 1").table["image_id"].tolist() == ["a/1"]
    with pytest.raises(xr.SplitNotFoundError, match=r"no split 'val'. It has: train, fold 1"):
        open_(root, columns=columns, split="val")


def test_mistakes(root):
    with pytest.raises(xr.DatasetNotFoundError, match=r"table: no mapping file 'rules.csv' in"):
        open_(root, mapping="rules.csv")
    with pytest.raises(xr.TableError, match=r"has no column 'photo'"):
        open_(root, columns={"image_id": "photo"})
    fakes.write_table(root / "mapping.csv", HEAD, "fluid,,Effusionn,exact,,")
    with pytest.raises(
        xr.MappingError, match=r"mapping.csv, line 2: expected a finding .*Effusion.*got 'Effusionn'"
    ):
        open_(root)
    fakes.write_table(root / "mapping.csv", HEAD, "liquid,,Effusion,exact,,")
    with pytest.raises(xr.TableError, match=r"expected a column 'liquid'"):
        open_(root)


def test_ids_that_read_as_numbers_stay_whole(root):
    text = "file,pid,fluid,big heart\na/1.png,7,1,0\na/2.png,,0,0\nb/1.png,8,0,0\n"
    (root / "labels.csv").write_text(text)
    patients = open_(root, columns={"image_id": "file", "patient_id": "pid"}).table["patient_id"]
    assert patients.tolist()[::2] == ["7", "8"]
    assert patients.isna().tolist() == [False, True, False]


def test_ids_that_look_like_numbers_are_text(root):
    rows = ["a/1.png,007,12345678901234567", "a/2.png,7,12345678901234568", "b/1.png,1e5, "]
    fakes.write_table(root / "labels.csv", "file,pid,study,fluid,big heart", *(f"{row},1,0" for row in rows))
    table_ = open_(root, columns={"image_id": "file", "patient_id": "pid", "study_id": "study"}).table
    assert table_["patient_id"].tolist() == ["007", "7", "1e5"]
    assert table_["study_id"].tolist()[:2] == ["12345678901234567", "12345678901234568"]
    assert table_["study_id"].isna().tolist() == [False, False, True]


def test_ids_like_powers_of_ten_stay_text(root):
    fakes.write_table(root / "labels.csv", "file,pid,fluid,big heart", "a/1.png,024e7871,1,0")
    assert open_(root, columns={"image_id": "file", "patient_id": "pid"}).table["patient_id"][0] == "024e7871"


def test_a_column_that_is_not_canonical(root):
    with pytest.raises(
        ValueError, match=r"columns: expected image_id, .* got 'patient'. Did you mean 'patient_id'"
    ):
        open_(root, columns={"image_id": "file", "patient": "pid"})
    with pytest.raises(ValueError, match=r"columns: expected a dict"):
        open_(root, columns="file")
    with pytest.raises(ValueError, match=r"list_column: the mapping file has no row for a list"):
        open_(root, list_column="file")


def test_a_blank_id_column(root):
    fakes.write_table(root / "labels.csv", "file,fluid,big heart", ",1,0", ",0,0")
    with pytest.raises(xr.TableError, match=r"row 1 of the table has no image id"):
        open_(root, columns={"image_id": "file"})
