"""Packed, step 1: what of a file is written already, so that packing goes on where it was interrupted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import PackedFileError
from xrdatasets.packed.layout import FORMAT, VERSION

__all__ = ["Journal", "fingerprint", "lock", "spans"]

# Seconds between two moments at which pixels are known to be on the disk, and the journal may say so: what a
# killed process loses, and some 1 % of the time where flushing takes 50 ms.
SECONDS = 5.0


class Journal:
    """A text file beside the packed one: a line that says whose it is, then one for each chunk of rows.

    A line is written when the pixels that it speaks of are on the disk, so after a crash, or a loss of
    power, it never says too much. A last line that is cut does not count. While it is open no other process
    can open it.

    Args:
        path: the file.
        mark: of the job (`fingerprint`).

    Attributes:
        done: (N,) bool: rows that are written.
        readable: (N,) bool: rows that have an image.

    Raises:
        PackedFileError: another process is packing to the same file, or the journal is of another job.
    """

    def __init__(self, path: Path, mark: str, rows: int) -> None:
        self.path, self._mark = path, mark
        self.done, self.readable = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
        self._lines: list[str] = []
        self._file: IO[bytes] = path.open("a+b")
        self._written = time.monotonic()
        try:
            lock(self._file, path)
            self._read()
        except BaseException:
            self._file.close()
            raise

    @property
    def fresh(self) -> bool:
        """Whether nothing of the job is noted yet."""
        return self._file.seek(0, os.SEEK_END) == 0

    def begin(self) -> None:
        """Note the job; what was noted before is forgotten."""
        self._file.truncate(0)
        self.done[:] = self.readable[:] = False
        self._append([json.dumps({"format": FORMAT, "version": VERSION, "mark": self._mark})])

    def note(self, rows: npt.NDArray[np.intp], damaged: Sequence[int], descriptor: int) -> None:
        """Note that rows are written; from time to time this reaches the disk.

        Args:
            rows: their numbers.
            damaged: those of them that have no image.
            descriptor: of the packed file, to be flushed before.
        """
        self.done[rows], self.readable[rows] = True, True
        self.readable[list(damaged)] = False
        self._lines.append(json.dumps([spans(rows), list(damaged)]))
        if time.monotonic() - self._written > SECONDS:
            self.flush(descriptor)

    def flush(self, descriptor: int) -> None:
        """Bring to the disk what was written, then what was noted."""
        if self._lines:
            os.fsync(descriptor)
            self._append(self._lines)
            self._lines = []
        self._written = time.monotonic()

    def fileno(self) -> int:
        """Descriptor of the locked file."""
        return self._file.fileno()

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    def _append(self, lines: Sequence[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        self._file.seek(0)
        *lines, cut = self._file.read().split(b"\n")
        if not lines:
            self._file.truncate(0)
            return
        try:
            head = json.loads(lines[0])
            noted = [json.loads(line) for line in lines[1:]]
            self._take(head, noted)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            msg = (
                f"{str(self.path)!r} is no journal that can be read ({error}). Delete it and the '.part' "
                "file beside "
                "it, or pass overwrite=True, to begin anew."
            )
            raise PackedFileError(msg) from error
        if cut:
            self._file.truncate(sum(len(line) + 1 for line in lines))

    def _take(self, head: dict[str, Any], noted: Sequence[Any]) -> None:
        if head["format"] != FORMAT or head["version"] != VERSION:
            raise ValueError("it is no journal of this version")
        if head["mark"] != self._mark:
            msg = (
                f"{str(self.path)!r} is of another job: other images, labels, tables, size or options were "
                "being packed "
                "to this file. Pack that dataset to its end, or delete this file and the '.part' file "
                "beside it, or "
                "pass overwrite=True to begin anew."
            )
            raise PackedFileError(msg)
        for ranges, damaged in noted:
            for start, stop in ranges:
                if not 0 <= start <= stop <= len(self.done):
                    raise ValueError("it names rows that are not there")
                self.done[start:stop] = self.readable[start:stop] = True
            # one that could not be read is tried again: it may have been mended, or may be an error now
            self.done[damaged] = self.readable[damaged] = False


def fingerprint(
    card: str, arrays: dict[str, npt.NDArray[Any]], shape: tuple[int, ...], dtype: str, source: str
) -> str:
    """Of everything that a packed file is made of but its pixels; as hexadecimal digits."""
    digest = hashlib.sha256(f"{card}\n{shape}\n{dtype}\n{source}\n".encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def spans(rows: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Ascending rows as half-open ranges."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(rows, breaks)]


def lock(file: IO[bytes], path: Path) -> None:
    """Keep others out, where the system can.

    Raises:
        PackedFileError: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:  # finished by another process between open and lock
        ours = False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return  # a file system without locks has to trust its users
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        ours = False
    if not ours:
        msg = f"{str(path)!r} is in use: another process is packing to this file. Wait for it, or stop it."
        raise PackedFileError(msg)
