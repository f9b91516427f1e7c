"""Shenzhen: labels in the names, readings in many spellings, lesions that are no labels."""

import numpy as np
import pytest

import xrdatasets as xr


@pytest.fixture
def root(fake):
    return fake("shenzhen")


def test_golden_labels(root):
    ds = xr.Shenzhen(root, space=["Tuberculosis", "Effusion"])
    expected = [[0, np.nan]] * 4 + [[1, np.nan]] * 2
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))


def test_lesions_of_the_annotations_are_no_labels(root):
    ds = xr.Shenzhen(root, space="native")
    assert ds.pathologies == ("Tuberculosis",)
    assert "Pleural_Effusion" not in ds.table


def test_first_lines_in_many_spellings(root):
    table = xr.Shenzhen(root).table
    assert table["sex"].tolist() == ["M", "F", "M", "F", "M", "F"]
    assert table["age"].tolist() == pytest.approx([45, 32, 16 / 12, 64 / 365.25, 29, 24], rel=1e-6)


def test_free_text_is_kept_whole(root):
    assert xr.Shenzhen(root).table["reading"][4] == "bilateral secondary PTB\nATB"


def test_an_age_without_a_unit_is_unknown(root):
    path = root / "ChinaSet_AllFiles" / "ClinicalReadings" / "CHNCXR_0001_0.txt"
    path.write_text("male 42\nnormal")
    table = xr.Shenzhen(root).table
    assert table["sex"][0] == "M"
    assert np.isnan(table["age"][0])


def test_one_patient_for_each_image(root):
    assert xr.Shenzhen(root).table["patient_id"].tolist()[:2] == ["CHNCXR_0001", "CHNCXR_0044"]


def test_the_other_name_of_the_folder(root):
    (root / "ChinaSet_AllFiles").rename(root / "Shenzhen-Hospital-CXR-Set")
    assert len(xr.Shenzhen(root)) == 6
    assert len(xr.Shenzhen(root / "Shenzhen-Hospital-CXR-Set")) == 6


def test_masks_are_no_images(root):
    folder = root / "ChinaSet_AllFiles" / "CXR_png"
    (folder / "CHNCXR_0001_0_mask.png").write_bytes((folder / "CHNCXR_0001_0.png").read_bytes())
    assert len(xr.Shenzhen(root)) == 6
