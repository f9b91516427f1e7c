"""CheXpert Plus: labels in JSON lines, CheXpert's ids, reports on request, DICOM without HighBit."""

import json

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import chexpert, chexpert_plus

N, U = "never", "fillable"
TABLE = "df_chexpert_plus_240401.csv"
LABELS = "chexbert_labels/report_fixed.json"


@pytest.fixture
def root(tmp_path):
    return chexpert_plus.write(tmp_path / "plus")


def rewrite(root, name, change):
    path = root / name
    path.write_text(change(path.read_text()))


def cells(ds, row):
    return [
        (U if ds.unmentioned[row, column] else N) if np.isnan(code) else int(code)
        for column, code in enumerate(ds.codes[row])
    ]


def test_golden_rows(root):
    ds = xr.CheXpertPlus(
        root, space=["Effusion", "Edema", "Fracture", "Support Devices", "Nodule"], views="*"
    )
    assert [cells(ds, row) for row in range(7)] == [
        [0, 0, 0, U, N],  # No Finding
        [U, U, 1, U, N],
        [-1, U, U, U, N],
        [U, 1, U, U, N],
        [U, 1, U, U, N],
        [N, N, N, N, N],  # no line
        [U, U, U, U, N],  # a line of nulls
    ]
    assert ds.table["labelled"].tolist() == [True] * 5 + [False, True]


def test_no_policy_fills_an_image_without_labels(root):
    ds = xr.CheXpertPlus(root, views="*", policy=xr.U_ONES.with_unmentioned(0.0), space="chexpert13")
    assert np.isnan(ds.labels[5]).all()
    assert not np.isnan(ds.labels[6]).any()


def test_table(root):
    table = xr.CheXpertPlus(root, views="*").table
    assert table["image_id"].tolist()[1:3] == [
        "valid/patient64541/study1/view1_frontal",
        "train/patient00002/study1/view1_frontal",
    ]
    assert table["patient_id"].tolist() == [
        f"patient{n}" for n in ("00001", "64541", *["00002"] * 3, *["00003"] * 2)
    ]
    assert table["study_id"].tolist()[3:5] == ["patient00002/study2"] * 2
    assert table["view"].tolist() == ["AP", "AP", "PA", "AP", "LATERAL", "AP", "UNKNOWN"]
    assert table["split"].tolist() == ["train", "val"] + ["train"] * 5
    assert table["sex"].isna().tolist() == [False] * 5 + [True] * 2
    assert table["age"].fillna(-1).tolist() == [68, 73, -1, 83, 83, 41, 41]  # 0 is unknown
    assert table["race"].tolist() == ["White"] * 7


def test_ids_are_those_of_chexpert(root, tmp_path):
    other = xr.CheXpert(chexpert.write(tmp_path / "chexpert"))
    ds = xr.CheXpertPlus(root)
    assert ds.facts.image_family == other.facts.image_family == "chexpert"
    assert set(other.table["image_id"]) == set(ds.table["image_id"])
    assert set(other.table["patient_id"]) == set(ds.table["patient_id"])


def test_reports_are_left_out_unless_asked_for(root):
    names = {"report", "section_narrative", "section_findings", "section_impression"}
    assert not names & set(xr.CheXpertPlus(root).table)
    table = xr.CheXpertPlus(root, reports=True, views="*").table
    assert names < set(table)
    assert table["section_impression"][3] == "1. Edema.\n2. Lines, tubes."
    assert "path_to_dcm" not in table


@pytest.mark.parametrize("part", ["report", "findings", "impression"])
def test_labels_of_each_part(root, part):
    ds = xr.CheXpertPlus(root, labels=part, space=["Fracture"])
    assert ds.codes[1, 0] == (0 if part == "findings" else 1)
    assert ds.explain(1, "Fracture").file == f"{part}_fixed.json"


@pytest.mark.parametrize("part", ["report", "findings", "impression"])
def test_missing_labels_are_named(root, part):
    (root / "chexbert_labels" / f"{part}_fixed.json").unlink()
    message = rf"chexpert_plus: no chexbert_labels/{part}_fixed.json in .* Expected .* or {part}_fixed.json"
    with pytest.raises(xr.DatasetNotFoundError, match=message):
        xr.CheXpertPlus(root, labels=part)


def test_labels_beside_the_table(root):
    for path in (root / "chexbert_labels").iterdir():
        path.rename(root / path.name)
    assert len(xr.CheXpertPlus(root)) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "chexbert"}, r"labels: expected report, findings, impression, got 'chexbert'"),
        ({"reports": "yes"}, r"reports: .*'yes'"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        xr.CheXpertPlus(tmp_path / "nowhere", **options)


def test_splits(root):
    assert len(xr.CheXpertPlus(root, split="val")) == 1
    with pytest.raises(xr.SplitNotFoundError, match=r"no split 'test'. It has: train, val"):
        xr.CheXpertPlus(root, split="test")


def test_paths_end_in_jpg_though_the_files_are_png(root):
    ds = xr.CheXpertPlus(root)
    assert ds.image_source(ds.table.iloc[0]).suffix == ".png"


def test_what_a_broken_download_leaves_is_passed_over(root):
    folder = root / "PNG" / "train" / "patient00001" / "study1"
    assert len(list(folder.iterdir())) == 3
    ds = xr.CheXpertPlus(root, size=8)
    assert ds.image_source(ds.table.iloc[0]) == folder / "view1_frontal.png"
    (folder / "view1_frontal.png").unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"1 of 5 images are not below"):
        xr.CheXpertPlus(root)


