"""Downloads: the files of a release that is open to a program, each whole, checked, or not there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xrdatasets.errors import DownloadError
from xrdatasets.facts import Facts, dataset_keys
from xrdatasets.fetching import Remote, checksum, fetch, hexdigest, misfit, refuse_taken, worded
from xrdatasets.resources import Row, mappings, read_rows
from xrdatasets.unpacking import is_archive, unpack as unpack_archive

__all__ = ["Source", "chosen_of", "download", "folder_of", "sources_of"]

logger = logging.getLogger(__name__)

COLUMNS = ("dataset", "file", "folder", "url", "bytes", "checksum", "reference")
# one name, of letters that are a file's name on every system; no hidden file, no way up
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")
PHANTOM = "phantom"  # has a row for each of its hospitals
RECORD = ".sha256"  # beside the file, in the form of `sha256sum -c`


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a release: a row of ``mappings/downloads.csv``.

    Attributes:
        dataset: key of the release.
        file: its name on disk.
        folder: where an archive is unpacked (`xrdatasets.unpacking.unpack`).
        url: its address, empty where none is known that a program may use.
        size: its bytes, None if not known.
        checksum: ``sha256:…`` or ``md5:…``, empty if not known.
        reference: who gives address and checksum.
    """

    dataset: str
    file: str
    folder: str
    url: str
    size: int | None
    checksum: str
    reference: str


