"""CheXlocalize: ids that CheXpert has, views of the test set, masks as run lengths."""

import json

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import chexlocalize, chexpert

SPACE = ["Cardiomegaly", "Lung Opacity", "Edema", "Effusion", "Support Devices", "Fracture", "Nodule"]


@pytest.fixture
def root(tmp_path):
    return chexlocalize.write(tmp_path / "chexlocalize")


def rewrite(root, name, change):
    path = root / name
    path.write_text(change(path.read_text()))


def rewrite_masks(root, change):
    path = root / "CheXlocalize" / "gt_segmentations_val.json"
    data = json.loads(path.read_text())
    change(data["patient64541_study1_view1_frontal"])
    path.write_text(json.dumps(data))


def test_golden_rows(root):
    ds = xr.CheXlocalize(root, space=SPACE)
    nan = np.nan
    expected = [
        [1, 1, 0, 0, 0, 0, nan],
        [0, 0, 0, 0, 0, 0, nan],
        [0, 0, 0, 1, 1, 0, nan],
        [0, 0, 1, 0, 0, 1, nan],
        [0, 0, 0, 0, 0, 0, nan],
    ]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))
    assert not ds.unmentioned.any()


def test_a_blank_says_nothing(root):
    rewrite(root, "CheXpert/val_labels.csv", lambda text: text.replace("0.0", "", 1))
    ds = xr.CheXlocalize(root, space="chexpert14", policy=xr.U_ONES.with_unmentioned(0.0))
    assert np.isnan(ds.labels[0]).tolist() == [True] + [False] * 13  # No Finding comes first
    assert not ds.unmentioned.any()


def test_ids_say_valid_though_the_folder_is_val(root):
    ds = xr.CheXlocalize(root, views="*")
    assert ds.table["image_id"].tolist()[:2] == [
        "valid/patient64541/study1/view1_frontal",
        "valid/patient64542/study1/view1_frontal",
    ]
    assert ds.image_source(ds.table.iloc[0]).parts[-4:-1] == ("val", "patient64541", "study1")
    assert ds.table["patient_id"].tolist()[:2] == ["patient64541", "patient64542"]


def test_an_image_of_chexpert_has_the_same_id_and_family(root, tmp_path):
    other = xr.CheXpert(chexpert.write(tmp_path / "chexpert"), split="val")
    ds = xr.CheXlocalize(root, split="val")
    assert ds.facts.image_family == other.facts.image_family
    assert set(other.table["image_id"]) & set(ds.table["image_id"]) == {
        "valid/patient64541/study1/view1_frontal"
    }


def test_a_table_whose_paths_say_val_gives_the_same_ids(root):
    ids = xr.CheXlocalize(root).table["image_id"].tolist()
    rewrite(root, "CheXpert/val_labels.csv", lambda text: text.replace("CheXpert-v1.0/valid/", "val/"))
    assert xr.CheXlocalize(root).table["image_id"].tolist() == ids


def test_the_test_table_lacks_sex_age_and_view(root):
    table = xr.CheXlocalize(root, views="*").table
    assert table["view"].tolist() == ["AP", "PA", "LATERAL", "AP", "UNKNOWN", "LATERAL", "UNKNOWN"]
    assert table["sex"].isna().tolist() == [False] * 4 + [True] * 3
    assert table["age"].isna().tolist() == [False, True, True, False, True, True, True]  # 0 is unknown
    assert table["split"].tolist() == ["val"] * 4 + ["test"] * 3


def test_the_default_views_open_the_frontal_images_of_the_test_set(root):
    ids = xr.CheXlocalize(root, split="test").table["image_id"].tolist()
    assert ids == ["test/patient64741/study1/view1_frontal", "test/patient64742/study1/view1_frontal"]


def test_splits_are_the_tables(root):
    assert len(xr.CheXlocalize(root, split="val")) == 3
    assert xr.CheXlocalize(root, split="test").explain(0, "Edema").file == "test_labels.csv"
    (root / "CheXpert" / "val_labels.csv").unlink()
    assert len(xr.CheXlocalize(root)) == 2
    with pytest.raises(xr.DatasetNotFoundError, match=r"chexlocalize: no CheXpert/val_labels.csv in"):
        xr.CheXlocalize(root, split="val")
    with pytest.raises(
        xr.SplitNotFoundError, match=r"no split 'train'. It has: test. Needed for a split: Che"
    ):
        xr.CheXlocalize(root, split="train")


def test_root_may_be_the_folder_around(root):
    assert len(list(xr.CheXlocalize(root.parent, size=8, masks=True))) == 5


def test_a_copy_of_chexpert_beside_is_not_mixed_in(root):
    chexpert.write(root)
    ds = xr.CheXlocalize(root)
    assert "CheXpert-v1.0-small" not in str(ds.image_source(ds.table.iloc[0]))


