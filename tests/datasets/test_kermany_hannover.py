"""Folder labels and constant labels."""

import numpy as np
import pytest

import xrdatasets as xr
from tests.fakes import hannover, kermany


class TestKermany:
    @pytest.fixture
    def root(self, tmp_path):
        return kermany.write(tmp_path / "kermany")

    def test_only_pneumonia_is_labelled(self, root):
        ds = xr.Kermany(root, space=["Pneumonia", "Effusion"])
        expected = {"NORMAL": 0, "PNEUMONIA": 1}
        assert ds.codes[:, 0].tolist() == [expected[label] for label in ds.table["label"]]
        assert np.isnan(ds.codes[:, 1]).all()
        assert not ds.unmentioned.any()

    def test_names_tell_patient_and_subtype(self, root):
        table = xr.Kermany(root).table.set_index("image_id")
        assert (
            table.loc["train/PNEUMONIA/person1000_virus_1681", "patient_id"] == "train-PNEUMONIA-person1000"
        )
        assert (
            table.loc["train/PNEUMONIA/person1000_bacteria_2931", "patient_id"]
            == "train-PNEUMONIA-person1000"
        )
        assert (
            table.loc["train/NORMAL/NORMAL2-IM-0501-0001-0002", "patient_id"]
            == "train-NORMAL-NORMAL2-IM-0501"
        )
        assert table.loc["train/NORMAL/IM-0115-0001", "patient_id"] == "train-NORMAL-IM-0115"
        assert table["subtype"].dropna().to_dict() == {
            "test/PNEUMONIA/person100_bacteria_475": "bacteria",
            "train/PNEUMONIA/person1000_bacteria_2931": "bacteria",
            "train/PNEUMONIA/person1000_virus_1681": "virus",
        }

    def test_folders_are_splits(self, root):
        sizes = [len(xr.Kermany(root, split=split)) for split in ("train", "val", "test")]
        assert sizes == [4, 1, 1]

    def test_root_may_be_chest_xray_itself(self, root):
        assert len(xr.Kermany(root / "chest_xray")) == len(kermany.FILES)

    def test_copies_of_an_archive_made_on_a_mac_are_no_images(self, root):
        assert (root / "chest_xray/train/NORMAL/._IM-0115-0001.jpeg").is_file()
        assert len(xr.Kermany(root)) == len(kermany.FILES)

    def test_folder_without_images(self, tmp_path):
        (tmp_path / "chest_xray" / "train" / "OTHER").mkdir(parents=True)
        with pytest.raises(xr.DatasetNotFoundError, match=r"no image in .* under train, val or test"):
            xr.Kermany(tmp_path)

    def test_a_root_that_is_too_high_is_not_guessed(self, root):
        with pytest.raises(xr.DatasetNotFoundError, match=r"no image in .* under train, val or test"):
            xr.Kermany(root.parent)

    def test_views_are_unknown_and_pass_as_frontal(self, root):
        assert set(xr.Kermany(root).table["view"]) == {"UNKNOWN"}
        assert len(xr.Kermany(root, views="PA")) == len(kermany.FILES)
        with pytest.raises(xr.EmptyDatasetError, match=r"UNKNOWN 6"):
            xr.Kermany(root, views="LATERAL")


class TestHannover:
    @pytest.fixture
    def root(self, tmp_path):
        return hannover.write(tmp_path / "hannover")

    def test_every_image_is_covid(self, root):
        ds = xr.Hannover(root, space=["COVID-19", "Pneumonia"])
        assert ds.codes[:, 0].tolist() == [1, 1, 1]
        assert np.isnan(ds.codes[:, 1]).all()
        found = ds.explain(0, "COVID-19")
        assert (found.file, found.column, found.value, found.relation) == ("", "=", "COVID-19", "exact")

    def test_lower_case_words(self, root):
        table = xr.Hannover(root).table
        assert table["view"].tolist() == ["PA", "AP", "AP"]
        assert table["sex"].tolist() == ["F", "M", "M"]
        assert np.isnan(table["age"][0])
        assert table["crp_val"].tolist() == [3, 5, 7]

    def test_no_split(self, root):
        with pytest.raises(
            xr.SplitNotFoundError, match=r"no split 'train'. It has none. Else use split_by_patient"
        ):
            xr.Hannover(root, split="train")
