"""Files of weights on this machine: where they lie, how they come, and that they are what they should be."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.serving import cut, serving, stalled, status, whole
from xrdatasets import fetching
from xrdatasets.errors import DownloadError, WeightsError, WeightsNotFoundError
from xrdatasets.models.weights import cache
from xrdatasets.models.weights.cache import cache_folder, fetched, is_here, place_of, verified
from xrdatasets.models.weights.weights_table import weights_entry

BODY = b"PK\x03\x04" + bytes(range(256)) * 400
DIGEST = hashlib.sha256(BODY).hexdigest()
OTHER = BODY[:-1] + b"?"
PAGE = b"<!DOCTYPE html><title>Sign in</title>" + b" " * 200_000
network = pytest.mark.network  # of this machine alone


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache of this test."""
    monkeypatch.setenv("XRDATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "_sleep", lambda _: None)
    return tmp_path / "cache" / "weights"


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def entry(server):
    """Weights that lie on the server."""

    def make(**change):
        given = {"location": server.url("/v1/file.pt"), "sha256": DIGEST}
        return dataclasses.replace(weights_entry("rsna"), **(given | change))

    return make


def put(folder, body, record=None):
    folder.mkdir(parents=True)
    (folder / "file.pt").write_bytes(body)
    if record:
        (folder / "file.pt.sha256").write_text(f"{record}  file.pt\n")


def left(folder):
    return sorted(path.name for path in folder.iterdir())


# -- the folder -----------------------------------------------------------------------------------------


def test_the_variable_names_the_folder(tmp_path):
    assert cache_folder() == tmp_path / "cache"
    assert place_of(weights_entry("rsna")).parent == tmp_path / "cache" / "weights"


def test_the_variable_may_speak_of_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XRDATASETS_CACHE", "~/models")
    assert cache_folder() == tmp_path / "models"


@pytest.mark.parametrize("named", [None, ""])
@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg"}, "xdg"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "home/.cache"),  # relative: to be ignored, says the standard
        ("darwin", {"XDG_CACHE_HOME": "{}/xdg"}, "home/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local"),
        ("win32", {}, "home/AppData/Local"),
    ],
)
def test_without_it_the_users_folder_serves(monkeypatch, tmp_path, platform, variables, expected, named):
    for name in ("XRDATASETS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if named is not None:
        monkeypatch.setenv("XRDATASETS_CACHE", named)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert cache_folder() == tmp_path / expected / "xrdatasets"


def test_without_a_home_the_variable_is_asked_for(monkeypatch):
    monkeypatch.delenv("XRDATASETS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ValueError, match="XRDATASETS_CACHE: expected a folder"):
        cache_folder()


# -- downloads --------------------------------------------------------------------------------------------


@network
def test_a_file_is_downloaded_once(server, entry, folder):
    server.answers = [whole(BODY)]
    assert not is_here(entry())
    path = fetched(entry())
    assert path == folder / "file.pt"
    assert path.read_bytes() == BODY
    assert is_here(entry())
    assert verified(entry()) == (path, DIGEST)
    assert len(server.requests) == 1
    assert left(folder) == ["file.pt"]


@network
def test_a_known_checksum_is_not_spoken_of(server, entry, caplog):
    server.answers = [whole(BODY)]
    fetched(entry())
    assert caplog.text == ""


@network
def test_a_download_that_was_cut_off_is_resumed_in_a_later_run(server, entry, folder):
    server.answers = [cut(BODY, 80_000)]
    with pytest.raises(DownloadError, match="bytes are kept"):
        fetched(entry(), retries=0)
    assert not is_here(entry())
    server.answers = [whole(BODY)]
    assert fetched(entry()).read_bytes() == BODY
    assert server.requests[-1][1]["Range"].startswith("bytes=")
    assert left(folder) == ["file.pt"]


BROKEN = {
    "a page": whole(PAGE),
    "a page that says so": whole(PAGE, kind="text/html"),
    "an archive": whole(b"\x1f\x8b" + BODY),
    "nothing": whole(b""),
    "404": status(404),
}


@network
@pytest.mark.parametrize(
    ("answer", "sha256"),
    [
        *(pytest.param(answer, "", id=f"{name}, no digest known") for name, answer in BROKEN.items()),
        *(pytest.param(answer, DIGEST, id=name) for name, answer in BROKEN.items()),
        pytest.param(whole(OTHER), DIGEST, id="another file"),
        pytest.param(whole(BODY[:1000]), DIGEST, id="its beginning"),
    ],
)
def test_a_broken_download_leaves_nothing_that_a_later_run_trips_over(server, entry, folder, answer, sha256):
    server.answers = [answer]
    with pytest.raises(DownloadError):
        fetched(entry(sha256=sha256), retries=0)
    assert left(folder) == []
    server.answers = [whole(BODY)]
    assert fetched(entry(sha256=sha256)).read_bytes() == BODY


@network
def test_what_came_in_place_of_weights_is_named(server, entry):
    server.answers = [whole(b"\x1f\x8b" + BODY)]
    with pytest.raises(DownloadError, match=r"expected a file of weights .*x1f.x8bPK.* was deleted"):
        fetched(entry(sha256=""))


@network
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("torchxrayvision-module", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),  # torch before 1.6
        ("torchxrayvision-state", BODY),
        ("safetensors", b"\x02\0\0\0\0\0\0\0{}"),
    ],
)
def test_how_files_of_weights_begin(server, entry, kind, body):
    server.answers = [whole(body)]
    assert fetched(entry(sha256="", format=kind)).read_bytes() == body


