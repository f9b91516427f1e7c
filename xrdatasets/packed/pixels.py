"""Packed, step 2: pixels from the file, as from memory."""

from __future__ import annotations

import mmap
import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import PackedFileError
from xrdatasets.packed.layout import Block

__all__ = ["Pixels"]

# Images of so many bytes in all (42,799 of 224 x 224) are mapped into memory, the fastest way. Pages of a
# map that were touched count as memory of this process, so larger ones are read piece by piece, at half of
# the rate.
MAPPED = 2**31


@dataclass
class Pixels:
    """The images of a packed file, which each process opens when it first reads.

    Attributes:
        path: the file.
        block: where its images lie.
        stamp: size and time of the file when it was opened first.
    """

    path: Path
    block: Block
    stamp: tuple[int, int]
    _file: int = field(default=-1, repr=False, compare=False)
    _map: mmap.mmap | None = field(default=None, repr=False, compare=False)
    _view: npt.NDArray[Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path, block: Block) -> Pixels:
        """The images of a file as it is now."""
        return cls(path, block, _stamp(path.stat()))

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        """(n, S, S) uint8 or uint16 of these rows of the file: a copy, in the order given.

        Raises:
            PackedFileError: the file is gone, was replaced, or was cut since it was opened.
        """
        if self._file < 0:
            self._open()
        if os.fstat(self._file).st_size < self.block.end:  # reading a map beyond its end kills the process
            raise self._changed("was cut since the dataset was opened")
        return self._read(rows) if self._view is None else self._view.take(rows, axis=0)

    def _read(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        out = np.empty((len(rows), *self.block.shape[1:]), self.block.dtype)
        if not out.size:
            return out
        data, size = out.data.cast("B"), self.block.row_bytes
        for number, row in enumerate(rows.tolist()):
            piece = data[number * size : (number + 1) * size]
            if os.preadv(self._file, (piece,), self.block.offset + row * size) != size:
                raise self._changed("cannot be read to its end")
        return out

    def _open(self) -> None:
        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            what = f"cannot be read any more ({error.strerror or error})"
            raise self._changed(what) from error
        weakref.finalize(self, os.close, file)
        if _stamp(os.fstat(file)) != self.stamp:
            raise self._changed("was changed since the dataset was opened")
        if self.block.end - self.block.offset <= MAPPED or not hasattr(os, "preadv"):
            self._map = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
            count = int(np.prod(self.block.shape))
            flat = np.frombuffer(self._map, self.block.dtype, count, self.block.offset)
            self._view = flat.reshape(self.block.shape)
        self._file = file

    def _changed(self, what: str) -> PackedFileError:
        msg = f"{str(self.path)!r} {what}. Open it again, or pack it again."
        return PackedFileError(msg)

    def __getstate__(self) -> dict[str, Any]:
        # a map or a descriptor means nothing in another process
        return {"path": self.path, "block": self.block, "stamp": self.stamp}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _stamp(about: os.stat_result) -> tuple[int, int]:
    return about.st_size, about.st_mtime_ns