@pytest.mark.parametrize("folder", ["PNG/PNG", "png_chexpert_plus_chunk_0/PNG", "elsewhere"])
def test_chunks_unpacked_anywhere(root, folder):
    (root / "PNG").rename(root / "old")
    (root / folder).parent.mkdir(parents=True, exist_ok=True)
    (root / "old").rename(root / folder)
    assert len(list(xr.CheXpertPlus(root, size=8))) == 5


def test_the_png_is_read_where_the_dicom_lies_beside(root):
    path = root / "DICOM" / "Uncompressed" / "train" / "patient00001" / "study1" / "view1_frontal.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"DICOM")
    ds = xr.CheXpertPlus(root)
    assert ds.image_source(ds.table.iloc[0]).suffix == ".png"


def write_dicom(path, pixels):
    """A DICOM of 12 bits that does not say which bit is the highest."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.PixelRepresentation = 16, 12, 0
    data.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    assert "HighBit" not in pydicom.dcmread(path)


def test_a_dicom_without_high_bit(root):
    image = root / "PNG" / "train" / "patient00001" / "study1" / "view1_frontal.png"
    image.unlink()
    pixels = np.arange(20 * 16).reshape(20, 16) * 12
    write_dicom(
        root / "DICOM" / "Uncompressed" / "train" / "patient00001" / "study1" / "view1_frontal.dcm", pixels
    )
    sample = xr.CheXpertPlus(root, intensity="unit")[0]
    assert sample["img"].shape == (1, 20, 16)
    np.testing.assert_allclose(sample["img"][0], pixels / 4095, atol=1e-6)


def test_labels_of_another_release(root):
    rewrite(root, LABELS, lambda text: text.replace("/patient", "/p"))
    with pytest.raises(
        xr.TableError,
        match=r"report_fixed.json' has labels for none of \d images. Expected the same path_to_image",
    ):
        xr.CheXpertPlus(root)


def test_an_image_labelled_twice(root):
    rewrite(root, LABELS, lambda text: text + text.splitlines()[0] + "\n")
    with pytest.raises(
        xr.TableError,
        match=r"report_fixed.json': expected one row for each path_to_image, got two for train/",
    ):
        xr.CheXpertPlus(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"report_fixed.json': expected a line of JSON for each image"),
        ("", r"report_fixed.json' is empty"),
        ('{"path_to_image": "train/patient00001/study1/view1_frontal.jpg"}\n', r"has no column 'No Finding'"),
        ('{"No Finding": 1}\n', r"has no column 'path_to_image'"),
    ],
)
def test_damaged_labels(root, text, message):
    (root / LABELS).write_text(text)
    with pytest.raises(xr.TableError, match=message):
        xr.CheXpertPlus(root)


@pytest.mark.parametrize(("cell", "got"), [('"maybe"', "'maybe'"), ("2.0", r".*2\.0\)?")])
def test_a_label_that_is_no_code_is_named(root, cell, got):
    rewrite(root, LABELS, lambda text: text.replace("-1", cell))
    with pytest.raises(
        xr.TableError,
        match=rf"column 'Pleural Effusion': expected 1, 0, -1 or a blank, got {got} in the row of",
    ):
        xr.CheXpertPlus(root)


def test_many_blocks_equal_one(root, monkeypatch):
    whole = xr.CheXpertPlus(root, views="*")
    monkeypatch.setattr("xrdatasets.datasets.releases.chexpert_plus.BLOCK", 2)
    blocks = xr.CheXpertPlus(root, views="*")
    np.testing.assert_array_equal(blocks.codes, whole.codes)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "train/patient00002/view1_frontal",
            r"expected a path like 'train/patient00001/study1/view1_frontal",
        ),
        ("other/patient00002/study1/view1_frontal", r"expected a path like"),
        ("../train/patient00002/study1/view1_frontal", r"points outside the root"),
        ("/train/patient00002/study1/view1_frontal", r"points outside the root"),
    ],
)
def test_a_path_of_another_form_is_named(root, path, message):
    rewrite(
        root, TABLE, lambda text: text.replace("train/patient00002/study1/view1_frontal.jpg", f"{path}.jpg")
    )
    with pytest.raises(xr.TableError, match=rf"chexpert_plus: .*{TABLE}', row 3 of the data: .*{message}"):
        xr.CheXpertPlus(root)


def test_missing_table_and_column(root):
    rewrite(root, TABLE, lambda text: text.replace("frontal_lateral", "projection"))
    with pytest.raises(xr.TableError, match=r"has no column 'frontal_lateral'"):
        xr.CheXpertPlus(root)
    (root / TABLE).unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"chexpert_plus: no df_chexpert_plus_240401.csv in"):
        xr.CheXpertPlus(root)


def test_a_table_without_rows(root):
    rewrite(root, TABLE, lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(xr.EmptyDatasetError, match=r"chexpert_plus: the table has no rows"):
        xr.CheXpertPlus(root)


def test_the_labels_are_as_the_release_writes_them(root):
    first = json.loads((root / LABELS).read_text().splitlines()[0])
    assert first["path_to_image"] == "train/patient00003/study2/view1_frontal.jpg"
    assert first["Edema"] is None


@pytest.mark.parametrize("line", ["null", "3", "[1, 2]", '"x"', "[" * 100_000, '{"a": ' + "9" * 400 + "}"])
def test_a_line_of_json_that_is_no_object(root, line):
    rewrite(root, LABELS, lambda text: f"{text.rstrip()}\n{line}\n")
    with pytest.raises(xr.TableError, match=r"report_fixed.json"):
        xr.CheXpertPlus(root)
