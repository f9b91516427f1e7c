"""Packed, step 2: pixels from the file, as from memory."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import PackedFileError
from xrdatasets.packed.layout import Block

__all__ = ["Pixels"]

# Pages that were read count as memory of this process until they are given back (the system keeps them in its
# cache, where it has room). So many bytes are kept: more would be faster by 12 % at most (measured).
KEPT = 2**28
PAGE = mmap.PAGESIZE


@dataclass
class Pixels:
    """The images of a packed file, through a memory map that each process makes when it first reads.

    Attributes:
        path: the file.
        block: where its images lie.
        stamp: size and time of the file when it was opened first.
    """

    path: Path
    block: Block
    stamp: tuple[int, int]
    _map: mmap.mmap | None = field(default=None, repr=False, compare=False)
    _view: npt.NDArray[Any] | None = field(default=None, repr=False, compare=False)
    _free: int = field(default=0, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path, block: Block) -> Pixels:
        """The images of a file as it is now."""
        return cls(path, block, _stamp(os.stat(path)))  # noqa: PTH116 (as for the open file below)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        """(n, S, S) uint8 or uint16 of these rows of the file: a copy, in the order given.

        Raises:
            PackedFileError: the file is gone, was replaced, or was cut since it was opened.
        """
        if self._map is None or self._view is None:
            self._open()
        if self._map.size() < self.block.end:  # type: ignore[union-attr]
            self._map = self._view = None  # reading beyond the end would kill the process
            raise self._changed("was cut since the dataset was opened")
        out: npt.NDArray[Any] = self._view.take(rows, axis=0)  # type: ignore[union-attr]
        self._give_back()
        return out

    def _open(self) -> None:
        try:
            with self.path.open("rb") as file:
                if _stamp(os.fstat(file.fileno())) != self.stamp:
                    raise self._changed("was changed since the dataset was opened")
                whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except PackedFileError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            what = f"cannot be read any more ({reason})"
            raise self._changed(what) from error
        count = int(np.prod(self.block.shape))
        flat = np.frombuffer(whole, self.block.dtype, count, self.block.offset)
        self._map, self._view, self._free = whole, flat.reshape(self.block.shape), _mapped() + KEPT

    def _give_back(self) -> None:
        """Give pages back, if they have become many: one that is touched may bring a hundred with it."""
        if _mapped() > self._free and self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _changed(self, what: str) -> PackedFileError:
        msg = f"{str(self.path)!r} {what}. Open it again, or pack it again."
        return PackedFileError(msg)

    def __getstate__(self) -> dict[str, Any]:
        # a map means nothing in another process
        return {"path": self.path, "block": self.block, "stamp": self.stamp}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _stamp(about: os.stat_result) -> tuple[int, int]:
    return about.st_size, about.st_mtime_ns


def _mapped() -> int:
    """Bytes of files that this process has in memory; 0 where the system does not tell (proc(5), statm)."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 (half the time of a Path)
            return int(file.read().split()[2]) * PAGE
    except OSError:
        return 0
