"""RSNA: a row for each box, classes that may be missing, views in the headers, a test set without labels."""

import gzip
import json
import shutil

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import rsna

N = np.nan
SPACE = ["Lung Opacity", "Pneumonia", "No Finding", "Nodule"]


@pytest.fixture
def root(tmp_path):
    return rsna.write(tmp_path / "rsna")


def rewrite(root, name, change):
    path = root / name
    path.write_text(change(path.read_text()))


LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"


def test_a_row_for_each_box_is_one_image(root):
    ds = xr.RSNA(root)
    assert ds.table["image_id"].tolist() == list(dict.fromkeys(row.split(",")[0] for row in rsna.ROWS))
    assert len(ds) == 5


def test_golden_cells(root):
    expected = [[1, N, 0, N], [0, N, 0, N], [0, N, 1, N], [1, N, 0, N], [0, N, 1, N]]
    np.testing.assert_array_equal(xr.RSNA(root, space=SPACE).codes, np.array(expected, dtype=np.float32))
    assert xr.RSNA(root, space="native").pathologies == ("Lung Opacity",)


def test_without_classes_target_alone_counts(root):
    (root / CLASSES).unlink()
    ds = xr.RSNA(root, space=SPACE)
    expected = [[1, N, N, N], [0, N, N, N], [0, N, N, N], [1, N, N, N], [0, N, N, N]]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))
    assert "No Finding" not in ds.matrix.covered
    found = ds.explain(0, "Lung Opacity")
    assert (found.file, found.column, found.relation) == (LABELS, "Target", "exact")


def test_pneumonia_is_never_covered_whatever_the_policy(root):
    ds = xr.RSNA(root, space=["Pneumonia"], policy=xr.U_ZEROS.with_unmentioned(0.0))
    assert np.isnan(ds.labels).all()


def test_view_sex_and_age_come_from_the_headers(root):
    table = xr.RSNA(root).table
    assert table["view"].tolist() == ["AP", "PA", "PA", "AP", "PA"]
    assert table["sex"].tolist() == ["F", "F", "M", "M", "F"]
    np.testing.assert_array_equal(table["age"], np.float32([51, 48, 19, 32, N]))
    assert len(xr.RSNA(root, views="PA")) == 3


def test_headers_can_be_left_alone(root):
    table = xr.RSNA(root, headers=False).table
    assert table["view"].tolist() == ["UNKNOWN"] * 5
    assert table["age"].isna().all()
    with pytest.raises(ValueError, match=r"headers: expected True or False, got 'no'"):
        xr.RSNA(root / "nowhere", headers="no")


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_of_headers_beats_the_files(root, packed):
    path = root / "kaggle_stage_2_train_images_dicom_headers.csv"
    fakes.write_table(path, "PatientID,PatientAge,PatientSex,ViewPosition", "00313ee0-9eaa,77,M,AP")
    if packed:
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(path.read_bytes())
        path.unlink()
    table = xr.RSNA(root).table
    assert table["view"].tolist() == ["UNKNOWN", "AP", "UNKNOWN", "UNKNOWN", "UNKNOWN"]
    assert (table["sex"][1], table["age"][1]) == ("M", 77)


def test_the_jpeg_re_upload_has_no_view_and_passes(root):
    shutil.rmtree(root / "stage_2_train_images")
    for number, name in enumerate(dict.fromkeys(row.split(",")[0] for row in rsna.ROWS)):
        fakes.write_image(root / "stage_2_train_images_jpg" / f"{name}.jpg", seed=number)
    ds = xr.RSNA(root, size=16)
    assert ds.table["view"].tolist() == ["UNKNOWN"] * 5
    assert ds[0]["img"].shape == (1, 16, 16)


def test_dicom_beats_jpeg_where_both_are_there(root):
    fakes.write_image(root / "stage_2_train_images_jpg" / "00313ee0-9eaa.jpg", seed=77)
    ds = xr.RSNA(root)
    assert ds.image_source(ds.table.iloc[1]).name == "00313ee0-9eaa.dcm"


def test_an_image_id_is_no_patient(root):
    ds = xr.RSNA(root)
    assert ds.table["patient_id"].isna().all()
    assert len(xr.RSNA(root, one_per_patient=True)) == 5


def test_the_test_set_has_no_labels_and_comes_when_asked_for(root):
    assert xr.RSNA(root, split="train").table["image_id"].tolist() == xr.RSNA(root).table["image_id"].tolist()
    ds = xr.RSNA(root, split="test", space=SPACE, size=16)
    assert ds.table["image_id"].tolist() == ["0000a175-0e68"]
    assert ds.table["view"].tolist() == ["PA"]
    assert np.isnan(ds.codes).all()
    assert ds[0]["img"].shape == (1, 16, 16)
    with pytest.raises(xr.SplitNotFoundError, match=r"no split 'val'. It has: train, test"):
        xr.RSNA(root, split="val")


def test_no_folder_of_the_test_set(root):
    shutil.rmtree(root / "stage_2_test_images")
    with pytest.raises(
        xr.SplitNotFoundError, match=r"It has: train. Needed for a split: the folder stage_2_t"
    ):
        xr.RSNA(root, split="test")


