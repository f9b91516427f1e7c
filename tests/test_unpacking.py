"""Archives to folders: what is in them, where it goes, and what never leaves its folder."""

from __future__ import annotations

import errno
import io
import stat
import tarfile
import zipfile

import pytest

from xrdatasets import unpacking
from xrdatasets.errors import DownloadError
from xrdatasets.unpacking import is_archive, unpack

FILES = {"images/1.png": b"one", "images/2.png": b"two" * 1000}


def write_zip(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def add_to_tar(path, **attributes):
    entry = tarfile.TarInfo(attributes.pop("name", "bad"))
    for name, value in attributes.items():
        setattr(entry, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(entry)
    return path


def tree(folder):
    """What is in a folder, without the lists of what was unpacked."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".unpacked"
    }


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture(params=["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def written(request, tmp_path):
    """Write an archive of each kind."""

    def write(files):
        path = tmp_path / request.param
        if path.suffix == ".zip":
            return write_zip(path, files)
        kind = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.suffix[1:], "w")
        return write_tar(path, files, kind)

    return write


# -- what goes where ------------------------------------------------------------------------------------


def test_every_kind_comes_out_as_it_is_named(written, root):
    assert unpack(written(FILES), root, progress=False) == root
    assert tree(root) == FILES


@pytest.mark.parametrize(
    ("files", "folder", "expected"),
    [
        (FILES, "images_001", {"images_001/1.png", "images_001/2.png"}),  # in place of the one top folder
        ({"1.png": b"1", "a/2.png": b"2"}, "images", {"images/1.png", "images/a/2.png"}),
        ({"repo-master/data.csv": b"1", "repo-master/png/2.png": b"2"}, ".", {"data.csv", "png/2.png"}),
        ({"data.csv": b"1", "png/2.png": b"2"}, ".", {"data.csv", "png/2.png"}),
        ({"./a/1.png": b"1"}, "", {"a/1.png"}),
    ],
)
def test_folders(written, root, files, folder, expected):
    unpack(written(files), root, folder=folder, progress=False)
    assert set(tree(root)) == expected


def test_archives_beside_each_other(tmp_path, root):
    """NIH's twelve archives all hold one folder ``images``."""
    for number in ("001", "002"):
        path = write_tar(tmp_path / f"images_{number}.tar.gz", {f"images/{number}.png": b"x"})
        assert unpack(path, root, folder=f"images_{number}", progress=False) == root / f"images_{number}"
    assert set(tree(root)) == {"images_001/001.png", "images_002/002.png"}


def test_folders_and_rights_of_the_archive_are_not_taken_over(tmp_path, root):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("empty")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(folder)
        entry = tarfile.TarInfo("run.sh")
        entry.size, entry.mode, entry.uid = 1, 0o6777, 0
        archive.addfile(entry, io.BytesIO(b"x"))
    unpack(path, root, progress=False)
    assert tree(root) == {"run.sh": b"x"}
    assert not (root / "run.sh").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR | stat.S_IWOTH)


def test_the_folder_itself_may_stand_in_an_archive(tmp_path, root):
    """As ``tar czf x.tgz .`` makes it."""
    (tmp_path / "source" / "a").mkdir(parents=True)
    (tmp_path / "source" / "a" / "1.png").write_bytes(b"1")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.add(tmp_path / "source", ".")
    unpack(tmp_path / "x.tgz", root, progress=False)
    assert tree(root) == {"a/1.png": b"1"}


def test_nothing_else_is_left(written, root):
    archive = written(FILES)
    unpack(archive, root, progress=False)
    assert sorted(path.name for path in root.iterdir()) == [f".{archive.name}.unpacked", "images"]


@pytest.mark.parametrize("folder", ["", ".", "images_001"])
def test_what_is_unpacked_already_stays(written, root, caplog, folder):
    archive = written(FILES)
    unpack(archive, root, folder=folder, progress=False)
    one = next(path for path in root.rglob("1.png"))
    one.write_bytes(b"mine")
    unpack(archive, root, folder=folder, progress=False)
    assert one.read_bytes() == b"mine"
    assert len(caplog.messages) == 1
    assert "1 of its files have another size than in the archive" in caplog.text


def test_a_file_in_the_way_is_not_overwritten(written, root):
    (root / "a").write_bytes(b"mine")
    with pytest.raises(
        DownloadError, match=r"x\..*: '.*a' stands where one of its files goes\. Move it away"
    ):
        unpack(written({"a": b"1", "b": b"2"}), root, progress=False)
    assert tree(root) == {"a": b"mine"}


def test_a_file_in_the_place_of_the_folder_is_not_overwritten(written, root):
    (root / "images_001").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"'.*images_001' stands where one of its files goes"):
        unpack(written(FILES), root, folder="images_001", progress=False)
    assert tree(root) == {"images_001": b"mine"}


