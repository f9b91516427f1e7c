"""PadChest: its odd rows, one by one."""

import gzip

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import padchest
from xrdatasets.datasets.releases.padchest import TermLists
from xrdatasets.labels import LabelTable

SPACE = ["Pneumonia", "Effusion", "Cardiomegaly", "Support Devices", "No Finding"]
N = np.nan


@pytest.fixture
def root(tmp_path):
    return padchest.write(tmp_path / "padchest")


def rewrite(root, old, new):
    path = root / padchest.TABLE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def codes(root, **options):
    return xr.PadChest(root, space=SPACE, **options).codes


def test_labels_of_the_lists(root):
    expected = [[0, 0, 0, 0, 1], [1, 1, 0, 0, 0], [N] * 5, [N, N, 1, N, N], [N] * 5]
    np.testing.assert_array_equal(codes(root), np.array(expected, dtype=np.float32))


def test_table_of_the_release(root):
    table = xr.PadChest(root, views="*").table
    assert table["image_id"].tolist() == [row[0] for row in padchest.ROWS]
    assert table["patient_id"].tolist()[2:5] == ["77001", "77002", "77002"]
    assert table["study_id"].tolist()[:2] == ["9001", "9002"]
    assert table["view"].tolist() == ["PA", "PA", "LATERAL", "AP", "PA", "UNKNOWN", "PA"]
    assert table["sex"].tolist() == ["F", "F", "F", "M", "M", "M", "M"]
    assert table["MethodLabel"].unique().tolist() == ["Physician"]
    assert table["Pediatric"].tolist()[-2:] == ["No", "PED"]
    assert table["StudyDate_DICOM"].tolist()[:2] == [20140915, 20150301]


def test_age_is_the_year_of_the_study_minus_the_year_of_birth(root):
    np.testing.assert_array_equal(xr.PadChest(root).table["age"], [84, 85, N, N, 2])


@pytest.mark.parametrize("birth", ["2031.0", "1712.0", "unknown", "0"])
def test_a_birth_that_is_nonsense_leaves_the_age_unknown(root, birth):
    rewrite(root, ",1930.0,", f",{birth},")
    np.testing.assert_array_equal(xr.PadChest(root).table["age"], [N, N, N, N, 2])


def test_ids_of_many_digits_and_leading_zeros_stay_text(root):
    rewrite(root, ",77001,", ",00839860488694292331637988235681460987,")
    rewrite(root, ",9002,", ", 20536686640136348236148679891455886468 ,")
    table = xr.PadChest(root).table
    assert table["patient_id"][0] == "00839860488694292331637988235681460987"
    assert table["study_id"][1] == "20536686640136348236148679891455886468"


def test_terms_with_a_blank_before_them(root):
    ds = xr.PadChest(root, space=SPACE)
    assert "' pneumonia'" in ds.table["Labels"][1]
    assert ds.terms["pneumonia"][1] == 1
    assert ds.explain(1, "Pneumonia").term == "pneumonia"
    assert ds.explain(1, "Pneumonia").value == padchest.SICK


def test_ap_horizontal_is_supine(root):
    rewrite(root, ",AP,", ",AP_horizontal,")
    assert len(xr.PadChest(root)) == padchest.IMAGES - 1
    assert xr.PadChest(root, views="AP_SUPINE").table["image_id"].tolist() == ["103_b-001"]


@pytest.mark.parametrize("term", ["exclude", "suboptimal study", "unchanged"])
def test_lists_that_exclude_nothing_keep_what_they_name(root, term):
    rewrite(root, "['exclude']", f"['{term}', 'NSG tube', 'pleural effusion']")
    np.testing.assert_array_equal(codes(root)[2], [N, 1, N, 1, N])


@pytest.mark.parametrize("text", ["", "[]", "['']", "[' ']"])
def test_no_labels_are_unknown(root, text):
    rewrite(root, "['normal']", text)
    assert np.isnan(codes(root)[0]).all()


def test_other_ways_to_write_a_list(root):
    rewrite(root, "['normal']", "[ 'cardiomegaly' ,'nodule']")
    np.testing.assert_array_equal(codes(root)[0], [0, 0, 1, 0, 0])


