"""ChestX-Det: lists in JSON, renamed images, outlines."""

import json

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import chestx_det

FINDINGS = ["Nodule", "Mass", "Pleural_Thickening", "Consolidation", "Effusion", "No Finding", "Pneumonia"]


@pytest.fixture
def root(tmp_path):
    return chestx_det.write(tmp_path / "chestx_det")


def rewrite(root, change, split="train"):
    """Change the list of a split: its images are dictionaries."""
    path = root / f"ChestX_Det_{split}.json"
    images = json.loads(path.read_text())
    path.write_text(json.dumps(change(images) or images))


def test_labels_of_the_lists(root):
    ds = xr.ChestXDet(root, space=FINDINGS)
    expected = [
        [0, 0, 0, 0, 0, 1, np.nan],  # an empty list
        [1, 0, 0, 0, 0, 0, np.nan],
        [0, 0, 0, 1, 1, 0, np.nan],
        [0, 0, 0, 0, 0, 0, np.nan],  # Calcification alone
        [0, 0, 1, 0, 0, 0, np.nan],
    ]
    np.testing.assert_array_equal(ds.codes, np.array(expected, dtype=np.float32))


def test_an_empty_list_is_negative_for_all_that_is_labelled(root):
    ds = xr.ChestXDet(root, space="native")
    assert len(ds.pathologies) == 11
    assert (ds.codes[0] == 0).all()
    found = ds.explain(0, "Effusion")
    assert (found.value, found.relation, found.column) == ("none", "negates", "syms")
    assert found.file == "ChestX_Det_train.json"


def test_a_diffuse_nodule_alone_is_a_nodule(root):
    rewrite(
        root, lambda images: images[1].update(syms=["Diffuse Nodule"], boxes=[[1, 1, 2, 2]], polygons=[[]])
    )
    ds = xr.ChestXDet(root, space=["Nodule", "Mass"])
    assert ds.codes[1].tolist() == [1, 0]
    assert ds.explain(1, "Nodule").relation == "narrower"


def test_all_13_categories_are_known_and_calcification_is_no_finding(root):
    terms = [term.source for term in xr.ChestXDet(root).label_table.terms]
    assert len(terms) == 14  # and the word for an empty list
    rules = [rule for rule in xr.ChestXDet(root).label_table.rules if rule.term.source == "Calcification"]
    assert [rule.target for rule in rules] == [None]


def test_a_category_that_stands_there_twice_counts_once(root):
    ds = xr.ChestXDet(root, space=["Consolidation"])
    assert ds.table["syms"][2] == "Consolidation|Consolidation|Effusion"
    assert ds.codes[2].tolist() == [1]


def test_ids_keep_the_folder_so_that_none_looks_like_one_of_nih_s(root):
    table = xr.ChestXDet(root).table
    assert table["image_id"].tolist() == [
        "train/36200", "train/36201", "train/36204", "test/36199", "test/36302",
    ]  # fmt: skip
    assert table["patient_id"].isna().all()
    assert table["view"].unique().tolist() == ["UNKNOWN"]


def test_the_images_are_of_nih_s_family(root, fake):
    assert xr.ChestXDet(root).facts.image_family == xr.NIH(fake("nih")).facts.image_family


@pytest.mark.parametrize(("split", "rows"), [("train", 3), ("test", 2)])
def test_splits_are_the_two_lists(root, split, rows):
    ds = xr.ChestXDet(root, split=split)
    assert len(ds) == rows
    assert ds.explain(0, "Mass").file == f"ChestX_Det_{split}.json"


def test_one_number_in_both_splits_is_two_images(root):
    (root / "test_data" / "test" / "36199.png").rename(root / "test_data" / "test" / "36200.png")
    rewrite(root, lambda images: images[0].update(file_name="36200.png"), split="test")
    ds = xr.ChestXDet(root)
    paths = [ds.image_source(ds.table.iloc[row]).parent.name for row in (0, 3)]
    assert paths == ["train", "test"]


def test_unpacked_without_the_outer_folders(root):
    for split in ("train", "test"):
        (root / f"{split}_data" / split).rename(root / split)
        (root / f"{split}_data").rmdir()
    assert xr.ChestXDet(root, size=8)[4]["img"].shape == (1, 8, 8)


