"""NIH and Google's readings of it: layouts, spellings, splits, boxes."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image

import xrdatasets as xr
from tests import fakes
from tests.fakes import nih, nih_google


@pytest.fixture
def root(tmp_path):
    return nih.write(tmp_path / "nih")


def rewrite(root, change):
    path = root / "Data_Entry_2017_v2020.csv"
    path.write_text(change(path.read_text()))


def test_labels_of_the_list(root):
    ds = xr.NIH(root, space=["Effusion", "Hernia", "Nodule", "Pleural_Thickening", "Fracture"])
    expected = [[1, 1, 0, 0, np.nan], [0, 0, 0, 0, np.nan], [0, 0, 0, 0, np.nan], [0, 0, 1, 1, np.nan]]
    np.testing.assert_array_equal(ds.codes[:4], np.array(expected, dtype=np.float32))


def test_table_of_the_release(root):
    table = xr.NIH(root).table
    assert table["image_id"].tolist()[:2] == ["00000001_000", "00000001_001"]
    assert table["patient_id"].tolist() == ["1", "1", "2", "3", "3"]
    assert table["view"].tolist() == ["PA", "AP", "PA", "PA", "AP"]
    assert table["sex"].tolist() == ["M", "M", "F", "F", "F"]
    assert table["age"].tolist() == [57, 58, 80, 74, 75]
    assert table["Follow-up #"].tolist() == [0, 1, 0, 0, 1]


def test_images_in_numbered_folders_are_found(root):
    for number, path in enumerate(sorted((root / "images").iterdir())):
        target = root / f"images_{number % 2 + 1:03d}" / "images" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    (root / "images").rmdir()
    assert xr.NIH(root, size=8)[4]["img"].shape == (1, 8, 8)


def test_images_in_another_format_are_found(root):
    path = root / "images" / "00000001_000.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()
    ds = xr.NIH(root)
    assert ds.image_source(ds.table.iloc[0]).suffix == ".jpg"


def test_patient_sex_is_patient_gender(root):
    rewrite(root, lambda text: text.replace("Patient Gender", "Patient Sex"))
    assert xr.NIH(root).table["sex"].tolist() == ["M", "M", "F", "F", "F"]


def test_older_table_pads_ids_writes_ages_with_a_unit_and_ends_lines_with_a_comma(root):
    def old(text):
        lines = text.replace(",1,57,", ",00000001,057Y,").replace(",1,58,", ",00000001,006M,").splitlines()
        return "\n".join(line + "," for line in lines) + "\n"

    rewrite(root, old)
    (root / "Data_Entry_2017_v2020.csv").rename(root / "Data_Entry_2017.csv")
    table = xr.NIH(root).table
    assert table["patient_id"].tolist()[:3] == ["1", "1", "2"]
    assert table["age"].tolist()[:2] == [57, 0.5]
    assert not [column for column in table if column.startswith("Unnamed")]


def test_an_age_above_any_human_is_unknown(root):
    rewrite(root, lambda text: text.replace(",57,M", ",414,M"))
    assert np.isnan(xr.NIH(root).table["age"][0])


def test_an_age_that_is_no_age_is_unknown_and_reported(root, caplog):
    rewrite(root, lambda text: text.replace(",57,M", ",90+,M"))
    assert np.isnan(xr.NIH(root).table["age"][0])
    assert xr.NIH(root).table["age"][1] == 58
    assert "nih: column 'Patient Age': '90+' are no ages in years; they count as unknown" in caplog.text


def test_gzipped_table(root):
    path = root / "Data_Entry_2017_v2020.csv"
    (root / "Data_Entry_2017_v2020.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(xr.NIH(root)) == 5


def test_truncated_gzip_is_refused(root):
    path = root / "Data_Entry_2017_v2020.csv"
    data = gzip.compress(path.read_bytes())
    path.unlink()
    (root / "Data_Entry_2017_v2020.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(xr.TableError, match=r"is not a CSV table"):
        xr.NIH(root)


def test_missing_table(root):
    (root / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(
        xr.DatasetNotFoundError, match=r"nih: no Data_Entry_2017_v2020.csv in .* Get it from https"
    ):
        xr.NIH(root)


def test_empty_table(root):
    (root / "Data_Entry_2017_v2020.csv").write_text("")
    with pytest.raises(xr.TableError, match=r"is empty. Expected a table"):
        xr.NIH(root)


def test_table_without_rows(root):
    rewrite(root, lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(xr.EmptyDatasetError, match=r"nih: the table has no rows"):
        xr.NIH(root)


def test_table_in_another_encoding(root):
    path = root / "Data_Entry_2017_v2020.csv"
    path.write_bytes(path.read_text().replace("Hernia", "Herniá").encode("latin-1"))
    with pytest.raises(xr.TableError, match=r"not a CSV table in UTF-8"):
        xr.NIH(root)


def test_table_without_a_column(root):
    rewrite(root, lambda text: text.replace("Finding Labels", "Labels"))
    with pytest.raises(
        xr.TableError, match=r"has no column 'Finding Labels'. Expected .* it has Image Index, Labels"
    ):
        xr.NIH(root)


def test_a_finding_that_the_mapping_lacks(root):
    rewrite(root, lambda text: text.replace("Hernia", "Hernias"))
    with pytest.raises(
        xr.MappingError, match=r"nih: column 'Finding Labels' names 'Hernias', which its mapping"
    ):
        xr.NIH(root)


def test_a_view_that_nobody_knows(root):
    rewrite(root, lambda text: text.replace(",PA,", ",UPSIDE,"))
    with pytest.raises(xr.TableError, match=r"column 'View Position' has the view 'UPSIDE'"):
        xr.NIH(root)


def test_a_row_without_an_image_id(root):
    rewrite(root, lambda text: text.replace("00000002_000.png,", ","))
    with pytest.raises(xr.TableError, match=r"row 3 of the table has no image id"):
        xr.NIH(root)


def test_repeated_rows(root):
    rewrite(root, lambda text: text + nih.ROWS[0] + "\n")
    expected = r"image '00000001_000' stands in more than one row \(1 such rows\). Expected one row per image"
    with pytest.raises(xr.TableError, match=expected):
        xr.NIH(root)


class TestMissingImages:
    @pytest.fixture
    def root(self, root):
        (root / "images" / "00000001_001.png").unlink()
        (root / "images" / "00000003_000.png").unlink()
        return root

    def test_error_counts_them_and_names_the_first(self, root):
        message = (
            r"nih: 2 of 5 images are not below .*, the first is '00000001_001' \(3 image files were found\)"
        )
        with pytest.raises(xr.DatasetNotFoundError, match=message):
            xr.NIH(root)

    def test_drop(self, root, caplog):
        ds = xr.NIH(root, missing="drop")
        assert ds.table["image_id"].tolist() == ["00000001_000", "00000002_000", "00000003_001"]
        assert ds.table.index.tolist() == [0, 1, 2]
        assert "2 of 5 images" in caplog.text

    def test_keep_gives_labels_and_a_clear_error_for_the_image(self, root):
        ds = xr.NIH(root, missing="keep")
        assert len(ds.labels) == 5
        with pytest.raises(xr.DatasetNotFoundError, match=r"no image file '00000001_001' below"):
            ds[1]

    def test_rows_of_other_views_and_splits_do_not_count(self, root):
        assert len(xr.NIH(root, views="PA", split="train")) == 2

    def test_no_image_at_all(self, root):
        for path in (root / "images").iterdir():
            path.unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"5 of 5 images"):
            xr.NIH(root, missing="drop")

    def test_another_word(self, root):
        with pytest.raises(ValueError, match=r"missing: expected error, drop, keep, got 'ignore'"):
            xr.NIH(root, missing="ignore")


class TestSplit:
    def test_train_and_test(self, root):
        assert xr.NIH(root, split="train").table["image_id"].tolist() == [
            "00000001_000",
            "00000001_001",
            "00000002_000",
        ]
        assert len(xr.NIH(root, split="test")) == 2
        assert xr.NIH(root).table["split"].tolist() == ["train"] * 3 + ["test"] * 2

    def test_val_is_not_official(self, root):
        with pytest.raises(
            xr.SplitNotFoundError, match=r"no split 'val'. It has: train, test. .*split_by_patient"
        ):
            xr.NIH(root, split="val")

    def test_lists_that_are_not_there_are_named(self, root):
        (root / "train_val_list.txt").unlink()
        (root / "test_list.txt").unlink()
        with pytest.raises(
            xr.SplitNotFoundError, match=r"It has none. .*train_val_list.txt and test_list.txt"
        ):
            xr.NIH(root, split="train")

    def test_a_list_that_is_no_text(self, root):
        (root / "test_list.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(xr.TableError, match=r"test_list.txt' is no list of file names"):
            xr.NIH(root)


class TestViews:
    def test_one_word_or_several(self, root):
        assert len(xr.NIH(root, views="PA")) == 3
        assert len(xr.NIH(root, views=("PA",))) == 3
        assert len(xr.NIH(root, views=["pa", "ap"])) == 5
        assert len(xr.NIH(root, views="*")) == len(xr.NIH(root, views=None)) == 5

    def test_a_word_that_is_no_view(self, root):
        with pytest.raises(ValueError, match=r"views: expected PA, AP, .* got 'sideways'"):
            xr.NIH(root, views="sideways")
        with pytest.raises(ValueError, match=r"expected at least one view"):
            xr.NIH(root, views=())

    def test_none_left_says_what_there_is(self, root):
        with pytest.raises(xr.EmptyDatasetError, match=r"views=\('LATERAL',\) leave no row. .*PA 3, AP 2"):
            xr.NIH(root, views="L")


class TestBoxes:
    def test_box_of_the_released_size_falls_on_the_smaller_image(self, root):
        ds = xr.NIH(root, masks=True, space=["Cardiomegaly", "Effusion", "Fracture"])
        sample = ds[2]  # 64x64 on disk, the box drawn on 1024x1024: x 256..768, y 512..768
        expected = np.zeros((64, 64), dtype=np.uint8)
        expected[32:48, 16:48] = 1
        np.testing.assert_array_equal(sample["mask"][0], expected)
        assert not sample["mask"][1:].any()
        assert sample["mask_known"].tolist() == [True, True, False]  # boxed; not there; never labelled

    def test_a_positive_without_a_box_is_unknown(self, root):
        ds = xr.NIH(root, masks=True, space=["Effusion", "Nodule"])
        assert ds[0]["mask_known"].tolist() == [False, True]

    def test_infiltrate_is_infiltration(self, root):
        sample = xr.NIH(root, masks=True, size=32, space=["Infiltration"])[4]
        assert sample["mask"][0].sum() == 16
        assert sample["mask"][0, :4, :4].all()

    def test_without_the_list(self, root):
        (root / "BBox_List_2017.csv").unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"no BBox_List_2017.csv"):
            xr.NIH(root, masks=True)
        assert len(xr.NIH(root)) == 5

    def test_list_without_numbers(self, root):
        (root / "BBox_List_2017.csv").write_text("Image Index,Finding Label\na.png,Mass\n")
        with pytest.raises(xr.TableError, match=r"expected x, y, w, h after 'Finding Label'"):
            xr.NIH(root, masks=True)


def test_rgba_image_reads_as_grey(root):
    path = root / "images" / "00000001_000.png"
    grey = np.array(Image.open(path))
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(path)
    expected = torch.from_numpy(grey).double() / 255 * 2048 - 1024
    torch.testing.assert_close(xr.NIH(root)[0]["img"][0].double(), expected, rtol=0, atol=1e-4)


def test_closure_adds_parents_and_says_so(root):
    ds = xr.NIH(root, space="union20", closure="luo2020")
    assert ds.codes[3, ds.pathologies.index("Lung Lesion")] == 1
    found = ds.explain(3, "Lung Lesion")
    assert (found.relation, found.term, found.code) == ("closure", "Nodule", 1.0)
    assert np.isnan(xr.NIH(root).codes[3, ds.space.load("xrv18").index("Lung Lesion")])
    with pytest.raises(xr.LabelNotFoundError, match=r"no hierarchy is called 'luo'"):
        xr.NIH(root, closure="luo")


class TestGoogle:
    @pytest.fixture
    def root(self, tmp_path):
        return nih_google.write(tmp_path / "nih_google")

    def test_nodule_or_mass(self, root):
        ds = xr.NIHGoogle(root, space=["Nodule", "Mass", "Lung Opacity", "Fracture", "Hernia"])
        nan = np.nan
        expected = np.array([[0, 0, 1, 0, nan], [nan, nan, 0, 1, nan]], dtype=np.float32)
        np.testing.assert_array_equal(ds.codes, expected)
        assert not ds.unmentioned.any()
        found = ds.explain(1, "Nodule")
        assert (found.relation, found.column, found.value) == ("broader", "Nodule or mass", "YES")

    def test_sets_are_splits(self, root):
        assert len(xr.NIHGoogle(root, split="val")) == len(xr.NIHGoogle(root, split="test")) == 1
        with pytest.raises(xr.SplitNotFoundError, match=r"It has: val, test"):
            xr.NIHGoogle(root, split="train")

    @pytest.mark.parametrize(
        "names",
        [
            (
                "four_findings_expert_labels/test_labels.csv",
                "four_findings_expert_labels/validation_labels.csv",
            ),
            (
                "four_findings_expert_labels_test_labels.csv",
                "four_findings_expert_labels_validation_labels.csv",
            ),
        ],
    )
    def test_the_two_tables_of_the_release(self, root, names):
        merged = root / "google2019_nih-chest-xray-labels.csv"
        head = merged.read_text().splitlines()[0].removesuffix(",Set Id")
        merged.unlink()
        for name, row in zip(names, nih_google.ROWS, strict=True):
            fakes.write_table(root / name, head.replace("Image Index", "Image ID"), row.rsplit(",", 1)[0])
        ds = xr.NIHGoogle(root, space="native")
        assert ds.table["split"].tolist() == ["test", "val"]
        assert ds.explain(1, "Fracture").file == "four_findings_expert_labels/validation_labels.csv"
        np.testing.assert_array_equal(ds.codes, [[0, 0, 1], [0, 1, 0]])

    def test_a_value_that_the_mapping_lacks(self, root):
        path = root / "google2019_nih-chest-xray-labels.csv"
        path.write_text(path.read_text().replace("YES", "MAYBE", 1))
        with pytest.raises(
            xr.MappingError, match=r"column 'Airspace opacity': expected one of 'YES', 'NO', got 'MAYBE'"
        ):
            xr.NIHGoogle(root)

    def test_join_prefers_the_first_reader(self, root):
        space = ["Lung Opacity", "Pneumothorax", "Hernia", "Nodule"]
        google, all_nih = xr.NIHGoogle(root, space=space), xr.NIH(root, space=space, size=8)
        both = xr.join(google, all_nih)
        assert both.table["image_id"].tolist() == ["00000001_000", "00000002_000", "00000001_001"]
        expected = [[1, 0, 1, 0], [0, 0, 0, 0], [np.nan, 0, 0, 0]]
        np.testing.assert_array_equal(both.codes, np.array(expected, dtype=np.float32))
        np.testing.assert_array_equal(both.labels, both.codes)
        # Google leaves Nodule open on the second image, so NIH's 0 counts
        assert both.explain(1, "Nodule").file == "Data_Entry_2017_v2020.csv"
        assert both.explain(0, "Lung Opacity").file == "google2019_nih-chest-xray-labels.csv"
        assert both[2]["img"].shape == (1, 8, 8)
        assert both[0]["source"] == 0

    def test_join_per_reader_keeps_a_row_for_each(self, root):
        both = xr.join(xr.NIHGoogle(root), xr.NIH(root), how="per_reader")
        assert both.table["source"].tolist() == [0, 0, 1, 1, 1]
        assert both.table["dataset"].tolist() == ["nih_google"] * 2 + ["nih"] * 3

    def test_concat_warns_and_counts(self, root):
        with pytest.warns(xr.OverlapWarning, match=r"nih and nih_google share 2 images \(family 'nih'\)"):
            xr.concat([xr.NIH(root), xr.NIHGoogle(root)])


class TestDamagedImages:
    """A broken file of a dataset: one error that names dataset and path."""

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("png cut", lambda good: good[: len(good) // 2], "Download the file again"),
            ("text", lambda _: b"<html>404 Not Found</html>", "it is no image of a known kind"),
            ("empty", lambda _: b"", "it is empty"),
        ],
    )
    def test_one_error_with_dataset_and_path(self, root, name, content, message):
        path = root / "images" / "00000001_000.png"
        path.write_bytes(content(path.read_bytes()))
        with pytest.raises(xr.ImageReadError, match=rf"nih: cannot read '.*00000001_000.png': .*{message}"):
            xr.NIH(root, size=8)[0]

    def test_truncated_jpeg(self, root):
        path = root / "images" / "00000001_000.png"
        Image.open(path).save(root / "images" / "00000001_000.jpg")
        path.unlink()
        jpeg = root / "images" / "00000001_000.jpg"
        jpeg.write_bytes(jpeg.read_bytes()[:-200])
        with pytest.raises(xr.ImageReadError, match=r"nih: cannot read '.*00000001_000.jpg'"):
            xr.NIH(root, size=8)[0]

    def test_one_pixel(self, root):
        fakes.write_image(root / "images" / "00000001_000.png", size=(1, 1))
        with pytest.raises(xr.ImageReadError, match=r"nih: .* 1 x 1 pixels. Expected at least 2 x 2"):
            xr.NIH(root, size=8)[0]

    def test_the_error_crosses_a_worker(self, root):
        (root / "images" / "00000001_000.png").write_bytes(b"x")
        with pytest.raises(xr.ImageReadError, match=r"nih: cannot read"):
            list(xr.loader(xr.NIH(root, size=8), workers=1))


class TestNothingCanBeChangedFromOutside:
    def test_the_table_is_a_copy(self, root):
        ds = xr.NIH(root)
        other = ds.relabel("nih14")
        table = ds.table
        table.loc[:, "image_id"] = "x"
        table["age"] = 0.0
        for each in (ds, other):
            assert each.table["image_id"][0] == "00000001_000"
            assert each.table["age"][0] == 57

    def test_keys_are_read_only(self, root):
        ds = xr.NIH(root)
        for matrix in (ds.matrix, ds.select([1, 0]).matrix, xr.concat([ds]).matrix):
            with pytest.raises(ValueError, match=r"read-only"):
                matrix.keys[0] = "x"


class TestPatientIds:
    def test_a_blank_one_leaves_the_others_as_they_are(self, root):
        rewrite(root, lambda text: text.replace(",0,2,80", ",0,,80"))
        patients = xr.NIH(root).table["patient_id"]
        assert patients.tolist()[:2] == ["1", "1"]
        assert patients.isna().tolist() == [False, False, True, False, False]

    def test_zero_is_a_patient(self, root):
        rewrite(root, lambda text: text.replace(",0,2,80", ",0,00,80"))
        assert xr.NIH(root).table["patient_id"][2] == "0"


class TestHostileBoxes:
    @pytest.mark.parametrize(
        "box", ["nan,1,2,3", "1,1,-2,3", "1,1,0,3", "2000,1,5,5", "inf,1,2,3", "a,1,2,3"]
    )
    def test_a_box_that_is_none_is_named(self, root, box):
        path = root / "BBox_List_2017.csv"
        path.write_text(path.read_text().replace("256.0,512.0,512.0,256.0", box))
        with pytest.raises(xr.TableError, match=r"BBox_List_2017.csv', row 1: expected x, y, w, h of a box"):
            xr.NIH(root, masks=True)

    @pytest.mark.parametrize("word", ["Cardio", ""])
    def test_an_unknown_finding_is_named(self, root, word):
        path = root / "BBox_List_2017.csv"
        path.write_text(path.read_text().replace(".png,Cardiomegaly", f".png,{word}"))
        with pytest.raises(xr.TableError, match=r"BBox_List_2017.csv', row 1: no finding is called"):
            xr.NIH(root, masks=True)

    def test_explain_still_names_the_label_table(self, root):
        assert xr.NIH(root, masks=True).explain(0, "Effusion").file == "Data_Entry_2017_v2020.csv"


class TestLists:
    def test_a_byte_order_mark_loses_nobody(self, root):
        path = root / "train_val_list.txt"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(xr.NIH(root, split="train")) == 3

    def test_an_image_in_both_lists(self, root):
        (root / "test_list.txt").write_text("00000001_000.png\n")
        with pytest.raises(xr.TableError, match=r"image '00000001_000' stands in both lists"):
            xr.NIH(root)


def test_a_mask_folder_does_not_hide_the_images(root):
    image = xr.NIH(root, size=8)[0]["img"]
    fakes.write_image(root / "a_masks" / "00000001_000.png", seed=99)
    assert torch.equal(xr.NIH(root, size=8)[0]["img"], image)


def test_join_refuses_a_repeated_image(root):
    ds = xr.NIH(root).select([0, 0])
    with pytest.raises(ValueError, match=r"join: nih has 1 rows that repeat an image"):
        xr.join(ds, ds)


class TestDamagedLists:
    @pytest.fixture
    def root(self, root):
        (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
        (root / "test_list.txt").write_text("00000003_000.png\n")
        return root

    def test_images_in_neither_list_are_counted(self, root, caplog):
        assert xr.NIH(root).table["split"].isna().sum() == 2
        assert "nih: 2 images stand in neither list; they have no split" in caplog.text

    @pytest.mark.parametrize("text", ["", " \n", "<html>\n", "00000001_000.png 404\n", "1,2"])
    def test_a_list_of_no_file_names(self, root, text):
        (root / "test_list.txt").write_text(text)
        with pytest.raises(xr.TableError, match=r"test_list.txt': expected a list of file names"):
            xr.NIH(root)

    def test_a_list_of_another_release(self, root):
        (root / "test_list.txt").write_text("99999999_000.png\n")
        with pytest.raises(
            xr.TableError, match=r"test_list.txt' names no image of Data_Entry_2017_v2020.csv"
        ):
            xr.NIH(root)


def test_boxes_of_images_that_the_table_lacks(root, caplog):
    path = root / "BBox_List_2017.csv"
    head, *lines = path.read_text().splitlines()
    fakes.write_table(path, head, *lines, "99999999_000.png" + lines[0][lines[0].index(",") :])
    xr.NIH(root, masks=True)
    assert f"1 of {len(lines) + 1} rows are of images that the table of labels does not have" in caplog.text
    fakes.write_table(path, head, "99999999_000.png" + lines[0][lines[0].index(",") :])
    with pytest.raises(xr.TableError, match=r"BBox_List_2017.csv': 1 of 1 rows are of images"):
        xr.NIH(root, masks=True)


def test_join_wants_its_datasets_one_by_one(root):
    ds = xr.NIH(root)
    with pytest.raises(ValueError, match=r"one by one, as xr.join\(a, b\), got them in a list"):
        xr.join([ds, ds])
