"""Headers of many DICOM files: what is there, what is not, and files that are no DICOM."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pandas as pd
import pytest

from tests import fakes
from xrdatasets.datasets import headers
from xrdatasets.datasets.files import FileIndex
from xrdatasets.datasets.headers import dicom_files, ids_below, read_headers

TAGS = ("ViewPosition", "PatientSex", "PatientAge")


@pytest.fixture
def paths(tmp_path):
    fakes.write_dicom(tmp_path / "a.dcm", ViewPosition="PA", PatientSex="F", PatientAge="061Y")
    fakes.write_dicom(tmp_path / "b.dicom", ViewPosition="AP", PatientSex="")
    fakes.write_table(tmp_path / "c.dcm", "no DICOM")
    fakes.write_image(tmp_path / "d.jpg")
    names = {"a": "a.dcm", "b": "b.dicom", "c": "c.dcm"}
    return pd.Series({key: str(tmp_path / name) for key, name in names.items()} | {"e": None}, dtype="str")


def test_elements_by_row(paths):
    frame = read_headers(paths[["b", "a"]], TAGS, dataset="siim")
    assert frame.columns.tolist() == list(TAGS)
    assert frame.loc["a"].tolist() == ["PA", "F", "061Y"]
    assert frame.loc["b", "ViewPosition"] == "AP"
    assert frame.index.tolist() == ["b", "a"]


def test_a_missing_or_blank_element_is_na(paths):
    assert read_headers(paths[["b"]], TAGS, dataset="siim").isna().loc["b"].tolist() == [False, True, True]


def test_no_file_is_na_and_no_reason_to_warn(paths, caplog):
    with caplog.at_level(logging.WARNING):
        frame = read_headers(paths[["a", "e"]], TAGS, dataset="siim")
    assert frame.loc["e"].isna().all()
    assert not caplog.records


@pytest.mark.parametrize("content", [b"", b"x" * 500, bytes(128) + b"DICM" + b"\xff" * 50])
def test_a_file_that_is_no_dicom_is_counted(paths, caplog, content):
    Path(paths["c"]).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frame = read_headers(paths, TAGS, dataset="siim")
    assert frame.loc["c"].isna().all()
    assert frame.loc["a", "ViewPosition"] == "PA"
    if len(content) != 182:  # a header of nonsense may as well count as one without elements
        assert [record.getMessage().split(",")[0] for record in caplog.records] == [
            "siim: 1 of 3 files are no DICOM that can be read"
        ]


def test_a_file_that_is_gone(paths, tmp_path):
    (tmp_path / "a.dcm").unlink()
    assert read_headers(paths[["a"]], TAGS, dataset="siim").loc["a"].isna().all()


def test_no_files(paths):
    frame = read_headers(paths[["e"]], TAGS, dataset="siim")
    assert frame.shape == (1, 3)
    assert read_headers(paths[:0], TAGS, dataset="siim").shape == (0, 3)


def test_pixels_are_not_read(paths, tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(path.read_bytes()[:-4000])
    assert read_headers(paths[["a"]], TAGS, dataset="siim").loc["a", "PatientSex"] == "F"


def test_a_damaged_element_is_na(tmp_path):
    path = fakes.write_dicom(tmp_path / "a.dcm", PatientSex="F")
    path.write_bytes(
        path.read_bytes().replace(b"\x28\0\x10\0US", b"\x28\0\x10\0FD")
    )  # Rows of 2 bytes, not 8
    frame = read_headers(pd.Series([str(path)]), ("PatientSex", "Rows"), dataset="siim")
    assert frame["PatientSex"][0] == "F"
    assert frame["Rows"].isna().all()


def test_an_age_that_dicom_would_not_write_is_read_without_a_word(tmp_path, caplog):
    path = fakes.write_dicom(tmp_path / "a.dcm", PatientAge="51")
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        frame = read_headers(pd.Series([str(path)]), ("PatientAge",), dataset="rsna")
    assert frame["PatientAge"].tolist() == ["51"]
    assert not [record for record in caplog.records if record.name == "pydicom"]
    assert not logging.getLogger("pydicom").disabled


def test_ids_of_a_folder(tmp_path):
    for name in (
        "stage_2_test_images/a",
        "deep/stage_2_test_images_jpg/b",
        "stage_2_train_images/c",
        "test/d",
    ):
        fakes.write_image(tmp_path / f"{name}.jpg")
    files = FileIndex(tmp_path)
    assert sorted(ids_below(files, "stage_2_test_images*")) == ["a", "b"]
    assert sorted(ids_below(files, "test", "stage_2_train_images")) == ["c", "d"]
    assert ids_below(files, "none").empty


def test_only_dicom_files_have_headers(paths, tmp_path):
    found = dicom_files(pd.Series(["a", "b", "d", "none"]), FileIndex(tmp_path))
    assert found.isna().tolist() == [False, False, True, True]
    assert found[1].endswith("b.dicom")


def test_a_bar_for_many_files(paths, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("tqdm.auto.tqdm", lambda found, *_, disable, **__: shown.append(disable) or found)
    read_headers(paths[["a"]], TAGS, dataset="siim")
    monkeypatch.setattr(headers, "SHOWN_FROM", 1)
    read_headers(paths[["a"]], TAGS, dataset="siim")
    assert shown == [True, None]


def test_a_pipe_among_the_files_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.dcm")
    found = read_headers(pd.Series([str(tmp_path / "a.dcm")]), ["PatientSex"], dataset="own")
    assert found["PatientSex"].isna().all()
