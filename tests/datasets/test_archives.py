"""Images in zip archives: found by their keys, read from any process, and refused where they are not safe."""

import multiprocessing
import pickle
import stat
import struct
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets import archives
from xrdatasets.datasets.archives import ZipImages
from xrdatasets.datasets.rows import keep_present
from xrdatasets.facts import Facts


def pack(path, members, method=zipfile.ZIP_STORED):
    """Write an archive of names (or whole headers) and their content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of a name that stands there twice
        for name, data in members:
            archive.writestr(name, data)
    return path


def index(path, **options):
    return ZipImages(path.parent, [path], dataset="own", **options)


def many(folder, count=40):
    """An archive of images of different lengths, and what each of them holds."""
    content = {f"a/{n:03}.png": bytes([n]) * (1000 + n) for n in range(count)}
    return pack(folder / "a.zip", content.items(), zipfile.ZIP_DEFLATED), content


def read_all(images, names):
    """What an index reads, in whatever process this runs."""
    return [images.read(name.removesuffix(".png")) for name in names]


class TestIndex:
    def test_an_archive_counts_as_the_folder_that_it_unpacks_to(self, tmp_path):
        first = pack(tmp_path / "train.zip", [("train/1.png", b"1"), ("train/sub/2.jpg", b"2")])
        second = pack(tmp_path / "dev.zip", [("1.png", b"3")])
        images = ZipImages(tmp_path, [first, second], dataset="own", levels=2)
        assert set(images.paths) == {"train/1", "sub/2", "dev/1"}
        assert [images.read(key) for key in ("train/1", "sub/2", "dev/1")] == [b"1", b"2", b"3"]

    def test_what_is_no_image_does_not_count(self, tmp_path):
        names = [
            "a/",
            "a/x.csv",
            "a/.hidden.png",
            "__MACOSX/a/._1.png",
            "a/.git/1.png",
            "a/noextension",
            "a/1.PNG",
        ]
        assert set(index(pack(tmp_path / "a.zip", [(name, b"") for name in names])).paths) == {"1"}

    def test_what_lies_on_disk_beats_the_archive(self, tmp_path):
        file = fakes.write_image(tmp_path / "a" / "1.png")
        images = index(pack(tmp_path / "a.zip", [("a/1.png", b"1"), ("a/2.png", b"2")]))
        assert images.get("1") == file
        assert images.read("1") is None
        assert images.get("2") is None
        assert images.read("2") == b"2"
        assert images.doubles == {}

    def test_two_members_of_one_key_are_both_named(self, tmp_path):
        path = pack(tmp_path / "a.zip", [("x/1.png", b"1"), ("y/1.png", b"2"), ("1.jpg", b"3")])
        images = index(path)
        assert images.paths == {"1": f"{path}/x/1.png"}
        assert images.doubles == {"1": f"{path}/y/1.png"}

    def test_an_image_that_is_nowhere(self, tmp_path):
        images = index(pack(tmp_path / "a.zip", [("1.png", b"1")]))
        assert images.get("3") is None
        assert images.read("3") is None

    def test_rows_are_kept_as_from_a_folder(self, tmp_path, caplog):
        images = index(pack(tmp_path / "a.zip", [("1.png", b"1"), ("2.png", b"2")]))
        table = pd.DataFrame({"image_id": ["1", "2", "3"]})
        with pytest.raises(
            xr.DatasetNotFoundError, match=r"1 of 3 images .* the first is '3' \(2 image files"
        ):
            keep_present(table, images, "error", Facts.load("nih"))
        assert keep_present(table, images, "drop", Facts.load("nih"))["image_id"].tolist() == ["1", "2"]
        assert "they are dropped" in caplog.text

    def test_the_list_of_members_is_read_once(self, tmp_path, monkeypatch):
        path, content = many(tmp_path)
        opened = []
        original = zipfile.ZipFile

        def opening(*args, **options):
            opened.append(args)
            return original(*args, **options)

        monkeypatch.setattr(archives.zipfile, "ZipFile", opening)
        images = index(path)
        assert read_all(images, content) == list(content.values())
        assert len(opened) == 2  # for the list, and for the content


class TestProcesses:
    @pytest.mark.parametrize("method", ["spawn", "fork"])
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads and fork
    def test_processes_read_beside_each_other(self, tmp_path, method):
        path, content = many(tmp_path)
        images = index(path)
        assert images.read("a/000") == content["a/000.png"]  # the archive is open here already
        names = list(content)
        parts = [names[start::4] for start in range(4)] * 2
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.starmap(read_all, [(images, part) for part in parts])
        assert found == [[content[name] for name in part] for part in parts]
        assert images.read("a/001") == content["a/001.png"]

    def test_threads_have_an_archive_each(self, tmp_path):
        path, content = many(tmp_path)
        images = index(path)
        wait = threading.Barrier(4)

        def read(names):
            wait.wait(timeout=10)
            return read_all(images, names)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(read, [list(content)] * 4))
        assert found == [list(content.values())] * 4

    def test_a_copy_keeps_the_index_and_no_open_file(self, tmp_path):
        path, content = many(tmp_path)
        images = index(path)
        assert images.read("a/002") == content["a/002.png"]
        again = pickle.loads(pickle.dumps(images))
        assert again.__dict__["paths"] == images.paths
        assert again.read("a/002") == content["a/002.png"]


class TestRefused:
    @pytest.mark.parametrize(
        "name", ["../1.png", "a/../../1.png", "/etc/1.png", "C:/1.png", "a\\1.png", "..", "a/../1.csv"]
    )
    def test_a_member_outside_its_folder(self, tmp_path, name):
        with pytest.raises(
            xr.ImageReadError, match=r"own: cannot read '.*a.zip': its member .* outside its folder"
        ):
            _ = index(pack(tmp_path / "a.zip", [("1.png", b""), (name, b"")])).paths

    def test_dots_in_a_name_stay(self, tmp_path):
        assert set(index(pack(tmp_path / "a.zip", [("1..2.840.png", b"")])).paths) == {"1..2.840"}

    def test_a_link(self, tmp_path):
        link = zipfile.ZipInfo("a/1.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with pytest.raises(xr.ImageReadError, match=r"its member 'a/1.png' is a link"):
            _ = index(pack(tmp_path / "a.zip", [(link, b"/etc/passwd")])).paths

    def test_one_name_twice(self, tmp_path):
        with pytest.raises(xr.ImageReadError, match=r"its member 'a/1.png' stands in it twice"):
            _ = index(pack(tmp_path / "a.zip", [("a/1.png", b"1"), ("a/1.png", b"2")])).paths

    def test_an_encrypted_member(self, tmp_path):
        path = pack(tmp_path / "a.zip", [("1.png", b"1")])
        data = bytearray(path.read_bytes())
        for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags, in both headers
            data[data.index(header) + offset] |= 1
        path.write_bytes(data)
        with pytest.raises(xr.ImageReadError, match=r"its member '1.png' is encrypted.* unpack it"):
            _ = index(path).paths

    def test_a_member_that_unpacks_to_more_than_deflate_can_hold(self, tmp_path):
        path = pack(tmp_path / "a.zip", [("1.png", bytes(10**6))], zipfile.ZIP_BZIP2)
        with pytest.raises(
            xr.ImageReadError, match=r"its member '1.png' unpacks from \d+ to 1,000,000 bytes"
        ):
            _ = index(path).paths

    def test_a_black_image_that_deflate_packed_is_none(self, tmp_path):
        path = pack(tmp_path / "a.zip", [("1.bmp", bytes(10**6))], zipfile.ZIP_DEFLATED)
        assert len(index(path).read("1")) == 10**6

    def test_a_member_larger_than_any_image(self, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MAX_BYTES", 10)
        with pytest.raises(xr.ImageReadError, match=r"unpacks from 11 to 11 bytes, which no image does"):
            _ = index(pack(tmp_path / "a.zip", [("1.png", b"01234567890")])).paths

    def test_a_member_that_holds_more_than_it_declares(self, tmp_path):
        """The size that was checked is the most that is unpacked."""
        path = pack(tmp_path / "a.zip", [("1.png", bytes(10**6))], zipfile.ZIP_DEFLATED)
        data = bytearray(path.read_bytes())
        for header, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            struct.pack_into("<L", data, data.index(header) + offset, 100)
        path.write_bytes(data)
        with pytest.raises(xr.ImageReadError, match=r"its member '1.png': Bad CRC-32"):
            index(path).read("1")


class TestDamaged:
    def test_a_truncated_archive(self, tmp_path):
        path, _ = many(tmp_path)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(
            xr.ImageReadError,
            match=r"own: cannot read '.*a.zip': .*not a zip file. .* Download it again, or unpack",
        ):
            _ = index(path).paths

    @pytest.mark.parametrize("data", [b"", b"no archive"])
    def test_what_is_no_archive(self, tmp_path, data):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(xr.ImageReadError, match=r"a.zip': .*not a zip file"):
            _ = index(tmp_path / "a.zip").paths

    def test_an_archive_that_is_gone(self, tmp_path):
        images = index(pack(tmp_path / "a.zip", [("1.png", b"1")]))
        assert set(images.paths) == {"1"}
        (tmp_path / "a.zip").unlink()
        with pytest.raises(xr.ImageReadError, match=r"its member '1.png': .*No such file"):
            images.read("1")

    def test_an_archive_that_was_replaced(self, tmp_path):
        images = index(pack(tmp_path / "a.zip", [("1.png", b"1")]))
        assert set(images.paths) == {"1"}
        pack(tmp_path / "a.zip", [("2.png", b"1")])
        with pytest.raises(xr.ImageReadError, match=r"There is no item named '1.png'"):
            images.read("1")

    def test_a_way_of_packing_that_is_not_known(self, tmp_path):
        path = pack(tmp_path / "a.zip", [("1.png", b"1")])
        data = bytearray(path.read_bytes())
        for header, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            data[data.index(header) + offset] = 9  # Deflate64, as Windows packs what is large
        path.write_bytes(data)
        with pytest.raises(xr.ImageReadError, match=r"its member '1.png': .*not supported.* unpack it"):
            index(path).read("1")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(changes=st.dictionaries(st.integers(0, 400), st.integers(0, 255), min_size=1, max_size=4))
    def test_law_a_damaged_archive_gives_its_content_or_an_error_of_ours(self, tmp_path, changes):
        path = pack(tmp_path / "a.zip", [("a/1.png", b"12345" * 20), ("a/2.png", b"x")], zipfile.ZIP_DEFLATED)
        data = bytearray(path.read_bytes())
        for place, value in changes.items():
            data[place % len(data)] = value
        path.write_bytes(data)
        images, reason = index(path, levels=2), ""
        try:
            found = [images.read(key) for key in list(images.paths)]
        except xr.ImageReadError as error:
            found, reason = [], str(error)
        assert set(found) <= {b"12345" * 20, b"x"}
        assert found or not reason or str(path) in reason
