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

from tests.serving import chunked, cut, raw, redirect, serving, stalled, status, whole
from xrdatasets import answers, fetching
from xrdatasets.errors import DownloadError
from xrdatasets.fetching import Remote, checksum, fetch

pytestmark = pytest.mark.network  # of this machine alone

BODY = b"PK\x03\x04" + os.urandom(199_996)
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
OTHER = BODY[:4] + bytes(byte ^ 255 for byte in BODY[4:])


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
    body = BODY * 5

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


def test_a_whole_part_of_a_known_checksum_needs_no_server(server, remote, tmp_path):
    begin(remote(), BODY)
    fetch(remote(checksum=SHA))
    assert server.requests == []
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_whole_part_without_a_checksum_is_confirmed(server, remote, tmp_path):
    begin(remote(), BODY)
    server.answers = [whole(BODY)]
    moved = []
    fetch(remote(), advance=moved.append)
    assert ranges(server) == ["bytes=199999-"]
    assert sum(moved) == len(BODY)
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"2"', ""])
@pytest.mark.parametrize("size", [200_000, None])
def test_notes_do_not_make_a_file_whole(server, remote, tmp_path, etag, size):
    begin(remote(), OTHER)
    server.answers = [whole(BODY, etag=etag)]
    fetch(remote(size=size))
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_notes_of_another_length_do_not_make_a_file_whole(server, remote, tmp_path):
    begin(remote(), BODY[:50_000], length=50_000)
    server.answers = [whole(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("length", [True, -1, 1.0, "1", 10**30])
def test_what_is_no_length(server, remote, tmp_path, length):
    begin(remote(), BODY[:1], length=length)
    server.answers = [whole(BODY)]
    fetch(remote(checksum=SHA))
    assert ranges(server) == [None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_416_without_a_version_does_not_make_a_file_whole(server, remote, tmp_path):
    begin(remote(), OTHER, length=None)
    server.answers = [status(416, Content_Range="bytes */200000"), whole(BODY)]
    fetch(remote())
    assert ranges(server) == ["bytes=200000-", None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_416_of_the_same_version_does(server, remote, tmp_path):
    begin(remote(), BODY, length=None)
    server.answers = [status(416, Content_Range="bytes */200000", ETag='"1"')]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_file_that_changed_in_between_is_begun_anew(server, remote, tmp_path):
    begin(remote(), OTHER[:50_000], etag='"old"')
    server.answers = [whole(BODY, etag='"new"')]
    fetch(remote(checksum=SHA))
    assert server.requests[0][1]["If-Range"] == '"old"'
    assert (tmp_path / "file.zip").read_bytes() == BODY


def rest(body, *, at=50_000, etag='"1"', said=None, **headers):
    """The rest of a file, as a careless server gives it."""

    def answer(handler):
        tag = {} if etag is None else {"ETag": etag}
        span = said if said is not None else f"bytes {at}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Range=span, Content_Length=len(body) - at, **tag, **headers)
        handler.wfile.write(body[at:])

    return answer


@pytest.mark.parametrize(
    "careless",
    [
        rest(OTHER, etag='"new"'),
        rest(OTHER, etag=None),
        rest(OTHER, etag='W/"1"'),
        rest(OTHER, Content_Encoding="gzip"),
        rest(OTHER, Content_Type="text/html"),
        rest(OTHER, Content_Type="multipart/byteranges; boundary=x", said=""),
        rest(OTHER, Last_Modified="Tue, 01 Jan 2019 00:00:00 GMT"),
    ],
    ids=["another ETag", "no ETag", "weak ETag", "packed", "page", "several parts", "another date"],
)
def test_a_rest_that_may_be_of_another_file_is_not_joined(server, remote, tmp_path, careless):
    begin(remote(), BODY[:50_000])
    server.answers = [careless, whole(BODY)]
    fetch(remote())
    assert ranges(server) == ["bytes=50000-", None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_server_that_gives_nothing_but_such_a_rest_is_refused(server, remote, tmp_path):
    begin(remote(), BODY[:50_000])
    server.answers = [rest(OTHER, etag='"new"')]
    with pytest.raises(DownloadError, match=r"answers 206 Partial Content \(expected 200\)"):
        fetch(remote())
    assert ranges(server) == ["bytes=50000-", None]
    assert not (tmp_path / "file.zip").exists()


@pytest.mark.parametrize(
    "said",
    [
        "bytes 0-199999/200000",
        "bytes 50000-59999/60000",
        "bytes 50000-",
        "",
        "bytes */200000",
        "bytes 50000-200000/200000",
        "bytes 50000-40000/200000",
        f"bytes 50000-{'9' * 5000}/{'9' * 5000}",
        f"bytes {'9' * 5000}-199999/200000",
    ],
)
def test_a_part_that_was_not_asked_for_is_not_joined(server, remote, tmp_path, said):
    begin(remote(), BODY[:50_000])
    server.answers = [rest(OTHER, said=said), whole(BODY)]
    fetch(remote())
    assert ranges(server) == ["bytes=50000-", None]
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_rest_without_an_end_is_none(server, remote, tmp_path):
    """No length is known, so nothing would say whether there is more."""
    begin(remote(), BODY[:50_000], length=None)
    server.answers = [rest(BODY[:60_000], said="bytes 50000-59999/*"), whole(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


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


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"length": "many"}', '{"more": 1}', "\ud800", "[" * 100_000]
)
def test_notes_that_cannot_be_read_are_none(server, remote, tmp_path, text):
    begin(remote(), OTHER[:50_000])
    remote().notes.write_bytes(text.encode("utf-8", "surrogatepass"))
    server.answers = [whole(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"€"', '"\r\nX: y"', '"\x00"', '"\x85"', 5])
def test_a_version_that_cannot_be_sent_is_none(server, remote, tmp_path, etag):
    begin(remote(), OTHER[:50_000], etag=etag)
    server.answers = [whole(BODY)]
    fetch(remote())
    assert ranges(server) == [None]
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


def sent(body, kind=None):
    """A body of which nothing is said but its length and, if at all, its kind."""
    tag = {} if kind is None else {"Content_Type": kind}

    def answer(handler):
        handler.head(200, Content_Length=len(body), **tag)
        handler.wfile.write(body)

    return answer


PAGE = b"\n <!DOCTYPE html><html>Sign in</html>"
FAULT = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("file.zip", PAGE),
        ("file.zip", FAULT),
        ("file.zip", b'{"error": "not found"}'),
        ("file.ZIP", b"PK"),
        ("file.tgz", PAGE),
        ("file.tar.gz", BODY),
        ("file.tar", FAULT * 10),
        ("file.tar.xz", PAGE),
        ("file.tar.bz2", PAGE),
        ("file.csv", PAGE),
        ("file.csv", b'\xef\xbb\xbf{"error": "not found"}'),
        ("file.txt", FAULT),
        ("file.json", PAGE),
        ("file.dcm", PAGE),
    ],
)
@pytest.mark.parametrize("filler", [b"", b" " * 100_000], ids=["short", "long"])
def test_what_does_not_begin_as_the_file_would_is_refused(server, remote, tmp_path, name, body, filler):
    server.answers = [sent(body + filler)]
    with pytest.raises(DownloadError, match=r"expected .*, got .* at 'http.*It was deleted\. Get it from"):
        fetch(remote(target=tmp_path / name))
    assert left(tmp_path) == []


def test_what_does_not_begin_as_the_file_would_is_seen_at_once(server, remote, tmp_path):
    server.answers = [stalled(PAGE.ljust(200_000), 100_000)]
    with pytest.raises(DownloadError, match=r"expected the first bytes of a \.zip, got b'\\n <!DOCTYPE"):
        fetch(remote(), retries=0)
    assert len(server.requests) == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "answer", [sent(b""), chunked(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
)
@pytest.mark.parametrize("name", ["file.zip", "file.csv", "file.png"])
def test_no_bytes_are_no_file(server, remote, tmp_path, answer, name):
    server.answers = [answer]
    with pytest.raises(
        DownloadError, match=r"expected (a file|some bytes).*(got 0 bytes|has 0 at).*Get it from"
    ):
        fetch(remote(target=tmp_path / name))
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["file.zip", "file.tar.gz", "file.csv"])
@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json", "application/xml", "text/xml; charset=utf-8"]
)
def test_a_document_that_tells_of_an_error_is_no_file(server, remote, tmp_path, name, kind):
    server.answers = [sent(BODY, kind)]
    with pytest.raises(DownloadError, match=r"expected a file at .*, got '\w+/.*' \(a login or an error\)"):
        fetch(remote(target=tmp_path / name))
    assert left(tmp_path) == []


def test_json_that_is_the_file(server, remote, tmp_path):
    server.answers = [sent(b'[{"file": "1.png"}]', "application/json")]
    fetch(remote(target=tmp_path / "file.json"))
    assert (tmp_path / "file.json").read_bytes() == b'[{"file": "1.png"}]'


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


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "many", "²", "1_0"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_length_that_is_none_is_refused(server, remote, tmp_path, length, begun):
    answer = f'HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: "1"\r\n\r\n'.encode("latin-1")
    server.answers = [raw(answer + BODY)]
    if begun:
        begin(remote(), BODY[:50_000])
    with pytest.raises(DownloadError, match=r"does not say how long it is, but '.{1,130}', so that"):
        fetch(remote())
    server.answers = [whole(BODY)]
    fetch(remote())
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_length_that_no_disk_has_leaves_nothing_behind(server, remote, tmp_path):
    server.answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 18 + b'\r\nETag: "1"\r\n\r\n')]
    with pytest.raises(DownloadError, match=r"expected 999,999,.* free bytes in .*Make room first"):
        fetch(remote())
    assert left(tmp_path) == []


@pytest.mark.parametrize("size", [b"-1", b"-5", b"zz", b"", b"9" * 5000])
def test_a_chunk_of_no_size(server, remote, tmp_path, size):
    server.answers = [
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + BODY + b"\r\n")
    ]
    with pytest.raises(DownloadError, match=r"failed 2 times in a row \(.+\)"):
        fetch(remote(), retries=1)
    assert not (tmp_path / "file.zip").exists()


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200]
)
def test_an_answer_that_is_none(server, remote, tmp_path, answer):
    server.answers = [raw(answer)]
    with pytest.raises(DownloadError, match=r"failed 1 times in a row \(.+\)"):
        fetch(remote(), retries=0)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "said",
    [
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Wed, 21 Oct 99999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "-5",
        "nan",
        "9" * 400,
        "²",
    ],
)
def test_a_wait_that_is_none(server, remote, waits, said):
    server.answers = [raw(f"HTTP/1.1 503 X\r\nRetry-After: {said}\r\n\r\n".encode("latin-1")), whole(BODY)]
    fetch(remote())
    assert 0 < waits[0] <= fetching.MOST_WAIT


