"""Datasets, step 2: a release's table becomes canonical columns."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xrdatasets.errors import TableError
from xrdatasets.labels.findings import near, plain
from xrdatasets.labels.terms import word_of
from xrdatasets.resources import mappings, read_rows

__all__ = ["CANONICAL", "canonical", "concat_tables", "read_csv", "read_csv_blocks", "require", "view_words"]

CANONICAL = ("image_id", "patient_id", "study_id", "view", "sex", "age", "split", "dataset")
logger = logging.getLogger(__name__)

VIEWS = ("PA", "AP", "AP_SUPINE", "LATERAL", "UNKNOWN")
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
# DICOM age strings (PS3.5, value representation AS): three digits and a unit
AGE_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
# the oldest person on record reached 122 years: NIH's first table has ages up to 414
OLDEST = 122


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
        msg = f"{dataset}: {str(path)!r} is not a CSV table in UTF-8 ({error}). Download it again."
        raise TableError(msg) from error


def _stripped(frame: pd.DataFrame) -> pd.DataFrame:
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def require(frame: pd.DataFrame, columns: Sequence[str], *, path: Path, dataset: str) -> pd.DataFrame:
    """The same frame, if it has these columns.

    Raises:
        TableError: it lacks one; the message lists those it has.
    """
    missing = [name for name in columns if name not in frame]
    if missing:
        msg = (
            f"{dataset}: {str(path)!r} has no column {', '.join(map(repr, missing))}. "
            f"Expected {', '.join(columns)}; it has {', '.join(frame.columns)}."
        )
        raise TableError(msg)
    return frame


def canonical(frame: pd.DataFrame, columns: Mapping[str, str], *, dataset: str) -> pd.DataFrame:
    """A table with the canonical columns first, then the release's own.

    Args:
        frame: the release's table, one row per image.
        columns: source column of each canonical one; those not named must carry the canonical name
            already, or stay empty.
        dataset: key of the dataset.

    Returns:
        ``image_id patient_id study_id view sex age split dataset`` and the columns that were not used:
        ids and words as text (categories where they repeat), age in years, NA where not known.

    Raises:
        TableError: a view that no row of ``views.csv`` knows, an age that is no number, an image id
            that is missing.
    """
    own = {name: columns.get(name, name) for name in CANONICAL}
    made: dict[str, Any] = {name: _made(name, frame, own[name], dataset) for name in CANONICAL[:-1]}
    made["dataset"] = pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), [dataset])
    _check_ids(made["image_id"], dataset)
    rest = frame.drop(columns=[name for name in {*own.values(), *CANONICAL} if name in frame])
    return pd.DataFrame({**made, **dict(rest.items())})


def concat_tables(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other, rows numbered anew; columns of categories stay such."""
    joined: dict[str, Any] = {}
    for name in dict.fromkeys(name for frame in frames for name in frame.columns):
        columns = [frame[name] if name in frame else pd.Series(pd.NA, index=frame.index) for frame in frames]
        if all(isinstance(column.dtype, pd.CategoricalDtype) for column in columns):
            joined[name] = _concat_words([column.cat for column in columns])
        else:
            joined[name] = pd.concat(columns, ignore_index=True)
    return pd.DataFrame(joined)


def _concat_words(columns: Sequence[Any]) -> pd.Categorical:
    """Columns of categories one below the other; pandas alone would make objects of unlike ones."""
    words = pd.Index(
        dict.fromkeys(str(word) for column in columns for word in column.categories), dtype="str"
    )
    codes = [
        np.append(words.get_indexer(column.categories.astype("str")), -1)[column.codes.to_numpy()]
        for column in columns
    ]
    return pd.Categorical.from_codes(np.concatenate(codes), words)


def view_words(views: str | Sequence[str] | None) -> tuple[str, ...]:
    """Canonical views from a word or words; ``"*"`` or None means all.

    Raises:
        ValueError: a word is no view.
    """
    if views is None or views == "*":
        return VIEWS
    words = (views,) if isinstance(views, str) else tuple(views)
    known = _view_of()
    for word in words:
        if plain(str(word)) not in known:
            msg = f"views: expected {', '.join(VIEWS)} or '*', got {word!r}. {near(str(word), VIEWS)}"
            raise ValueError(msg.rstrip())
    if not words:
        raise ValueError("views: expected at least one view, or '*' for all, got none.")
    return tuple(dict.fromkeys(known[plain(str(word))] for word in words))


