"""Downloads, step 1: what a server answers, and whether that is the file."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urljoin, urlsplit

from xrdatasets.errors import DownloadError

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = [
    "HEAD",
    "InterruptedTransferError",
    "Notes",
    "Remote",
    "blocks",
    "check_answer",
    "continued",
    "follow",
    "misfit",
    "refuse",
]

# what is read at a time: urllib3 keeps back, and loses, what it has of a block when a transfer breaks off
BLOCK = 1 << 14
HEAD = 512  # bytes that show what a file is: a header of tar
MOST_REDIRECTS = 10
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # RFC 9110, 6585, 8470: may succeed when repeated
MOVED = frozenset({301, 302, 303, 307, 308})
WHY = {401: "it wants a login", 403: "it refuses", 404: "it is not there", 410: "it is gone"}
# what logins and errors come as, and the names under which it is the file
PAGES = {"html": (".html", ".htm"), "json": (".json",), "xml": (".xml", ".svg", ".html", ".htm")}
# where and how files begin: PKWARE's APPNOTE.TXT 4.3.7 and 4.3.16, RFC 1952, bzip2, xz, POSIX 1003.1 (ustar)
BEGINNINGS = {
    (".zip",): (0, (b"PK\x03\x04", b"PK\x05\x06")),
    (".gz", ".tgz"): (0, (b"\x1f\x8b",)),
    (".bz2",): (0, (b"BZh",)),
    (".xz",): (0, (b"\xfd7zXZ\0",)),
    (".tar",): (257, (b"ustar",)),
}
PLAIN = re.compile(r"[\x20-\x7e\xa0-\xff]*")  # RFC 9110: what a header may carry, in latin-1
WHOLE = re.compile(r"[0-9]{1,18}")  # more digits are no length of a file
RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server.

    Attributes:
        url: its address.
        target: its place on disk.
        size: its bytes, None if not known.
        checksum: ``sha256:`` or ``md5:`` with the digest, empty if not known.
        page: where people get it, for messages.
    """

    url: str
    target: Path
    size: int | None = None
    checksum: str = ""
    page: str = ""

    @property
    def part(self) -> Path:
        """Where it grows."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def notes(self) -> Path:
        """What the server said of it, so that a later attempt does not join two versions."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def by_hand(self) -> str:
        """What to do instead, for messages."""
        return f"Get it from {self.page}." if self.page else "Get it by hand."


@dataclass(frozen=True, slots=True)
class Notes:
    """What the server said of the file: address asked for, version, length, and how it is packed."""

    url: str = ""
    etag: str = ""
    modified: str = ""
    length: int | None = None
    coding: str = "identity"

    @property
    def version(self) -> str:
        """What ``If-Range`` may carry: a strong tag or a date."""
        return self.modified if not self.etag or self.etag.startswith("W/") else self.etag

    @classmethod
    def of(cls, remote: Remote, answer: Response) -> Notes:
        """What an answer says."""
        etag, modified = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
        length = _number(answer.headers.get("Content-Length"))
        return cls(remote.url, _plain(etag), _plain(modified), length, _coding(answer))

    @classmethod
    def read(cls, path: Path) -> Notes:
        """What an earlier answer said; nothing if that cannot be read, or could not be sent again."""
        try:
            notes = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return cls()
        texts = (notes.url, notes.coding, notes.etag, notes.modified)
        sound = all(isinstance(text, str) for text in texts) and all(map(PLAIN.fullmatch, texts[2:]))
        # `true` is an int to Python
        known = notes.length is None or (type(notes.length) is int and 0 <= notes.length < 10**18)
        return notes if sound and known else cls()

    def write(self, path: Path) -> None:
        """Keep it for a later attempt."""
        path.write_text(json.dumps(dataclasses.asdict(self)) + "\n", encoding="utf-8")