class TestRuns:
    def test_rows(self, root):
        runs = xr.CheXlocalize(root, masks=True).read_runs()
        assert runs.columns.tolist() == ["image_id", "finding", "counts", "width", "height"]
        assert runs["finding"].tolist() == ["Cardiomegaly", "Lung Opacity", "Effusion", "Edema"]
        assert [counts.tolist() for counts in runs["counts"]] == [
            [36, 24, 60], [0, 24, 96], [60, 60], [1, 1, 118],
        ]  # fmt: skip
        assert set(runs["width"]) == {10}
        assert set(runs["height"]) == {12}
        assert runs["image_id"].tolist()[2:] == [
            "valid/patient64543/study1/view1_frontal",
            "test/patient64741/study1/view1_frontal",
        ]

    def test_masks_of_the_image(self, root):
        sample = xr.CheXlocalize(root, space=SPACE, masks=True)[0]
        mask = sample["mask"].numpy()
        assert mask.shape == (7, 48, 40)  # four times as large as the mask was drawn
        expected = np.zeros((48, 40), dtype=np.uint8)
        expected[:, 12:20] = 1
        np.testing.assert_array_equal(mask[0], expected)
        assert mask[1, :, :8].all()
        assert not mask[1, :, 8:].any()
        assert not mask[2:].any()
        # drawn, or 0: that the finding is not there is known too
        assert sample["mask_known"].tolist() == [True, True, True, True, True, True, False]

    def test_an_empty_mask_of_a_finding_that_is_there_is_not_known(self, root):
        sample = xr.CheXlocalize(root, space=SPACE, masks=True)[2]
        assert sample["mask_known"].tolist() == [True, True, True, True, False, True, False]
        assert not sample["mask"][4].any()

    def test_only_the_files_of_the_split_are_read(self, root):
        (root / "CheXlocalize" / "gt_segmentations_val.json").unlink()
        assert len(xr.CheXlocalize(root, split="test", masks=True)) == 2
        assert len(xr.CheXlocalize(root)) == 5
        message = r"chexlocalize: no CheXlocalize/gt_segmentations_val.json in"
        with pytest.raises(xr.DatasetNotFoundError, match=message):
            xr.CheXlocalize(root, masks=True)

    def test_a_finding_that_nobody_knows(self, root):
        rewrite_masks(root, lambda masks: masks.update({"Airspace Opacities": masks["Edema"]}))
        message = (
            r"val.json' has the finding 'Airspace Opacities', which the mapping file lacks. Expected one"
        )
        with pytest.raises(xr.TableError, match=message):
            xr.CheXlocalize(root, masks=True)

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            ({"size": [12, 10], "counts": "h"}, "expected run lengths as COCO compresses them, got 'h'"),
            ({"size": [12, 11], "counts": "h3"}, r"expected lengths that fill a mask of \[12, 11\]"),
            ({"size": [12, 10]}, "expected a word or a list of lengths, got None"),
            ([1, 2], "expected a word or a list of lengths, got None"),
        ],
    )
    def test_a_damaged_mask_is_named(self, root, mask, message):
        rewrite_masks(root, lambda masks: masks.update(Edema=mask))
        with pytest.raises(
            xr.TableError, match=rf"image 'patient64541_study1_view1_frontal', 'Edema': counts: {message}"
        ):
            xr.CheXlocalize(root, masks=True)

    @pytest.mark.parametrize("text", ["{", "[1]", '{"patient64541_study1_view1_frontal": 3}'])
    def test_a_file_that_is_something_else(self, root, text):
        (root / "CheXlocalize" / "gt_segmentations_val.json").write_text(text)
        with pytest.raises(xr.TableError, match=r"val.json': expected JSON, image to finding to mask"):
            xr.CheXlocalize(root, masks=True)

    def test_a_file_without_any_mask_is_damaged(self, root):
        (root / "CheXlocalize" / "gt_segmentations_test.json").write_text("{}")
        with pytest.raises(
            xr.TableError, match=r"gt_segmentations_test.json' has no mask. Expected one for each"
        ):
            xr.CheXlocalize(root, split="test", masks=True, space=SPACE)

    def test_no_outline_at_all(self, root):
        empty = {"patient64741_study1_view1_frontal": {"Edema": {"size": [4, 4], "counts": [16]}}}
        (root / "CheXlocalize" / "gt_segmentations_test.json").write_text(json.dumps(empty))
        ds = xr.CheXlocalize(root, split="test", masks=True, space=SPACE)
        assert ds.read_runs().empty
        assert ds[0]["mask_known"].tolist() == [True, True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("CheXpert-v1.0/valid/patient/study1/view1_frontal.jpg", "expected a path like 'CheXpert-v1.0/valid"),
        ("", "expected a path like"),
        ("../valid/patient64542/study1/view1_frontal.jpg", "points outside the root"),
        ("/valid/patient64542/study1/view1_frontal.jpg", "points outside the root"),
    ],
)
def test_a_path_of_another_form_is_named(root, path, message):
    good = "CheXpert-v1.0/valid/patient64542/study1/view1_frontal.jpg"
    rewrite(root, "CheXpert/val_labels.csv", lambda text: text.replace(good, path))
    with pytest.raises(
        xr.TableError, match=rf"chexlocalize: .*val_labels.csv', row 2 of the data: .*{message}"
    ):
        xr.CheXlocalize(root)


def test_tables_without_rows_or_columns(root):
    rewrite(root, "CheXpert/test_labels.csv", lambda text: text.replace("Edema", "Oedema"))
    with pytest.raises(xr.TableError, match=r"test_labels.csv' has no column 'Edema'"):
        xr.CheXlocalize(root)
    rewrite(root, "CheXpert/val_labels.csv", lambda text: text.splitlines()[0] + "\n")
    with pytest.raises(xr.EmptyDatasetError, match=r"val_labels.csv' has no rows"):
        xr.CheXlocalize(root)


def test_a_cell_that_is_no_code_is_named(root):
    rewrite(root, "CheXpert/test_labels.csv", lambda text: text.replace("1.0", "maybe", 1))
    with pytest.raises(
        xr.TableError, match=r"chexlocalize: column 'Edema': expected 1, 0, -1 or a blank, got 'maybe'"
    ):
        xr.CheXlocalize(root)
