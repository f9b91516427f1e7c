"""Object-CXR: images in archives, marks of three shapes, no finding at all."""

import pickle
import zipfile

import numpy as np
import pytest

import xrdatasets as xr
from tests.datasets.conformance import DatasetConformance
from tests.fakes import object_cxr


@pytest.fixture
def root(tmp_path):
    return object_cxr.write(tmp_path / "object_cxr")


def rewrite(root, change, name="train.csv"):
    path = root / name
    path.write_text(change(path.read_text()))


class TestPacked(DatasetConformance):
    """All that a dataset must do, with the images in the archives of the release."""

    key, images = "object_cxr", object_cxr.IMAGES

    @pytest.fixture
    def root(self, tmp_path):
        return object_cxr.pack(object_cxr.write(tmp_path / "release"), "train", "dev")

    def test_damaged_image_is_named(self, root):
        with zipfile.ZipFile(root / "dev.zip", "w") as archive:
            archive.writestr("dev/08001.jpg", b"\xff\xd8\xff\xe0 no more")
        with pytest.raises(xr.ImageReadError, match=r"^object_cxr: .*It is '.*dev.zip/dev/08001.jpg'"):
            xr.ObjectCXR(root)[3]


def test_packed_and_unpacked_are_the_same(root):
    before = [sample["img"] for sample in xr.ObjectCXR(root, size=32)]
    object_cxr.pack(root, "train")
    mixed = [sample["img"] for sample in xr.ObjectCXR(root, size=32)]
    object_cxr.pack(root, "dev")
    packed = [sample["img"] for sample in xr.ObjectCXR(root, size=32)]
    assert all((a == b).all() and (a == c).all() for a, b, c in zip(before, mixed, packed, strict=True))


def test_an_unpacked_copy_beside_the_archive_is_used(root):
    with zipfile.ZipFile(root / "train.zip", "w") as archive:
        archive.writestr("train/00001.jpg", b"another one")
    ds = xr.ObjectCXR(root)
    assert ds.image_source(ds.table.iloc[0]) == root / "train" / "00001.jpg"


def test_an_image_that_is_in_neither(root):
    object_cxr.pack(root, "train")
    (root / "dev" / "08001.jpg").unlink()
    with pytest.raises(xr.DatasetNotFoundError, match=r"1 of 4 images are not below .*'dev/08001'"):
        xr.ObjectCXR(root)
    ds = xr.ObjectCXR(root, missing="keep")
    with pytest.raises(xr.DatasetNotFoundError, match=r"no image file 'dev/08001'"):
        ds[3]


