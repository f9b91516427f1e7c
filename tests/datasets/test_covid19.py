"""COVID-19 image data collection: paths of diagnoses, slices of CT, names of files."""

import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from tests.fakes import covid19

NAN = np.nan
SPACE = ["Pneumonia", "COVID-19", "Tuberculosis", "No Finding"]


@pytest.fixture
def root(tmp_path):
    return covid19.write(tmp_path / "covid19")


def rewrite(root, *rows):
    fakes.write_table(root / "metadata.csv", covid19.HEAD, *(covid19.line(*row) for row in rows))


@pytest.mark.parametrize(
    ("finding", "codes"),
    [
        ("Pneumonia/Viral/COVID-19", [1, 1, 0, NAN]),
        ("Pneumonia/Viral/SARS", [1, 0, 0, NAN]),
        ("Pneumonia/Viral/Influenza/H1N1", [1, 0, 0, NAN]),
        ("Pneumonia/Viral/Herpes ", [1, 0, 0, NAN]),
        ("Pneumonia/Viral", [1, NAN, 0, NAN]),
        ("Pneumonia/Bacterial", [1, 0, NAN, NAN]),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", [1, 0, 0, NAN]),
        ("Pneumonia/Fungal/Pneumocystis", [1, 0, 0, NAN]),
        ("Pneumonia/Lipoid", [1, 0, 0, NAN]),
        ("Pneumonia", [1, NAN, NAN, NAN]),
        ("Tuberculosis", [NAN, 0, 1, NAN]),
        ("No Finding", [0, 0, 0, 1]),
        ("todo", [NAN, NAN, NAN, NAN]),
        ("Unknown", [NAN, NAN, NAN, NAN]),
        ("", [NAN, NAN, NAN, NAN]),
        ("COVID-19", [NAN, 1, 0, NAN]),
        ("ARDS", [NAN, NAN, NAN, NAN]),
    ],
)
def test_golden_cells(root, finding, codes):
    rewrite(root, ("1", "", "", "", finding, "PA", "X-ray", "images", "klebsiella-1.jpg"))
    ds = xr.COVID19(root, space=SPACE)
    np.testing.assert_array_equal(ds.codes, np.array([codes], dtype=np.float32))


def test_each_part_of_the_path_is_a_term(root):
    ds = xr.COVID19(root, space="native")
    assert ds.pathologies == ("Pneumonia", "Tuberculosis", "COVID-19")
    found = ds.explain(0, "COVID-19")
    assert (found.column, found.value) == ("finding", "Pneumonia/Viral/COVID-19")


def test_nothing_else_is_labelled(root):
    ds = xr.COVID19(root, views="*")
    others = [i for i, label in enumerate(ds.pathologies) if label != "Pneumonia"]
    assert np.isnan(ds.codes[:, others]).all()


def test_slices_of_ct_are_left_out_and_counted(root, caplog):
    with caplog.at_level(logging.INFO):
        ds = xr.COVID19(root, views="*")
    assert len(ds) == 6
    assert "covid19: 1 rows are no radiographs and left out: CT 1" in caplog.text
    assert set(ds.table["modality"]) == {"X-ray"}


def test_views(root):
    table = xr.COVID19(root, views="*").table
    assert table["view"].tolist() == ["PA", "AP", "LATERAL", "AP", "PA", "PA"]


@pytest.mark.parametrize(
    ("word", "view"),
    [
        ("AP Supine", "AP_SUPINE"),
        ("APS", "AP_SUPINE"),
        ("AP semi erect", "AP"),
        ("AP erect", "AP"),
        ("", "UNKNOWN"),
    ],
)
def test_words_for_views(root, word, view):
    rewrite(root, ("1", "", "", "", "todo", word, "X-ray", "images", "klebsiella-1.jpg"))
    assert xr.COVID19(root, views="*").table["view"].tolist() == [view]


def test_ids_are_names_without_extension(root):
    table = xr.COVID19(root).table
    assert table["image_id"].tolist() == [
        "auntminnie-a.2020_01_28", "auntminnie-b.pdf-000", "klebsiella-1", "herpes-1", "todo-1",
    ]  # fmt: skip
    assert table["patient_id"].tolist() == ["2", "2", "7", "8", "102"]
    assert table["age"].tolist()[:3] == [65, 65, 29]
    assert "offset" in table
    assert not [column for column in table if column.startswith("Unnamed")]


def test_masks_beside_the_images_are_left_alone(root):
    ds = xr.COVID19(root)
    assert ds.image_source(ds.table.iloc[2]).parent.name == "images"


def test_the_folder_above_may_be_the_root(root):
    assert len(xr.COVID19(root.parent)) == 5


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/secret.png", "C:/secret.png", "images/../../secret.png"]
)
def test_a_path_that_leaves_the_root_is_refused(root, name):
    rewrite(root, ("1", "", "", "", "todo", "PA", "X-ray", "images", name))
    with pytest.raises(xr.TableError, match=r"row 1 of the data: .* points outside the root"):
        xr.COVID19(root)


def test_a_diagnosis_that_the_mapping_lacks(root):
    rewrite(root, ("1", "", "", "", "Pneumonia/Viral/Marburg", "PA", "X-ray", "images", "a.png"))
    with pytest.raises(xr.MappingError, match=r"covid19: column 'finding' names 'Marburg'"):
        xr.COVID19(root, missing="keep")


def test_only_slices_of_ct(root):
    rewrite(root, ("1", "", "", "", "todo", "Axial", "CT", "volumes", "a.nii.gz"))
    with pytest.raises(xr.EmptyDatasetError, match=r"covid19: the table has no rows"):
        xr.COVID19(root)


def test_table_without_a_column(root):
    path = root / "metadata.csv"
    path.write_text(path.read_text().replace("modality", "kind"))
    with pytest.raises(xr.TableError, match=r"has no column 'modality'"):
        xr.COVID19(root)


def test_missing_table(root):
    (root / "metadata.csv").unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"covid19: no metadata.csv in .* Get it from https"):
        xr.COVID19(root)


@pytest.mark.data
def test_real_files():
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    ds = xr.COVID19(Path(os.environ["XRDATASETS_DATA"]) / "fixtures" / "cohen", space=SPACE, size=32)
    assert ds.table["finding"].tolist() == ["ARDS", "Pneumocystis", "Pneumocystis"]
    expected = [[NAN] * 4, [1, 0, 0, NAN], [1, 0, 0, NAN]]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))
    assert all(sample["img"].shape == (1, 32, 32) for sample in ds)


def test_an_open_quote_swallows_no_rows(root):
    path = next(root.rglob("metadata.csv"))
    frame = pd.read_csv(path, dtype="str")
    frame.loc[0, "finding"] += ",Y,PA,X-ray\n2,,F,40,COVID-19"  # what stands between two quotes
    frame.to_csv(path, index=False)
    with pytest.raises(
        xr.TableError, match=r"(?s)column 'finding': expected one line, got .*a quote is left open"
    ):
        xr.COVID19(root)


def test_no_file_name_at_all(root):
    path = next(root.rglob("metadata.csv"))
    frame = pd.read_csv(path).assign(filename=None)
    frame.to_csv(path, index=False)
    with pytest.raises(xr.TableError, match=r"no image id"):
        xr.COVID19(root)