def _made(name: str, frame: pd.DataFrame, column: str, dataset: str) -> Any:
    """One canonical column from its source."""
    if column not in frame and name == "view":
        return pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), ["UNKNOWN"])
    if column not in frame:
        dtype = {"age": "float32", "patient_id": "str", "study_id": "str"}.get(name, "category")
        return pd.Series(np.nan, index=frame.index, dtype=dtype)
    source = frame[column]
    match name:
        case "image_id":
            return source.astype("str")
        case "view":
            return _by_word(source, lambda word: _view(word, dataset, column), empty="UNKNOWN")
        case "sex":
            return _by_word(source, lambda word: SEXES.get(word.strip().lower()))
        case "age":
            return _ages(source, dataset)
        case _:
            return _ids(source)


def _ids(source: pd.Series) -> pd.Series:
    """Ids as text; 1.0, as a column with blanks reads, becomes 1."""
    whole = source.astype("Int64") if source.dtype.kind == "f" else source
    return whole.astype("str").mask(source.isna()) if source.hasnans else whole.astype("str")


def _by_word(
    source: pd.Series, name_of: Callable[[str], str | None], *, empty: str | None = None
) -> pd.Categorical:
    """A column of categories, each distinct word looked at once."""
    if isinstance(source.dtype, pd.CategoricalDtype):
        rows, words = source.cat.codes.to_numpy(), source.cat.categories
    else:
        rows, words = pd.factorize(source)
    names = [name_of(word_of(word)) for word in words]
    empty = empty if (rows < 0).any() else None
    known = pd.Index(dict.fromkeys(name for name in [*names, empty] if name is not None), dtype="str")
    codes = known.get_indexer(pd.Index([*names, empty], dtype=object))
    return pd.Categorical.from_codes(codes[rows], known)


def _view(word: str, dataset: str, column: str) -> str:
    known = _view_of()
    if not word.strip():
        return "UNKNOWN"
    if plain(word) not in known:
        msg = (
            f"{dataset}: column {column!r} has the view {word!r}, which no row of views.csv knows. "
            f"Expected one of: {', '.join(VIEWS)}, or a word that views.csv lists."
        )
        raise TableError(msg)
    return known[plain(word)]


def _ages(source: pd.Series, dataset: str) -> pd.Series:
    """Ages in years, float32; NaN where missing or impossible."""
    if source.dtype.kind not in "fiu":
        rows, words = pd.factorize(source)
        years = np.array([*(_years(str(word), dataset) for word in words), np.nan], dtype=np.float32)
        source = pd.Series(years[rows], index=source.index)
    values = source.to_numpy(dtype=np.float32, na_value=np.nan)
    return pd.Series(
        np.where((values >= 0) & (values <= OLDEST), values, np.nan), index=source.index, dtype=np.float32
    )


def _years(word: str, dataset: str) -> float:
    text = word.strip().upper()
    unit = AGE_UNITS.get(text[-1:], 0.0)
    try:
        return float(text[:-1]) * unit if unit else float(text or "nan")
    except ValueError as error:
        msg = f"{dataset}: expected an age in years or as in DICOM ('060Y'), got {word!r}."
        raise TableError(msg) from error


def _check_ids(ids: pd.Series, dataset: str) -> None:
    if ids.isna().any():
        row = int(ids.isna().to_numpy().argmax()) + 1
        msg = f"{dataset}: row {row} of the table has no image id. Expected one per row."
        raise TableError(msg)
    if not ids.is_unique:
        twice = ids[ids.duplicated()]
        logger.warning(
            "%s: %d rows repeat an image, the first is %r; all are kept", dataset, len(twice), twice.iloc[0]
        )


@cache
def _view_of() -> dict[str, str]:
    rows = read_rows(mappings() / "views.csv", ("source", "view", "note"))
    for row in rows:
        if row.cells["view"] not in VIEWS:
            expected = f"view to be one of {', '.join(VIEWS)}"
            raise row.error(expected, row.cells["view"])
    names = {plain(view): view for view in VIEWS}
    return names | {plain(row.cells["source"]): row.cells["view"] for row in rows}
