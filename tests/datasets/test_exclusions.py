"""Images that nobody can use are left out, unless one asks for them."""

import logging

import numpy as np
import pytest

import xrdatasets as xr
from xrdatasets.datasets import exclusions
from xrdatasets.datasets.exclusions import excluded


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Tables in which two of NIH's images are excluded."""
    (tmp_path / "exclusions.csv").write_text(
        "dataset,image_id,reason\nnih,00000001_000,truncated\nnih,00000003_001,missing\nkermany,x,other\n"
    )
    monkeypatch.setattr(exclusions, "mappings", lambda: tmp_path)
    exclusions._all_excluded.cache_clear()
    yield
    exclusions._all_excluded.cache_clear()


def test_excluded_images_are_left_out_and_logged(fake, listed, caplog):
    root = fake("nih")
    with caplog.at_level(logging.INFO):
        ds = xr.NIH(root)
    assert ds.table["image_id"].tolist() == ["00000001_001", "00000002_000", "00000003_000"]
    assert "nih: 2 images are left out" in caplog.text
    everything = xr.NIH(root, exclusions=False)
    assert len(everything) == 5
    np.testing.assert_array_equal(ds.codes, everything.codes[[1, 2, 3]])


def test_a_patient_is_kept_by_an_image_that_can_be_used(fake, listed):
    ds = xr.NIH(fake("nih"), one_per_patient=True)
    assert ds.table["image_id"].tolist() == ["00000001_001", "00000002_000", "00000003_000"]


def test_a_missing_file_that_is_excluded_is_no_error(fake, listed):
    root = fake("nih")
    (root / "images" / "00000001_000.png").unlink()
    assert len(xr.NIH(root)) == 3
    with pytest.raises(xr.DatasetNotFoundError, match=r"1 of 5 images are not below"):
        xr.NIH(root, exclusions=False)


def test_padchests_unreadable_files():
    """The 21 files that torchxrayvision names."""
    assert len(excluded("padchest")) == 21


@pytest.mark.parametrize("row", ["nih,1,truncated\nnih,1,missing", "nih,,truncated", "nih,1,"])
def test_a_bad_row_is_named(tmp_path, monkeypatch, row):
    (tmp_path / "exclusions.csv").write_text(f"dataset,image_id,reason\n{row}\n")
    monkeypatch.setattr(exclusions, "mappings", lambda: tmp_path)
    exclusions._all_excluded.cache_clear()
    with pytest.raises(xr.MappingError, match=r"exclusions.csv.*each image of a dataset once, with a reason"):
        excluded("nih")
    exclusions._all_excluded.cache_clear()


def test_neither_true_nor_false(fake):
    with pytest.raises(ValueError, match=r"exclusions: expected True or False, got 'no'"):
        xr.NIH(fake("nih"), exclusions="no")
