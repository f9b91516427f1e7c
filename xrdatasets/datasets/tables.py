"""Datasets, step 2: a release's table becomes canonical columns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from xrdatasets.datasets.csvtables import OUTSIDE, may_leave
from xrdatasets.datasets.readers import READER
from xrdatasets.errors import TableError
from xrdatasets.labels.findings import near, plain
from xrdatasets.labels.terms import word_of
from xrdatasets.resources import mappings, read_rows

__all__ = ["CANONICAL", "ID_COLUMNS", "VIEWS", "canonical", "concat_tables", "view_words"]

CANONICAL = ("image_id", "patient_id", "study_id", "view", "sex", "age", "split", "dataset")
logger = logging.getLogger(__name__)

ID_COLUMNS = ("image_id", "patient_id", "study_id")  # text, also where it looks like numbers
VIEWS = ("PA", "AP", "AP_SUPINE", "LATERAL", "UNKNOWN")
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
# DICOM age strings (PS3.5, value representation AS): three digits and a unit
AGE_UNITS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
# the oldest person on record reached 122 years: NIH's first table has ages up to 414
OLDEST = 122


def canonical(frame: pd.DataFrame, columns: Mapping[str, str], *, dataset: str) -> pd.DataFrame:
    """A table with the canonical columns first, then the release's own.

    Args:
        frame: the release's table, one row per image.
        columns: source column of each canonical one; those not named must carry the canonical name
            already, or stay empty.
        dataset: key of the dataset.

    Returns:
        ``image_id patient_id study_id view sex age split dataset`` and the columns that were not used:
        ids as text, view, sex, split and dataset as categories, age as float32 years; NA where not known,
        but for views, which are ``UNKNOWN`` then.

    Raises:
        TableError: a view that no row of ``views.csv`` knows; an image id that is missing, repeated, or a
            path that leaves the root.
    """
    own = {name: columns.get(name, name) for name in CANONICAL}
    made: dict[str, Any] = {name: _made(name, frame, own[name], dataset) for name in CANONICAL[:-1]}
    made["dataset"] = pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), [dataset])
    _check_ids(made["image_id"], frame.get(READER), dataset)
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


def view_words(views: object) -> tuple[str, ...]:
    """Canonical views from a word or words; ``"*"`` or None means all.

    Raises:
        ValueError: a word is no view.
    """
    if views is None or (isinstance(views, str) and views == "*"):
        return VIEWS
    if not isinstance(views, Iterable):
        msg = f"views: expected {', '.join(VIEWS)} or '*', got {views!r}."
        raise ValueError(msg)
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
        case "view":
            return _by_word(source, lambda word: _view(word, dataset, column), empty="UNKNOWN")
        case "sex":
            return _by_word(source, lambda word: SEXES.get(word.strip().lower()))
        case "age":
            return _ages(source, column, dataset)
        case "split":
            return _by_word(source, str)
        case _:
            return _ids(source)


def _ids(source: pd.Series) -> pd.Series:
    """Ids as text, NA where blank."""
    text = source.astype("str")
    blank = source.isna() | (text == "")
    return text.mask(blank) if blank.any() else text


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


def _ages(source: pd.Series, column: str, dataset: str) -> pd.Series:
    """Ages in years, float32; NaN where missing, impossible or no number (which is logged)."""
    if source.dtype.kind not in "fiu":
        rows, words = pd.factorize(source)
        years = np.array([*(_years(str(word)) for word in words), np.nan], dtype=np.float32)
        junk = [
            word for word, age in zip(words, years[:-1], strict=True) if np.isnan(age) and str(word).strip()
        ]
        if junk:
            listed = ", ".join(map(repr, junk[:3]))
            logger.warning(
                "%s: column %r: %s are no ages in years; they count as unknown", dataset, column, listed
            )
        source = pd.Series(years[rows], index=source.index)
    values = source.to_numpy(dtype=np.float32, na_value=np.nan)
    return pd.Series(
        np.where((values >= 0) & (values <= OLDEST), values, np.nan), index=source.index, dtype=np.float32
    )


def _years(word: str) -> float:
    """An age in years, also as in DICOM ("060Y", "006M"); NaN for anything else."""
    text = word.strip().upper()
    unit = AGE_UNITS.get(text[-1:], 0.0)
    number = text[:-1] if unit else text
    return float(number) * (unit or 1.0) if number.replace(".", "", 1).isdecimal() else np.nan


def _check_ids(ids: pd.Series, readers: pd.Series | None, dataset: str) -> None:
    if ids.isna().any():
        row = int(ids.isna().to_numpy().argmax()) + 1
        msg = f"{dataset}: row {row} of the table has no image id. Expected one per row."
        raise TableError(msg)
    words = ids.to_numpy(dtype=object)
    if may_leave(words) and (bad := ids.str.replace("\\", "/").str.contains(OUTSIDE, regex=True)).any():
        row = int(bad.to_numpy().argmax())
        msg = (
            f"{dataset}: row {row + 1} of the table: image id {words[row]!r} points outside the root. "
            "Expected a path below it. Download the table again, from its publisher."
        )
        raise TableError(msg)
    if readers is not None:
        again = pd.DataFrame({"image": ids, "reader": readers}).duplicated()
        _refuse_repeats(ids, again, "image and reader", dataset)
    elif len(set(words)) < len(ids):  # half the time of `is_unique`
        _refuse_repeats(ids, ids.duplicated(), "image", dataset)


def _refuse_repeats(ids: pd.Series, again: pd.Series, what: str, dataset: str) -> None:
    """Refuse rows that say a second time what an image is: nobody can tell which one is right.

    Raises:
        TableError: there are some.
    """
    if again.any():
        msg = (
            f"{dataset}: image {ids[again].iloc[0]!r} stands in more than one row ({int(again.sum()):,} such "
            f"rows). Expected one row per {what}. Download the table again, or leave one row of each."
        )
        raise TableError(msg)


@cache
def _view_of() -> dict[str, str]:
    rows = read_rows(mappings() / "views.csv", ("source", "view", "note"))
    for row in rows:
        if row.cells["view"] not in VIEWS:
            expected = f"view to be one of {', '.join(VIEWS)}"
            raise row.error(expected, row.cells["view"])
    names = {plain(view): view for view in VIEWS}
    return names | {plain(row.cells["source"]): row.cells["view"] for row in rows}
