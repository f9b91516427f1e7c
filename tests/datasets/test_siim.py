"""SIIM-ACR: several rows of an image, relative run lengths down the columns, patients in the headers."""

import os
from pathlib import Path

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import siim

TABLE = "train-rle.csv"


@pytest.fixture
def root(tmp_path):
    return siim.write(tmp_path / "siim")


def rewrite(root, change, name=TABLE):
    path = root / name
    path.write_text(change(path.read_text()))


def test_several_rows_of_an_image_are_one_image(root):
    ds = xr.SIIM(root, space=["Pneumothorax", "Nodule"])
    assert ds.table["image_id"].tolist() == list(siim.NAMES[:4])
    expected = [[0, np.nan], [1, np.nan], [0, np.nan], [1, np.nan]]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("head", ["ImageId, EncodedPixels", "ImageId,EncodedPixels"])
def test_the_blank_before_the_second_head(root, head):
    rewrite(root, lambda text: text.replace("ImageId, EncodedPixels", head))
    assert xr.SIIM(root, space="native").codes.ravel().tolist() == [0, 1, 0, 1]


def test_the_table_of_stage_2(root):
    (root / TABLE).rename(root / "stage_2_train.csv")
    ds = xr.SIIM(root, space="native")
    assert ds.codes.ravel().tolist() == [0, 1, 0, 1]
    assert ds.explain(1, "Pneumothorax").file == "stage_2_train.csv"


def test_a_blank_before_minus_one_is_still_none(root):
    rewrite(root, lambda text: text.replace(",-1", ", -1 "))
    assert xr.SIIM(root, space="native").codes.ravel().tolist() == [0, 1, 0, 1]


class TestMasks:
    @pytest.fixture
    def large(self, root):
        """The same release at the size of the real one."""
        for path in root.rglob("*.dcm"):
            fakes.write_dicom(path, size=(1024, 1024))
        return root

    def test_runs_are_relative_down_the_columns_and_united(self, large):
        mask = xr.SIIM(large, space=["Pneumothorax"], masks=True, crop=False)[1]["mask"][0].numpy()
        expected = np.zeros((1024, 1024), np.uint8)
        expected[:48, 0] = 1  # 0 48: the first 48 of column 0
        expected[:48, 1] = 1  # 976 48: 976 on from 48 is 1024, where column 1 begins
        expected[:, 512] = 1  # the second row of the image: 524288 is 512 columns
        expected[:, 528] = 1  # 15360 on from 525312 is 540672, which is 528 columns
        np.testing.assert_array_equal(mask, expected)

    def test_no_pneumothorax_is_a_known_empty_mask(self, large):
        sample = xr.SIIM(large, space=["Pneumothorax", "Nodule"], masks=True)[0]
        assert sample["mask"].sum() == 0
        assert sample["mask_known"].tolist() == [True, False]

    def test_the_last_column(self, large):
        mask = xr.SIIM(large, space=["Pneumothorax"], masks=True)[3]["mask"][0]
        assert mask[:, 1023].all()
        assert mask.sum() == 1024

    @pytest.mark.parametrize("runs", ["1 2 3", "5"])
    def test_an_odd_number(self, root, runs):
        rewrite(root, lambda text: text.replace("1047552 1024", runs))
        with pytest.raises(xr.TableError, match=r"'EncodedPixels': expected pairs .* \(image '.*304'\)"):
            xr.SIIM(root, masks=True)

    @pytest.mark.parametrize("runs", ["1047552 1025", "-5 3", "1.5 3", "a b"])
    def test_numbers_that_are_no_runs(self, root, runs):
        rewrite(root, lambda text: text.replace("1047552 1024", runs))
        with pytest.raises(xr.TableError, match=r"siim: .*train-rle.csv', row 3: expected whole numbers"):
            xr.SIIM(root, masks=True)

    def test_runs_are_parsed_for_masks_alone(self, root):
        rewrite(root, lambda text: text.replace("1047552 1024", "a b"))
        assert len(xr.SIIM(root)) == 4


