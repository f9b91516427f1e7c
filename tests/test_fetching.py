"""One file over HTTP: every way in which servers, disks and other processes go wrong, on this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import pytest

from tests.serving import chunked, cut, redirect, serving, stalled, status, whole
from xrdatasets import answers, fetching
from xrdatasets.errors import DownloadError
from xrdatasets.fetching import Remote, checksum, fetch

pytestmark = pytest.mark.network  # of this machine alone

BODY = os.urandom(200_000)
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
OTHER = bytes(byte ^ 255 for byte in BODY)


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """No proxy stands between, and nobody sleeps: the seconds that were asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    seconds: list[float] = []
    monkeypatch.setattr(fetching, "_sleep", seconds.append)
    return seconds


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def remote(server, tmp_path):
    def make(**options):
        given = {"url": server.url(), "target": tmp_path / "file.zip", "page": "https://example.org/page"}
        return Remote(**(given | options))

    return make


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def begin(remote, body, *, etag='"1"', length=200_000, url=None):
    """What an earlier attempt left."""
    remote.part.write_bytes(body)
    notes = {"url": url or remote.url, "etag": etag, "modified": "", "length": length}
    remote.notes.write_text(json.dumps(notes))


def test_a_file_comes_whole_and_nothing_else_is_left(server, remote, tmp_path):
    server.answers = [whole(BODY)]
    moved = []
    fetch(remote(size=len(BODY), checksum=SHA), advance=moved.append)
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert left(tmp_path) == ["file.zip"]
    assert sum(moved) == len(BODY)
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_an_md5_is_a_checksum_too(server, remote, tmp_path):
    server.answers = [whole(BODY)]
    fetch(remote(checksum=f"md5:{hashlib.md5(BODY).hexdigest()}"))
    assert checksum(tmp_path / "file.zip", SHA) == SHA


# -- transfers that break off ---------------------------------------------------------------------------


def test_a_body_that_is_cut_off_is_resumed(server, remote, tmp_path, waits):
    server.answers = [cut(BODY, 100_000), whole(BODY)]
    moved = []
    fetch(remote(checksum=SHA), advance=moved.append)
    assert (tmp_path / "file.zip").read_bytes() == BODY
    first, second = ranges(server)
    assert first is None
    assert 80_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 100_000
    assert server.requests[1][1]["If-Range"] == '"1"'
    assert sum(moved) == len(BODY)
    assert len(waits) == 1
    assert 0.5 <= waits[0] <= 1


def test_a_server_that_stalls_is_asked_again(server, remote, tmp_path):
    server.answers = [stalled(BODY, 100_000), whole(BODY)]
    fetch(remote(checksum=SHA), timeout=0.2)
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert ranges(server)[1] is not None


def test_a_server_that_never_answers_is_given_up(server, remote, tmp_path, waits):
    server.answers = [lambda handler: handler.server.closing.wait(5)]
    with pytest.raises(
        DownloadError, match=r"failed 2 times in a row \(.*\). Nothing came; try again later\."
    ):
        fetch(remote(), timeout=0.1, retries=1)
    assert len(waits) == 1
    assert left(tmp_path) == []


def test_a_port_where_nobody_listens(remote, tmp_path):
    with pytest.raises(DownloadError, match=r"failed 1 times in a row \(.*refused.*\)"):
        fetch(remote(url="http://127.0.0.1:9/file.zip"), retries=0)
    assert left(tmp_path) == []


def test_the_pauses_grow(server, remote, waits):
    server.answers = [status(503)]
    with pytest.raises(DownloadError, match=r"failed 6 times in a row \(503 Service Unavailable\)"):
        fetch(remote(), retries=5)
    assert len(server.requests) == 6
    assert all(2.0**power / 2 <= seconds <= 2.0**power for power, seconds in enumerate(waits))


