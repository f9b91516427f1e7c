"""TBX11K: what folder and boxes say together, splits, extra images, damaged lists."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import xrdatasets as xr
from tests.fakes import tbx11k

SPACE = ["Tuberculosis", "No Finding", "Nodule"]
NAN = np.nan
GOLDEN = {
    "tb/tb0005": [1, 0, NAN],
    "tb/tb0007": [NAN, 0, NAN],
    "tb/tb0135": [1, 0, NAN],
    "tb/tb0300": [-1, 0, NAN],
    "tb/tb1199": [NAN, 0, NAN],
    "health/h0001": [0, 1, NAN],
    "sick/s0001": [0, 0, NAN],
    "health/h0004": [0, 1, NAN],
    "sick/s0004": [0, 0, NAN],
    "test/test_0001": [NAN, NAN, NAN],
}


@pytest.fixture
def root(fake):
    return fake("tbx11k")


def annotations(root, name="TBX11K_train"):
    return root / "TBX11K" / "annotations" / "json" / f"{name}.json"


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_golden_labels(root):
    ds = xr.TBX11K(root, space=SPACE)
    assert ds.table["image_id"].tolist() == list(GOLDEN)
    np.testing.assert_array_equal(ds.codes, np.array(list(GOLDEN.values()), dtype=np.float32))


def test_kinds_of_boxes_stand_in_the_table(root):
    table = xr.TBX11K(root).table
    expected = ["active", "latent", "both", "uncertain", "none", "none", "none", "none", "none"]
    assert table["categories"].tolist()[:9] == expected
    assert table["categories"].isna().tolist() == [False] * 9 + [True]
    assert table["folder"].tolist()[4:7] == ["tb", "health", "sick"]


def test_latent_alone_stays_unknown_under_every_policy(root):
    for policy in (xr.U_ONES, xr.U_ZEROS, xr.U_ZEROS.with_unmentioned(0.0)):
        ds = xr.TBX11K(root, space=["Tuberculosis"], policy=policy)
        assert np.isnan(ds.labels[[1, 4, 9], 0]).all()


def test_sick_says_nothing_of_other_findings(root):
    ds = xr.TBX11K(root, policy=xr.U_ZEROS.with_unmentioned(0.0))
    assert np.isnan(ds.labels).all()


def test_splits(root):
    sizes = {split: len(xr.TBX11K(root, split=split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 7, "val": 2, "test": 1}
    assert xr.TBX11K(root).explain(7, "Tuberculosis").file == "TBX11K_val.json"
    assert xr.TBX11K(root, split="test").explain(0, "Tuberculosis").file == "all_test.txt"


def test_a_test_set_that_was_not_downloaded(root):
    (root / "TBX11K" / "lists" / "all_test.txt").unlink()
    with pytest.raises(
        xr.SplitNotFoundError, match=r"no split 'test'. It has: train, val. Needed for a split"
    ):
        xr.TBX11K(root, split="test")


def test_extra_is_left_out_unless_asked_for(root):
    ds = xr.TBX11K(root, extra=True, space=["Tuberculosis", "No Finding"])
    assert ds.table["image_id"].tolist()[7:9] == list(tbx11k.EXTRA)
    np.testing.assert_array_equal(ds.codes[7:9], np.array([[0, NAN], [1, NAN]], dtype=np.float32))
    assert ds.explain(7, "Tuberculosis").file == "all_train.json"
    assert len(ds) == 12


def test_extra_without_its_lists(root):
    for split in ("train", "val"):
        annotations(root, f"all_{split}").unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"no all_train.json in .* Expected all_train.json and"):
        xr.TBX11K(root, extra=True)


def test_extra_images_of_another_list_do_not_come_in(root):
    annotations(root).unlink()
    ds = xr.TBX11K(root, split="train")
    assert ds.table["image_id"].tolist() == list(tbx11k.FILES["train"])


def test_extra_is_checked_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"extra: expected True or False, got 'yes'"):
        xr.TBX11K(tmp_path / "nowhere", extra="yes")


def test_the_inner_folder_as_root(root):
    assert len(xr.TBX11K(root / "TBX11K")) == 10


def test_boxes_of_active_tuberculosis_alone(root):
    ds = xr.TBX11K(root, space=["Tuberculosis"], size=64, masks=True)
    sample = ds[0]  # 256.5, 128, 64 x 32 of 512 pixels, at an eighth of the size
    expected = torch.zeros(64, 64, dtype=torch.uint8)
    expected[16:20, 32:40] = 1
    assert torch.equal(sample["mask"][0], expected)
    assert ds[1]["mask"].sum() == 0  # latent
    assert ds[2]["mask"][0].sum() == 16 * 16  # both: the active box
    known = [bool(ds[row]["mask_known"][0]) for row in range(len(ds))]
    assert known == [True, False, True, False, False, True, True, True, True, False]


def test_names_are_unique_with_their_folder(root):
    annotation = annotations(root, "TBX11K_val")
    rewrite(annotation, lambda content: content["images"][0].update(file_name="health/s0004.png"))
    folder = root / "TBX11K" / "imgs"
    (folder / "health" / "h0004.png").rename(folder / "health" / "s0004.png")
    ds = xr.TBX11K(root, split="val", size=16)
    assert ds.table["image_id"].tolist() == ["health/s0004", "sick/s0004"]
    assert not torch.equal(ds[0]["img"], ds[1]["img"])


class TestDamagedLists:
    def test_none(self, root):
        for path in (root / "TBX11K" / "annotations" / "json").iterdir():
            path.unlink()
        with pytest.raises(
            xr.DatasetNotFoundError, match=r"tbx11k: no TBX11K_train.json in .* Expected TBX11K_tr"
        ):
            xr.TBX11K(root)

    def test_no_json(self, root):
        annotations(root).write_text('{"images": [')
        with pytest.raises(xr.TableError, match=r"tbx11k: .*TBX11K_train.json' cannot be read"):
            xr.TBX11K(root)

    @pytest.mark.parametrize("text", ["[]", "3"])
    def test_no_object(self, root, text):
        annotations(root).write_text(text)
        with pytest.raises(xr.TableError, match=r"TBX11K_train.json': expected an object with images"):
            xr.TBX11K(root)

    @pytest.mark.parametrize("rows", [None, 3, [1, 2], {"a": 1}])
    def test_no_list(self, root, rows):
        rewrite(annotations(root), lambda content: content.update(images=rows))
        with pytest.raises(xr.TableError, match=r"expected 'images' to be a list of objects"):
            xr.TBX11K(root)

    def test_a_missing_column(self, root):
        rewrite(annotations(root), lambda content: [image.pop("file_name") for image in content["images"]])
        with pytest.raises(xr.TableError, match=r"TBX11K_train.json' has no column 'file_name'"):
            xr.TBX11K(root)

    @pytest.mark.parametrize("name", ["/etc/tb/x.png", "tb/../../x.png", "C:/tb/x.png"])
    def test_a_path_outside_the_root(self, root, name):
        rewrite(annotations(root), lambda content: content["images"][1].update(file_name=name))
        with pytest.raises(xr.TableError, match=r"TBX11K_train.json', row 2 of the data: .* points outside"):
            xr.TBX11K(root)

    @pytest.mark.parametrize("name", ["tb0007.png", "other/tb0007.png"])
    def test_an_unknown_folder(self, root, name):
        rewrite(annotations(root), lambda content: content["images"][1].update(file_name=name))
        with pytest.raises(xr.TableError, match=rf"expected images in health, sick, .*, got '{name}'"):
            xr.TBX11K(root)

    def test_an_image_in_two_splits(self, root):
        rewrite(annotations(root, "TBX11K_val"), lambda c: c["images"][0].update(file_name="tb/tb0005.png"))
        with pytest.raises(xr.TableError, match=r"image 'tb/tb0005' is listed twice"):
            xr.TBX11K(root)

    @pytest.mark.parametrize(("key", "value"), [("category_id", 9), ("image_id", 99)])
    def test_an_unknown_category_or_image(self, root, key, value):
        rewrite(annotations(root), lambda content: content["annotations"][2].update({key: value}))
        with pytest.raises(
            xr.TableError, match=rf"annotation 3: expected a listed image and one of .*{value}"
        ):
            xr.TBX11K(root)

    @pytest.mark.parametrize(
        "box",
        [[1, 2, 3], [600, 1, 2, 3], [1, 1, -2, 3], ["a", 1, 2, 3], [], 7, None, "abcd", [1, 2, 3, 4, 5]],
    )
    def test_a_box_that_is_none(self, root, box):
        rewrite(annotations(root), lambda content: content["annotations"][0].update(bbox=box))
        with pytest.raises(xr.TableError, match=r"row 1: expected x, y, w, h of a box"):
            xr.TBX11K(root, masks=True)


@pytest.mark.data
@pytest.mark.skipif("XRDATASETS_DATA" not in os.environ, reason="XRDATASETS_DATA is not set")
def test_files_of_the_release():
    root = Path(os.environ["XRDATASETS_DATA"]) / "fixtures" / "tbx11k"
    ds = xr.TBX11K(root, space=["Tuberculosis", "No Finding"], masks=True)
    np.testing.assert_array_equal(ds.codes, np.array([[1, 0], [NAN, 0], [0, 1]], dtype=np.float32))
    assert ds[0]["img"].shape == (1, 512, 512)
    rows, columns = np.nonzero(ds[0]["mask"][0].numpy())
    assert [columns.min(), columns.max(), rows.min(), rows.max()] == [382, 421, 127, 170]


@pytest.mark.parametrize("cell", [[1], {"a": 1}, None, 0.5])
@pytest.mark.parametrize(
    ("key", "name"), [("images", "id"), ("annotations", "image_id"), ("annotations", "category_id")]
)
def test_an_id_that_is_neither_number_nor_word(root, key, name, cell):
    rewrite(annotations(root), lambda content: content[key][0].update({name: cell}))
    with pytest.raises(xr.TableError, match=rf"expected a number or a word as {name!r} of {key!r}"):
        xr.TBX11K(root, missing="keep")


def test_json_in_json_without_end(root):
    annotations(root).write_text("[" * 100_000)
    with pytest.raises(xr.TableError, match=r"TBX11K_train.json' cannot be read"):
        xr.TBX11K(root, missing="keep")


def test_a_box_of_endless_numbers(root):
    rewrite(annotations(root), lambda content: content["annotations"][0].update(bbox=[10**400, 1, 2, 3]))
    with pytest.raises(xr.TableError, match=r"expected x, y, w, h of a box"):
        xr.TBX11K(root, missing="keep", masks=True)