def test_offline_it_says_where_to_put_which_file(folder, monkeypatch):
    address = "http://127.0.0.1:9/v1/file.pt"
    entry = dataclasses.replace(weights_entry("rsna"), location=address)
    monkeypatch.setattr(cache, "fetch", _offline)
    with pytest.raises(DownloadError) as caught:
        fetched(entry)
    assert f"put the file of {address} at {str(folder / 'file.pt')!r}" in str(caught.value)
    assert "XRDATASETS_CACHE" in str(caught.value)


def _offline(remote, **_):
    msg = f"{remote.target.name}: {remote.url!r} failed 3 times in a row (no route). Nothing came."
    raise DownloadError(msg)


@network
def test_a_port_where_nobody_listens(folder):
    entry = dataclasses.replace(weights_entry("rsna"), location="http://127.0.0.1:9/v1/file.pt")
    with pytest.raises(DownloadError, match=r"failed 3 times in a row.*Without the network: put the file of"):
        fetched(entry)
    assert left(folder) == []


def test_a_file_that_was_put_there_by_hand_needs_no_network(folder):
    put(folder, BODY)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256=DIGEST)
    assert fetched(entry) == folder / "file.pt"


@network
def test_a_cache_that_cannot_be_made_is_named(server, entry, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("XRDATASETS_CACHE", str(tmp_path / "taken"))
    with pytest.raises(DownloadError, match=r"taken.*another folder by XRDATASETS_CACHE"):
        fetched(entry())
    assert server.requests == []


def test_a_folder_in_the_place_of_the_file(folder):
    (folder / "file.pt").mkdir(parents=True)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt")
    with pytest.raises(DownloadError, match=r"expected a file or nothing at .* got a folder"):
        fetched(entry)


# -- checksums --------------------------------------------------------------------------------------------


def test_a_file_with_a_changed_byte_is_refused_by_name(folder):
    put(folder, OTHER)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256=DIGEST)
    got = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(WeightsError) as caught:
        fetched(entry)
    assert str(caught.value) == (
        f"densenet121-res224-rsna: expected sha256 {DIGEST} of {str(folder / 'file.pt')!r}, as the table of "
        f"weights says, got {got}: the file is damaged, or another one. Delete the file, then load it again."
    )
    assert (folder / "file.pt").read_bytes() == OTHER  # it is the user's to delete


