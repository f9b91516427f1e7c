"""Downloads, step 2: an archive to a folder, wholly or not at all, and never outside of it."""

from __future__ import annotations

import contextlib
import json
import logging
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from xrdatasets.errors import DownloadError

__all__ = ["ARCHIVES", "is_archive", "unpack"]

logger = logging.getLogger(__name__)

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Images hardly shrink and reports shrink some ten times: an archive of more than this is no release
MOST_RATIO, FREE_BYTES = 50, 1 << 30
MOST_MEMBERS = 5_000_000  # the largest release of this kind has under half a million images
MOST_DEPTH = 50  # folders in folders; the releases have under ten, and Python gives up at some hundred
BLOCK = 1 << 20
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    NotImplementedError, RecursionError, OverflowError, MemoryError, LookupError, struct.error,
)  # fmt: skip
OWN = re.compile(r"\..*\.unpack(ing|ed)", re.DOTALL)
Entry = zipfile.ZipInfo | tarfile.TarInfo


class _Member(NamedTuple):
    """A file of an archive: its checked path there, its size, and what the archive calls it."""

    path: PurePosixPath
    size: int
    entry: Entry


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that `unpack` knows."""
    return path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, root: Path, *, folder: str = "", progress: bool = True) -> Path:
    """Unpack a zip or tar archive below a folder.

    Every name is checked before anything is written; the files are written into a hidden folder beside
    their place, and moved there when all of them are whole. What is there already stays as it is: the same
    bytes are not written again, other bytes are refused. What was unpacked is listed in a hidden file, so
    that a later run only looks whether all of it is there.

    Args:
        archive: the file.
        root: the folder of the download.
        folder: empty: the archive's files as they are named; a name: below that folder, which takes the
            place of the archive's one top folder, if it has one; ``.``: what is in the archive's one top
            folder.
        progress: show a bar.

    Returns:
        The folder that holds the archive's files.

    Raises:
        DownloadError: it is damaged or no archive, a name leads out of the folder, it holds links, devices,
            a name twice, or far more than its size allows; a file stands in its way; or the disk is full.
    """
    place = root if folder in ("", ".") else root / folder
    beside, record = root / f".{archive.name}.unpacking", root / f".{archive.name}.unpacked"
    with _cleaned(beside, archive):
        if _is_done(record, archive, root, folder):
            return place
        with _opened(archive) as files:
            members = _checked(files.members(), archive)
            paths = _placed([member.path for member in members], folder)
            _refuse_large(archive, members)
            missing = _missing(archive, root, members, paths)
            _refuse_full(archive, root, [member for member, new in zip(members, missing, strict=True) if new])
            _clear(beside)  # of an attempt that was cut off
            _write(archive, files, members, paths, missing, (root, beside), progress=progress)
        _move(beside, root, archive)
        _note(record, beside, archive, folder, dict(zip(paths, members, strict=True)))
    return place


def _is_done(record: Path, archive: Path, root: Path, folder: str) -> bool:
    """Whether this archive was unpacked here, and all of it is still there."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if (known["bytes"], known["folder"]) != (archive.stat().st_size, folder):
            return False
        sizes = {root / path: int(size) for path, size in known["files"].items()}
        there = bool(sizes) and all(path.is_file() for path in sizes)
        changed = [path for path, size in sizes.items() if there and path.stat().st_size != size]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
        return False
    if changed:  # somebody's own work, or what is left of a damaged disk
        logger.warning(
            "%s: %s of its files have another size than in the archive, such as %s; left as they are",
            archive.name,
            len(changed),
            _short(str(changed[0])),
        )
    return there


def _note(
    record: Path, beside: Path, archive: Path, folder: str, members: dict[PurePosixPath, _Member]
) -> None:
    """List what was unpacked; where that cannot be written, a later run compares the files."""
    files = {str(path): member.size for path, member in members.items()}
    known = {"bytes": archive.stat().st_size, "folder": folder, "files": files}
    with contextlib.suppress(OSError):
        beside.mkdir(exist_ok=True)
        (beside / record.name).write_text(json.dumps(known) + "\n", encoding="utf-8")
        os.replace(beside / record.name, record)  # noqa: PTH105


