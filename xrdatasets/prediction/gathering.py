"""Prediction, step 2: from names of files and folders and patterns to the images that they mean."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from xrdatasets.prediction.sniffing import looks_like_an_image

__all__ = ["ImageFiles", "find_images"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ImageFiles:
    """Images to be read, in order.

    Attributes:
        paths: their names as they were given, or as they were found below what was given; each file once.
        skipped: how many other files were found beside them.
        failed: folders and files that could not be looked into, and why.
    """

    paths: tuple[str, ...]
    skipped: int = 0
    failed: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.paths)


def find_images(
    paths: PathLike | Iterable[PathLike], *, recursive: bool = True, limit: int | None = None
) -> ImageFiles:
    """Find the images that files, folders and patterns mean.

    A file that is named is taken as it is: if it is no image, reading it will say so. Of a folder, and of
    what a pattern matches, what is an image by its content is taken, and the rest is counted. Links are
    followed; a folder that is reached again is not entered again.

    Args:
        paths: names. A text that names nothing and has ``*``, ``?`` or ``[`` is a pattern (``**`` goes
            through folders); a `Path` never is.
        recursive: also look into the folders of folders.
        limit: stop after so many images.

    Returns:
        The images in the order of `paths`; folders in natural order (2 before 10).

    Raises:
        ValueError: a pattern matches nothing, nothing is an image, or an argument is wrong.

    Example:
        >>> found = find_images(NIH_ROOT)  # tables are left out
        >>> len(found), found.skipped > 0
        (5, True)
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        msg = f"limit: expected a whole number of at least 1, or None, got {limit!r}."
        raise ValueError(msg)
    names = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    search = _Search(recursive=recursive)
    found = tuple(islice(search.images(names), limit))
    if not found and not search.failed:
        shown = ", ".join(repr(os.fspath(name)) for name in names[:3]) + (", …" if len(names) > 3 else "")
        msg = (
            f"paths: expected images, got none in {shown or 'nothing'} ({search.skipped:,} other files). "
            "PNG, JPEG, TIFF, BMP, GIF and DICOM are read."
        )
        raise ValueError(msg)
    return ImageFiles(found, search.skipped, tuple(search.failed))


class _Search:
    """What one call has found, and where it has been."""

    def __init__(self, *, recursive: bool) -> None:
        self.recursive, self.skipped = recursive, 0
        self.failed: list[tuple[str, str]] = []
        self._files: set[str] = set()
        self._folders: set[tuple[int, int]] = set()

    def images(self, names: Iterable[PathLike]) -> Iterator[str]:
        for given in names:
            name = os.fspath(given)
            if _is_folder(name):
                yield from self._folder(name)
            elif isinstance(given, str) and glob.has_magic(name) and not os.path.lexists(name):
                yield from self._pattern(name)
            elif self._is_new(name):
                yield name

    def _pattern(self, pattern: str) -> Iterator[str]:
        matches = sorted(glob.glob(pattern, recursive=True), key=_natural)  # noqa: PTH207  (names stay as written)
        if not matches:
            msg = f"paths: nothing matches {pattern!r}. Expected a file, a folder or a pattern."
            raise ValueError(msg)
        for name in matches:
            yield from self._folder(name) if _is_folder(name) else self._found(name)

    def _folder(self, name: str) -> Iterator[str]:
        try:
            about = os.stat(name)  # noqa: PTH116  (a Path would drop a leading './' in the message)
            if (about.st_dev, about.st_ino) in self._folders:
                return
            self._folders.add((about.st_dev, about.st_ino))
            entries = sorted(os.listdir(name), key=_natural)  # noqa: PTH208
        except OSError as error:
            self.failed.append((name, error.strerror or str(error)))
            return
        for entry in entries:
            path = os.path.join(name, entry)  # noqa: PTH118  (keeps the name as it was given)
            if not _is_folder(path):
                yield from self._found(path)
            elif self.recursive:
                yield from self._folder(path)

    def _found(self, name: str) -> Iterator[str]:
        """A file that nobody named, if it is an image."""
        path = Path(name)
        if not self._is_new(name):
            return
        try:
            if path.is_symlink():
                path.stat()  # one that leads nowhere may have been an image
            if path.is_file() and looks_like_an_image(path):
                yield name
            else:
                self.skipped += 1
        except OSError as error:
            self.failed.append((name, error.strerror or str(error)))

    def _is_new(self, name: str) -> bool:
        place = os.path.abspath(name)  # noqa: PTH100  (a link is a file of its own)
        new = place not in self._files
        self._files.add(place)
        return new


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112  (a Path raises for names that are too long or not allowed)


def _natural(name: str) -> tuple[list[tuple[bool, int | str]], str]:
    """Key that sorts numbers inside names as numbers, and what is in a folder before its longer namesakes."""
    parts = re.split(r"([0-9]+)", name.replace(os.sep, "\0"))
    # every second part is a number; names that differ in zeros alone keep one order
    return [(False, int(part)) if at % 2 else (True, part) for at, part in enumerate(parts) if part], name
