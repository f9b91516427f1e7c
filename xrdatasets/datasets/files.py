"""Datasets, step 1: where a release's files lie below the folder that the user names."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.facts import Facts

__all__ = [
    "IMAGE_SUFFIXES",
    "WHOLE_PATH",
    "FileIndex",
    "check_root",
    "find_folder",
    "find_table",
    "user_path",
]

logger = logging.getLogger(__name__)

WHOLE_PATH = 0  # parts[-0:] is all of them
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".gif"})


class FileIndex:
    """Image files below a folder, found by the end of their path without its extension.

    So a release is found whether its images lie flat, in ``images_001/images``, or as JPEG instead of
    PNG. Hidden files and folders (``._x.png`` and ``__MACOSX`` of archives made on a Mac) do not count.
    The folder is read once, when the first file is asked for.

    Args:
        root: the folder.
        levels: how many last parts of a path make its key: 1 is the file's stem, `WHOLE_PATH` all of it.
        folders: where the release keeps its images, as patterns (``images_*/images``); a file there beats
            one of the same key elsewhere (masks, ``backup/images``).
        suffixes: extensions of image files, in lower case.

    Attributes:
        doubles: a second path of each key that could as well be meant.
    """

    def __init__(
        self,
        root: Path,
        *,
        levels: int = 1,
        folders: Sequence[str] = (),
        suffixes: frozenset[str] = IMAGE_SUFFIXES,
    ) -> None:
        self.root = root
        self.levels = levels
        self.folders = folders
        self.suffixes = suffixes
        self.doubles: dict[str, str] = {}

    def key(self, image_id: str) -> str:
        """Key of an image: the last `levels` parts of its id."""
        return "/".join(image_id.split("/")[-self.levels :])

    def keys(self, image_ids: pd.Series) -> pd.Series:
        """(N,) keys of many images, as `key` gives them one by one."""
        if self.levels == WHOLE_PATH or image_ids.isna().all():
            return image_ids
        return image_ids.str.rsplit("/", n=self.levels).str[-self.levels :].str.join("/")

    def get(self, image_id: str) -> Path | None:
        """The file of an image, None if there is none."""
        path = self.paths.get(self.key(image_id))
        return None if path is None else Path(path)

    def only(self, image_ids: pd.Series) -> Self:
        """The index of these images alone, small enough to be sent to another process."""
        keys, paths = self.keys(image_ids).dropna().unique(), self.paths
        small = copy.copy(self)
        small.__dict__["paths"] = {key: paths[key] for key in keys if key in paths}
        small.doubles = {key: self.doubles[key] for key in keys if key in self.doubles}
        return small

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path of each key; the release's own folders come first."""
        found: dict[str, str] = {}
        official: dict[str, tuple[str, ...]] = {}
        for parts, names in sorted(_walk(self.root, self.suffixes), key=lambda item: self._rank_of(item[0])):
            ours = self._is_official(parts)
            for name in sorted(names):
                key = "/".join((*parts, name[: name.rindex(".")])[-self.levels :])
                path = os.path.join(self.root, *parts, name)  # noqa: PTH118 (a string: a tenth of the memory)
                if key not in found:
                    found[key] = path
                    official.update({key: parts} if ours else {})
                elif key not in official or (ours and not _lies_deeper(parts, official[key])):
                    self.doubles.setdefault(key, path)
        return found

    def _rank_of(self, parts: tuple[str, ...]) -> tuple[bool, int, tuple[str, ...]]:
        return not self._is_official(parts), len(parts), parts

    def _is_official(self, parts: tuple[str, ...]) -> bool:
        folder = "/".join(parts)
        return any(fnmatchcase(folder, pattern) for pattern in self.folders)


def _lies_deeper(parts: tuple[str, ...], official: tuple[str, ...]) -> bool:
    """Whether a folder is a copy of the release's own: the same below another, as ``backup/images``."""
    rest = iter(parts)
    return len(parts) > len(official) and all(part in rest for part in official)


def _walk(root: Path, suffixes: frozenset[str]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Folder parts and image names of every folder below a root, links followed once."""
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, ...]] = [()]
    while pending:
        parts = pending.pop()
        names = []
        for entry in _entries(root.joinpath(*parts), seen):
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if _is_dir(entry):
                pending.append((*parts, entry.name))
            elif os.path.splitext(entry.name)[1].lower() in suffixes:  # noqa: PTH122
                names.append(entry.name)
        if names:
            yield parts, names


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing if it was seen before, or may not be read (which is logged)."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        logger.warning("%s cannot be read (%s); images in it are not found", folder, error.strerror)
        return []


def find_table(root: Path, names: Sequence[str], *, facts: Facts) -> Path:
    """The first of these tables that lies below the root, plain or gzipped.

    Args:
        root: the folder that the user named.
        names: paths below the root, the official one first; ``*`` stands for anything.
        facts: the release, for the message.

    Raises:
        DatasetNotFoundError: the folder or the table is missing: what was expected, where to get it.
    """
    check_root(root, facts)
    for name in names:
        for pattern in (name, f"{name}.gz"):
            found = sorted(path for path in root.glob(pattern) if path.is_file())
            if found:
                return found[0]
    expected = f"Expected {_listed(names)} (or .csv.gz)."
    msg = f"{facts.key}: no {names[0]} in {str(root)!r}. {expected} {_get_it(facts)}"
    raise DatasetNotFoundError(msg)


def find_folder(root: Path, names: Sequence[str], *, facts: Facts) -> Path:
    """The first of these folders that lies below the root.

    Raises:
        DatasetNotFoundError: none does.
    """
    check_root(root, facts)
    for name in names:
        if (root / name).is_dir():
            return root / name
    msg = f"{facts.key}: no folder {names[0]} in {str(root)!r}. Expected {_listed(names)}. {_get_it(facts)}"
    raise DatasetNotFoundError(msg)


def user_path(path: object, *, name: str = "root") -> Path:
    """A path as a user writes it, ``~`` resolved; an unknown home stays as it is, and is not found.

    Raises:
        ValueError: it is no path.
    """
    if not isinstance(path, (str, Path)):
        msg = f"{name}: expected a path, got {path!r}."
        raise ValueError(msg)
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_root(root: Path, facts: Facts) -> None:
    """Refuse a root that is no folder.

    Raises:
        DatasetNotFoundError: it is missing, or a file.
    """
    if not os.path.isdir(root):  # noqa: PTH112 (False, not an error, where a folder may not be read)
        what = "is a file" if os.path.exists(root) else "does not exist"  # noqa: PTH110
        msg = f"{facts.key}: root {str(root)!r} {what}. Expected the folder of the download. {_get_it(facts)}"
        raise DatasetNotFoundError(msg)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)


def _get_it(facts: Facts) -> str:
    where = f"Get it from {facts.url}, then pass" if facts.url else "Pass"
    return f"{where} that folder as root."