@contextlib.contextmanager
def _cleaned(beside: Path, archive: Path) -> Iterator[None]:
    """Leave no folder behind, and say in words what went wrong."""
    try:
        yield
    except DownloadError:
        raise
    except DAMAGED as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is None:  # what the decompressors raise
            raise _damaged(archive, error) from error
        msg = f"{archive.name}: not unpacked ({error.strerror}). Nothing of it was left behind."
        raise DownloadError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            _clear(beside)


def _clear(beside: Path) -> None:
    """Delete the hidden folder; a link or a file that has its name, too."""
    if beside.is_symlink() or beside.is_file():
        beside.unlink()
    shutil.rmtree(beside, ignore_errors=True)


class _Files(ABC):
    """An open archive, of whichever kind."""

    @abstractmethod
    def members(self) -> Iterator[tuple[str, int, str, Entry]]:
        """Name (a slash at the end of folders), size, what is wrong with it (empty: nothing) and entry."""

    @abstractmethod
    def open(self, entry: Entry) -> IO[bytes]:
        """The bytes of a file."""


class _Zip(_Files):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def members(self) -> Iterator[tuple[str, int, str, Entry]]:
        for entry in self.archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            wrong = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is no file"
            # as it stands in the archive: `filename` is cut at a zero byte
            yield (
                entry.orig_filename,
                entry.file_size,
                "is encrypted" if entry.flag_bits & 1 else wrong,
                entry,
            )

    def open(self, entry: Entry) -> IO[bytes]:
        return self.archive.open(entry if isinstance(entry, zipfile.ZipInfo) else entry.name)


class _Tar(_Files):
    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive

    def members(self) -> Iterator[tuple[str, int, str, Entry]]:
        for entry in self.archive:
            wrong = "" if (entry.isreg() or entry.isdir()) and entry.size >= 0 else "is no file"
            yield entry.name + "/" * entry.isdir(), entry.size, wrong, entry

    def open(self, entry: Entry) -> IO[bytes]:
        found = self.archive.extractfile(entry) if isinstance(entry, tarfile.TarInfo) else None
        if found is None:
            raise tarfile.ReadError("a file of it cannot be read")
        return found


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[_Files]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield _Zip(opened)
    else:
        with tarfile.open(archive) as opened_tar:
            yield _Tar(opened_tar)


def _checked(members: Iterator[tuple[str, int, str, Entry]], archive: Path) -> list[_Member]:
    """The files of an archive, if all of its names are harmless."""
    kept: list[_Member] = []
    files: set[PurePosixPath] = set()
    for name, size, wrong, entry in members:
        path = PurePosixPath(name)
        if name.endswith("/") and not path.parts:
            continue  # "./", the folder itself
        if wrong or _leads_out(name, path):
            raise _refused(archive, f"{_short(name)} {wrong or 'leads out of the folder'}")
        if len(path.parts) > MOST_DEPTH:
            raise _refused(archive, f"{_short(name)} is more than {MOST_DEPTH} folders deep")
        if name.endswith("/"):
            continue
        if path in files:
            raise _refused(archive, f"{_short(name)} stands in it twice")
        if len(kept) == MOST_MEMBERS:
            raise _refused(archive, f"it holds more than {MOST_MEMBERS:,} files")
        files.add(path)
        kept.append(_Member(path, size, entry))
    for path in files:
        if not files.isdisjoint(path.parents):
            raise _refused(archive, f"{_short(str(path))} is below a file")
    if not kept:
        raise _refused(archive, "it holds no file")
    return kept


def _leads_out(name: str, path: PurePosixPath) -> bool:
    """Whether a name is absolute, goes up, or means something else on another system."""
    return path.is_absolute() or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0")


def _placed(paths: Sequence[PurePosixPath], folder: str) -> list[PurePosixPath]:
    """Where the files go below the root."""
    if not folder:
        return list(paths)
    one = len({path.parts[0] for path in paths}) == 1 and all(len(path.parts) > 1 for path in paths)
    inner = [PurePosixPath(*path.parts[1:]) for path in paths] if one else list(paths)
    return inner if folder == "." else [PurePosixPath(folder) / path for path in inner]


