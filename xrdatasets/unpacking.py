"""Downloads, step 2: an archive to a folder, wholly or not at all, and never outside of it."""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from xrdatasets.errors import DownloadError

__all__ = ["ARCHIVES", "is_archive", "unpack"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Images hardly shrink and reports shrink some ten times: an archive of more than this is no release
MOST_RATIO, FREE_BYTES = 50, 1 << 30
MOST_MEMBERS = 5_000_000  # the largest release of this kind has under half a million images
BLOCK = 1 << 20
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    NotImplementedError,
)  # fmt: skip
Entry = zipfile.ZipInfo | tarfile.TarInfo


class _Member(NamedTuple):
    """A file of an archive: its checked path, its size, and what the archive calls it."""

    path: PurePosixPath
    size: int
    entry: Entry


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that `unpack` knows."""
    return path.name.lower().endswith(ARCHIVES)


def unpack(archive: Path, root: Path, *, folder: str = "", progress: bool = True) -> Path:
    """Unpack a zip or tar archive below a folder.

    Every name is checked before anything is written; the files are written into a hidden folder beside
    their place, and moved there when all of them are whole. What is there already stays as it is.

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
    if place != root and place.is_dir():
        return place
    beside = root / f".{archive.name}.unpacking"
    with _cleaned(beside, archive), _opened(archive) as files:
        members = _checked(files.members(), archive)
        paths = _placed([member.path for member in members], folder)
        tops = sorted({path.parts[0] for path in paths})
        if place == root and all((root / top).exists() for top in tops):
            return place
        _refuse_taken(root, tops, archive)
        _refuse_large(archive, root, members)
        shutil.rmtree(beside, ignore_errors=True)  # of an attempt that was cut off
        _write(files, members, [beside / path for path in paths], progress=progress)
        _move(beside, root, place, tops)
    return place


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
            wrong = "" if entry.isreg() or entry.isdir() else "is no file"
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
            raise _refused(archive, f"{name!r} {wrong or 'leads out of the folder'}")
        if name.endswith("/"):
            continue
        if path in files:
            raise _refused(archive, f"{name!r} stands in it twice")
        if len(kept) == MOST_MEMBERS:
            raise _refused(archive, f"it holds more than {MOST_MEMBERS:,} files")
        files.add(path)
        kept.append(_Member(path, size, entry))
    for path in files:
        if not files.isdisjoint(path.parents):
            raise _refused(archive, f"{str(path)!r} is below a file")
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


def _refuse_taken(root: Path, tops: Sequence[str], archive: Path) -> None:
    taken = next((root / top for top in tops if (root / top).exists()), None)
    if taken is not None:
        msg = f"{archive.name}: {str(taken)!r} stands where one of its files goes. Move it away first."
        raise DownloadError(msg)


def _refuse_large(archive: Path, root: Path, members: Sequence[_Member]) -> None:
    total, packed = sum(member.size for member in members), archive.stat().st_size
    if total > MOST_RATIO * packed + FREE_BYTES:
        raise _refused(archive, f"its {packed:,} bytes would become {total:,}")
    free = shutil.disk_usage(root).free
    if total > free:
        msg = (
            f"{archive.name}: expected {total:,} free bytes to unpack it in {str(root)!r}, got {free:,}. "
            "Make room, then run it again."
        )
        raise DownloadError(msg)


def _write(files: _Files, members: Sequence[_Member], paths: Sequence[Path], *, progress: bool) -> None:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    bar = tqdm(total=len(members), unit="files", desc="unpacking", disable=not progress)
    with bar:
        for member, path in zip(members, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.open(member.entry) as source, path.open("xb") as target:
                shutil.copyfileobj(source, target, BLOCK)
            if path.stat().st_size != member.size:
                msg = f"{str(member.path)!r} is cut off"
                raise tarfile.ReadError(msg)
            bar.update()


def _move(beside: Path, root: Path, place: Path, tops: Sequence[str]) -> None:
    """Give the files their names; all are on one disk, so nothing is copied."""
    if place == root:
        for top in tops:
            os.replace(beside / top, root / top)  # noqa: PTH105
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        (beside / place.relative_to(root)).rename(place)


def _refused(archive: Path, why: str) -> DownloadError:
    return DownloadError(f"{archive.name}: not unpacked, {why}. Expected files and folders of a release.")


def _damaged(archive: Path, error: Exception) -> DownloadError:
    why = " ".join(str(error).split())
    return DownloadError(
        f"{archive.name}: expected a whole zip or tar archive, got one that cannot be read ({why}). "
        "Delete it and download it again."
    )