def test_boxes_become_masks(root):
    ds = xr.RSNA(root, space=["Lung Opacity", "Nodule"], masks=True)
    sample = ds[3]
    assert sample["mask"].sum(dim=(1, 2)).tolist() == [64 * 32, 0]
    assert sample["mask"][0, :, :32].all()
    assert sample["mask_known"].tolist() == [True, False]
    both = ds[0]["mask"][0]
    # 264 to 477 and 562 to 818 of 1024, in 64 pixels
    assert both[15].nonzero().ravel().tolist() == [*range(16, 30), *range(35, 51)]
    assert ds[1]["mask"].sum() == 0
    assert ds[1]["mask_known"].tolist() == [True, False]


class TestBadTables:
    def test_no_labels(self, root):
        (root / LABELS).unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"rsna: no stage_2_train_labels.csv"):
            xr.RSNA(root)

    def test_a_missing_column(self, root):
        rewrite(root, LABELS, lambda text: text.replace("Target", "Label"))
        with pytest.raises(xr.TableError, match=r"has no column 'Target'"):
            xr.RSNA(root)

    def test_a_target_that_is_no_code(self, root):
        rewrite(root, LABELS, lambda text: text.replace(",,,,0\n00322d4d", ",,,,7\n00322d4d"))
        with pytest.raises(xr.TableError, match=r"rsna: .*'Target'"):
            xr.RSNA(root, space="native")

    def test_two_targets_of_one_image(self, root):
        rewrite(root, LABELS, lambda text: text.replace("453.0,1", "453.0,0"))
        with pytest.raises(xr.TableError, match=r"image '0004cfab-14fd' has two Targets"):
            xr.RSNA(root)

    def test_a_class_that_contradicts_the_target(self, root):
        rewrite(
            root, CLASSES, lambda text: text.replace("00436515-870c,Lung Opacity", "00436515-870c,Normal")
        )
        with pytest.raises(xr.TableError, match=r"image '00436515-870c' has another. Take both tables"):
            xr.RSNA(root)

    def test_two_classes_of_one_image(self, root):
        rewrite(root, CLASSES, lambda text: text + "00322d4d-1c29,No Lung Opacity / Not Normal\n")
        with pytest.raises(xr.TableError, match=r"image '00322d4d-1c29' has another"):
            xr.RSNA(root)

    def test_a_class_that_the_mapping_lacks(self, root):
        rewrite(root, CLASSES, lambda text: text.replace("29,Normal", "29,Not sure"))
        with pytest.raises(xr.MappingError, match=r"column 'class': expected one of .* got 'Not sure'"):
            xr.RSNA(root)

    def test_an_image_without_a_class(self, root):
        rewrite(root, CLASSES, lambda text: text.replace("00322d4d-1c29,Normal\n", ""))
        ds = xr.RSNA(root, space=SPACE)
        np.testing.assert_array_equal(ds.codes[2], np.float32([0, N, N, N]))

    @pytest.mark.parametrize("box", ["0.0,0.0,-5.0,9.0", "1024.0,0.0,5.0,9.0", ",0.0,5.0,9.0", ",,,"])
    def test_a_box_that_is_none(self, root, box):
        rewrite(root, LABELS, lambda text: text.replace("0.0,0.0,512.0,1024.0", box))
        with pytest.raises(xr.TableError, match=r"expected x, y, w, h of a box in the image"):
            xr.RSNA(root, masks=True)

    def test_a_damaged_dicom_is_named(self, root):
        path = root / "stage_2_train_images" / "00313ee0-9eaa.dcm"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(
            xr.ImageReadError, match=r"rsna: cannot read '.*00313ee0-9eaa.dcm': its pixel data"
        ):
            xr.RSNA(root)[1]


NAMES = {
    "0004cfab-14fd": "00000001_000.png",
    "00313ee0-9eaa": "00000003_001.png",
    "00436515-870c": "00000001_001.png",
}


@pytest.fixture
def named(fake):
    """The release with RSNA's own table of NIH's names, for three of its five images."""
    root = fake("rsna")
    records = [{"subset_img_id": ours, "img_id": theirs} for ours, theirs in NAMES.items()]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(records))
    return root


def test_names_of_nih_give_patients_and_names(named):
    table = xr.RSNA(named).table.set_index("image_id")
    assert table.loc[list(NAMES), "patient_id"].tolist() == ["1", "3", "1"]
    assert table.loc[list(NAMES), "family_image_id"].tolist() == [
        "00000001_000", "00000003_001", "00000001_001",
    ]  # fmt: skip
    assert table["patient_id"].isna().sum() == 2


def test_nih_and_rsna_are_counted_and_what_has_no_name_is_said(named, fake):
    message = r"nih and rsna share 3 images .* 2 images of rsna have no name there: they may be shared too"
    with pytest.warns(xr.OverlapWarning, match=message):
        both = xr.concat([xr.NIH(fake("nih")), xr.RSNA(named)])
    for seed in range(4):
        first, second = both.split_by_patient((0.5, 0.5), seed=seed)
        sides = [set(part.table["patient_id"].dropna()) for part in (first, second)]
        assert not sides[0] & sides[1]


def test_joined_with_nih_an_image_has_two_readers(named, fake):
    joined = xr.join(xr.NIH(fake("nih")), xr.RSNA(named))
    assert len(joined) == 5 + 2


def test_a_table_of_classes_without_a_class(root):
    path = root / "stage_2_detailed_class_info.csv"
    head, *lines = path.read_text().splitlines()
    fakes.write_table(path, head, *(line.partition(",")[0] + "," for line in lines))
    assert xr.RSNA(root).table["class"].isna().all()
