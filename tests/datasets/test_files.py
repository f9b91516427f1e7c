"""Finding files: depth, doubles, links, hidden files."""

import pytest

from tests import fakes
from xrdatasets.datasets.files import FileIndex


def test_levels_make_the_key(tmp_path):
    fakes.write_image(tmp_path / "x" / "p1" / "s1" / "view1.png")
    fakes.write_image(tmp_path / "x" / "p1" / "s2" / "view1.png")
    index = FileIndex(tmp_path, levels=3)
    assert set(index.paths) == {"p1/s1/view1", "p1/s2/view1"}
    assert index.get("train/p1/s2/view1") == tmp_path / "x" / "p1" / "s2" / "view1.png"
    assert index.get("p1/s3/view1") is None


def test_two_files_of_one_key_are_both_named(tmp_path):
    fakes.write_image(tmp_path / "backup" / "a.png")
    fakes.write_image(tmp_path / "images" / "a.png")
    index = FileIndex(tmp_path)
    assert {index.paths["a"], *index.doubles.values()} == {
        str(tmp_path / "backup" / "a.png"),
        str(tmp_path / "images" / "a.png"),
    }


def test_the_release_s_folder_beats_a_copy_elsewhere(tmp_path):
    for folder in ("a_backup", "images_001/images", "masks"):
        fakes.write_image(tmp_path / folder / "a.png")
    index = FileIndex(tmp_path, folders=("images", "images_*/images"))
    assert index.get("a") == tmp_path / "images_001" / "images" / "a.png"
    assert index.doubles == {}


def test_two_files_in_the_release_s_folders_stay_open(tmp_path):
    for folder in ("images_001/images", "images_002/images"):
        fakes.write_image(tmp_path / folder / "a.png")
    index = FileIndex(tmp_path, folders=("images_*/images",))
    assert index.get("a") == tmp_path / "images_001" / "images" / "a.png"
    assert index.doubles == {"a": str(tmp_path / "images_002" / "images" / "a.png")}


def test_a_folder_that_may_not_be_read_is_skipped_and_reported(tmp_path, monkeypatch, caplog):
    import os

    fakes.write_image(tmp_path / "a.png")
    (tmp_path / "lost+found").mkdir()
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert set(FileIndex(tmp_path).paths) == {"a"}
    assert "lost+found cannot be read (Permission denied)" in caplog.text


def test_what_is_no_image_does_not_count(tmp_path):
    for name in ("a.txt", ".hidden.png", "__MACOSX/b.png", ".git/c.png", "noextension"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    fakes.write_image(tmp_path / "UPPER.PNG")
    assert set(FileIndex(tmp_path).paths) == {"UPPER"}


def test_a_circle_of_links_ends(tmp_path):
    fakes.write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "loop").symlink_to(tmp_path)
    assert set(FileIndex(tmp_path).paths) == {"a"}


def test_a_linked_folder_is_followed(tmp_path):
    fakes.write_image(tmp_path / "disk" / "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "images").symlink_to(tmp_path / "disk")
    assert set(FileIndex(tmp_path / "root").paths) == {"a"}


def test_dots_in_a_name_stay(tmp_path):
    fakes.write_image(tmp_path / "1.2.840.png")
    assert set(FileIndex(tmp_path).paths) == {"1.2.840"}


@pytest.mark.parametrize("name", ["broken"])
def test_a_dangling_link_is_no_image(tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "gone")
    assert FileIndex(tmp_path).paths == {}


def test_a_link_to_itself_is_no_folder(tmp_path):
    fakes.write_image(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to("loop")
    assert set(FileIndex(tmp_path).paths) == {"a"}


@pytest.mark.parametrize(
    "copy", ["backup/images_001/images", "images_001/backup/images", "a/b/images_001/images"]
)
def test_a_copy_of_the_release_s_folder_below_another_does_not_count(tmp_path, copy):
    for folder in ("images_001/images", copy):
        fakes.write_image(tmp_path / folder / "a.png")
    index = FileIndex(tmp_path, folders=("images_*/images", "*/images"))
    assert index.get("a") == tmp_path / "images_001" / "images" / "a.png"
    assert index.doubles == {}
