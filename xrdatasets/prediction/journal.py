"""Prediction, step 4: what has been predicted already, so that an interrupted call goes on from there."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from xrdatasets.errors import XRDatasetsError

__all__ = ["Journal", "shortest"]

FORMAT, VERSION = "xrdatasets prediction", 1


class Journal:
    """A text file beside the one that is to be: a line that says whose it is, then one for each image.

    Lines are JSON: ``path``, ``values`` (null for NaN), ``heatmaps`` where some were drawn. Images that
    cannot be read have none: they are tried again. A last line that is cut does not count. While it is open,
    no other process can open it.

    Args:
        path: the file.
        job: what gives the answers, fit for JSON; its ``weights`` name them.
        resume: go on with what is there; False begins anew.

    Attributes:
        lines: what was predicted, by path.

    Raises:
        XRDatasetsError: another process has it, or it is of another job.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], *, resume: bool = True) -> None:
        self.path = path
        self.lines: dict[str, dict[str, Any]] = {}
        self._job = json.loads(json.dumps(job))
        self._file: IO[bytes] = path.open("a+b")
        try:
            self._lock()
            if resume:
                self._read()
            else:
                self._file.truncate(0)
            if not self._file.seek(0, os.SEEK_END):
                self._write([{"format": FORMAT, "version": VERSION, "job": self._job}])
        except BaseException:
            self._file.close()
            raise

    def note(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append what was predicted; a kill from now on does not lose it.

        Args:
            lines: see the class.
        """
        self._write(lines)

    def close(self, *, finished: bool) -> None:
        """Let others have it, or, `finished`, remove it."""
        if finished:
            self.path.unlink()
        self._file.close()

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._file.write("".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines).encode("ascii"))
        self._file.flush()

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            try:
                self._take(json.loads(line), first=number == 0)
            except (ValueError, KeyError, TypeError) as error:
                msg = (
                    f"{str(self.path)!r}, line {number + 1}: no journal of predictions. Delete it, or pass "
                    "resume=False, to begin anew."
                )
                raise XRDatasetsError(msg) from error
            whole += len(line)
        self._file.truncate(whole)

    def _take(self, line: dict[str, Any], *, first: bool) -> None:
        if not first:
            self.lines[line["path"]] = line
            _ = line["values"]
            return
        if (line["format"], line["version"]) != (FORMAT, VERSION):
            raise ValueError("another format")
        theirs, ours = line["job"], self._job
        what = next((name for name in ours if _essence(theirs[name]) != _essence(ours[name])), None)
        if what is None:
            return
        msg = (
            f"{str(self.path)!r} was begun with other {what}: {_told(theirs[what])}, "
            f"now {_told(ours[what])}. Go on with those, pass another name, or begin anew with resume=False."
        )
        raise XRDatasetsError(msg)

    def _lock(self) -> None:
        """Keep others out, where the system can."""
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(self._file.fileno()), self.path.lstat())
        except FileNotFoundError:  # finished by another process between open and lock
            ours = False
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                return  # a file system without locks has to trust its users
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            ours = False
        if not ours:
            msg = f"{str(self.path)!r} is in use by another process. Wait for it, or stop it."
            raise XRDatasetsError(msg)


def shortest(value: float) -> float | None:
    """The shortest decimal number that is read back as the same float32, None for NaN.

    Example:
        >>> import numpy as np
        >>> shortest(np.float32(0.1)), shortest(np.float32("nan"))
        (0.1, None)
    """
    return None if math.isnan(value) else float(str(value))


def _essence(value: object) -> object:
    """Weights of another name may be the same."""
    return value["fingerprint"] if isinstance(value, dict) and "fingerprint" in value else value


def _told(value: object) -> str:
    if isinstance(value, dict) and "fingerprint" in value:
        return f"{value['name']!r} ({value['fingerprint'][:12]})"
    return json.dumps(value)
