"""Downloads, step 1: one file over HTTP, resumed where it was cut off, whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import importlib.util
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from xrdatasets.answers import (
    InterruptedTransferError,
    Remote,
    blocks,
    check_answer,
    follow,
    number,
    refuse,
)
from xrdatasets.errors import DownloadError

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["Remote", "checksum", "fetch", "hexdigest"]

BLOCK = 1 << 20
MOST_WAIT = 120.0  # seconds: a server may ask for hours, a user had better come back
PROGRESS = 1 << 16  # bytes that count as progress, after which the number of tries begins anew
# Windows has none, and refuses to rename a file that another process has open
LOCKS = importlib.util.find_spec("fcntl") is not None
Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class _Notes:
    """What the server said of the file: address asked for, version, length."""

    url: str = ""
    etag: str = ""
    modified: str = ""
    length: int | None = None

    @property
    def version(self) -> str:
        """What ``If-Range`` may carry: a strong tag or a date."""
        return self.modified if not self.etag or self.etag.startswith("W/") else self.etag


def fetch(remote: Remote, *, retries: int = 5, timeout: float = 30.0, advance: Advance | None = None) -> None:
    """Download a file, or the rest of it; under its name it stands only when it is whole.

    Args:
        remote: the file.
        retries: how often to try again without progress.
        timeout: seconds without a byte after which a server counts as stalled.
        advance: called with the number of bytes that were added, negative where a start was in vain.

    Raises:
        DownloadError: the server refuses, sends something else, or fails too often; the disk is full; or
            another process is downloading the same file.
    """
    tell = advance or (lambda _: None)
    try:
        with _locked(remote) as file:
            if remote.target.exists():
                _forget(remote)
                return  # another process was faster
            _complete(remote, file, retries, timeout, tell)
            _check(remote)
            os.fsync(file.fileno())
            if not LOCKS:
                file.close()
            os.replace(remote.part, remote.target)  # noqa: PTH105
            remote.notes.unlink(missing_ok=True)
    except DownloadError:
        raise
    except OSError as error:
        _explain(remote, error)


def hexdigest(path: Path, kind: str = "sha256", *, advance: Advance | None = None) -> str:
    """Digest of a file, in hexadecimal digits."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            if advance:
                advance(len(block))
    return digest.hexdigest()


def checksum(path: Path, expected: str, *, advance: Advance | None = None) -> str:
    """The checksum of a file, of the kind that is expected: ``sha256:…`` or ``md5:…``."""
    kind = expected.partition(":")[0] or "sha256"
    return f"{kind}:{hexdigest(path, kind, advance=advance)}"


@contextlib.contextmanager
def _locked(remote: Remote) -> Iterator[BinaryIO]:
    """The growing file, ours alone; the lock goes with the process, however that ends."""
    remote.target.parent.mkdir(parents=True, exist_ok=True)
    with remote.part.open("ab") as file:
        if LOCKS and not (_lock(file) and _same(file, remote.part)):
            msg = (
                f"{remote.target.name}: another process is downloading it to {str(remote.part)!r}. "
                "Wait for it, then run it again."
            )
            raise DownloadError(msg)
        try:
            yield file
        except BaseException:
            if not (file.closed or file.seek(0, os.SEEK_END)):  # nothing came, nothing to keep
                _forget(remote)
            raise


def _lock(file: BinaryIO) -> bool:
    """Whether the file is ours now; a system without locks has to trust its users."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def _same(file: BinaryIO, path: Path) -> bool:
    """Whether a file still has its name: another process may have finished it between open and lock."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _complete(remote: Remote, file: BinaryIO, retries: int, timeout: float, tell: Advance) -> None:
    """Ask until the growing file is whole, as far as its length says."""
    import requests

    notes = _read_notes(remote)
    done = file.seek(0, os.SEEK_END)
    if notes.url != remote.url:
        _start_anew(file, 0, tell)
        notes, done = _Notes(), 0
    tell(done)
    if done and notes.length == done:
        return
    failures = 0
    with requests.Session() as session:
        while True:
            before = file.seek(0, os.SEEK_END)
            try:
                notes = _ask(session, remote, file, notes, timeout, tell)
            except InterruptedTransferError as error:
                grown = file.seek(0, os.SEEK_END) - before
                notes = _read_notes(remote)
                failures = 1 if grown >= PROGRESS else failures + 1
                if failures > retries:
                    raise _given_up(remote, file, error, failures) from error
                _sleep(min(max(error.wait, _pause(failures)), MOST_WAIT))
            else:
                return


def _ask(
    session: Session, remote: Remote, file: BinaryIO, notes: _Notes, timeout: float, tell: Advance
) -> _Notes:
    """One request, for the file or for the rest of it.

    Raises:
        InterruptedTransferError: it is worth another try.
        DownloadError: it is not.
    """
    done = file.seek(0, os.SEEK_END)
    if done and not notes.version:  # nothing says that the rest would be of the same version
        _start_anew(file, done, tell)
        done = 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "xrdatasets"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": notes.version}
    with contextlib.closing(follow(session, remote, headers, timeout)) as answer:
        if answer.status_code == 206 and done:
            _check_range(remote, answer, notes, done)
        elif answer.status_code == 416 and done:
            return _past_the_end(remote, answer, file, notes, done, tell)
        elif answer.status_code == 200:
            check_answer(remote, answer)
            _start_anew(file, done, tell)
            notes, done = _noted(remote, answer), 0
            _check_room(remote, notes.length)
        else:
            refuse(remote, answer)
        _write(remote, answer, file, notes, done, tell)
    return notes


