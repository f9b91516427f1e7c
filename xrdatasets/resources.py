"""Where the mapping tables lie, and how any of them is read: with errors that name file and line."""

from __future__ import annotations

import csv
import importlib.resources
import io
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from xrdatasets.errors import MappingError

__all__ = ["Row", "mappings", "read_rows"]


class Row(NamedTuple):
    """One row of a mapping table: where it stands, and its cells by column, stripped."""

    file: str
    line: int
    cells: dict[str, str]

    def error(self, expected: str, got: str) -> MappingError:
        """The error that this row is wrong: what was expected and what stands there."""
        return MappingError(f"{self.file}, line {self.line}: expected {expected}, got {got!r}.")


def mappings() -> Traversable:
    """Folder of the mapping tables (``findings.csv``, ``labels/``, ``spaces/``, …).

    Installed, ``mappings/`` is the package ``xrdatasets.mappings``; in a checkout that is only on
    the path, the folder beside the package serves.

    Returns:
        A traversable folder.

    Example:
        >>> from xrdatasets.resources import mappings
        >>> (mappings() / "findings.csv").is_file()
        True
    """
    try:
        return importlib.resources.files("xrdatasets.mappings")
    except ModuleNotFoundError:
        return Path(__file__).resolve().parent.parent / "mappings"


def read_rows(file: Traversable, columns: Sequence[str]) -> list[Row]:
    """Read a mapping table: UTF-8 CSV with exactly these columns, in any order.

    Args:
        file: the table.
        columns: the names that its header must have.

    Returns:
        The rows, cells stripped of surrounding blanks; empty lines are skipped.

    Raises:
        MappingError: the file is missing, not UTF-8, has an unknown, missing or repeated column, a
            row with too few or too many cells, or the same row twice. File and line are named.
    """
    name = str(file)
    records = _records(_decode(file, name), name)
    header = next((cells for _, cells in records), [])
    _check_header(header, columns, name)
    rows: list[Row] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, cells in records:
        row = Row(name, line, dict(zip(header, cells, strict=False)))
        if len(cells) != len(header):
            expected = f"{len(header)} cells ({', '.join(header)})"
            raise row.error(expected, ",".join(cells))
        first = seen.setdefault(tuple(cells), line)
        if first != line:
            expected = f"each row once (line {first} says the same)"
            raise row.error(expected, ",".join(cells))
        rows.append(row)
    return rows


def _decode(file: Traversable, name: str) -> str:
    """The file's text; a byte-order mark, as Excel writes it, is dropped."""
    try:
        data = file.read_bytes()
    except OSError as error:
        msg = f"{name}: cannot be read ({error.strerror}). Expected a mapping table (UTF-8 CSV)."
        raise MappingError(msg) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = data[error.start : error.start + 1]
        msg = f"{name}, line {line}: expected UTF-8, got the byte {wrong!r}. Save the file as UTF-8."
        raise MappingError(msg) from error


def _records(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of every row that is not empty."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in lines:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield lines.line_num, stripped
    except csv.Error as error:
        msg = f"{name}, line {lines.line_num}: expected CSV, got {error}."
        raise MappingError(msg) from error


def _check_header(header: Sequence[str], columns: Sequence[str], name: str) -> None:
    if sorted(header) == sorted(columns):
        return
    unknown = [cell for cell in header if cell not in columns]
    missing = [cell for cell in columns if cell not in header]
    repeated = sorted({cell for cell in header if header.count(cell) > 1})
    wrong = [
        f"{word} {cells}"
        for word, cells in (("unknown:", unknown), ("missing:", missing), ("repeated:", repeated))
        if cells
    ]
    msg = f"{name}, line 1: expected the columns {', '.join(columns)}; {'; '.join(wrong)}."
    raise MappingError(msg)