def test_wrong_bytes_are_deleted_and_both_checksums_named(server, remote, tmp_path):
    server.answers = [whole(OTHER)]
    got = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(DownloadError, match=rf"expected {SHA}, got sha256:{got}\. It was deleted"):
        fetch(remote(checksum=SHA))
    assert left(tmp_path) == []


def test_a_whole_part_of_another_length_than_known(server, remote, tmp_path):
    begin(remote(), BODY)
    with pytest.raises(DownloadError, match=r"expected 5 bytes, got 200,000\. They were deleted"):
        fetch(remote(size=5, checksum=SHA))
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


@pytest.mark.parametrize(
    "location",
    [
        b"http://[",
        b"http://[::1",
        b"http://" + b"a" * 300 + b"/file.zip",
        b"http://.example..org/",
        b"http://127.0.0.1:99999999/",
        b"http://127.0.0.1:port/",
        b"http://\xff\xfe/file.zip",
        b"https://\xe2\x82\xac\x00/",
    ],
)
def test_a_redirect_to_what_is_no_address(server, remote, tmp_path, location):
    server.answers = [raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")]
    with pytest.raises(
        DownloadError, match=r"which is no address|cannot be asked for|failed 1 times"
    ) as caught:
        fetch(remote(), retries=0)
    assert len(str(caught.value)) < 800
    assert left(tmp_path) == []


def test_the_body_of_a_redirect_is_not_read(server, remote, tmp_path):
    def endless(handler):
        handler.head(302, Location="/elsewhere", Transfer_Encoding="chunked")
        handler.wfile.flush()
        handler.server.closing.wait(5)

    server.answers = [endless, whole(BODY)]
    fetch(remote(), timeout=1, retries=0)
    assert (tmp_path / "file.zip").read_bytes() == BODY


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


def test_another_error_of_the_disk_is_said_in_words(server, remote, monkeypatch):
    def fail(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fetching.os, "fsync", fail)
    server.answers = [whole(BODY)]
    with pytest.raises(
        DownloadError,
        match=r"file\.zip: '.*file\.zip\.part': Input/output error\. 200,000 bytes are kept; mend",
    ):
        fetch(remote())


@pytest.mark.parametrize("name", ["file.zip", "file.zip.part", "file.zip.part.json"])
def test_a_folder_in_the_place_of_a_file(server, remote, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(
        DownloadError, match=rf"expected a file or nothing at '.*{name}', got a folder\. Move"
    ):
        fetch(remote())
    assert server.requests == []
    assert left(tmp_path) == [name]


@pytest.mark.parametrize("name", ["file.zip.part", "file.zip.part.json"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_the_place_of_the_part_is_refused(server, remote, tmp_path, name, dangling):
    elsewhere = tmp_path / "elsewhere"
    if not dangling:
        elsewhere.write_bytes(b"mine")
    (tmp_path / name).symlink_to(elsewhere)
    server.answers = [whole(BODY)]
    with pytest.raises(DownloadError, match=rf"expected a file or nothing at '.*{name}', got a link\. Move"):
        fetch(remote())
    assert not (tmp_path / "file.zip").is_symlink()
    assert elsewhere.exists() is not dangling
    assert dangling or elsewhere.read_bytes() == b"mine"


def test_a_link_that_comes_in_between_is_not_followed(remote, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    remote().part.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(fetching, "refuse_taken", lambda *_, **__: None)
    with pytest.raises(DownloadError, match=r"file\.zip\.part': Too many levels of symbolic links"):
        fetch(remote())
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_a_link_that_leads_nowhere_becomes_the_file(server, remote, tmp_path):
    (tmp_path / "file.zip").symlink_to(tmp_path / "nowhere")
    server.answers = [whole(BODY)]
    fetch(remote())
    assert left(tmp_path) == ["file.zip"]
    assert not (tmp_path / "file.zip").is_symlink()


def test_a_folder_that_cannot_be_made(remote, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        DownloadError, match=r"'.*file/file\.zip': Not a directory\. Expected a folder that can be"
    ):
        fetch(remote(target=tmp_path / "file" / "file.zip"))


def test_a_name_that_is_too_long(remote, tmp_path):
    with pytest.raises(DownloadError, match=r"File name too long\. Expected a folder"):
        fetch(remote(target=tmp_path / f"{'x' * 254}.zip"))
    with pytest.raises(DownloadError, match=r"File name too long\. Expected a folder"):
        fetch(remote(target=tmp_path / f"{'x' * 250}"))


def test_more_tries_than_a_float_has_powers(monkeypatch):
    monkeypatch.setattr(fetching, "MOST_WAIT", 120.0)
    assert 60 <= fetching._pause(5000) <= 120


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
