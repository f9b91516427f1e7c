"""Which images names of files, folders and patterns mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes import write_dicom
from tests.prediction.conftest import write_png
from xrdatasets.prediction import find_images


def names(found, root):
    return [Path(path).relative_to(root).as_posix() for path in found.paths]


def test_a_folder_has_its_images_by_content_in_natural_order(films):
    found = find_images(films)
    assert names(found, films) == [
        "film1.png", "film2.png", "film10.png", "ward/IM000001", "ward/a.jpg", "ward/b.tif", "ward/c.bmp",
    ]  # fmt: skip
    assert (found.skipped, found.failed) == (3, ())


def test_not_recursive(films):
    assert names(find_images(films, recursive=False), films) == ["film1.png", "film2.png", "film10.png"]


def test_extensions_say_nothing(tmp_path):
    write_png(tmp_path / "image.txt")
    (tmp_path / "text.png").write_text("no image")
    found = find_images(tmp_path)
    assert (names(found, tmp_path), found.skipped) == (["image.txt"], 1)


def test_a_file_that_is_named_is_taken_as_it_is(films):
    given = [films / "notes.txt", films / "gone.png"]
    found = find_images(given)
    assert found.paths == tuple(map(str, given))
    assert found.skipped == 0


def test_a_name_that_no_file_can_have_is_a_file_like_others():
    given = ["x" * 5_000, "a\0b"]
    assert find_images(given).paths == tuple(given)


def test_duplicates_once_and_in_the_order_given(films, monkeypatch):
    monkeypatch.chdir(films)
    given = ["film10.png", "./film10.png", "ward/../film10.png", ".", "film1.png", str(films / "film2.png")]
    found = find_images(given, recursive=False)
    assert found.paths == ("film10.png", "./film1.png", "./film2.png")


def test_patterns(films, monkeypatch):
    monkeypatch.chdir(films)
    assert find_images("film?.png").paths == ("film1.png", "film2.png")
    assert find_images("**/*.[tb]*").paths == ("ward/b.tif", "ward/c.bmp")
    assert find_images("*.png").skipped == 1  # empty.png
    assert len(find_images("**")) == 7
    with pytest.raises(ValueError, match=r"paths: nothing matches 'x\*'"):
        find_images("x*")


def test_a_file_whose_name_looks_like_a_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_png(Path("film[1].png"))
    write_png(Path("film1.png"))
    assert find_images("film[1].png").paths == ("film[1].png",)
    assert find_images("film[12].png").paths == ("film1.png",)
    assert find_images(Path("film[12].png")).paths == ("film[12].png",)  # a Path is never a pattern


def test_limit_stops_early(films):
    assert names(find_images(films, limit=2), films) == ["film1.png", "film2.png"]
    with pytest.raises(ValueError, match="limit: expected a whole number of at least 1"):
        find_images(films, limit=0)


def test_nothing_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(ValueError, match=r"expected images, got none in '.*' \(1 other files\)"):
        find_images(tmp_path)
    with pytest.raises(ValueError, match="got none in nothing"):
        find_images([])


@pytest.mark.parametrize(
    ("uid", "taken"),
    [
        ("1.2.840.10008.5.1.4.1.1.1.1", True),  # Digital X-Ray Image Storage - For Presentation
        ("1.2.840.10008.5.1.4.1.1.7", True),  # Secondary Capture Image Storage
        ("1.2.840.99999.1", True),  # a vendor's own
        ("1.2.840.10008.1.3.10", False),  # Media Storage Directory Storage: a DICOMDIR
        ("1.2.840.10008.5.1.4.1.1.88.11", False),  # Basic Text SR Storage
        ("1.2.840.10008.5.1.4.1.1.11.1", False),  # Grayscale Softcopy Presentation State Storage
        ("1.2.840.10008.5.1.4.1.1.88.59", False),  # Key Object Selection Document Storage
        ("1.2.840.10008.5.1.4.1.1.104.1", False),  # Encapsulated PDF Storage
    ],
)
def test_dicom_that_holds_no_image(tmp_path, uid, taken):
    """PS3.6, table A-1."""
    path = write_dicom(tmp_path / "d" / "a")
    data = path.read_bytes()
    old = b"1.2.840.10008.5.1.4.1.1.7\0"
    assert data.count(old) == 2
    text = uid.encode() + b"\0" * (len(uid) % 2)
    for element in (b"\x02\0\x02\0UI", b"\x08\0\x16\0UI"):
        at = data.index(element) + len(element)
        data = data[:at] + len(text).to_bytes(2, "little") + text + data[at + 2 + len(old) :]
    path.write_bytes(data)
    write_png(tmp_path / "d" / "b.png")
    assert names(find_images(tmp_path / "d"), tmp_path / "d") == (["a", "b.png"] if taken else ["b.png"])


def test_dicom_without_its_preamble(tmp_path):
    path = write_dicom(tmp_path / "d" / "a")
    path.write_bytes(path.read_bytes()[132:])
    assert len(find_images(tmp_path)) == 1


class TestLinks:
    def test_a_loop_ends(self, films):
        (films / "ward" / "up").symlink_to(films)
        assert len(find_images(films)) == 7

    def test_folders_behind_links_are_entered(self, films, tmp_path):
        (tmp_path / "link").symlink_to(films)
        assert len(find_images(tmp_path / "link")) == 7

    def test_one_that_leads_nowhere_is_a_failure(self, films):
        (films / "lost.png").symlink_to(films / "gone.png")
        found = find_images(films)
        assert len(found) == 7
        assert found.failed == ((str(films / "lost.png"), "No such file or directory"),)


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all"
)
def test_a_folder_that_may_not_be_read_is_a_failure(films):
    (films / "ward").chmod(0)
    try:
        found = find_images(films)
    finally:
        (films / "ward").chmod(0o755)
    assert found.failed == ((str(films / "ward"), "Permission denied"),)
    assert len(found) == 3


def test_a_pipe_in_a_folder_is_not_opened(films):
    os.mkfifo(films / "pipe.png")
    assert find_images(films).skipped == 4