class TestMasks:
    def test_outlines_are_filled(self, root):
        """A triangle of legs 100 on 1024 pixels, on an image of 64: legs of 6.25."""
        ds = xr.ChestXDet(root, masks=True, space=["Consolidation", "Effusion", "Mass"])
        sample = ds[2]
        left, top = np.array([600, 200]) * 64 / 1024
        expected = np.zeros((64, 64), dtype=np.uint8)
        for y in range(64):
            for x in range(64):
                across, down = x + 0.5 - left, y + 0.5 - top
                expected[y, x] = across >= 0 and down >= 0 and across + down < 6.25
        np.testing.assert_array_equal(sample["mask"][0].numpy(), expected)
        np.testing.assert_array_equal(sample["mask"][1].numpy(), expected)
        assert not sample["mask"][2].any()
        assert sample["mask_known"].tolist() == [True, True, True]

    def test_a_box_stands_in_where_there_is_no_outline(self, root):
        ds = xr.ChestXDet(root, masks=True)
        assert ds.read_polygons()["finding"].tolist() == ["Nodule"] + ["Consolidation"] * 2 + [
            "Effusion", "Pleural_Thickening",
        ]  # fmt: skip
        boxes = ds.read_boxes()
        assert boxes[["image_id", "finding"]].values.tolist() == [["train/36201", "Nodule"]]
        assert boxes[["x", "y", "w", "h", "width"]].values.tolist() == [[300, 300, 20, 20, 1024]]

    def test_two_corners_are_no_outline(self, root):
        rewrite(root, lambda images: images[1]["polygons"].__setitem__(1, [[1, 1], [5, 5]]))
        assert len(xr.ChestXDet(root, masks=True).read_boxes()) == 1

    def test_what_is_no_finding_has_no_mask(self, root):
        ds = xr.ChestXDet(root, masks=True, space="native")
        assert "test/36199" not in set(ds.read_polygons()["image_id"]) | set(ds.read_boxes()["image_id"])
        assert not ds[3]["mask"].any()

    def test_an_image_without_findings_has_empty_masks_that_are_the_truth(self, root):
        sample = xr.ChestXDet(root, masks=True, space="native")[0]
        assert not sample["mask"].any()
        assert sample["mask_known"].all()

    def test_a_list_without_any_instance(self, root):
        rewrite(root, lambda images: images[:1])
        ds = xr.ChestXDet(root, masks=True, space="native", missing="keep", split="train")
        assert not ds[0]["mask"].any()

    def test_lists_of_one_image_that_differ_in_length(self, root):
        rewrite(root, lambda images: images[2].update(boxes=[]))
        assert len(xr.ChestXDet(root)) == 5  # the labels do not need them
        with pytest.raises(
            xr.TableError, match=r"as many boxes and polygons as syms of image 'train/36204', got"
        ):
            xr.ChestXDet(root, masks=True)

    @pytest.mark.parametrize(
        ("key", "value", "match"),
        [
            ("polygons", [[["a", 1]] * 3] * 3, r"expected three or more corners.*'train/36204'"),
            ("boxes", [[1, 2, 3, None]] * 3, r"expected x, y, w, h of a box"),
            ("boxes", [[1, 2]] * 3, r"expected x, y, w, h of a box"),
        ],
    )
    def test_damaged_marks(self, root, key, value, match):
        empty = {"polygons": [[]] * 3} if key == "boxes" else {}
        rewrite(root, lambda images: images[2].update({key: value, **empty}))
        with pytest.raises(xr.TableError, match=match):
            xr.ChestXDet(root, masks=True)


class TestDamage:
    def test_a_missing_list(self, root):
        (root / "ChestX_Det_test.json").unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"chestx_det: no ChestX_Det_test.json in"):
            xr.ChestXDet(root)

    @pytest.mark.parametrize(
        "text", ["", "[{", '"text"', "[1, 2]", '{"images": 3}', "[" * 100_000, "\xff\xfe"]
    )
    def test_what_is_no_list_of_images(self, root, text):
        (root / "ChestX_Det_train.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(xr.TableError, match=r"ChestX_Det_train.json'"):
            xr.ChestXDet(root)

    def test_a_column_that_is_missing(self, root):
        rewrite(root, lambda images: [image for image in images if image.pop("syms", None) is not None])
        with pytest.raises(xr.TableError, match=r"has no column 'syms'"):
            xr.ChestXDet(root)

    @pytest.mark.parametrize("syms", [None, "Mass", 3, [3], [None]])
    def test_categories_that_are_no_list_of_words(self, root, syms):
        rewrite(root, lambda images: images[0].update(syms=syms))
        with pytest.raises(xr.TableError, match=r"column 'syms': expected a list of categories, got"):
            xr.ChestXDet(root)

    def test_an_unknown_category(self, root):
        rewrite(root, lambda images: images[1].update(syms=["Nodul", "Mass"]))
        with pytest.raises(xr.MappingError, match=r"column 'syms' names 'Nodul'"):
            xr.ChestXDet(root)

    @pytest.mark.parametrize("name", ["../36200.png", "/etc/36200.png", "C:\\36200.png"])
    def test_a_name_that_leaves_the_folder(self, root, name):
        rewrite(root, lambda images: images[0].update(file_name=name))
        with pytest.raises(xr.TableError, match=r"points outside the root"):
            xr.ChestXDet(root)