def _check_range(remote: Remote, answer: Response, notes: _Notes, done: int) -> None:
    """Refuse a part that is not the one that is missing."""
    said = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", said.strip())
    fits = found and int(found[1]) == done and (notes.length is None or found[3] in ("*", str(notes.length)))
    tag = answer.headers.get("ETag", notes.etag)
    if not fits or (notes.etag and tag != notes.etag):
        _forget(remote)
        msg = (
            f"{remote.target.name}: expected the bytes from {done:,} on, got {said!r}"
            f"{' of another version' if fits else ''}. The part was deleted; run it again."
        )
        raise DownloadError(msg)


def _past_the_end(
    remote: Remote, answer: Response, file: BinaryIO, notes: _Notes, done: int, tell: Advance
) -> _Notes:
    """The server has nothing after our last byte: the file is whole, or it became shorter."""
    said = answer.headers.get("Content-Range", "").strip()
    if said == f"bytes */{done}" and notes.length in (None, done):
        return notes
    _start_anew(file, done, tell)
    remote.notes.unlink(missing_ok=True)
    msg = f"the server has no byte {done:,}"
    raise InterruptedTransferError(msg)


def _write(remote: Remote, answer: Response, file: BinaryIO, notes: _Notes, done: int, tell: Advance) -> None:
    """Add the body to the growing file.

    Raises:
        InterruptedTransferError: it ends early.
        DownloadError: it does not end where it should.
    """
    expected = remote.size if notes.length is None else notes.length
    for block in blocks(answer):
        done += len(block)
        if expected is not None and done > expected:
            _forget(remote)
            msg = f"{remote.target.name}: expected {expected:,} bytes, got more. The part was deleted."
            raise DownloadError(msg)
        file.write(block)
        tell(len(block))
    file.flush()
    if expected is not None and done < expected:
        msg = f"{done:,} of {expected:,} bytes came"
        raise InterruptedTransferError(msg)


def _noted(remote: Remote, answer: Response) -> _Notes:
    """What the server says of the file, also on disk."""
    notes = _Notes(
        url=remote.url,
        etag=answer.headers.get("ETag", ""),
        modified=answer.headers.get("Last-Modified", ""),
        length=number(answer.headers.get("Content-Length")),
    )
    remote.notes.write_text(json.dumps(dataclasses.asdict(notes)) + "\n", encoding="utf-8")
    return notes


def _read_notes(remote: Remote) -> _Notes:
    """What an earlier answer said; nothing if that cannot be read."""
    try:
        notes = _Notes(**json.loads(remote.notes.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _Notes()
    texts = all(isinstance(text, str) for text in (notes.url, notes.etag, notes.modified))
    return notes if texts and isinstance(notes.length, int | None) else _Notes()


def _start_anew(file: BinaryIO, done: int, tell: Advance) -> None:
    file.truncate(0)
    if done:
        tell(-done)


def _forget(remote: Remote) -> None:
    """Delete what came; the next attempt begins at the first byte."""
    remote.part.unlink(missing_ok=True)
    remote.notes.unlink(missing_ok=True)


def _check_room(remote: Remote, length: int | None) -> None:
    free = shutil.disk_usage(remote.target.parent).free
    if length is not None and length > free:
        where = str(remote.target.parent)
        room = f"expected {length:,} free bytes in {where!r}, got {free:,}"
        msg = f"{remote.target.name}: {room}. Make room first."
        raise DownloadError(msg)


def _check(remote: Remote) -> None:
    """Refuse a file of another length, or of other bytes."""
    size = remote.part.stat().st_size
    if remote.size not in (None, size):
        _forget(remote)
        msg = f"{remote.target.name}: expected {remote.size:,} bytes, got {size:,}. They were deleted."
        raise DownloadError(msg)
    if remote.checksum and (got := checksum(remote.part, remote.checksum)) != remote.checksum:
        _forget(remote)
        msg = (
            f"{remote.target.name}: expected {remote.checksum}, got {got}. It was deleted; download it again."
        )
        raise DownloadError(msg)


def _explain(remote: Remote, error: OSError) -> NoReturn:
    """An error of the disk, in words."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    done = remote.part.stat().st_size if remote.part.exists() else 0
    kept = f"{done:,} bytes are kept; make room and run it again to go on"
    msg = f"{remote.target.name}: the disk is full. {kept}."
    raise DownloadError(msg) from error


def _given_up(
    remote: Remote, file: BinaryIO, error: InterruptedTransferError, failures: int
) -> DownloadError:
    done = file.seek(0, os.SEEK_END)
    kept = f"{done:,} bytes are kept; run it again to go on" if done else "Nothing came; try again later"
    return DownloadError(
        f"{remote.target.name}: {remote.url!r} failed {failures} times in a row ({error}). {kept}."
    )


def _pause(failures: int) -> float:
    """Seconds before another try: 1, 2, 4, …, less up to a half, so that clients do not come all at once."""
    return min(2.0 ** (failures - 1), MOST_WAIT) * random.SystemRandom().uniform(0.5, 1.0)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