@pytest.mark.parametrize(
    "text", ["normal", "['normal'", "[normal]", "['normal', 1]", "('normal',)", "['a' 'b"]
)
def test_a_cell_that_is_no_list_is_named(root, text):
    rewrite(root, "['normal']", text)
    message = r"padchest: column 'Labels': expected the text of a list .* in the row of '101_a-001' \(1 such"
    with pytest.raises(xr.TableError, match=message):
        xr.PadChest(root)


def test_a_list_is_read_and_never_run(root):
    rewrite(root, "['normal']", "[print('run')]")
    with pytest.raises(xr.TableError, match="expected the text of a list"):
        xr.PadChest(root)


def test_a_term_that_the_mapping_lacks(root):
    rewrite(root, "'cardiomegaly'", "'cardiomegalia'")
    with pytest.raises(xr.MappingError, match=r"padchest: column 'Labels' names 'cardiomegalia', which its"):
        xr.PadChest(root)


@pytest.mark.parametrize("column", ["Labels", "Projection", "PatientID", "ImageID"])
def test_table_without_a_column(root, column):
    rewrite(root, f",{column},", f",{column}_,")
    with pytest.raises(xr.TableError, match=f"has no column '{column}'. Expected"):
        xr.PadChest(root)


def test_missing_table(root):
    (root / padchest.TABLE).unlink()
    with pytest.raises(
        xr.DatasetNotFoundError, match=r"padchest: no PADCHEST_chest_x_ray_images_labels_160K"
    ):
        xr.PadChest(root)


def test_a_row_without_an_image_id(root):
    rewrite(root, "103_b-001.png", "")
    with pytest.raises(xr.TableError, match="row 4 of the table has no image id"):
        xr.PadChest(root)


def test_a_line_break_within_a_word_is_no_row(root):
    rewrite(root, ",77002,", ',"77\n002",')
    assert xr.PadChest(root).table["patient_id"].tolist()[2] == "77 002"


def test_gzipped_table(root):
    path = root / padchest.TABLE
    (root / f"{padchest.TABLE}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(xr.PadChest(root)) == padchest.IMAGES


def test_images_of_sixteen_bit(root):
    image = xr.PadChest(root)[0]["img"]
    assert -1024 <= image.min() < -900
    assert 900 < image.max() <= 1024


def test_flat_folder_in_another_format(root):
    from PIL import Image

    for path in sorted((root / "images").rglob("*.png")):
        Image.fromarray(np.full((16, 16), 99, dtype=np.uint8)).save(root / f"{path.stem}.jpg")
        path.unlink()
    ds = xr.PadChest(root)
    assert ds.image_source(ds.table.iloc[0]).name == "101_a-001.jpg"


def test_a_resized_copy_beside_the_release_is_not_taken(root):
    copy = root / "images-224" / "101_a-001.png"
    copy.parent.mkdir()
    copy.write_bytes((root / "images" / "0" / "101_a-001.png").read_bytes())
    ds = xr.PadChest(root)
    assert ds.image_source(ds.table.iloc[0]).parent.name == "0"


def test_the_texts_are_not_read(root):
    table = xr.PadChest(root).table
    assert not {"Report", "Localizations", "LabelsLocalizationsBySentence", "labelCUIS"} & set(table)


def test_reader_needs_its_column(root):
    table = xr.PadChest(root).table.drop(columns="Labels")
    with pytest.raises(xr.TableError, match="padchest: expected a column 'Labels', got image_id"):
        LabelTable.load("padchest").read_terms(table, reader=TermLists())


def test_reader_names_the_row_by_its_number_where_it_has_no_name(root):
    table = xr.PadChest(root).table.assign(Labels="nothing")
    with pytest.raises(xr.TableError, match=r"row 1 of the data \(5 such cells\)"):
        LabelTable.load("padchest").read_terms(table, reader=TermLists())


def test_a_comma_at_the_end_of_every_line_shifts_nothing(root):
    rewrite(root, "\n", ",\n")
    text = (root / padchest.TABLE).read_text()
    (root / padchest.TABLE).write_text(text.replace(",\n", "\n", 1))
    assert xr.PadChest(root).table["image_id"].tolist()[0] == "101_a-001"


def test_a_date_that_is_no_whole_number_leaves_the_age_unknown(root):
    rewrite(root, "20140915", "0.5")
    assert np.isnan(xr.PadChest(root).table["age"][0])
