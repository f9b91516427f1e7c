"""Downloads, step 1: one file over HTTP, resumed where it was cut off, whole or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from xrdatasets.answers import (
    HEAD,
    InterruptedTransferError,
    Notes,
    Remote,
    blocks,
    check_answer,
    continued,
    follow,
    misfit,
    refuse,
)
from xrdatasets.errors import DownloadError

if TYPE_CHECKING:
    from requests import Response, Session

__all__ = ["Remote", "checksum", "fetch", "hexdigest", "misfit", "refuse_taken", "worded"]

BLOCK = 1 << 20
MOST_WAIT = 120.0  # seconds: a server may ask for hours, a user had better come back
PROGRESS = 1 << 16  # bytes that count as progress, after which the number of tries begins anew
# Windows has none, and refuses to rename a file that another process has open
LOCKS = importlib.util.find_spec("fcntl") is not None
# a growing file that is a link would write elsewhere; Windows has no such flag, and text files of its own
GROW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
Advance = Callable[[int], object]


def fetch(remote: Remote, *, retries: int = 5, timeout: float = 30.0, advance: Advance | None = None) -> None:
    """Download a file, or the rest of it; under its name it stands only when it is whole.

    Args:
        remote: the file.
        retries: how often to try again without progress.
        timeout: seconds without a byte after which a server counts as stalled.
        advance: called with the number of bytes that were added, negative where a start was in vain.

    Raises:
        DownloadError: the server refuses, sends something else, or fails too often; the disk is full, or
            refuses to be written to; or another process is downloading the same file.
    """
    tell = advance or (lambda _: None)
    with worded(remote.part, f"{remote.target.name}: ", lambda: _came(remote)):
        for path in (remote.target, remote.part, remote.notes):
            refuse_taken(remote, path, links=path == remote.target)
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


@contextlib.contextmanager
def worded(path: Path, prefix: str = "", came: Callable[[], int] = int) -> Iterator[None]:
    """Say in words what the disk refuses, at this path if the error names none, and how much is kept.

    Raises:
        DownloadError: in place of an `OSError` of another kind.
    """
    try:
        yield
    except (DownloadError, BrokenPipeError):  # the reader of a bar that left is the caller's matter
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else f"{str(error.filename or path)!r}: {error.strerror or error}"
        todo = "Make room" if full else "Expected a folder that can be read and written to; mend that"
        todo = f"{todo}, then run it again"
        if done := came():
            todo = (
                f"{done:,} bytes are kept; {'make room' if full else 'mend that'} and run it again to go on"
            )
        msg = f"{prefix}{why}. {todo}."
        raise DownloadError(msg) from error


def _came(remote: Remote) -> int:
    """How much there is of a file."""
    with contextlib.suppress(OSError):
        return remote.part.stat().st_size
    return 0


def refuse_taken(remote: Remote, path: Path, *, links: bool = False) -> None:
    """Refuse what is no file in the place of one; through a link we would write elsewhere.

    Raises:
        DownloadError: it is a folder, a device, or, unless `links`, a link.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.stat(follow_symlinks=links).st_mode
        if not stat.S_ISREG(mode):
            got = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a device"
            what = f"expected a file or nothing at {str(path)!r}, got {got}"
            msg = f"{remote.target.name}: {what}. Move it away."
            raise DownloadError(msg)


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
    with os.fdopen(os.open(remote.part, GROW, 0o666), "ab") as file:
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
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _complete(remote: Remote, file: BinaryIO, retries: int, timeout: float, tell: Advance) -> None:
    """Ask until the growing file is whole, as far as its length says."""
    import requests

    notes = Notes.read(remote.notes)
    done = file.seek(0, os.SEEK_END)
    if notes.url != remote.url:
        _start_anew(file, 0, tell)
        notes, done = Notes(), 0
    if done and notes.length == done:
        if remote.checksum:
            tell(done)
            return
        # nothing says that this is the file: with the last byte, length and version are asked for again
        done = file.truncate(done - 1)
    tell(done)
    failures = 0
    with requests.Session() as session:
        # it would read the whole body of a redirect, even of one that it is told not to follow
        session.get_redirect_target = lambda _: None  # type: ignore[assignment, method-assign]
        while True:
            before = file.seek(0, os.SEEK_END)
            try:
                notes = _ask(session, remote, file, notes, timeout, tell)
            except InterruptedTransferError as error:
                grown = file.seek(0, os.SEEK_END) - before
                notes = Notes.read(remote.notes)
                failures = 1 if grown >= PROGRESS else failures + 1
                if failures > retries:
                    raise _given_up(remote, file, error, failures) from error
                _sleep(min(max(error.wait, _pause(failures)), MOST_WAIT))
            else:
                return