def test_patient_view_sex_and_age_come_from_the_headers(root):
    table = xr.SIIM(root).table
    assert table["patient_id"].tolist() == ["a-7", "b-8", "b-8", "c-9"]
    assert table["view"].tolist() == ["PA", "AP", "PA", "PA"]
    assert table["sex"].tolist() == ["M", "F", "F", "F"]
    assert table["age"].tolist() == [62, 33, 34, 9]
    assert len(xr.SIIM(root, one_per_patient=True)) == 3


def test_headers_can_be_left_alone(root):
    table = xr.SIIM(root, headers=False).table
    assert table["view"].tolist() == ["UNKNOWN"] * 4
    assert table["patient_id"].isna().all()
    with pytest.raises(ValueError, match=r"headers: expected True or False, got 1"):
        xr.SIIM(root, headers=1)


def test_rows_without_a_file(root):
    next(root.rglob(f"{siim.NAMES[1]}.dcm")).unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"siim: 1 of 4 images are not below"):
        xr.SIIM(root)
    assert xr.SIIM(root, missing="drop").table["patient_id"].tolist() == ["a-7", "b-8", "c-9"]
    assert xr.SIIM(root, missing="keep").table["view"].tolist() == ["PA", "UNKNOWN", "PA", "PA"]


def test_files_are_found_by_their_name_wherever_they_lie(root):
    for path in list((root / "dicom-images-train").rglob("*.dcm")):
        path.rename(root / path.name)
    assert xr.SIIM(root, size=16)[3]["img"].shape == (1, 16, 16)


def test_the_test_set_has_no_labels_and_comes_when_asked_for(root):
    ds = xr.SIIM(root, split="test", space=["Pneumothorax"], masks=True, size=16)
    assert ds.table["image_id"].tolist() == [siim.NAMES[4]]
    assert ds.table["view"].tolist() == ["AP"]
    assert np.isnan(ds.codes).all()
    assert not ds[0]["mask_known"].any()
    assert len(xr.SIIM(root, split="train")) == len(xr.SIIM(root)) == 4


def test_an_image_of_the_first_test_set_that_the_table_names_is_labelled(root):
    rewrite(root, lambda text: text + f"{siim.NAMES[4]},-1\n")
    assert xr.SIIM(root, space="native").codes.ravel().tolist() == [0, 1, 0, 1, 0]
    with pytest.raises(
        xr.SplitNotFoundError, match=r"It has: train. Needed for a split: the folder dicom-im"
    ):
        xr.SIIM(root, split="test")


class TestBadTables:
    def test_no_table(self, root):
        (root / TABLE).unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"no train-rle.csv .* or stage_2_train.csv"):
            xr.SIIM(root)

    def test_a_missing_column(self, root):
        rewrite(root, lambda text: text.replace(" EncodedPixels", "Pixels"))
        with pytest.raises(xr.TableError, match=r"has no column 'EncodedPixels'"):
            xr.SIIM(root)

    @pytest.mark.parametrize("cell", ["", "  "])
    def test_a_blank_cell(self, root, cell):
        rewrite(root, lambda text: text.replace("1047552 1024", cell))
        with pytest.raises(xr.TableError, match=r"train-rle.csv', row 5 of the data is blank"):
            xr.SIIM(root)

    def test_runs_and_none_of_one_image(self, root):
        rewrite(root, lambda text: text + f"{siim.NAMES[1]},-1\n")
        with pytest.raises(xr.TableError, match=r"image '.*302' has both run lengths and '-1'"):
            xr.SIIM(root)


@pytest.mark.data
def test_the_real_file():
    folder = os.environ.get("XRDATASETS_DATA")
    if not folder:
        pytest.skip("XRDATASETS_DATA is not set")
    ds = xr.SIIM(Path(folder) / "fixtures" / "siim", space=["Pneumothorax"], size=64)
    row = ds.table.iloc[0]
    assert (len(ds), row["view"], row["sex"], row["age"]) == (1, "PA", "M", 62)
    assert ds.codes.tolist() == [[0]]
    assert ds[0]["img"].shape == (1, 64, 64)