def test_every_use_is_checked_not_the_first_alone(folder):
    """Size and time as they were: a note of both would not see it."""
    put(folder, BODY)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256=DIGEST)
    path = fetched(entry)
    before = path.stat()
    path.write_bytes(OTHER)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="damaged, or another one"):
        fetched(entry)


@network
def test_a_digest_that_was_not_known_is_recorded_and_said(server, entry, folder, caplog):
    server.answers = [whole(BODY)]
    path = fetched(entry(sha256=""))
    record = folder / "file.pt.sha256"
    assert record.read_text() == f"{DIGEST}  file.pt\n"  # as `sha256sum -c` takes it
    assert caplog.record_tuples == [
        (
            "xrdatasets.models.weights.cache",
            logging.WARNING,
            f"densenet121-res224-rsna: its checksum was not known; sha256 {DIGEST} is recorded in "
            f"{str(record)!r}, and holds from now on",
        )
    ]
    caplog.clear()
    assert fetched(entry(sha256="")) == path
    assert caplog.text == ""
    assert left(folder) == ["file.pt", "file.pt.sha256"]


def test_a_file_that_differs_from_its_record_is_refused_by_name(folder):
    put(folder, OTHER, record=DIGEST)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256="")
    with pytest.raises(
        WeightsError, match=rf"expected sha256 {DIGEST} of .*, as recorded at its first use"
    ) as caught:
        fetched(entry)
    assert f"to accept this one instead, delete {str(folder / 'file.pt.sha256')!r}" in str(caught.value)


@network
def test_another_download_than_the_recorded_one_is_refused(server, entry, folder):
    """Its file was deleted; the record stays, or anybody could exchange it."""
    put(folder, BODY, record=DIGEST)
    (folder / "file.pt").unlink()
    server.answers = [whole(OTHER)]
    with pytest.raises(DownloadError, match=rf"expected sha256:{DIGEST}, got .* of an earlier download"):
        fetched(entry(sha256=""))
    assert left(folder) == ["file.pt.sha256"]


def test_the_tables_digest_beats_the_record(folder):
    put(folder, BODY, record="ab" * 32)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256=DIGEST)
    assert verified(entry)[1] == DIGEST


@pytest.mark.parametrize("record", ["", "no digest", "ab", "\0"])
def test_a_record_that_says_nothing_is_written_anew(folder, record):
    put(folder, BODY)
    (folder / "file.pt.sha256").write_text(record)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256="")
    fetched(entry)
    assert (folder / "file.pt.sha256").read_text().startswith(DIGEST)


def test_what_was_put_there_by_hand_is_no_page(folder):
    put(folder, PAGE)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256="")
    with pytest.raises(
        WeightsError, match=r"expected a file of weights .torchxrayvision-module. at .*file.pt"
    ):
        fetched(entry)
    assert left(folder) == ["file.pt"]


def test_a_cache_that_is_read_only_serves(folder, caplog, monkeypatch):
    put(folder, BODY)
    monkeypatch.setattr(Path, "write_text", _read_only)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256="")
    assert fetched(entry) == folder / "file.pt"
    assert "is not recorded, as" in caplog.text
    assert "(Read-only file system)" in caplog.text


def test_a_disk_that_is_full_leaves_no_half_of_a_record(folder, caplog, monkeypatch):
    put(folder, BODY)
    write_text = Path.write_text

    def full(self, *_, **__):
        write_text(self, DIGEST[:7])
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt", sha256="")
    fetched(entry)
    assert "(No space left on device)" in caplog.text
    assert left(folder) == ["file.pt"]


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    put(folder, BODY)

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cache, "hexdigest", forbidden)
    entry = dataclasses.replace(weights_entry("rsna"), location="https://example.org/file.pt")
    with pytest.raises(WeightsError, match=r"file\.pt' cannot be read \(Permission denied\)"):
        fetched(entry)


def _read_only(self, *_, **__):
    raise OSError(30, "Read-only file system", str(self))


