"""Datasets, step 1: where a release's files lie below the folder that the user names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

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

    Attributes:
        doubles: a second path of each key that has several.
    """

    def __init__(self, root: Path, *, levels: int = 1) -> None:
        self.root = root
        self.levels = levels
        self.doubles: dict[str, str] = {}

    def get(self, key: str) -> Path | None:
        """The file with this key, None if there is none; only the last `levels` parts count."""
        path = self.paths.get("/".join(key.split("/")[-self.levels :]))
        return None if path is None else Path(path)

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path of each key; of several files with one key, the first in order of depth and name."""
        found: dict[str, str] = {}
        for parts, name in sorted(_walk(self.root), key=lambda item: (len(item[0]), item)):
            stem = name[: name.rindex(".")]
            key = "/".join((*parts, stem)[-self.levels :])
            path = os.path.join(self.root, *parts, name)  # noqa: PTH118 (a string: ten times less memory)
            if found.setdefault(key, path) != path:
                self.doubles.setdefault(key, path)
        if self.doubles:
            logger.warning(
                "%s: %d images stand there more than once; the first is used", self.root, len(self.doubles)
            )
        return found


def _walk(root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Folder parts and name of every image file below a folder, links followed once."""
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, ...]] = [()]
    while pending:
        parts = pending.pop()
        folder = root.joinpath(*parts)
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_dir():
                    pending.append((*parts, entry.name))
                elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                    yield parts, entry.name


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


def user_path(path: str | Path) -> Path:
    """A path as a user writes it, ``~`` resolved; an unknown home stays as it is, and is not found."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_root(root: Path, facts: Facts) -> None:
    """Refuse a root that is no folder.

    Raises:
        DatasetNotFoundError: it is missing, or a file.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        msg = f"{facts.key}: root {str(root)!r} {what}. Expected the folder of the download. {_get_it(facts)}"
        raise DatasetNotFoundError(msg)


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)


def _get_it(facts: Facts) -> str:
    where = f"Get it from {facts.url}, then pass" if facts.url else "Pass"
    return f"{where} that folder as root."