def test_an_attempt_that_was_cut_off_is_forgotten(written, root):
    archive = written(FILES)
    rest = root / f".{archive.name}.unpacking" / "images"
    rest.mkdir(parents=True)
    (rest / "1.png").write_bytes(b"half")
    unpack(archive, root, progress=False)
    assert tree(root) == FILES


def test_a_bar_is_shown(written, root, capsys):
    unpack(written(FILES), root)
    assert "unpacking" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a.zip", True),
        ("a.TGZ", True),
        ("a.tar.gz", True),
        ("a.csv", False),
        ("a.csv.gz", False),
        ("zip", False),
    ],
)
def test_what_is_an_archive(tmp_path, name, answer):
    assert is_archive(tmp_path / name) is answer


# -- what counts as unpacked ----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "images"])
def test_an_empty_folder_is_no_finished_unpacking(written, root, folder):
    (root / "images").mkdir()
    unpack(written(FILES), root, folder=folder, progress=False)
    assert tree(root) == FILES


def test_a_file_of_the_name_of_the_top_folder_is_no_finished_unpacking(written, root):
    (root / "images").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"'.*images' stands where one of its files goes"):
        unpack(written(FILES), root, progress=False)
    assert tree(root) == {"images": b"mine"}


@pytest.mark.parametrize("folder", ["", "images"])
def test_two_archives_of_one_top_folder_are_merged(written, tmp_path, root, folder):
    first, second = FILES | {"images/same.txt": b"same"}, {"images/3.png": b"3", "images/same.txt": b"same"}
    other = write_tar(tmp_path / "other.tar.gz", second | {"images/deep/4.png": b"4"})
    for _ in range(2):
        unpack(written(first), root, folder=folder, progress=False)
        unpack(other, root, folder=folder, progress=False)
    assert tree(root) == first | second | {"images/deep/4.png": b"4"}


def test_two_archives_with_different_files_of_one_name_are_refused(written, tmp_path, root):
    """Of one size, too: neither file may be lost, nor any other of the second archive pass for unpacked."""
    unpack(written(FILES), root, progress=False)
    other = write_tar(tmp_path / "other.tar", {"images/1.png": b"ONE", "images/3.png": b"3"})
    with pytest.raises(DownloadError, match=r"other\.tar: '.*1\.png' stands where one of its files goes"):
        unpack(other, root, progress=False)
    assert tree(root) == FILES


def test_a_file_that_was_lost_comes_back(written, root):
    archive = written(FILES)
    unpack(archive, root, progress=False)
    (root / "images" / "2.png").unlink()
    unpack(archive, root, progress=False)
    assert tree(root) == FILES


