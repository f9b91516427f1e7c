"""Datasets, step 1: images that lie in zip archives, read without unpacking them."""

from __future__ import annotations

import lzma
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from xrdatasets.datasets.files import IMAGE_SUFFIXES, FileIndex
from xrdatasets.errors import ImageReadError
from xrdatasets.images.reader import MAX_BYTES

__all__ = ["MAX_RATIO", "ZipImages"]

# what deflate reaches at most (zlib's technical details: 1032 to 1); no image is packed tighter
MAX_RATIO = 1032
ENCRYPTED = 0x1  # bit 0 of the general purpose flags (PKWARE APPNOTE, 4.4.4)
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    KeyError,  # another archive lies there by now
    OSError,
    RuntimeError,  # an encrypted member, and a way of packing that is not known (NotImplementedError)
    ValueError,  # a place before the file's begin; a name that is no text
)


class ZipImages(FileIndex):
    """Image files below a folder and in its zip archives.

    An archive counts as the folder that one gets by unpacking it beside itself: a member ``train/1.jpg`` or
    ``1.jpg`` of ``train.zip`` has the key ``train/1``. What is unpacked on disk beats the archive. The
    archives' lists of members are read once, when the first file is asked for; each process and each thread
    has its own open file, so the index may be copied to other processes, forked or spawned.

    Args:
        root: the folder.
        archives: the archives, below it or elsewhere.
        dataset: their dataset, for messages.
        levels: how many last parts of a path make its key, at least 1.
        folders: where the release keeps its images on disk, as patterns.
    """

    def __init__(
        self,
        root: Path,
        archives: Sequence[Path],
        *,
        dataset: str,
        levels: int = 1,
        folders: Sequence[str] = (),
    ) -> None:
        super().__init__(root, levels=levels, folders=folders)
        self.archives = tuple(archives)
        self.dataset = dataset
        self._packed: dict[str, tuple[Path, str]] = {}
        self._handles = _Handles()

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path of each key; of what is packed, archive and member.

        Raises:
            ImageReadError: an archive is damaged, or holds what no release does: members outside their
                folder, links, two of one name, encrypted or impossibly large ones.
        """
        disk = FileIndex(self.root, levels=self.levels, folders=self.folders)
        found, packed, doubles = dict(disk.paths), dict[str, tuple[Path, str]](), dict(disk.doubles)
        for archive in self.archives:
            for name in self._members(archive):
                parts = (archive.stem, *name[: name.rindex(".")].split("/"))
                key, path = "/".join(parts[-self.levels :]), f"{archive}/{name}"
                if key in packed:
                    doubles.setdefault(key, path)
                elif key not in found:
                    found[key], packed[key] = path, (archive, name)
        self._packed, self.doubles = packed, doubles
        return found

    def only(self, image_ids: pd.Series) -> Self:
        """The index of these images alone, small enough to be sent to another process."""
        small = super().only(image_ids)
        small._packed = {key: self._packed[key] for key in small.paths if key in self._packed}
        return small

    def get(self, image_id: str) -> Path | None:
        """The file of an image on disk, None if there is none or it is packed."""
        path = super().get(image_id)
        return None if self.key(image_id) in self._packed else path

    def read(self, image_id: str) -> bytes | None:
        """The content of a packed image, None if there is none or it lies on disk.

        Raises:
            ImageReadError: archive or member is damaged; both are named.
        """
        if self.get(image_id) or self.key(image_id) not in self._packed:
            return None
        archive, name = self._packed[self.key(image_id)]
        with self._explained(archive, name):
            return self._handles.open(archive).read(name)

    def _members(self, path: Path) -> list[str]:
        """Names of the images in an archive, hidden ones left out."""
        with self._explained(path), zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
        seen: set[str] = set()
        names = []
        for info in members:
            if reason := _refusal(info, seen):
                raise self._error(path, f"its member {info.orig_filename!r} {reason}")
            seen.add(info.filename)
            if _is_image(info.filename):
                names.append(info.filename)
        return names

    @contextmanager
    def _explained(self, archive: Path, name: str = "") -> Iterator[None]:
        """What goes wrong while an archive is read, in words that help."""
        try:
            yield
        except BROKEN as error:
            raise self._error(archive, f"its member {name!r}: {error}" if name else str(error)) from error

    def _error(self, archive: Path, reason: str) -> ImageReadError:
        msg = f"{self.dataset}: cannot read {str(archive)!r}: {reason}. "
        expected = "Expected a whole zip archive of images, as it was released."
        return ImageReadError(f"{msg}{expected} Download it again, or unpack it into its folder yourself.")

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_handles": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state | {"_handles": _Handles()}


class _Handles(threading.local):
    """The open archives of one thread of one process: a forked child must not move its parent's place."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.archives: dict[Path, zipfile.ZipFile] = {}

    def open(self, path: Path) -> zipfile.ZipFile:
        if self.process != os.getpid():
            self.process, self.archives = os.getpid(), {}
        if path not in self.archives:
            self.archives[path] = zipfile.ZipFile(path)
        return self.archives[path]


def _refusal(info: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why a member is not accepted, or nothing."""
    name = info.orig_filename
    if re.search(r"^/|^[A-Za-z]:|\\|\0|(?:^|/)\.\.(?:/|$)", name):
        return "lies outside its folder"
    if stat.S_ISLNK(info.external_attr >> 16):  # the mode of its file, where Unix packed it
        return "is a link"
    if info.filename in seen:
        return "stands in it twice"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.file_size > MAX_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return f"unpacks from {info.compress_size:,} to {info.file_size:,} bytes, which no image does"
    return ""


def _is_image(name: str) -> bool:
    """Whether a member counts as an image: by its extension, and neither hidden nor a Mac's copy."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not hidden and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (a string)
