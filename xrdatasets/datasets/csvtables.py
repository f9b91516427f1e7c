"""Datasets, step 2: a release's CSV files as frames, with errors that name the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from xrdatasets.errors import TableError

__all__ = ["check_paths", "read_csv", "read_csv_blocks", "require"]


def read_csv(path: Path, *, dataset: str, **options: Any) -> pd.DataFrame:
    """Read a CSV file (plain or gzipped).

    Args:
        path: the file.
        dataset: its dataset, for messages.
        options: of `pandas.read_csv`.

    Raises:
        TableError: the file is empty, not UTF-8 or not CSV.
    """
    with _explained(path, dataset):
        return _stripped(pd.read_csv(path, **options))


def read_csv_blocks(path: Path, *, dataset: str, rows: int, **options: Any) -> Iterator[pd.DataFrame]:
    """Read a CSV file in blocks of rows, so that what is not kept is freed before the next one.

    Raises:
        TableError: the file is empty, not UTF-8 or not CSV.
    """
    with _explained(path, dataset), pd.read_csv(path, chunksize=rows, **options) as blocks:
        yield from map(_stripped, blocks)


@contextmanager
def _explained(path: Path, dataset: str) -> Iterator[None]:
    """What goes wrong while a table is read, in words that help."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        msg = f"{dataset}: {str(path)!r} is empty. Expected a table with a line of column names."
        raise TableError(msg) from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        msg = f"{dataset}: {str(path)!r} is not a CSV table in UTF-8 ({error}). Save or download it again."
        raise TableError(msg) from error


def _stripped(frame: pd.DataFrame) -> pd.DataFrame:
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def require(frame: pd.DataFrame, columns: Sequence[str], *, path: Path, dataset: str) -> pd.DataFrame:
    """The same frame, if it has these columns.

    Raises:
        TableError: it lacks one; the message lists those it has.
    """
    missing = [name for name in dict.fromkeys(columns) if name not in frame]
    if missing:
        msg = (
            f"{dataset}: {str(path)!r} has no column {', '.join(map(repr, missing))}. "
            f"Expected {', '.join(dict.fromkeys(columns))}; it has {', '.join(frame.columns)}."
        )
        raise TableError(msg)
    return frame


def check_paths(paths: pd.Series, *, path: Path, dataset: str) -> pd.Series:
    """The same paths, if all of them stay below the folder of the release.

    Args:
        paths: (N,) text, as a table writes them; a blank passes.
        path: the table.
        dataset: its dataset, for messages.

    Raises:
        TableError: one is absolute, names a drive, or climbs with ``..``.

    Example:
        >>> check_paths(pd.Series(["images/1.png"]), path=Path("t.csv"), dataset="own").tolist()
        ['images/1.png']
    """
    words = paths.dropna().astype("str").str.replace("\\", "/")
    bad = words.str.contains(r"^/|^~|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)", regex=True)
    if bad.any():
        row = int(paths.index.get_loc(bad.idxmax()))
        msg = (
            f"{dataset}: {str(path)!r}, row {row + 1} of the data: {paths.iloc[row]!r} points outside the "
            "root. Expected a path below it. Download the table again, from its publisher."
        )
        raise TableError(msg)
    return paths