def test_progress_begins_the_count_of_tries_anew(server, remote, tmp_path):
    body = os.urandom(1_000_000)

    def piecewise(handler):
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        headers = {"Content_Length": len(body) - start, "ETag": '"1"'}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206 if start else 200, **headers)
        handler.wfile.write(body[start : start + 150_000])
        handler.close_connection = True

    server.answers = [piecewise]
    fetch(remote(), retries=1)
    assert (tmp_path / "file.zip").read_bytes() == body
    assert len(server.requests) >= 6


def test_what_came_is_kept_for_the_next_run(server, remote, tmp_path):
    server.answers = [cut(BODY, 100_000), status(503)]
    with pytest.raises(DownloadError, match=r"[\d,]+ bytes are kept; run it again to go on"):
        fetch(remote(), retries=1)
    assert left(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    server.answers = [whole(BODY)]
    fetch(remote(checksum=SHA))
    assert ranges(server)[-1] is not None
    assert left(tmp_path) == ["file.zip"]


def test_a_chunked_body_without_its_end_is_no_file(server, remote, tmp_path):
    server.answers = [chunked(BODY, broken=True), chunked(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert ranges(server) == [None, None]  # nothing said which version came first


# -- resuming -------------------------------------------------------------------------------------------


def test_a_part_of_an_earlier_run_is_taken_up(server, remote, tmp_path):
    begin(remote(), BODY[:50_000])
    server.answers = [whole(BODY)]
    moved = []
    fetch(remote(), advance=moved.append)
    assert ranges(server) == ["bytes=50000-"]
    assert moved[0] == 50_000
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_whole_part_needs_no_server(server, remote, tmp_path):
    begin(remote(), BODY)
    fetch(remote(checksum=SHA))
    assert server.requests == []
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_file_that_changed_in_between_is_begun_anew(server, remote, tmp_path):
    begin(remote(), OTHER[:50_000], etag='"old"')
    server.answers = [whole(BODY, etag='"new"')]
    fetch(remote(checksum=SHA))
    assert server.requests[0][1]["If-Range"] == '"old"'
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_server_that_joins_two_versions_is_refused(server, remote, tmp_path):
    def careless(handler):
        span = f"bytes 50000-{len(BODY) - 1}/{len(BODY)}"
        handler.head(206, Content_Range=span, Content_Length=len(BODY) - 50_000, ETag='"new"')
        handler.wfile.write(BODY[50_000:])

    begin(remote(), OTHER[:50_000], etag='"old"')
    server.answers = [careless]
    with pytest.raises(DownloadError, match=r"of another version\. The part was deleted; run it again"):
        fetch(remote())
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "said", ["bytes 0-199999/200000", "bytes 50000-59999/60000", "bytes 50000-", "", "bytes */200000"]
)
def test_a_part_that_was_not_asked_for_is_refused(server, remote, tmp_path, said):
    begin(remote(), BODY[:50_000])
    server.answers = [lambda handler: handler.head(206, Content_Range=said, Content_Length=0)]
    with pytest.raises(DownloadError, match=r"expected the bytes from 50,000 on, got "):
        fetch(remote())
    assert left(tmp_path) == []


def test_a_server_that_ignores_ranges_begins_anew(server, remote, tmp_path):
    begin(remote(), OTHER[:50_000])
    server.answers = [whole(BODY, ranges=False)]
    moved = []
    fetch(remote(), advance=moved.append)
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert sum(moved) == len(BODY)


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_version_nothing_is_joined(server, remote, tmp_path, etag):
    begin(remote(), OTHER[:50_000], etag=etag)
    server.answers = [whole(BODY)]
    fetch(remote())
    assert ranges(server) == [None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_date_is_a_version(server, remote):
    begin(remote(), BODY[:50_000])
    notes = json.loads(remote().notes.read_text()) | {
        "etag": 'W/"1"',
        "modified": "Tue, 01 Jan 2019 00:00:00 GMT",
    }
    remote().notes.write_text(json.dumps(notes))
    server.answers = [whole(BODY, etag="")]
    fetch(remote(checksum=SHA))
    assert server.requests[0][1]["If-Range"] == "Tue, 01 Jan 2019 00:00:00 GMT"


def test_a_part_of_another_address_is_not_taken_up(server, remote, tmp_path):
    begin(remote(), OTHER[:50_000], url="https://example.org/file.zip")
    server.answers = [whole(BODY)]
    fetch(remote())
    assert ranges(server) == [None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"length": "many"}', '{"more": 1}', "\ud800"])
def test_notes_that_cannot_be_read_are_none(server, remote, tmp_path, text):
    begin(remote(), OTHER[:50_000])
    remote().notes.write_bytes(text.encode("utf-8", "surrogatepass"))
    server.answers = [whole(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_416_for_a_part_that_is_whole(server, remote, tmp_path):
    begin(remote(), BODY, length=None)
    server.answers = [whole(BODY)]
    fetch(remote(checksum=SHA))
    assert ranges(server) == [f"bytes={len(BODY)}-"]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_416_for_a_part_that_is_longer_than_the_file(server, remote, tmp_path):
    begin(remote(), OTHER + OTHER, length=3 * len(BODY))
    server.answers = [whole(BODY)]
    fetch(remote(checksum=SHA))
    assert ranges(server) == [f"bytes={2 * len(BODY)}-", None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


# -- answers that are not the file ----------------------------------------------------------------------


def test_busy_servers_are_asked_again(server, remote, tmp_path, waits):
    answers = [status(503), status(429, Retry_After="7"), status(502), whole(BODY)]
    server.answers = list(answers)
    fetch(remote())
    assert waits[1] == 7
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_wait_of_hours_is_capped(server, remote, waits):
    server.answers = [status(429, Retry_After="86400"), whole(BODY)]
    fetch(remote())
    assert waits == [fetching.MOST_WAIT]


def test_a_wait_until_a_date(server, remote, waits, monkeypatch):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    monkeypatch.setattr(answers.time, "time", lambda: parsedate_to_datetime(date).timestamp() - 30)
    server.answers = [status(503, Retry_After=date), status(503, Retry_After="soon"), whole(BODY)]
    fetch(remote())
    assert waits[0] == pytest.approx(30)
    assert waits[1] <= 2
    assert format_datetime(parsedate_to_datetime(date), usegmt=True) == date


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (401, "it wants a login"),
        (403, "it refuses"),
        (404, "it is not there"),
        (410, "it is gone"),
        (204, "expected 200"),
    ],
)
def test_what_would_not_change_is_not_asked_again(server, remote, tmp_path, code, why):
    server.answers = [status(code)]
    with pytest.raises(
        DownloadError, match=rf"answers {code} .*\({why}\)\. Get it from https://example\.org/page\."
    ):
        fetch(remote())
    assert len(server.requests) == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_login_page_is_no_file(server, remote, tmp_path, kind):
    server.answers = [whole(b"<html>Sign in</html>", kind=kind)]
    with pytest.raises(DownloadError, match=r"got a web page \(a login or an error\)\. Get it from"):
        fetch(remote())
    assert left(tmp_path) == []


def test_a_web_page_that_is_the_file(server, remote, tmp_path):
    server.answers = [whole(BODY, kind="text/html")]
    fetch(remote(target=tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_bytes() == BODY


def test_a_packed_answer_is_not_the_file(server, remote, tmp_path):
    server.answers = [lambda handler: handler.head(200, Content_Length=5, Content_Encoding="gzip")]
    with pytest.raises(DownloadError, match=r"got them packed \(gzip\)"):
        fetch(remote())
    assert left(tmp_path) == []


def test_a_gz_file_stays_one(server, remote, tmp_path):
    def labelled(handler):
        handler.head(200, Content_Length=len(BODY), Content_Encoding="x-gzip")
        handler.wfile.write(BODY)

    server.answers = [labelled]
    fetch(remote(target=tmp_path / "file.tar.gz", checksum=SHA))
    assert (tmp_path / "file.tar.gz").read_bytes() == BODY


def test_another_length_than_known_is_refused_before_it_comes(server, remote, tmp_path):
    server.answers = [whole(BODY)]
    with pytest.raises(DownloadError, match=r"expected 199,999 bytes, the server has 200,000 at"):
        fetch(remote(size=199_999))
    assert left(tmp_path) == []


@pytest.mark.parametrize("size", [199_999, 10])
def test_a_body_that_is_too_long_is_refused(server, remote, tmp_path, size):
    server.answers = [chunked(BODY)]
    with pytest.raises(DownloadError, match=rf"expected {size:,} bytes, got more\. The part was deleted"):
        fetch(remote(size=size))
    assert left(tmp_path) == []


def test_a_body_that_is_too_short_is_given_up(server, remote, tmp_path):
    server.answers = [chunked(BODY)]
    with pytest.raises(DownloadError, match=r"failed 2 times in a row \(200,000 of 200,001 bytes came\)"):
        fetch(remote(size=200_001), retries=1)
    assert not (tmp_path / "file.zip").exists()


def test_a_length_that_nobody_knows_is_refused(server, remote, tmp_path):
    def endless(handler):
        handler.head(200, Connection="close")
        handler.wfile.write(BODY)
        handler.close_connection = True

    server.answers = [endless]
    with pytest.raises(DownloadError, match=r"does not say how long it is, so that a part would pass for it"):
        fetch(remote())
    assert left(tmp_path) == []
    fetch(remote(checksum=SHA))  # this says when it is whole
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_wrong_bytes_are_deleted_and_both_checksums_named(server, remote, tmp_path):
    server.answers = [whole(OTHER)]
    got = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(DownloadError, match=rf"expected {SHA}, got sha256:{got}\. It was deleted"):
        fetch(remote(checksum=SHA))
    assert left(tmp_path) == []


def test_a_whole_part_of_another_length_than_known(server, remote, tmp_path):
    begin(remote(), BODY)
    with pytest.raises(DownloadError, match=r"expected 5 bytes, got 200,000\. They were deleted"):
        fetch(remote(size=5))
    assert left(tmp_path) == []


# -- redirects ------------------------------------------------------------------------------------------


def test_redirects_are_followed(server, remote, tmp_path):
    server.answers = [redirect("/elsewhere"), redirect(server.url("/at/last")), whole(BODY)]
    fetch(remote())
    assert [path for path, _ in server.requests] == ["/file.zip", "/elsewhere", "/at/last"]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_loop_ends(server, remote, tmp_path):
    server.answers = [redirect("/file.zip")]
    with pytest.raises(DownloadError, match=r"got more than 10 redirects"):
        fetch(remote())
    assert len(server.requests) == 11
    assert left(tmp_path) == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/file.zip", "data:,x"])
def test_a_redirect_to_another_kind_of_address_is_refused(server, remote, tmp_path, location):
    server.answers = [redirect(location)]
    with pytest.raises(DownloadError, match=r"leads to .*\. Expected http, so it is not followed"):
        fetch(remote())
    assert left(tmp_path) == []


def test_a_redirect_from_https_to_http_is_refused(remote):
    with pytest.raises(DownloadError, match=r"Expected https, so it is not followed"):
        answers._check_scheme(remote(), "https://example.org/x", "http://example.org/x")
    answers._check_scheme(remote(), "http://example.org/x", "https://example.org/x")


def test_a_redirect_that_leads_nowhere_is_no_file(server, remote):
    server.answers = [status(302)]
    with pytest.raises(DownloadError, match=r"answers 302 Found \(expected 200\)"):
        fetch(remote())


@pytest.mark.parametrize("url", ["http://", "http://[::1", "nonsense"])
def test_an_address_that_is_none(remote, tmp_path, url):
    with pytest.raises(DownloadError, match="cannot be asked for"):
        fetch(remote(url=url))
    assert left(tmp_path) == []


# -- this machine ---------------------------------------------------------------------------------------


def test_a_disk_without_room_is_seen_before_it_is_full(server, remote, tmp_path, monkeypatch):
    usage = fetching.shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    server.answers = [whole(BODY)]
    with pytest.raises(
        DownloadError, match=r"expected 200,000 free bytes in .*, got 1,000\. Make room first"
    ):
        fetch(remote())
    assert left(tmp_path) == []


def test_a_full_disk_keeps_what_came(server, remote, tmp_path, monkeypatch):
    real = fetching.blocks

    def full(answer):
        for number, block in enumerate(real(answer)):
            if number == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield block

    monkeypatch.setattr(fetching, "blocks", full)
    server.answers = [whole(BODY)]
    with pytest.raises(
        DownloadError, match=r"the disk is full\. 49,152 bytes are kept; make room and run it again"
    ):
        fetch(remote())
    monkeypatch.undo()
    assert left(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetch(remote(checksum=SHA))
    assert ranges(server) == [None, "bytes=49152-"]


def test_another_error_of_the_disk_stays_what_it_is(server, remote, monkeypatch):
    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fetching.os, "fsync", fail)
    server.answers = [whole(BODY)]
    with pytest.raises(OSError, match="Input/output error"):
        fetch(remote())


def test_an_interrupt_keeps_what_came(server, remote, tmp_path):
    def stop(count):
        if count:
            raise KeyboardInterrupt

    server.answers = [whole(BODY)]
    with pytest.raises(KeyboardInterrupt):
        fetch(remote(), advance=stop)
    assert left(tmp_path) == ["file.zip.part", "file.zip.part.json"]
    fetch(remote(checksum=SHA))
    assert ranges(server)[1] is not None


HOLD = """
import fcntl, sys
with open(sys.argv[1], "ab") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not fetching.LOCKS, reason="this system has no flock")
def test_two_processes_do_not_write_one_file(server, remote, tmp_path):
    server.answers = [whole(BODY)]
    part = tmp_path / "file.zip.part"
    words = [sys.executable, "-c", HOLD, str(part)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(
            DownloadError, match=r"another process is downloading it to .*Wait for it, then run"
        ):
            fetch(remote())
        assert part.exists()
        other.stdin.close()
    fetch(remote(checksum=SHA))
    assert left(tmp_path) == ["file.zip"]


def test_a_file_that_another_process_finished_is_left_alone(server, remote, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"theirs")
    fetch(remote())
    assert server.requests == []
    assert left(tmp_path) == ["file.zip"]
    assert (tmp_path / "file.zip").read_bytes() == b"theirs"


def test_a_part_that_lost_its_name_is_not_ours(tmp_path):
    path = tmp_path / "file.zip.part"
    with path.open("wb") as file:
        assert fetching._same(file, path)
        path.rename(tmp_path / "file.zip")
        assert not fetching._same(file, path)
        Path(path).write_bytes(b"")
        assert not fetching._same(file, path)


def test_a_system_without_locks(server, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "LOCKS", False)
    server.answers = [whole(BODY)]
    fetch(remote(checksum=SHA))
    assert left(tmp_path) == ["file.zip"]


@pytest.mark.parametrize(("code", "locked"), [(errno.ENOLCK, True), (errno.EAGAIN, False)])
@pytest.mark.skipif(not fetching.LOCKS, reason="this system has no flock")
def test_a_disk_without_locks(tmp_path, monkeypatch, code, locked):
    import fcntl

    def refuse(*_):
        raise OSError(code, "no lock")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "x").open("wb") as file:
        assert fetching._lock(file) is locked