def test_a_move_that_was_cut_off_is_gone_on_with(written, root, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    files = {"a/1.png": b"1", "b/2.png": b"2"}
    archive = written(files)
    (root / "a").mkdir()
    (root / "a" / "1.png").write_bytes(b"1")
    monkeypatch.setattr(type(root), "rename", fail)
    with pytest.raises(DownloadError, match=r"unpacked in part \(Input/output error\)\. Mend that, then run"):
        unpack(archive, root, progress=False)
    monkeypatch.undo()
    unpack(archive, root, progress=False)
    assert tree(root) == files


def test_what_people_unpacked_themselves_is_taken_over(written, root):
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    archive = written(FILES)
    unpack(archive, root, progress=False)
    assert (root / f".{archive.name}.unpacked").exists()
    assert tree(root) == FILES


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"bytes": 1, "folder": "", "files": {}}'])
def test_a_list_that_cannot_be_read_is_none(written, root, text):
    archive = written(FILES)
    (root / f".{archive.name}.unpacked").write_text(text)
    unpack(archive, root, progress=False)
    assert tree(root) == FILES


def test_another_archive_of_the_name_is_unpacked(tmp_path, root):
    unpack(write_zip(tmp_path / "x.zip", FILES), root, progress=False)
    unpack(write_zip(tmp_path / "x.zip", FILES | {"images/3.png": b"3"}), root, progress=False)
    assert tree(root) == FILES | {"images/3.png": b"3"}


@pytest.mark.parametrize("name", [".x.zip.unpacked", ".x.zip.unpacking/images/1.png"])
def test_an_archive_cannot_say_that_it_was_unpacked(written, root, name):
    with pytest.raises(DownloadError, match="has a name that unpacking keeps for itself"):
        unpack(written(FILES | {name: b"{}"}), root, progress=False)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["images", "images/1.png", ".x.zip.unpacking", ".x.zip.unpacked"])
def test_links_in_the_folder_lead_nowhere(tmp_path, root, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(elsewhere if "." not in name or name.endswith("ing") else elsewhere / "new")
    archive = write_zip(tmp_path / "x.zip", FILES)
    if name.startswith("images"):
        with pytest.raises(DownloadError, match=r"stands where one of its files goes\. Move it away first"):
            unpack(archive, root, progress=False)
    else:
        unpack(archive, root, progress=False)
        assert tree(root) == FILES
    assert list(elsewhere.iterdir()) == []


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "..", "a\\..\\evil", "C:evil", "a/b:stream"],
)
def test_a_name_that_leads_out_is_refused_before_anything_is_written(written, root, name):
    archive = written({"good": b"1", name: b"2"})
    with pytest.raises(DownloadError, match=r"not unpacked, .* leads out of the folder"):
        unpack(archive, root, progress=False)
    assert list(root.iterdir()) == []
    assert sorted(path.name for path in root.parent.iterdir()) == sorted(["root", archive.name])


def test_a_zero_byte_in_a_name_is_refused(tmp_path, root):
    path = write_zip(tmp_path / "x.zip", {"goodXevil": b"1"})
    path.write_bytes(path.read_bytes().replace(b"goodXevil", b"good\0evil"))
    with pytest.raises(DownloadError, match="leads out of the folder"):
        unpack(path, root, progress=False)


@pytest.mark.parametrize(
    "attributes",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "beside"},
        {"type": tarfile.LNKTYPE, "linkname": "beside"},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.CHRTYPE},
        {"type": tarfile.BLKTYPE},
    ],
)
def test_links_and_devices_in_tar_are_refused(tmp_path, root, attributes):
    path = add_to_tar(tmp_path / "x.tar", **attributes)
    with pytest.raises(DownloadError, match="'bad' is no file"):
        unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zip_are_refused(tmp_path, root, kind):
    path = tmp_path / "x.zip"
    entry = zipfile.ZipInfo("bad")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DownloadError, match="'bad' is no file"):
        unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


def test_an_encrypted_file_is_refused(tmp_path, root):
    path = write_zip(tmp_path / "x.zip", {"a": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DownloadError, match="'a' is encrypted"):
        unpack(path, root, progress=False)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path, root):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(DownloadError, match="'a' stands in it twice"):
        unpack(path, root, progress=False)


def test_a_file_below_a_file_is_refused(written, root):
    with pytest.raises(DownloadError, match="'a/b' is below a file"):
        unpack(written({"a": b"1", "a/b": b"2"}), root, progress=False)
    assert list(root.iterdir()) == []


