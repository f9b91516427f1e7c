"""Datasets, step 2: a release's CSV files as frames, with errors that name the file."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import TableError

__all__ = ["OUTSIDE", "check_paths", "may_leave", "read_csv", "read_csv_blocks", "require"]

OUTSIDE = r"^/|^~|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)"
"""A path, its parts divided by ``/``, that is absolute, names a drive or a home, or climbs."""


def read_csv(path: Path, *, dataset: str, **options: Any) -> pd.DataFrame:
    """Read a CSV file (plain or gzipped), the names of its columns without the blanks around them.

    Args:
        path: the file.
        dataset: its dataset, for messages.
        options: of `pandas.read_csv`; they name the columns without blanks.

    Raises:
        TableError: the file is empty, not UTF-8, not CSV, or cut.
    """
    with _explained(path, dataset), _strict():
        head = _read_head(path, options)
        frame = _named(pd.read_csv(path, index_col=False, **_spelled(options, head)), head)
        _refuse_cut(frame, head, path, dataset)
        return frame


def read_csv_blocks(path: Path, *, dataset: str, rows: int, **options: Any) -> Iterator[pd.DataFrame]:
    """Read a CSV file in blocks of rows, so that what is not kept is freed before the next one.

    Raises:
        TableError: the file is empty, not UTF-8, not CSV, or cut.
    """
    with _explained(path, dataset):
        with _strict():
            head = _read_head(path, options)
        block = None
        with pd.read_csv(path, index_col=False, chunksize=rows, **_spelled(options, head)) as blocks:
            for block in blocks:
                yield _named(block, head)
        if block is not None:
            _refuse_cut(block, head, path, dataset)


@contextmanager
def _explained(path: Path, dataset: str) -> Iterator[None]:
    """What goes wrong while a table is read, in words that help."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        msg = f"{dataset}: {str(path)!r} is empty. Expected a table with a line of column names."
        raise TableError(msg) from error
    except pd.errors.ParserWarning as error:
        msg = f"{dataset}: {str(path)!r} has lines of more cells than column names. Download it again."
        raise TableError(msg) from error
    except OverflowError as error:
        msg = f"{dataset}: {str(path)!r} holds a number that is too large ({error}). Download it again."
        raise TableError(msg) from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        msg = f"{dataset}: {str(path)!r} is not a CSV table in UTF-8 ({error}). Save or download it again."
        raise TableError(msg) from error


@contextmanager
def _strict() -> Iterator[None]:
    """Where pandas warns that it drops cells, an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        yield


def _read_head(path: Path, options: Mapping[str, Any]) -> dict[str, str]:
    """Name of each column, as the table spells it: without blanks, and numbered where two are alike."""
    # a row is read too: more cells in it than names would shift the columns
    rows = pd.read_csv(path, index_col=False, nrows=1, skiprows=options.get("skiprows"), dtype="str")
    head: dict[str, str] = {}
    for spelled in map(str, rows.columns):
        first, _, twin = spelled.rpartition(".")
        # of two alike pandas calls the second "name.1", with the blanks of the name before the point
        name = stripped = (first if first in head and twin.isdecimal() else spelled).strip()
        number = 0
        while name in head.values():
            number += 1
            name = f"{stripped}.{number}"  # as pandas numbers them
        head[spelled] = name
    return head


def _named(frame: pd.DataFrame, head: Mapping[str, str]) -> pd.DataFrame:
    frame.columns = pd.Index([head[str(name)] for name in frame.columns])
    for name in frame.columns[frame.dtypes.map(pd.api.types.is_object_dtype).astype(bool)]:
        # whole numbers beyond 64 bits, of which no arithmetic is safe: text, as any other cell that is none
        if pd.api.types.infer_dtype(frame[name], skipna=True) in ("integer", "mixed-integer"):
            frame[name] = frame[name].astype("str")
    return frame


def _spelled(options: Mapping[str, Any], head: Mapping[str, str]) -> dict[str, Any]:
    """The options of pandas, with the columns as the table spells them."""
    found = {name: spelled for spelled, name in head.items()}
    spelled = {
        key: {found[name]: item for name, item in value.items() if name in found}
        if isinstance(value, Mapping)
        else value
        for key, value in options.items()
    }
    wanted = options.get("usecols")
    if wanted is not None:
        keep = wanted if callable(wanted) else list(wanted).__contains__
        spelled["usecols"] = [found[name] for name in found if keep(name)]
    return spelled


def _refuse_cut(frame: pd.DataFrame, head: Mapping[str, str], path: Path, dataset: str) -> None:
    """Refuse a table whose last line ends within its first cell.

    Raises:
        TableError: it does.
    """
    if len(head) < 2 or frame.empty or frame.iloc[-1].notna().sum() > 1:
        return
    # blank cells are no damage; what counts is that the line has no other cell at all
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        line = deque((line for line in file if line.strip()), maxlen=1).pop().decode("utf-8").strip()
    if len(next(csv.reader([line]))) < 2:
        msg = (
            f"{dataset}: {str(path)!r} is cut: its last line has one cell, {line[:60]!r}. "
            f"Expected {len(head)} cells. Download it again."
        )
        raise TableError(msg)


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
    words = paths.dropna().astype("str")
    if not may_leave(words.to_numpy(dtype=object)):
        return paths
    bad = words.str.strip().str.replace("\\", "/").str.contains(OUTSIDE, regex=True)
    if bad.any():
        row = int(np.flatnonzero(paths.notna())[int(bad.to_numpy().argmax())])
        msg = (
            f"{dataset}: {str(path)!r}, row {row + 1} of the data: {paths.iloc[row]!r} points outside the "
            "root. Expected a path below it. Download the table again, from its publisher."
        )
        raise TableError(msg)
    return paths


def may_leave(paths: npt.NDArray[np.object_]) -> bool:
    """Whether any of many paths may lead out of a folder: a quick look, all in one text.

    Args:
        paths: (N,) texts.

    Example:
        >>> may_leave(np.array(["a/1", "b/2"], dtype=object)), may_leave(np.array(["a/../1"], dtype=object))
        (False, True)
    """
    text = "\n" + "\n".join(paths)
    # single letters first: they are found fifty times faster than pairs
    if any(letter in text for letter in "~:\\"):
        return True
    return ("/" in text and ("\n/" in text or "\n " in text)) or ("." in text and ".." in text)