def test_a_truncated_archive_is_named(root):
    object_cxr.pack(root, "train")
    data = (root / "train.zip").read_bytes()
    (root / "train.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(xr.ImageReadError, match=r"object_cxr: cannot read '.*train.zip'.* Download it again"):
        xr.ObjectCXR(root)


def test_packed_images_travel_to_another_process(root):
    ds = xr.ObjectCXR(object_cxr.pack(root, "train", "dev"), size=16)
    before = ds[0]["img"]  # its archive is open now
    assert (pickle.loads(pickle.dumps(ds))[0]["img"] == before).all()


class TestTable:
    def test_columns(self, root):
        table = xr.ObjectCXR(root).table
        assert table["image_id"].tolist() == ["train/00001", "train/00002", "train/00003", "dev/08001"]
        assert table["foreign_object"].tolist() == [1, 0, 1, 0]
        assert table["annotation"].tolist()[:2] == ["0 10 20 30 40;1 5 5 25 15", ""]
        assert table["split"].tolist() == ["train"] * 3 + ["val"]
        assert table["patient_id"].isna().all()

    def test_dev_is_val(self, root):
        ds = xr.ObjectCXR(root, split="val")
        assert ds.table["image_id"].tolist() == ["dev/08001"]
        assert ds.explain(0, "Mass").file in ("", "dev.csv")

    @pytest.mark.parametrize("prefix", ["", "train/", "some/where/"])
    def test_the_other_name_of_the_column_of_names(self, root, prefix):
        rewrite(root, lambda text: text.replace("image_name", "image_path").replace("0000", f"{prefix}0000"))
        assert xr.ObjectCXR(root).table["image_id"][0] == "train/00001"

    def test_neither_column(self, root):
        rewrite(root, lambda text: text.replace("image_name", "image"))
        with pytest.raises(xr.TableError, match=r"train.csv' has no column 'image_name'"):
            xr.ObjectCXR(root)

    def test_a_missing_table(self, root):
        (root / "dev.csv").unlink()
        with pytest.raises(xr.DatasetNotFoundError, match=r"object_cxr: no dev.csv in"):
            xr.ObjectCXR(root)

    @pytest.mark.parametrize("name", ["../00001.jpg", "/path/00001.jpg", "C:/00001.jpg"])
    def test_a_name_that_leaves_the_folder(self, root, name):
        rewrite(root, lambda text: text.replace("00001.jpg", name))
        with pytest.raises(xr.TableError, match=r"points outside the root"):
            xr.ObjectCXR(root)


class TestLabels:
    def test_nothing_is_labelled_and_no_policy_changes_that(self, root):
        ds = xr.ObjectCXR(root, policy=xr.U_ZEROS.with_unmentioned(0.0))
        assert np.isnan(ds.labels).all()
        assert xr.ObjectCXR(root, space="native").pathologies == ()

    def test_support_devices_were_not_annotated(self, root):
        ds = xr.ObjectCXR(root, space=["Support Devices"])
        assert np.isnan(ds.codes).all()

    def test_the_term_is_listed_as_unmapped(self, root):
        rules = xr.ObjectCXR(root).label_table.rules
        assert [(rule.term.name, rule.target) for rule in rules] == [
            ("foreign_object=1", None), ("foreign_object=0", None),
        ]  # fmt: skip
        assert all("support devices" in rule.note.lower() for rule in rules)

    def test_masks_are_empty_and_say_that_nothing_is_known(self, root):
        sample = xr.ObjectCXR(root, size=16, masks=True)[0]
        assert not sample["mask"].any()
        assert not sample["mask_known"].any()


class TestObjects:
    def test_three_shapes(self, root):
        objects = xr.ObjectCXR(root).read_objects()
        assert objects[["image_id", "shape"]].values.tolist() == [
            ["train/00001", "rectangle"],
            ["train/00001", "ellipse"],
            ["train/00003", "polygon"],
            ["train/00003", "rectangle"],
        ]
        assert objects["points"][1].tolist() == [[5, 5], [25, 15]]
        assert objects["points"][2].tolist() == [[1, 1], [9, 1], [9, 9], [1, 9]]

    def test_those_of_the_rows_that_are_left(self, root):
        assert xr.ObjectCXR(root).select([2]).read_objects()["image_id"].unique().tolist() == ["train/00003"]
        assert xr.ObjectCXR(root, split="val").read_objects().empty

    def test_a_separator_at_the_end_is_no_object(self, root):
        rewrite(root, lambda text: text.replace("25 15", "25 15;").replace("00002.jpg,", "00002.jpg, ; "))
        ds = xr.ObjectCXR(root)
        assert len(ds.read_objects()) == 4
        assert ds.table["foreign_object"].tolist() == [1, 0, 1, 0]

    @pytest.mark.parametrize(
        "mark", ["3 1 2 3 4", "0 1 2 3", "1 1 2 3 4 5 6", "2 1 2 3", "0 a b c d", "0", "x"]
    )
    def test_a_mark_that_is_none(self, root, mark):
        rewrite(root, lambda text: text.replace("0 2 2 4 4", mark))
        with pytest.raises(
            xr.TableError, match=rf"image 'train/00003': column 'annotation': .* got '{mark}'"
        ):
            xr.ObjectCXR(root).read_objects()
