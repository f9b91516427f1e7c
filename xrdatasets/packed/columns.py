"""Packed, step 1: the columns of a table as arrays of numbers, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.errors import TableError

__all__ = ["pack_table", "unpack_table"]

Arrays = dict[str, npt.NDArray[Any]]
END = "\0"
"""Ends each text: no CSV file that is read here holds one."""


def pack_table(table: pd.DataFrame) -> tuple[list[dict[str, str]], Arrays]:
    """A table as arrays.

    Args:
        table: columns of text, categories, numbers, truth values or times.

    Returns:
        What each column is, in order (``name``, ``kind``, ``dtype``), and the arrays by name: of column
        number k ``k`` (its numbers, or the place of its word), ``k.words`` and ``k.blank``.

    Raises:
        TableError: a column holds something else, or a text with a NUL.
    """
    kinds: list[dict[str, str]] = []
    arrays: Arrays = {}
    for number, (name, column) in enumerate(table.items()):
        kind, found = _pack(str(name), column)
        kinds.append({"name": str(name), "kind": kind, "dtype": _dtype_of(column)})
        arrays |= {f"{number}{part}": array for part, array in found.items()}
    return kinds, arrays


def unpack_table(kinds: list[dict[str, str]], arrays: Callable[[str], npt.NDArray[Any]]) -> pd.DataFrame:
    """The table that `pack_table` took apart.

    Args:
        kinds: what each column is.
        arrays: gives an array by its name.
    """
    columns = {
        each["name"]: _UNPACK[each["kind"]](each["dtype"], str(number), arrays)
        for number, each in enumerate(kinds)
    }
    return pd.DataFrame(columns)


def _pack(name: str, column: pd.Series) -> tuple[str, Arrays]:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _pack_categories(name, column)
    if dtype.kind == "M" and isinstance(dtype, np.dtype):
        return "time", {"": column.to_numpy().astype(np.int64)}
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return "number", {"": np.ascontiguousarray(column.to_numpy())}
    if isinstance(dtype, pd.api.extensions.ExtensionDtype) and dtype.kind in "biuf":
        blank = column.isna().to_numpy()
        values = column.fillna(dtype.type(0)).to_numpy(dtype=dtype.type)
        return "nullable", {"": values, ".blank": blank}
    places, words = pd.factorize(column)
    if not all(isinstance(word, str) for word in words):
        msg = f"column {name!r} holds neither text nor numbers alone. Expected one kind. Drop the column."
        raise TableError(msg)
    return "text", {"": places.astype(np.int32), ".words": _pack_words(name, words)}


def _pack_categories(name: str, column: pd.Series) -> tuple[str, Arrays]:
    words, places = column.cat.categories, column.cat.codes.to_numpy()
    if words.dtype.kind in "iuf":
        return "numbered", {"": places, ".words": words.to_numpy()}
    if all(isinstance(word, str) for word in words):
        return "category", {"": places, ".words": _pack_words(name, words)}
    msg = f"column {name!r} has categories that are neither text nor numbers. Drop the column."
    raise TableError(msg)


def _pack_words(name: str, words: Any) -> npt.NDArray[np.uint8]:
    text = "".join(f"{word}{END}" for word in words)
    if text.count(END) != len(words):
        msg = f"column {name!r} holds a text with a NUL, which no text file has. Drop the column."
        raise TableError(msg)
    return np.frombuffer(text.encode(), np.uint8)


def _words(name: str, arrays: Callable[[str], npt.NDArray[Any]]) -> list[str]:
    return arrays(f"{name}.words").tobytes().decode().split(END)[:-1]


def _dtype_of(column: pd.Series) -> str:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return f"{dtype.categories.dtype}{' ordered' if dtype.ordered else ''}"
    return dtype.str if isinstance(dtype, np.dtype) else str(dtype)


def _text(dtype: str, name: str, arrays: Callable[[str], npt.NDArray[Any]]) -> Any:
    words = np.array([*_words(name, arrays), np.nan], dtype=object)  # the last: place -1, nothing
    return pd.array(words[arrays(name)], dtype="object" if dtype == "|O" else dtype)


def _category(dtype: str, name: str, arrays: Callable[[str], npt.NDArray[Any]]) -> Any:
    base, _, ordered = dtype.partition(" ")
    words = pd.Index(_words(name, arrays), dtype=base)
    return pd.Categorical.from_codes(arrays(name), words, ordered=bool(ordered))


def _numbered(dtype: str, name: str, arrays: Callable[[str], npt.NDArray[Any]]) -> Any:
    words = pd.Index(arrays(f"{name}.words"))
    return pd.Categorical.from_codes(arrays(name), words, ordered=dtype.endswith(" ordered"))


def _nullable(dtype: str, name: str, arrays: Callable[[str], npt.NDArray[Any]]) -> Any:
    values = pd.Series(arrays(name)).astype(dtype)
    return values.mask(arrays(f"{name}.blank")).array


_UNPACK: Mapping[str, Callable[[str, str, Callable[[str], npt.NDArray[Any]]], Any]] = {
    "text": _text,
    "category": _category,
    "numbered": _numbered,
    "nullable": _nullable,
    "number": lambda dtype, name, arrays: arrays(name).astype(dtype, copy=False),
    "time": lambda dtype, name, arrays: arrays(name).view(dtype),
}