def _missing(
    archive: Path, root: Path, members: Sequence[_Member], paths: Sequence[PurePosixPath]
) -> list[bool]:
    """Which files are not there yet; what stands in the way of one is refused."""
    own = next((path for path in paths if OWN.fullmatch(path.parts[0])), None)
    if own:
        raise _refused(archive, f"{_short(str(own))} has a name that unpacking keeps for itself")
    for folder in sorted({folder for path in paths for folder in path.parents if folder.parts}):
        if os.path.lexists(root / folder) and not (root / folder).is_dir():
            raise _taken(archive, root / folder)
    missing = [not os.path.lexists(root / path) for path in paths]
    for member, path, new in zip(members, paths, missing, strict=True):
        if not new and not ((root / path).is_file() and (root / path).stat().st_size == member.size):
            raise _taken(archive, root / path)
    new_paths = [path for path, new in zip(paths, missing, strict=True) if new]
    for folder in sorted({folder for path in new_paths for folder in path.parents if folder.parts}):
        if (root / folder).is_symlink():  # it leads to where nothing of an archive may be written
            raise _taken(archive, root / folder)
    return missing


def _taken(archive: Path, path: Path) -> DownloadError:
    return DownloadError(
        f"{archive.name}: {_short(str(path))} stands where one of its files goes. Move it away first."
    )


def _refuse_large(archive: Path, members: Sequence[_Member]) -> None:
    total, packed = sum(member.size for member in members), archive.stat().st_size
    if total > MOST_RATIO * packed + FREE_BYTES:
        raise _refused(archive, f"its {packed:,} bytes would become {total:,}")


def _refuse_full(archive: Path, root: Path, members: Sequence[_Member]) -> None:
    total, free = sum(member.size for member in members), shutil.disk_usage(root).free
    if total > free:
        msg = (
            f"{archive.name}: expected {total:,} free bytes to unpack it in {str(root)!r}, got {free:,}. "
            "Make room, then run it again."
        )
        raise DownloadError(msg)


def _write(
    archive: Path,
    files: _Files,
    members: Sequence[_Member],
    paths: Sequence[PurePosixPath],
    missing: Sequence[bool],
    folders: tuple[Path, Path],
    *,
    progress: bool,
) -> None:
    """Write what is missing into the hidden folder, and compare the rest, in the archive's order."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    root, beside = folders
    with tqdm(total=len(members), unit="files", desc="unpacking", disable=not progress) as bar:
        for member, path, new in zip(members, paths, missing, strict=True):
            with files.open(member.entry) as source:
                if new:
                    _copy(source, beside / path, member)
                elif not _agrees(source, root / path):
                    raise _taken(archive, root / path)
            bar.update()


def _copy(source: IO[bytes], path: Path, member: _Member) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(source, target, BLOCK)
    if path.stat().st_size != member.size:
        msg = f"{_short(str(member.path))} is cut off"
        raise tarfile.ReadError(msg)


def _agrees(source: IO[bytes], path: Path) -> bool:
    """Whether a file has these bytes."""
    with path.open("rb") as file:
        while block := source.read(BLOCK):
            if file.read(len(block)) != block:
                return False
        return not file.read(1)


def _move(beside: Path, root: Path, archive: Path) -> None:
    """Give the files their names, beside those that are there; all are on one disk, so nothing is copied."""
    folders = [beside] if beside.is_dir() else []
    try:
        while folders:
            for path in sorted(folders.pop().iterdir()):
                place = root / path.relative_to(beside)
                if path.is_dir() and place.is_dir():
                    folders.append(path)
                elif os.path.lexists(place):  # another process was faster
                    raise _taken(archive, place)
                else:
                    path.rename(place)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        msg = f"{archive.name}: unpacked in part ({error.strerror}). Mend that, then run it again to go on."
        raise DownloadError(msg) from error


def _short(name: str) -> str:
    """A name of somebody else's, in a message."""
    return repr(name if len(name) <= 200 else f"{name[:199]}…")


def _refused(archive: Path, why: str) -> DownloadError:
    return DownloadError(f"{archive.name}: not unpacked, {why}. Expected files and folders of a release.")


def _damaged(archive: Path, error: Exception) -> DownloadError:
    why = " ".join(str(error).split())
    return DownloadError(
        f"{archive.name}: expected a whole zip or tar archive, got one that cannot be read ({why}). "
        "Delete it and download it again."
    )
