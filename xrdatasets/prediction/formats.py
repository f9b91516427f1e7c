"""Prediction, step 6: the finished table as CSV, JSON or lines of JSON, and what is to be known of it."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FORMATS", "Row", "check_out", "document", "sidecar", "write_out"]

Row = tuple[str, Sequence[float | None], Mapping[str, str] | None]
"""A path, a number for each finding, and the heatmaps that were drawn, by finding."""


def check_out(path: Path) -> None:
    """Refuse a file that could not be written, before the work begins.

    Args:
        path: of the file.

    Raises:
        ValueError: its ending is none of `FORMATS`, it is a folder, or its folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        msg = f"out: expected a name that ends in {', '.join(FORMATS)}, got {str(path)!r}."
        raise ValueError(msg)
    if path.exists() and not path.is_file():
        msg = f"out: {str(path)!r} is no ordinary file. Expected the name of one."
        raise ValueError(msg)
    if not path.resolve().parent.is_dir():
        msg = f"out: no folder {str(path.resolve().parent)!r}. Make it first."
        raise ValueError(msg)


def sidecar(path: Path) -> Path | None:
    """Where the metadata of a file stands: in a file beside it, None for JSON, which has them itself.

    Example:
        >>> sidecar(Path("a/out.csv")).name, sidecar(Path("out.json"))
        ('out.csv.meta.json', None)
    """
    return None if path.suffix.lower() == ".json" else path.with_name(f"{path.name}.meta.json")


def write_out(path: Path, metadata: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write a table and its metadata, each whole or not at all.

    Args:
        path: of the file; its ending says which of `FORMATS`.
        metadata: fit for JSON; ``findings`` are the columns.
        rows: in order.

    Raises:
        OSError: it cannot be written; what stood there is untouched.
    """
    if (beside := sidecar(path)) is not None:
        _write(beside, [json.dumps(metadata, indent=2, allow_nan=False), "\n"])
    _write(path, FORMATS[path.suffix.lower()](metadata, rows))


def document(row: Row, findings: Sequence[str]) -> dict[str, Any]:
    """A row as it stands in JSON.

    Example:
        >>> document(("a.png", [0.5, None], None), ["Effusion", "Nodule"])
        {'path': 'a.png', 'probabilities': {'Effusion': 0.5, 'Nodule': None}}
    """
    path, values, heatmaps = row
    made: dict[str, Any] = {"path": path, "probabilities": dict(zip(findings, values, strict=True))}
    return made if heatmaps is None else made | {"heatmaps": dict(heatmaps)}


def _csv(metadata: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", *metadata["findings"]])
    for path, values, _ in rows:
        writer.writerow([path, *("" if value is None else repr(value) for value in values)])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _json_lines(metadata: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(document(row, metadata["findings"]), allow_nan=False) + "\n"


def _json(metadata: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    """One object, a prediction a line, without all of them in memory."""
    head = json.dumps(metadata, indent=2, allow_nan=False).removesuffix("\n}")
    yield head + ',\n  "predictions": ['
    before = "\n    "
    for line in _json_lines(metadata, rows):
        yield before + line.rstrip("\n")
        before = ",\n    "
    yield "\n  ]\n}\n"


FORMATS: dict[str, Callable[[Mapping[str, Any], Iterable[Row]], Iterator[str]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
}


def _write(path: Path, parts: Iterable[str]) -> None:
    """Beside its place first, then there."""
    target = path.resolve()  # a link stays a link
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    # a name that is no UTF-8 keeps its bytes, as the file system has them
    errors = sys.getfilesystemencodeerrors()
    try:
        with beside.open("x", encoding="utf-8", errors=errors, newline="") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
