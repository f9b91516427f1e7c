"""Clinical readings: files by name, and the columns that their texts give."""

import logging

import numpy as np
import pandas as pd
import pytest

from tests import fakes
from xrdatasets import DatasetNotFoundError
from xrdatasets.datasets.files import WHOLE_PATH, FileIndex
from xrdatasets.datasets.releases import montgomery, shenzhen
from xrdatasets.datasets.releases.readings import read_names, read_readings, split_readings
from xrdatasets.facts import Facts


def first(text, patterns):
    row = split_readings(pd.Series([text], dtype="str"), patterns).iloc[0]
    return [None if pd.isna(cell) else cell for cell in row[["sex", "age", "reading"]]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient's Sex: F \nPatient's Age: 027Y\nnormal", ["F", "027Y", "normal"]),
        ("Patient's Sex: O\nPatient's Age: 005Y\nnormal", ["O", "005Y", "normal"]),
        ("Patient's Sex:M\nPatient's Age:  006M", ["M", "006M", None]),
        ("Patient's Age: 040Y\nlines\n\nof text", [None, "040Y", "lines\n\nof text"]),
        ("no head at all", [None, None, "no head at all"]),
        ("", [None, None, None]),
    ],
)
def test_montgomery(text, expected):
    assert first(text, montgomery.PATTERNS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("male 45yrs\nnormal", ["m", "45Y", "normal"]),
        ("Female, 28 days\nnormal", ["F", "28D", "normal"]),
        ("femal 32yrs\nnormal", ["f", "32Y", "normal"]),
        ("female24yrs\n\nPTB", ["f", "24Y", "PTB"]),
        ("male , 29yrs  \t\nbilateral\nATB", ["m", "29Y", "bilateral\nATB"]),
        ("male 16month\nnormal", ["m", "16M", "normal"]),
        ("female 3 weeks\nnormal", ["f", "3W", "normal"]),
        ("male 42\nnormal", ["m", None, "normal"]),  # years or months, the text does not say
        ("45yrs\nnormal", [None, "45Y", "normal"]),
        ("male\n45 calcified nodules", ["m", None, "45 calcified nodules"]),
        ("male 45yrs", ["m", "45Y", None]),
        ("", [None, None, None]),
    ],
)
def test_shenzhen(text, expected):
    assert first(text, shenzhen.PATTERNS) == expected


def test_files_are_found_by_name_beside_or_below_the_images(tmp_path):
    ids = pd.Series(["b", "a"], index=[5, 9])
    for folder in (tmp_path / "CXR_png", tmp_path):
        (tmp_path / "ClinicalReadings").mkdir(exist_ok=True)
        (tmp_path / "CXR_png").mkdir(exist_ok=True)
        (tmp_path / "ClinicalReadings" / "a.txt").write_bytes(b"male 1yrs\r\nx")
        (tmp_path / "ClinicalReadings" / "b.TXT").write_bytes(b"\xef\xbb\xbffemale 2yrs\ry")
        found = read_readings(folder, ids, shenzhen.PATTERNS, dataset="shenzhen")
        assert found.index.tolist() == [5, 9]
        assert found.to_numpy().tolist() == [["f", "2Y", "y"], ["m", "1Y", "x"]]


def test_a_missing_reading_is_blank_and_counted(tmp_path, caplog):
    fakes.write_table(tmp_path / "ClinicalReadings" / "a.txt", "male 1yrs", "x")
    with caplog.at_level(logging.WARNING):
        found = read_readings(tmp_path, pd.Series(["a", "b"]), shenzhen.PATTERNS, dataset="shenzhen")
    assert found.isna().to_numpy().tolist() == [[False] * 3, [True] * 3]
    assert "shenzhen: 1 of 2 images have no text in ClinicalReadings" in caplog.text


def test_bytes_that_are_no_text_do_not_lose_the_reading(tmp_path):
    folder = tmp_path / "ClinicalReadings"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"male 30yrs\ncavity \xa3\xac left")
    found = read_readings(tmp_path, pd.Series(["a"]), shenzhen.PATTERNS, dataset="shenzhen")
    assert found["age"].tolist() == ["30Y"]
    assert found["reading"].str.startswith("cavity").all()


def test_names_give_patient_and_label(tmp_path):
    for name in ("CHNCXR_0002_1", "CHNCXR_0001_0", "CHNCXR_0001_2", "MCUCXR_0001_0", "CHNCXR_0001_0_mask"):
        fakes.write_image(tmp_path / f"{name}.png")
    fakes.write_image(tmp_path / "masks" / "CHNCXR_0003_1.png")
    found = read_names(FileIndex(tmp_path, levels=WHOLE_PATH), "CHNCXR", facts=Facts.load("shenzhen"))
    assert found["image_id"].tolist() == ["CHNCXR_0001_0", "CHNCXR_0002_1"]
    assert found["patient_id"].tolist() == ["CHNCXR_0001", "CHNCXR_0002"]
    assert np.array_equal(found["label"], ["normal", "tuberculosis"])


def test_no_image_of_the_name(tmp_path):
    fakes.write_image(tmp_path / "MCUCXR_0001_0.png")
    with pytest.raises(
        DatasetNotFoundError, match=r"shenzhen: no image in .* is called as CHNCXR_0001_0.png"
    ):
        read_names(FileIndex(tmp_path, levels=WHOLE_PATH), "CHNCXR", facts=Facts.load("shenzhen"))