def test_an_empty_archive_is_refused(written, root):
    with pytest.raises(DownloadError, match="it holds no file"):
        unpack(written({}), root, progress=False)


def test_too_many_files_are_refused(written, root, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 2)
    with pytest.raises(DownloadError, match="it holds more than 2 files"):
        unpack(written({"a": b"", "b": b"", "c": b""}), root, progress=False)


def test_folders_without_end_are_refused(written, root):
    with pytest.raises(DownloadError, match=r"'a/a/a/.*…' is more than 50 folders deep"):
        unpack(written({"a/" * 2000 + "b": b"1"}), root, progress=False)
    assert list(root.iterdir()) == []


def test_long_names_without_end_are_refused(tmp_path, root):
    """Each header says that the name of the next one follows; tarfile reads them one inside another."""
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "x.tar").write_bytes((entry.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 3000)
    with pytest.raises(DownloadError, match=r"got one that cannot be read \(.*recursion"):
        unpack(tmp_path / "x.tar", root, progress=False)
    assert list(root.iterdir()) == []


def test_a_size_below_nothing_is_refused(tmp_path, root):
    entry = tarfile.TarInfo("bad")
    entry.size = -512
    (tmp_path / "x.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DownloadError, match=r"'bad' is no file|cannot be read"):
        unpack(tmp_path / "x.tar", root, progress=False)
    assert list(root.iterdir()) == []


def test_a_bomb_is_refused(tmp_path, root, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_BYTES", 1000)
    path = write_zip(tmp_path / "x.zip", {"zeros": bytes(1_000_000)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DownloadError, match=r"its [\d,]+ bytes would become 1,000,000"):
        unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path, root):
    path = write_zip(tmp_path / "x.zip", {"a": b"1" * 100})
    data = path.read_bytes()
    place = data.index(b"PK\x01\x02") + 24
    path.write_bytes(data[:place] + (10).to_bytes(4, "little") + data[place + 4 :])
    with pytest.raises(
        DownloadError, match=r"expected a whole zip or tar archive, got one that cannot be read"
    ):
        unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


def test_a_disk_without_room(written, root, monkeypatch):
    usage = unpacking.shutil._ntuple_diskusage(10**9, 10**9, 5)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        DownloadError, match=r"expected 3,003 free bytes to unpack it in .*, got 5\. Make room"
    ):
        unpack(written(FILES), root, progress=False)
    assert list(root.iterdir()) == []


# -- what is damaged ------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off(written, root):
    archive = written({"a": bytes(range(256)) * 400, "b": b"2"})
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DownloadError, match=r"cannot be read \(.*\)\. Delete it and download it again"):
        unpack(archive, root, progress=False)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>Sign in</html>", b"\x1f\x8b\x08" + bytes(50), b"PK\x03\x04" + bytes(50)]
)
def test_what_is_no_archive(tmp_path, root, content):
    for name in ("x.zip", "x.tar.gz"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DownloadError, match=r"expected a whole zip or tar archive|it holds no file"):
            unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


def test_wrong_bytes_in_a_zip(tmp_path, root):
    path = write_zip(tmp_path / "x.zip", {"a": b"right" * 10})
    path.write_bytes(path.read_bytes().replace(b"right", b"wrong", 1))
    with pytest.raises(DownloadError, match="cannot be read"):
        unpack(path, root, progress=False)
    assert list(root.iterdir()) == []


def test_an_archive_that_is_not_there(tmp_path, root):
    with pytest.raises(
        DownloadError, match=r"x\.zip: not unpacked \(No such file or directory\)\. Nothing of it"
    ):
        unpack(tmp_path / "x.zip", root, progress=False)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_nothing(written, root, monkeypatch, error):
    def fail(*_):
        raise error

    archive = written(FILES)
    monkeypatch.setattr(unpacking.shutil, "copyfileobj", fail)
    kind = DownloadError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(kind, match=r"not unpacked \(No space left|^$"):
        unpack(archive, root, progress=False)
    assert list(root.iterdir()) == []
