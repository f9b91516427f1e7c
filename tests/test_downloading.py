"""A release's files: which are open, what is checked, and what is said of the rest."""

from __future__ import annotations

import errno
import hashlib
import logging
import random
from pathlib import Path

import pytest

import xrdatasets as xr
from tests.serving import serving, status, whole
from tests.test_unpacking import write_zip
from xrdatasets import downloading, fetching
from xrdatasets.downloading import COLUMNS, chosen_of, download, sources_of
from xrdatasets.errors import DatasetNotFoundError, DownloadError, MappingError
from xrdatasets.facts import Facts, dataset_keys
from xrdatasets.resources import mappings

BODY = b"PK\x03\x04" + random.Random(0).randbytes(29_996)
DIGEST = hashlib.sha256(BODY).hexdigest()
network = pytest.mark.network  # of this machine alone


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put another table in place of ``downloads.csv``."""
    (tmp_path / "mappings").mkdir()

    def write(*rows):
        lines = [",".join(COLUMNS), *rows]
        (tmp_path / "mappings" / "downloads.csv").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(downloading, "mappings", lambda: tmp_path / "mappings")
        downloading._all_sources.cache_clear()

    yield write
    monkeypatch.undo()
    downloading._all_sources.cache_clear()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "_sleep", lambda _: None)
    with serving() as running:
        yield running


def row(server, file="a.zip", *, folder="", size="", checksum="", path=None):
    return f"kermany,{file},{folder},{server.url(path or f'/{file}')},{size},{checksum},someone"


# -- the table ------------------------------------------------------------------------------------------


def test_every_row_of_the_table_holds():
    keys = {key for key in dataset_keys() if sources_of(key)}
    assert {"nih", "kermany", "hannover", "openi", "montgomery", "shenzhen", "covid19", "chestx_det"} == keys
    for key in keys:
        assert any(source.url for source in sources_of(key))


@pytest.mark.parametrize(
    "key",
    [
        "chexpert",
        "chexpert_plus",
        "chexlocalize",
        "mimic_cxr",
        "padchest",
        "vindr",
        "brax",
        "rsna",
        "siim",
        "jsrt",
    ],
)
def test_what_wants_a_login_is_not_in_it(key):
    """Their terms ask for a registration: no address of them may get into the table."""
    assert sources_of(key) == ()


def test_the_twelve_archives_of_nih():
    archives = [source for source in sources_of("nih") if source.file.endswith(".tar.gz")]
    assert [source.folder for source in archives] == [f"images_{number:03d}" for number in range(1, 13)]
    assert sum(source.size for source in archives) == 45_079_862_784
    assert len({source.url for source in archives}) == len({source.checksum for source in archives}) == 12


def test_downloads_table_has_no_secret_in_an_address():
    for key in dataset_keys():
        for source in sources_of(key):
            assert "@" not in source.url
            assert not any(word in source.url.lower() for word in ("token", "signature", "password"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nihh,a.zip,,,,,x", "expected a key of datasets.csv, got 'nihh'"),
        ("nih,../a.zip,,,,,x", "expected the name of a file, without a folder, got '../a.zip'"),
        ("nih,a/b.zip,,,,,x", "expected the name of a file, without a folder"),
        ("nih,a\\b.zip,,,,,x", "expected the name of a file, without a folder"),
        ("nih,..,,,,,x", "expected the name of a file, without a folder"),
        ("nih,.hidden,,,,,x", "expected the name of a file, without a folder"),
        ("nih,,,https://x.org/a,,,x", "expected the name of a file, without a folder"),
        ("nih,a.zip,../up,,,,x", "expected folder to be empty, '.' or a name, got '../up'"),
        ("nih,a.zip,,file:///etc/passwd,,,x", "expected an address that begins with https:// or http://"),
        ("nih,a.zip,,https:///a.zip,,,x", "expected an address that begins with https:// or http://"),
        ("nih,a.zip,,,many,,x", "expected bytes to be a whole number or empty, got 'many'"),
        ("nih,a.zip,,,,abc,x", "expected sha256: or md5: and the digest in small letters, got 'abc'"),
        ("nih,a.zip,,,,,", "expected a reference, got ''"),
    ],
)
def test_a_wrong_row_is_named(table, line, message):
    table(line)
    with pytest.raises(MappingError, match=r"downloads\.csv, line 2: ") as caught:
        sources_of("nih")
    assert message in str(caught.value)


def test_a_file_that_stands_twice(table):
    table("nih,a.zip,,,,,x", "nih,a.zip,,,,,y")
    with pytest.raises(MappingError, match=r"line 3: expected each file of a dataset once, got 'a\.zip'"):
        sources_of("nih")


# -- what is refused before anything is asked -----------------------------------------------------------


@pytest.mark.parametrize("name", ["chexpert", "CheXpert", "mimic_cxr", "MIMICCXR", "PadChest", "vindr"])
def test_a_release_that_is_not_open_says_why_and_where(tmp_path, name):
    with pytest.raises(DownloadError) as caught:
        xr.download(name, tmp_path / "new")
    facts = Facts.load({"MIMICCXR": "mimic_cxr"}.get(name, name.lower()))
    assert str(caught.value) == (
        f"{facts.key}: not open to a program: it wants a login, or has no lasting address. "
        f"Its terms: {facts.licence}. Get it from {facts.url}"
    )
    assert not (tmp_path / "new").exists()


def test_the_phantom_needs_none(tmp_path):
    with pytest.raises(DownloadError, match="phantom_a: it is made by this package and needs no download"):
        download("phantom_a", tmp_path)


@pytest.mark.parametrize("name", ["phantom", "Phantom"])
def test_the_phantom_needs_none_under_the_name_of_its_class(tmp_path, name):
    with pytest.raises(DownloadError, match=r"^phantom: it is made by this package and needs no download"):
        download(name, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_dataset(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no dataset is called 'nihh'\. Expected one of: nih, "):
        download("nihh", tmp_path)


@pytest.mark.parametrize("name", ["nih", "NIH", "Kermany", "COVID19", "ChestXDet", "chestx_det", "open-i"])
def test_a_name_in_any_spelling(name):
    assert chosen_of(name)[0].key in ("nih", "kermany", "covid19", "chestx_det", "openi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 5}, "name: expected the name of a dataset, got 5"),
        ({"root": 5}, "root: expected a path, got 5"),
        ({"root": "a\0b"}, r"root: expected a path, got 'a\\x00b'"),
        ({"root": "~nobody-is-called-so/x"}, "no such home folder in '~nobody-is-called-so/x'"),
        (
            {"files": ["b.zip"]},
            r"kermany: no file is called 'b\.zip'\. Expected one of: ChestXRay2017\.zip\.",
        ),
        ({"files": []}, "kermany: files: expected at least one, got none"),
        ({"retries": -1}, "retries: expected a whole number of at least 0, got -1"),
        ({"retries": True}, "retries: expected a whole number"),
        ({"timeout": 0}, "timeout: expected seconds, more than 0, got 0"),
        ({"timeout": float("nan")}, "timeout: expected seconds"),
        ({"timeout": "long"}, "timeout: expected seconds, more than 0, got 'long'"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    given = {"name": "kermany", "root": tmp_path / "new"} | arguments
    with pytest.raises(ValueError, match=message):
        download(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"is no folder\. Expected a folder, or a name that is free"):
        download("kermany", tmp_path / "file")


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("x" * 300, "File name too long"),
        ("file/below", "Not a directory"),
        ("x/" * 3000, "File name too long"),
    ],
)
def test_a_root_that_cannot_be_made(tmp_path, root, why):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        DownloadError, match=rf"^'.*': {why}\. Expected a folder that can be read and written"
    ):
        download("kermany", tmp_path / root)


@pytest.mark.parametrize("call", ["mkdir", "exists"])
def test_a_root_that_may_not_be_written_to(tmp_path, monkeypatch, call):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(DownloadError, match=r"^'.*new': Permission denied\. Expected a folder that can be"):
        download("kermany", tmp_path / "new")


def test_a_file_that_people_have_to_get(tmp_path):
    with pytest.raises(
        DownloadError, match=r"nih: BBox_List_2017\.csv is not open to a program\. Get it from https"
    ):
        download("nih", tmp_path, files="BBox_List_2017.csv")


# -- files ----------------------------------------------------------------------------------------------


@network
def test_a_release_comes_in_the_order_of_the_table(server, table, tmp_path, caplog):
    table(
        row(server, "b.csv", checksum=f"sha256:{DIGEST}", size=len(BODY)),
        row(server, "a.zip", checksum=f"md5:{hashlib.md5(BODY).hexdigest()}"),
        "kermany,c.csv,,,,,by hand",
    )
    server.answers = [whole(BODY, kind="application/octet-stream")]
    root = tmp_path / "deep" / "root"
    assert download("kermany", root, progress=False) == (root / "b.csv", root / "a.zip")
    assert [path for path, _ in server.requests] == ["/b.csv", "/a.zip"]
    assert sorted(path.name for path in root.iterdir()) == ["a.zip", "b.csv"]
    assert caplog.messages == [f"kermany: get c.csv by hand, from {Facts.load('kermany').url}"]


@network
@pytest.mark.parametrize("files", ["b.csv", ["b.csv"], ("b.csv",)])
def test_some_files(server, table, tmp_path, caplog, files):
    table(row(server, "a.csv"), row(server, "b.csv"), "kermany,c.csv,,,,,by hand")
    server.answers = [whole(BODY)]
    assert download("kermany", tmp_path, files=files, progress=False) == (tmp_path / "b.csv",)
    assert "by hand" not in caplog.text


@network
def test_nothing_is_said_of_a_file_that_people_have_got(server, table, tmp_path, caplog):
    table(row(server, checksum=f"sha256:{DIGEST}"), "kermany,c.csv,,,,,by hand")
    (tmp_path / "c.csv").write_text("x")
    server.answers = [whole(BODY)]
    download("kermany", tmp_path, progress=False)
    assert caplog.messages == []


@network
def test_a_checksum_that_nobody_knows_is_recorded_and_said(server, table, tmp_path, caplog):
    table(row(server))
    server.answers = [whole(BODY)]
    download("kermany", tmp_path, progress=False)
    assert (tmp_path / "a.zip.sha256").read_text() == f"{DIGEST}  a.zip\n"
    assert caplog.messages == [
        f"a.zip: no checksum of it is known yet; sha256 {DIGEST} is recorded in a.zip.sha256"
    ]
    caplog.clear()
    download("kermany", tmp_path, progress=False)
    assert len(server.requests) == 1
    assert caplog.messages == []
    (tmp_path / "a.zip").write_bytes(BODY[:-1] + b"!")
    with pytest.raises(
        DownloadError, match=rf"expected sha256:{DIGEST}, got sha256:\w+ in '.*a\.zip'\. Move it away"
    ):
        download("kermany", tmp_path, progress=False)


@network
def test_a_record_that_cannot_be_read_is_made_again(server, table, tmp_path):
    table(row(server))
    server.answers = [status(500)]
    (tmp_path / "a.zip").write_bytes(BODY)
    (tmp_path / "a.zip.sha256").write_bytes(b"\xff no digest")
    download("kermany", tmp_path, progress=False)
    assert (tmp_path / "a.zip.sha256").read_text().startswith(DIGEST)
    assert server.requests == []


@network
@pytest.mark.parametrize("name", ["a.zip", "a.zip.part", "a.zip.part.json", "a.zip.sha256"])
def test_a_folder_in_the_place_of_a_file(server, table, tmp_path, name):
    table(row(server))
    server.answers = [whole(BODY)]
    (tmp_path / name).mkdir()
    with pytest.raises(
        DownloadError, match=rf"a\.zip: expected a file or nothing at '.*{name}', got a folder\. Move"
    ):
        download("kermany", tmp_path, progress=False)
    assert (tmp_path / name).is_dir()
    assert server.requests == []


@network
def test_a_record_that_is_a_link_is_not_followed(server, table, tmp_path):
    table(row(server))
    server.answers = [whole(BODY)]
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "mine").write_text("mine")
    (root / "a.zip.sha256").symlink_to(tmp_path / "mine")
    download("kermany", root, progress=False)
    assert (tmp_path / "mine").read_text() == "mine"
    assert (root / "a.zip.sha256").read_text() == f"{DIGEST}  a.zip\n"


@network
@pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>", b"{}"])
def test_what_is_there_and_not_the_file_is_not_recorded(server, table, tmp_path, content):
    table(row(server))
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match=r"a\.zip: expected .*, got .* in '.*a\.zip'\. Move it away"):
        download("kermany", tmp_path, progress=False)
    assert server.requests == []
    assert not (tmp_path / "a.zip.sha256").exists()
    assert (tmp_path / "a.zip").read_bytes() == content


@network
@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b'{"error": 1}', b"<?xml?><Error/>"])
def test_what_is_not_the_file_gets_neither_its_name_nor_a_checksum(server, table, tmp_path, body):
    table(row(server))
    server.answers = [whole(body, kind="application/octet-stream")]
    with pytest.raises(DownloadError, match=r"a\.zip: expected "):
        download("kermany", tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mappings"]


@network
def test_two_archives_of_one_top_folder_both_come_out(server, table, tmp_path):
    first = write_zip(tmp_path / "1.zip", {"data/1.png": b"1"}).read_bytes()
    second = write_zip(tmp_path / "2.zip", {"data/2.png": b"2"}).read_bytes()
    table(row(server, "a.zip"), row(server, "b.zip"))
    server.answers = [whole(first), whole(second)]
    root = tmp_path / "root"
    for _ in range(2):
        download("kermany", root, unpack=True, progress=False)
    assert sorted(path.name for path in (root / "data").iterdir()) == ["1.png", "2.png"]


@network
@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({"checksum": f"sha256:{DIGEST}"}, BODY, None),
        ({"checksum": f"sha256:{DIGEST}"}, b"other", rf"expected sha256:{DIGEST}, got sha256:"),
        ({"size": 30_000}, BODY[:-1], "expected 30,000 bytes, got 29,999 in"),
    ],
)
def test_what_is_there_is_checked_and_never_overwritten(server, table, tmp_path, options, content, message):
    table(row(server, **options))
    (tmp_path / "a.zip").write_bytes(content)
    if message:
        with pytest.raises(DownloadError, match=message):
            download("kermany", tmp_path, progress=False)
    else:
        download("kermany", tmp_path, progress=False)
    assert server.requests == []
    assert (tmp_path / "a.zip").read_bytes() == content


@network
def test_what_came_before_a_failure_stays(server, table, tmp_path):
    table(row(server, "a.csv", checksum=f"sha256:{DIGEST}"), row(server, "b.csv"))
    server.answers = [whole(BODY), status(404)]
    with pytest.raises(
        DownloadError, match=r"b\.csv: .* answers 404 .*Get it from https://data\.mendeley\.com"
    ):
        download("kermany", tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.csv"]


@network
def test_archives_are_unpacked_where_the_table_says(server, table, tmp_path):
    archive = write_zip(
        tmp_path / "source.zip", {"repo-master/data.csv": b"1", "repo-master/png/2.png": b"2"}
    )
    table(row(server, "a.zip", folder="."), row(server, "b.csv"))
    server.answers = [whole(archive.read_bytes()), whole(BODY)]
    root = tmp_path / "root"
    download("kermany", root, unpack=True, progress=False)
    assert (root / "data.csv").read_bytes() == b"1"
    assert (root / "png" / "2.png").read_bytes() == b"2"
    assert (root / "a.zip").exists()
    download("kermany", root, unpack=True, progress=False)  # again, and nothing happens


@network
def test_a_bar_is_shown(server, table, tmp_path, capsys, caplog):
    table(row(server), row(server, "b.zip"))
    server.answers = [whole(BODY)]
    caplog.set_level(logging.ERROR)
    download("kermany", tmp_path)
    err = capsys.readouterr().err
    assert "a.zip (1 of 2)" in err
    assert "checking b.zip (2 of 2)" in err


def test_the_table_stands_with_the_others():
    assert (mappings() / "downloads.csv").is_file()
