"""Downloads, step 1: what a server answers, and whether that is the file."""

from __future__ import annotations

import email.utils
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
    "InterruptedTransferError",
    "Remote",
    "blocks",
    "check_answer",
    "follow",
    "number",
    "refuse",
]

# what is read at a time: urllib3 keeps back, and loses, what it has of a block when a transfer breaks off
BLOCK = 1 << 14
MOST_REDIRECTS = 10
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # RFC 9110, 6585, 8470: may succeed when repeated
MOVED = frozenset({301, 302, 303, 307, 308})
WHY = {401: "it wants a login", 403: "it refuses", 404: "it is not there", 410: "it is gone"}


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


class InterruptedTransferError(Exception):
    """The transfer ended early and may be taken up again; `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def follow(session: Session, remote: Remote, headers: dict[str, str], timeout: float) -> Response:
    """The answer behind all redirects; only to http and https, and never from https to http."""
    import requests

    url = remote.url
    for _ in range(MOST_REDIRECTS + 1):
        try:
            answer = session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise InterruptedTransferError(_reason(error)) from error
        except requests.RequestException as error:
            msg = f"{remote.target.name}: {url!r} cannot be asked for ({error})."
            raise DownloadError(msg) from error
        if answer.status_code not in MOVED or not answer.headers.get("Location"):
            return answer
        answer.close()
        old, url = url, urljoin(url, answer.headers["Location"])
        _check_scheme(remote, old, url)
    msg = (
        f"{remote.target.name}: expected a file at {remote.url!r}, got more than {MOST_REDIRECTS} redirects."
    )
    raise DownloadError(msg)


def _check_scheme(remote: Remote, old: str, new: str) -> None:
    before, after = urlsplit(old).scheme, urlsplit(new).scheme
    if after not in ("http", "https") or (before == "https" and after == "http"):
        msg = f"{remote.target.name}: {old!r} leads to {new!r}. Expected {before}, so it is not followed."
        raise DownloadError(msg)


def check_answer(remote: Remote, answer: Response) -> None:
    """Refuse a page in place of a file, another length than known, and a length that nobody knows."""
    name, kind = remote.target.name, answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") and not name.lower().endswith((".html", ".htm")):
        what = "got a web page (a login or an error)"
        msg = f"{name}: expected a file at {remote.url!r}, {what}. {remote.by_hand}"
        raise DownloadError(msg)
    coding = answer.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" and not name.lower().endswith((".gz", ".tgz")):
        msg = f"{name}: expected the bytes of the file, got them packed ({coding}). {remote.by_hand}"
        raise DownloadError(msg)
    length = number(answer.headers.get("Content-Length"))
    if None not in (remote.size, length) and length != remote.size:
        sizes = f"expected {remote.size:,} bytes, the server has {length:,}"
        msg = f"{name}: {sizes} at {remote.url!r}. {remote.by_hand}"
        raise DownloadError(msg)
    chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    if length is None and not (chunked or remote.size is not None or remote.checksum):
        why = "does not say how long it is, so that a part would pass for it"
        msg = f"{name}: {remote.url!r} {why}. {remote.by_hand}"
        raise DownloadError(msg)


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
    except (ConnectionError, TimeoutError) as error:
        raise InterruptedTransferError(str(error)) from error


def _retry_after(answer: Response) -> float:
    """Seconds that the server asks for, as a number or a date; 0 if it does not."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def number(text: str | None) -> int | None:
    """A header's whole number, None if it has none."""
    return int(text) if text and text.strip().isdecimal() else None


def _reason(error: Exception) -> str:
    """The innermost reason of an error, in one line."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return " ".join(str(inner).split()) or type(inner).__name__