class InterruptedTransferError(Exception):
    """The transfer ended early and may be taken up again; `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def follow(session: Session, remote: Remote, headers: dict[str, str], timeout: float) -> Response:
    """The answer behind all redirects; only to http and https, and never from https to http."""
    url = remote.url
    for _ in range(MOST_REDIRECTS + 1):
        answer = _get(session, remote, url, headers, timeout)
        if answer.status_code not in MOVED or not answer.headers.get("Location"):
            return answer
        answer.close()
        url = _next(remote, url, answer.headers["Location"])
    msg = (
        f"{remote.target.name}: expected a file at {remote.url!r}, got more than {MOST_REDIRECTS} redirects."
    )
    raise DownloadError(msg)


def _get(session: Session, remote: Remote, url: str, headers: dict[str, str], timeout: float) -> Response:
    import requests
    import urllib3

    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    try:
        return session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)
    except broken as error:
        raise InterruptedTransferError(_reason(error)) from error
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,  # a host that is too long
        ValueError,  # an address that leads on to none; UnicodeError too
        OverflowError,  # seconds that a socket does not take
    ) as error:
        msg = f"{remote.target.name}: {_short(url)} cannot be asked for ({_reason(error)[:200]})."
        raise DownloadError(msg) from error


def _next(remote: Remote, old: str, location: str) -> str:
    try:
        new = urljoin(old, location)
        _check_scheme(remote, old, new)
    except ValueError as error:
        msg = f"{remote.target.name}: {_short(old)} leads to {_short(location)}, which is no address."
        raise DownloadError(msg) from error
    return new


def _check_scheme(remote: Remote, old: str, new: str) -> None:
    before, after = urlsplit(old).scheme, urlsplit(new).scheme
    if after not in ("http", "https") or (before == "https" and after == "http"):
        leads = f"{_short(old)} leads to {_short(new)}"
        msg = f"{remote.target.name}: {leads}. Expected {before}, so it is not followed."
        raise DownloadError(msg)


def check_answer(remote: Remote, answer: Response) -> None:
    """Refuse a page in place of a file, another length than known, and a length that nobody knows."""
    name = remote.target.name
    if page := _page(remote, answer):
        msg = f"{name}: expected a file at {remote.url!r}, got {page} (a login or an error). {remote.by_hand}"
        raise DownloadError(msg)
    if (coding := _coding(answer)) != "identity" and not name.lower().endswith((".gz", ".tgz")):
        msg = f"{name}: expected the bytes of the file, got them packed ({coding}). {remote.by_hand}"
        raise DownloadError(msg)
    said = answer.headers.get("Content-Length")
    length = _number(said)
    if length is not None and length != remote.size and (remote.size is not None or not length):
        size = "some" if remote.size is None else f"{remote.size:,}"
        sizes = f"expected {size} bytes, the server has {length:,}"
        msg = f"{name}: {sizes} at {remote.url!r}. {remote.by_hand}"
        raise DownloadError(msg)
    chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    if length is None and not (chunked or remote.size is not None or remote.checksum):
        got = f", but {_short(said)}" if said else ""
        why = f"does not say how long it is{got}, so that a part would pass for it"
        msg = f"{name}: {remote.url!r} {why}. {remote.by_hand}"
        raise DownloadError(msg)


def continued(remote: Remote, answer: Response, notes: Notes, done: int) -> Notes | None:
    """What is known of the file when an answer is the rest of it, None if it is something else."""
    found = RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if not found or _page(remote, answer) or _coding(answer) != notes.coding:
        return None
    total = notes.length if found[3] == "*" else int(found[3])
    last = int(found[2])
    if int(found[1]) != done or last < done or (total is not None and last >= total):
        return None
    if total is None and remote.size is None and not remote.checksum:  # nothing would say that it is whole
        return None
    modified = answer.headers.get("Last-Modified", notes.modified)  # may be left out of a part: RFC 9110
    same = answer.headers.get("ETag", "") == notes.etag and modified == notes.modified
    fits = same and notes.length in (None, total)
    return dataclasses.replace(notes, length=total) if fits else None


def misfit(name: str, head: bytes) -> str:
    """What is wrong with a file that begins so, empty if it may be what its name says.

    Example:
        >>> misfit("images.zip", b"<html>Sign in</html>")
        "expected the first bytes of a .zip, got b'<html>Sign in</html>'"
    """
    low, text = name.lower(), head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    wrong = next((suffix for suffix in (".csv", ".tsv", ".txt", ".json") if low.endswith(suffix)), "")
    if wrong:
        bad = text.startswith(b"<") or (wrong == ".csv" and text.startswith(b"{"))
        return f"expected the first bytes of a {wrong}, got {head[:20]!r}" if bad else ""
    for suffixes, (start, beginnings) in BEGINNINGS.items():
        wrong = next((suffix for suffix in suffixes if low.endswith(suffix)), "")
        if wrong and not head[start:].startswith(beginnings):
            return f"expected the first bytes of a {wrong}, got {head[:20]!r}"
    if text.startswith((b"<!doctype html", b"<html")) and not low.endswith(PAGES["html"]):
        return f"expected a file, got a web page, {head[:20]!r}"
    return ""


def refuse(remote: Remote, answer: Response) -> NoReturn:
    """An answer that is no file."""
    status = f"{answer.status_code} {answer.reason or ''}".strip()
    if answer.status_code in AGAIN:
        raise InterruptedTransferError(status, _retry_after(answer))
    why = WHY.get(answer.status_code, "expected 200")
    msg = f"{remote.target.name}: {remote.url!r} answers {status} ({why}). {remote.by_hand}"
    raise DownloadError(msg)


def blocks(answer: Response) -> Iterator[bytes]:
    """The bytes of a body as they are sent: a ``.gz`` stays one."""
    import urllib3

    try:
        yield from answer.raw.stream(BLOCK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise InterruptedTransferError(_reason(error)) from error
    except (ConnectionError, TimeoutError, ValueError) as error:  # ValueError: a negative size of a chunk
        raise InterruptedTransferError(str(error)) from error


def _page(remote: Remote, answer: Response) -> str:
    """What an answer calls itself if that is no file of this name, empty if it may be the file."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    word = re.split(r"[/+]", kind)[-1]
    if word not in PAGES or remote.target.name.lower().endswith(PAGES[word]):
        return ""
    return "a web page" if "html" in kind else _short(kind)


def _coding(answer: Response) -> str:
    return answer.headers.get("Content-Encoding", "").strip().lower() or "identity"


def _retry_after(answer: Response) -> float:
    """Seconds that the server asks for, as a number or a date; 0 if it does not."""
    said = answer.headers.get("Retry-After", "").strip()
    try:
        if said.isdecimal():
            return float(said)
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError, OSError):
        return 0.0


def _number(text: str | None) -> int | None:
    """A header's whole number, None if it has none."""
    return int(text) if text and WHOLE.fullmatch(text := text.strip()) else None


def _plain(text: str) -> str:
    """A header that can be sent back; empty if it cannot."""
    return text if PLAIN.fullmatch(text) else ""


def _short(text: str) -> str:
    """A text of somebody else's, in a message."""
    return repr(text if len(text) <= 120 else f"{text[:119]}…")


def _reason(error: Exception) -> str:
    """The innermost reason of an error, in one line."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return " ".join(str(inner).split()) or type(inner).__name__