def _ask(
    session: Session,
    remote: Remote,
    file: BinaryIO,
    notes: Notes,
    timeout: float,
    tell: Advance,
    *,
    rest: bool = True,
) -> Notes:
    """One request, for the file or for the rest of it, and one for the file if the rest is not of it.

    Raises:
        InterruptedTransferError: it is worth another try.
        DownloadError: it is not.
    """
    done = file.seek(0, os.SEEK_END)
    rest = rest and done > 0 and bool(notes.version)  # else nothing says that it would be of the same version
    headers = {"Accept-Encoding": "identity", "User-Agent": "xrdatasets"}
    if rest:
        headers |= {"Range": f"bytes={done}-", "If-Range": notes.version}
    with contextlib.closing(follow(session, remote, headers, timeout)) as answer:
        if answer.status_code == 200:
            check_answer(remote, answer)
            _start_anew(file, done, tell)
            notes = Notes.of(remote, answer)
            notes.write(remote.notes)
            _check_room(remote, notes.length)
            _write(remote, answer, file, notes, 0, tell)
            return notes
        if not rest or answer.status_code not in (206, 416):
            refuse(remote, answer)
        if answer.status_code == 206 and (known := continued(remote, answer, notes, done)):
            _write(remote, answer, file, known, done, tell)
            return known
        if answer.status_code == 416 and _ends_here(remote, answer, notes, done):
            return notes
    return _ask(session, remote, file, notes, timeout, tell, rest=False)


def _ends_here(remote: Remote, answer: Response, notes: Notes, done: int) -> bool:
    """Whether the server has nothing after our last byte because the file is whole."""
    said = answer.headers.get("Content-Range", "").strip()
    sure = bool(remote.checksum) or answer.headers.get("ETag", "") == notes.etag != ""
    return sure and said == f"bytes */{done}" and notes.length in (None, done)


def _write(remote: Remote, answer: Response, file: BinaryIO, notes: Notes, done: int, tell: Advance) -> None:
    """Add the body to the growing file.

    Raises:
        InterruptedTransferError: it ends early.
        DownloadError: it does not end where it should.
    """
    expected = remote.size if notes.length is None else notes.length
    seen = done >= HEAD
    for block in blocks(answer):
        done += len(block)
        if expected is not None and done > expected:
            _forget(remote)
            msg = f"{remote.target.name}: expected {expected:,} bytes, got more. The part was deleted."
            raise DownloadError(msg)
        file.write(block)
        tell(len(block))
        if not seen and done >= HEAD:  # a page in place of gigabytes is seen at once
            file.flush()
            _check_head(remote)
            seen = True
    file.flush()
    if expected is not None and done < expected:
        msg = f"{done:,} of {expected:,} bytes came"
        raise InterruptedTransferError(msg)


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
    if not size and remote.size is None:
        _forget(remote)
        msg = f"{remote.target.name}: expected a file at {remote.url!r}, got 0 bytes. {remote.by_hand}"
        raise DownloadError(msg)
    if remote.size not in (None, size):
        _forget(remote)
        msg = f"{remote.target.name}: expected {remote.size:,} bytes, got {size:,}. They were deleted."
        raise DownloadError(msg)
    _check_head(remote)
    if remote.checksum and (got := checksum(remote.part, remote.checksum)) != remote.checksum:
        _forget(remote)
        msg = (
            f"{remote.target.name}: expected {remote.checksum}, got {got}. It was deleted; download it again."
        )
        raise DownloadError(msg)


def _check_head(remote: Remote) -> None:
    """Refuse what does not begin as the file would; a checksum, where one is known, says more."""
    if remote.checksum:
        return
    with remote.part.open("rb") as file:
        wrong = misfit(remote.target.name, file.read(HEAD))
    if wrong:
        _forget(remote)
        msg = f"{remote.target.name}: {wrong} at {remote.url!r}. It was deleted. {remote.by_hand}"
        raise DownloadError(msg)


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
    return min(2.0 ** min(failures - 1, 10), MOST_WAIT) * random.SystemRandom().uniform(0.5, 1.0)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