def download(
    name: str,
    root: str | Path,
    *,
    files: str | Sequence[str] | None = None,
    unpack: bool = False,
    progress: bool = True,
    retries: int = 5,
    timeout: float = 30.0,
) -> tuple[Path, ...]:
    """Download a release that is open: no login, and terms that let a program take it.

    Files grow beside their place as ``….part`` and get their name when size and checksum agree; what was cut
    off is resumed, and what is there already is checked, not fetched again. Where no checksum is known
    yet, the file's own is recorded beside it (``….sha256``) and holds from then on.

    Args:
        name: key (``nih``) or class name (``NIH``), in any case.
        root: the folder of the download; made if it is not there.
        files: only these files of the release; None for all.
        unpack: also unpack the archives, which stay.
        progress: show a bar for each file.
        retries: how often to try again without progress.
        timeout: seconds without a byte after which a server counts as stalled.

    Returns:
        The files, in the order of ``mappings/downloads.csv``.

    Raises:
        DatasetNotFoundError: no dataset is called so.
        DownloadError: the release is not open to a program (its terms and page are named), a server
            refuses, sends something else or fails too often, a checksum differs, or the disk is full or
            refuses to be written to.
        ValueError: an argument is none of the above.

    Example:
        >>> import xrdatasets as xr
        >>> try:
        ...     xr.download("chexpert", "CheXpert")
        ... except xr.DownloadError as error:
        ...     print(str(error)[:73])
        chexpert: not open to a program: it wants a login, or has no lasting addr
    """
    _check(retries, timeout)
    facts, chosen = chosen_of(name, files)
    folder = folder_of(root)
    with worded(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths = _all_of(facts, chosen, folder, progress=progress, retries=retries, timeout=timeout)
        if unpack:
            for source, path in zip(chosen, paths, strict=True):
                if is_archive(path):
                    unpack_archive(path, folder, folder=source.folder, progress=progress)
        if files is None:
            _name_the_rest(facts, folder)
    return paths


def _all_of(
    facts: Facts, chosen: Sequence[Source], folder: Path, *, progress: bool, retries: int, timeout: float
) -> tuple[Path, ...]:
    """The files, each fetched where it was not there."""
    paths = []
    for number, source in enumerate(chosen, start=1):
        title = f"{source.file} ({number} of {len(chosen)})" if len(chosen) > 1 else source.file
        remote = Remote(source.url, folder / source.file, source.size, source.checksum, facts.url)
        _get(remote, title, progress=progress, retries=retries, timeout=timeout)
        paths.append(remote.target)
    return tuple(paths)


def sources_of(key: str) -> tuple[Source, ...]:
    """The files of a release, those without an address too; none if it is not open.

    Raises:
        MappingError: the table of the downloads is wrong.

    Example:
        >>> [source.file for source in sources_of("kermany")]
        ['ChestXRay2017.zip']
    """
    return tuple(source for source in _all_sources() if source.dataset == key)


def chosen_of(name: str, files: str | Sequence[str] | None = None) -> tuple[Facts, tuple[Source, ...]]:
    """A release, and which of its files `download` would fetch.

    Raises:
        DatasetNotFoundError: no dataset is called so.
        DownloadError: the release is not open to a program, or a file that was asked for is not.
        ValueError: the release has no such file.
    """
    key = _key(name)
    if key == PHANTOM:
        raise _made(key)
    facts = Facts.load(key)
    sources = {source.file: source for source in sources_of(facts.key)}
    if not any(source.url for source in sources.values()):
        raise _closed(facts)
    wanted = list(sources) if files is None else [files] if isinstance(files, str) else list(files)
    for file in wanted:
        if file not in sources:
            msg = f"{facts.key}: no file is called {file!r}. Expected one of: {', '.join(sources)}."
            raise ValueError(msg)
        if files is not None and not sources[file].url:
            msg = f"{facts.key}: {file} is not open to a program. Get it from {facts.url}"
            raise DownloadError(msg)
    if not wanted:
        msg = f"{facts.key}: files: expected at least one, got none."
        raise ValueError(msg)
    return facts, tuple(source for source in sources.values() if source.file in wanted and source.url)


def _closed(facts: Facts) -> DownloadError:
    if not facts.url:
        return _made(facts.key)
    return DownloadError(
        f"{facts.key}: not open to a program: it wants a login, or has no lasting address. Its terms: "
        f"{facts.licence}. Get it from {facts.url}"
    )


def _made(key: str) -> DownloadError:
    return DownloadError(f"{key}: it is made by this package and needs no download.")


def _get(remote: Remote, title: str, *, progress: bool, retries: int, timeout: float) -> None:
    """A file that is there and right, fetched if it was not there."""
    record = remote.target.with_name(remote.target.name + RECORD)
    refuse_taken(remote, record, links=True)
    known = remote.target.is_file()
    if not known:
        with _bar(title, remote.size, progress) as advance:
            fetch(remote, retries=retries, timeout=timeout, advance=advance)
    size = remote.target.stat().st_size
    if remote.size not in (None, size):
        raise _differs(remote, f"{remote.size:,} bytes", f"{size:,}")
    expected = remote.checksum or _recorded(record)
    with _bar(f"checking {title}", size, progress) as advance:
        if expected and known and (got := checksum(remote.target, expected, advance=advance)) != expected:
            raise _differs(remote, expected, got)
        if not expected:
            _refuse_misfit(remote)
            digest = hexdigest(remote.target, advance=advance)
            if record.is_symlink():  # through a link we would write elsewhere
                record.unlink()
            record.write_text(f"{digest}  {remote.target.name}\n", encoding="utf-8")
            logger.warning(
                "%s: no checksum of it is known yet; sha256 %s is recorded in %s",
                remote.target.name,
                digest,
                record.name,
            )


def _refuse_misfit(remote: Remote) -> None:
    """Refuse to record the checksum of what is not the file."""
    with remote.target.open("rb") as file:
        head = file.read(512)
    if not head and remote.size is None:
        raise _differs(remote, "a file", "0 bytes")
    if wrong := misfit(remote.target.name, head):
        msg = f"{remote.target.name}: {wrong} in {str(remote.target)!r}. Move it away, then run it again."
        raise DownloadError(msg)


@contextmanager
def _bar(title: str, total: int | None, progress: bool) -> Iterator[Any]:
    """A bar of bytes; what moves it."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=not progress, leave=False) as bar:
        yield bar.update


def _recorded(record: Path) -> str:
    """The checksum that an earlier download recorded, empty if there is none."""
    try:
        found = re.match(r"([0-9a-f]{64})\b", record.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""
    return f"sha256:{found[1]}" if found else ""


def _differs(remote: Remote, expected: str, got: str) -> DownloadError:
    return DownloadError(
        f"{remote.target.name}: expected {expected}, got {got} in {str(remote.target)!r}. Move it away, then "
        "run it again to download the file."
    )


def _name_the_rest(facts: Facts, folder: Path) -> None:
    """Say which files people have to get."""
    rest = [source.file for source in sources_of(facts.key) if not source.url]
    if lost := [file for file in rest if not (folder / file).exists()]:
        logger.warning("%s: get %s by hand, from %s", facts.key, ", ".join(lost), facts.url)


def _key(name: object) -> str:
    """A key as it stands in the tables; a class name differs by case and underscores."""
    if not isinstance(name, str):
        msg = f"name: expected the name of a dataset, got {name!r}."
        raise ValueError(msg)
    plain = re.sub(r"[\s_-]", "", name).lower()
    return next((key for key in (*dataset_keys(), PHANTOM) if key.replace("_", "") == plain), name)


def folder_of(root: object) -> Path:
    """The folder of a download, which need not be there yet.

    Raises:
        DownloadError: no folder can be called so.
        ValueError: it is no path, or a file.
    """
    if not isinstance(root, (str, Path)) or "\0" in str(root):
        msg = f"root: expected a path, got {root!r}."
        raise ValueError(msg)
    try:
        folder = Path(root).expanduser()
    except RuntimeError as error:  # what pathlib raises for a home that it does not know
        msg = f"no such home folder in {str(root)!r}. Write the whole path."
        raise ValueError(msg) from error
    with worded(folder):
        taken = folder.exists() and not folder.is_dir()
    if taken:
        msg = f"{str(folder)!r} is no folder. Expected a folder, or a name that is free."
        raise ValueError(msg)
    return folder


def _check(retries: object, timeout: object) -> None:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        msg = f"retries: expected a whole number of at least 0, got {retries!r}."
        raise ValueError(msg)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        msg = f"timeout: expected seconds, more than 0, got {timeout!r}."
        raise ValueError(msg)


@cache
def _all_sources() -> tuple[Source, ...]:
    found: dict[tuple[str, str], Source] = {}
    for row in read_rows(mappings() / "downloads.csv", COLUMNS):
        source = _source(row)
        if (source.dataset, source.file) in found:
            raise row.error("each file of a dataset once", source.file)
        found[source.dataset, source.file] = source
    return tuple(found.values())


def _source(row: Row) -> Source:
    cells = row.cells
    if cells["dataset"] not in dataset_keys():
        raise row.error("a key of datasets.csv", cells["dataset"])
    if not FILE.fullmatch(cells["file"]):
        raise row.error("the name of a file, without a folder", cells["file"])
    if cells["folder"] not in ("", ".") and not FILE.fullmatch(cells["folder"]):
        raise row.error("folder to be empty, '.' or a name", cells["folder"])
    if cells["url"] and not re.fullmatch(r"https?://[^\s/]+/\S*", cells["url"]):
        raise row.error("an address that begins with https:// or http://", cells["url"])
    if cells["bytes"] and not cells["bytes"].isdecimal():
        raise row.error("bytes to be a whole number or empty", cells["bytes"])
    if cells["checksum"] and not CHECKSUM.fullmatch(cells["checksum"]):
        raise row.error("sha256: or md5: and the digest in small letters", cells["checksum"])
    if not cells["reference"]:
        raise row.error("a reference", "")
    size = int(cells["bytes"]) if cells["bytes"] else None
    return Source(
        cells["dataset"],
        cells["file"],
        cells["folder"],
        cells["url"],
        size,
        cells["checksum"],
        cells["reference"],
    )
