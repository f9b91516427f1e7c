"""Models, step 8: files of weights on this machine, those of the package and downloads, each checked.

Downloads lie in the folder ``weights`` of the cache, each under the name that it has on its server. A file is
hashed whenever it is asked for: 18 ms for a DenseNet-121 (28 MB) where the processor has instructions for
SHA-256, a part of what reading it costs. A note of its size and time would save that, but would not see a
disk that lost bytes, nor a copy that kept its time.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from xrdatasets.errors import DownloadError, WeightsError, WeightsNotFoundError
from xrdatasets.fetching import Remote, fetch, hexdigest, misfit
from xrdatasets.models.weights.weights_table import WeightsEntry

__all__ = ["cache_folder", "fetched", "is_here", "place_of", "verified"]

logger = logging.getLogger(__name__)

VARIABLE = "XRDATASETS_CACHE"
BUNDLED = Path(__file__).resolve().parent / "bundled"
RECORD = ".sha256"  # beside the file, in the form of `sha256sum -c`
RECORDED = re.compile(r"([0-9a-f]{64})\b")
# how files begin: PKWARE's APPNOTE.TXT 4.3.7, PEP 307 (the opcode PROTO), the format page of safetensors
BEGINNINGS: Mapping[str, tuple[int, tuple[bytes, ...]]] = {
    "torchxrayvision-module": (0, (b"PK\x03\x04", b"\x80")),
    "torchxrayvision-state": (0, (b"PK\x03\x04", b"\x80")),
    "safetensors": (8, (b"{",)),
}
HEAD = 512
BUSY = "another process is downloading it"  # as xrdatasets.fetching says it
PAUSE = 0.5  # seconds between looks at another process's download
PATIENCE = 300.0  # seconds without a new byte of it, more than `fetch` itself waits with its tries


def cache_folder() -> Path:
    """The folder of what this package downloads by itself; it need not be there yet.

    Returns:
        What the variable ``XRDATASETS_CACHE`` names; without it, ``xrdatasets`` in the user's folder for such
        files: ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``, on Windows
        ``%LOCALAPPDATA%``.

    Raises:
        ValueError: there is no variable, and no home folder is known.
    """
    try:
        if named := os.environ.get(VARIABLE):
            return Path(named).expanduser()
        return _user_folder(sys.platform) / "xrdatasets"
    except RuntimeError as error:  # what pathlib raises for a home that it does not know
        msg = f"{VARIABLE}: expected a folder for downloads, as no home folder is known, got {named!r}."
        raise ValueError(msg) from error


def place_of(entry: WeightsEntry) -> Path:
    """Where the file of weights is, or would be after a download.

    Args:
        entry: the weights.

    Returns:
        The path.

    Raises:
        ValueError: as for `cache_folder`.
    """
    return BUNDLED / entry.file if entry.source == "bundled" else cache_folder() / "weights" / entry.file


def is_here(entry: WeightsEntry) -> bool:
    """Whether the weights need no download; the file itself is not looked into."""
    return place_of(entry).is_file()


def fetched(entry: WeightsEntry, *, progress: bool = True, retries: int = 2, timeout: float = 30.0) -> Path:
    """The file of weights, downloaded where it is not here yet, and checked.

    A download that was cut off is resumed, and the file has its name only when it is whole. Of processes that
    ask at the same time one downloads, and the others wait for it. Where no checksum is known, the file's own
    is recorded beside it (``….sha256``) and holds from then on.

    Args:
        entry: the weights.
        progress: show a bar, where stderr is a terminal.
        retries: how often to try again without progress.
        timeout: seconds without a byte after which a server counts as stalled.

    Returns:
        The file's path.

    Raises:
        WeightsNotFoundError: a file of this package is missing.
        WeightsError: the file is not the one that the name stands for.
        DownloadError: it cannot be downloaded; the message says where to put it by hand.
        ValueError: as for `cache_folder`.
    """
    return verified(entry, progress=progress, retries=retries, timeout=timeout)[0]


def verified(
    entry: WeightsEntry, *, progress: bool = True, retries: int = 2, timeout: float = 30.0
) -> tuple[Path, str]:
    """What `fetched` gives, and the file's sha256.

    Args:
        entry: as for `fetched`.
        progress: as for `fetched`.
        retries: as for `fetched`.
        timeout: as for `fetched`.

    Returns:
        The file's path and its digest, 64 hexadecimal digits.

    Raises:
        WeightsNotFoundError: as for `fetched`.
        WeightsError: as for `fetched`.
        DownloadError: as for `fetched`.
        ValueError: as for `fetched`.
    """
    path = place_of(entry)
    record = path.with_name(path.name + RECORD)
    recorded = "" if entry.sha256 else _recorded(record)
    expected = entry.sha256 or recorded
    if not path.is_file():
        if entry.source == "bundled":
            msg = f"{entry.name}: expected the file {str(path)!r}, which is missing. Install xrdatasets anew."
            raise WeightsNotFoundError(msg)
        remote = Remote(
            entry.location, path, checksum=f"sha256:{expected}" if expected else "", page=entry.location
        )
        try:
            _download(entry, remote, progress=progress, retries=retries, timeout=timeout)
        except DownloadError as error:
            msg = f"{error}{_hint(entry, path, record if recorded else None)}"
            raise DownloadError(msg) from error
    try:
        digest = hexdigest(path)
        if not expected:
            _refuse_misfit(entry, path)
    except OSError as error:
        msg = f"{entry.name}: {str(path)!r} cannot be read ({error.strerror or error}). Expected a file."
        raise WeightsError(msg) from error
    if expected and digest != expected:
        raise _differs(entry, path, digest, expected, record if recorded else None)
    if not expected:
        _note(entry, record, digest)
    return path, digest


def _download(entry: WeightsEntry, remote: Remote, *, progress: bool, retries: int, timeout: float) -> None:
    """Fetch the file, or wait until another process has."""
    size, since = -1, time.monotonic()
    with _bar(entry.name, progress) as advance:
        while not remote.target.is_file():
            try:
                fetch(remote, retries=retries, timeout=timeout, advance=advance)
            except DownloadError as error:
                now, grown = time.monotonic(), _size(remote.part)
                if grown != size:
                    size, since = grown, now
                if BUSY not in str(error) or now - since > PATIENCE:
                    raise
                _sleep(PAUSE)
            else:
                if not remote.checksum:
                    _drop_misfit(entry, remote)


def _drop_misfit(entry: WeightsEntry, remote: Remote) -> None:
    """Delete what came if it is no file of weights, so that its digest is not recorded for good."""
    try:
        _refuse_misfit(entry, remote.target)
    except WeightsError as error:
        remote.target.unlink(missing_ok=True)
        msg = f"{error} It came from {remote.url!r} and was deleted."
        raise DownloadError(msg) from error


def _refuse_misfit(entry: WeightsEntry, path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(HEAD)
    start, beginnings = BEGINNINGS[entry.format]
    if not head[start:].startswith(beginnings) or misfit(path.name, head):
        got = f"one that begins with {head[:20]!r}" if head else "an empty one"
        msg = f"{entry.name}: expected a file of weights ({entry.format}) at {str(path)!r}, got {got}."
        raise WeightsError(msg)


def _note(entry: WeightsEntry, record: Path, digest: str) -> None:
    """Record a digest, whole or not at all; a cache that cannot be written to serves all the same."""
    beside = record.with_name(f"{record.name}.{os.getpid()}.{threading.get_ident()}.part")
    place = f"recorded in {str(record)!r}, and holds from now on"
    try:
        beside.write_text(f"{digest}  {entry.file}\n", encoding="utf-8")
        beside.replace(record)
    except OSError as error:
        place = f"not recorded, as {str(record)!r} cannot be written ({error.strerror or error})"
        with suppress(OSError):
            beside.unlink()
    logger.warning("%s: its checksum was not known; sha256 %s is %s", entry.name, digest, place)


def _recorded(record: Path) -> str:
    """The digest that an earlier use recorded, empty if there is none."""
    try:
        found = RECORDED.match(record.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1] if found else ""


def _differs(entry: WeightsEntry, path: Path, got: str, expected: str, record: Path | None) -> WeightsError:
    who = "as recorded at its first use" if record else "as the table of weights says"
    todo = "Install xrdatasets anew" if entry.source == "bundled" else "Delete the file, then load it again"
    forget = f"; to accept this one instead, delete {str(record)!r}" if record else ""
    return WeightsError(
        f"{entry.name}: expected sha256 {expected} of {str(path)!r}, {who}, got {got}: the file is damaged, "
        f"or another one. {todo}{forget}."
    )


def _hint(entry: WeightsEntry, path: Path, record: Path | None) -> str:
    """What to do where a download does not work."""
    forget = f" The checksum is of an earlier download, from {str(record)!r}." if record else ""
    return (
        f"{forget} Without the network: put the file of {entry.location} at {str(path)!r}, or name another "
        f"folder by {VARIABLE}."
    )


@contextmanager
def _bar(title: str, progress: bool) -> Iterator[Callable[[int], object]]:
    """A bar of bytes where stderr is a terminal; what moves it."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    disable = None if progress else True  # None: unless it is a terminal
    with tqdm(desc=title, unit="B", unit_scale=True, disable=disable, leave=False) as bar:
        yield bar.update


def _user_folder(platform: str) -> Path:
    """Where programs keep what they can get again: the XDG Base Directory Specification, Apple, Microsoft."""
    if platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = os.environ.get("XDG_CACHE_HOME", "")
    # the specification: a relative path is invalid and to be ignored
    return Path(named) if Path(named).is_absolute() else Path.home() / ".cache"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