# -- files of the package -----------------------------------------------------------------------------------


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BUNDLED", tmp_path / "package")
    (tmp_path / "package").mkdir()
    return dataclasses.replace(
        weights_entry("rsna"),
        source="bundled",
        location="file.safetensors",
        format="safetensors",
        sha256=DIGEST,
    )


def test_a_bundled_file_is_here(bundled, tmp_path, folder):
    (tmp_path / "package" / "file.safetensors").write_bytes(BODY)
    assert is_here(bundled)
    assert fetched(bundled) == tmp_path / "package" / "file.safetensors"
    assert not folder.exists()


def test_a_bundled_file_that_is_missing_is_not_downloaded(bundled):
    assert not is_here(bundled)
    with pytest.raises(WeightsNotFoundError, match=r"file\.safetensors.*Install xrdatasets anew"):
        fetched(bundled)


def test_a_bundled_file_with_a_changed_byte(bundled, tmp_path):
    (tmp_path / "package" / "file.safetensors").write_bytes(OTHER)
    with pytest.raises(WeightsError, match="Install xrdatasets anew"):
        fetched(bundled)


# -- several at once ----------------------------------------------------------------------------------------


@network
def test_threads_that_ask_at_once_get_one_download(server, entry, folder, monkeypatch):
    monkeypatch.setattr(cache, "PAUSE", 0.01)
    server.answers = [_slow]
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetched(entry()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [folder / "file.pt"] * 4
    assert len(server.requests) == 1
    assert left(folder) == ["file.pt"]


def _slow(handler, wait=lambda: time.sleep(0.3)):
    handler.head(200, Content_Length=len(BODY), ETag='"1"')
    handler.wfile.write(BODY[:1000])
    handler.wfile.flush()
    wait()
    handler.wfile.write(BODY[1000:])


@network
def test_a_process_waits_for_anothers_download(server, entry, folder):
    """The server gives the rest of the file when this process waits too."""
    both = threading.Event()
    server.answers = [lambda handler: _slow(handler, lambda: both.wait(60))]
    code = (
        "import dataclasses, sys; from xrdatasets.models.weights.cache import fetched; "
        "from xrdatasets.models.weights.weights_table import weights_entry; "
        "entry = dataclasses.replace(weights_entry('rsna'), location=sys.argv[1], sha256=sys.argv[2]); "
        "print('asks', flush=True); print(fetched(entry))"
    )
    command = [sys.executable, "-c", code, entry().location, DIGEST]
    home = Path(__file__).resolve().parents[2]
    other = subprocess.Popen(
        command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert other.stdout.readline() == "asks\n"
    while not server.requests and other.poll() is None:
        time.sleep(0.01)
    threading.Timer(0.7, both.set).start()
    assert fetched(entry()) == folder / "file.pt"
    assert both.is_set()
    assert other.communicate(timeout=60) == (f"{folder / 'file.pt'}\n", "")
    assert len(server.requests) == 1


@network
def test_a_download_that_stands_still_is_not_waited_for_forever(server, entry, folder, monkeypatch):
    monkeypatch.setattr(cache, "PAUSE", 0.01)
    monkeypatch.setattr(cache, "PATIENCE", 0.2)
    server.answers = [stalled(BODY, 1000)]
    other = threading.Thread(target=_in_vain, args=[entry()])
    other.start()
    while not server.requests and other.is_alive():
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another process is downloading it"):
        fetched(entry())
    other.join(30)


def _in_vain(entry):
    with contextlib.suppress(DownloadError):
        fetched(entry, retries=0, timeout=2)


# -- the bar ------------------------------------------------------------------------------------------------


@network
def test_where_no_terminal_is_nothing_is_written(server, entry, capfd):
    server.answers = [whole(BODY)]
    fetched(entry())
    assert capfd.readouterr() == ("", "")


@network
@pytest.mark.parametrize("progress", [True, False])
def test_on_a_terminal_there_is_a_bar(server, entry, capsys, monkeypatch, progress):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    server.answers = [whole(BODY)]
    fetched(entry(), progress=progress)
    assert ("densenet121-res224-rsna" in capsys.readouterr().err) == progress
