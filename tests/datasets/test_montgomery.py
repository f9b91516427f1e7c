"""Montgomery: labels in the names, readings, two patients who came twice, masks of the same names."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import xrdatasets as xr
from tests import fakes


@pytest.fixture
def root(fake):
    return fake("montgomery")


def test_golden_labels(root):
    ds = xr.Montgomery(root, space=["Tuberculosis", "Nodule", "No Finding"])
    expected = [[0, np.nan, np.nan]] * 2 + [[1, np.nan, np.nan]] * 3
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))
    assert xr.Montgomery(root, space="native").pathologies == ("Tuberculosis",)


def test_normal_says_nothing_of_other_findings(root):
    ds = xr.Montgomery(root, policy=xr.U_ZEROS.with_unmentioned(0.0))
    assert np.isnan(ds.labels).all()


def test_readings(root):
    table = xr.Montgomery(root).table
    assert table["sex"].tolist()[:4] == ["F", np.nan, "M", "M"]  # the second is written O
    assert table["age"].tolist()[:4] == [27, 5, 84, 85]
    assert table["reading"][2] == "fibrosis of both apices;\ncavity on the left"
    assert table.loc[4, ["sex", "age", "reading"]].isna().all()


def test_a_patient_named_by_a_reading_is_one(root):
    ds = xr.Montgomery(root)
    assert ds.table["patient_id"].tolist()[:4] == ["MCUCXR_0001", "MCUCXR_0080", "MCUCXR_0113", "MCUCXR_0113"]
    assert len(xr.Montgomery(root, one_per_patient=True)) == 4


def test_lung_masks_are_never_the_images(root):
    image = xr.Montgomery(root, size=16)[0]["img"]
    (root / "MontgomerySet" / "CXR_png" / "MCUCXR_0080_0.png").unlink()
    ds = xr.Montgomery(root, size=16)
    assert "MCUCXR_0080_0" not in set(ds.table["image_id"])
    assert torch.equal(ds[0]["img"], image)


@pytest.mark.parametrize("inside", ["MontgomerySet", "MontgomerySet/CXR_png"])
def test_an_inner_folder_as_root(root, inside):
    ds = xr.Montgomery(root / inside)
    assert len(ds) == 5
    assert ds.table["age"][0] == 27


def test_images_in_the_root_itself(root, tmp_path):
    flat = tmp_path / "flat"
    (root / "MontgomerySet").rename(flat)
    for path in (flat / "CXR_png").iterdir():
        path.rename(flat / path.name)
    (flat / "CXR_png").rmdir()
    ds = xr.Montgomery(flat)
    assert ds.table["image_id"].str.startswith("MCUCXR").all()
    assert len(ds) == 5
    assert ds.table["age"][0] == 27


def test_without_readings_the_labels_stay(root):
    for path in (root / "MontgomerySet" / "ClinicalReadings").iterdir():
        path.unlink()
    ds = xr.Montgomery(root, space="native")
    assert ds.codes[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert ds.table["age"].isna().all()


def test_another_set_in_the_folder(tmp_path):
    fakes.write_image(tmp_path / "CXR_png" / "CHNCXR_0001_0.png")
    with pytest.raises(
        xr.DatasetNotFoundError, match=r"montgomery: no image in .*CXR_png' is called as MCUCXR"
    ):
        xr.Montgomery(tmp_path)


@pytest.mark.data
@pytest.mark.skipif("XRDATASETS_DATA" not in os.environ, reason="XRDATASETS_DATA is not set")
def test_copies_of_the_release():
    ds = xr.Montgomery(Path(os.environ["XRDATASETS_DATA"]) / "fixtures" / "montgomery_resized", size=64)
    assert ds.table["image_id"].tolist() == ["MCUCXR_0001_0", "MCUCXR_0005_0"]
    assert ds[1]["img"].shape == (1, 64, 64)  # JPEG, called .png
