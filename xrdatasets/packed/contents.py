"""Packed, step 2: all of a packed file but its pixels, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.options import ImageOptions
from xrdatasets.datasets.tables import CANONICAL
from xrdatasets.labels.consensus import Readings
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.terms import TermMatrix
from xrdatasets.packed.card import MAX_VALUES, facts_of, matrix_of, table_of, terms_of
from xrdatasets.packed.columns import unpack_table
from xrdatasets.packed.layout import Layout, layout_of, reading

if TYPE_CHECKING:
    import h5py

__all__ = ["Contents"]

# deflate makes nothing smaller than by 1,032 to 1 (zlib's manual): an array that claims more is a lie
MOST = 1032


@dataclass(frozen=True)
class Contents:
    """What a packed file holds, its pixels apart.

    Attributes:
        card: what it says of the dataset.
        options: how its images are.
        layout: where they lie.
        readable: (N,) bool: rows that have an image.
        places: (N,) uint8: in which of ``card["tables"]`` each row stood.
        table: N rows.
        terms: what the source said of them.
        matrix: their labels.
    """

    card: dict[str, Any]
    options: ImageOptions
    layout: Layout
    readable: npt.NDArray[np.bool_]
    places: npt.NDArray[np.uint8]
    table: pd.DataFrame
    terms: TermMatrix | Readings
    matrix: LabelMatrix

    @classmethod
    def read(cls, path: Path) -> Contents:
        """All that a file holds.

        Raises:
            PackedFileError: it is missing, cut, damaged, or of a newer version.
        """
        layout = layout_of(path)
        with reading(path) as file:
            card: dict[str, Any] = json.loads(_get(file, "card").tobytes())
            table = unpack_table(card["columns"], lambda name: _get(file, f"table/{name}"))
            readable, places = _get(file, "readable").astype(bool), _get(file, "labels/tables")
            _check(card, layout, table, places)
            keys = table["image_id"].to_numpy(dtype=object)
            return cls(
                card,
                ImageOptions(card["size"], card["crop"], card["intensity"], card["engine"]),
                layout,
                readable,
                places,
                table,
                terms_of(card, lambda name: _get(file, name), len(table)),
                matrix_of(card, lambda name: _get(file, name), keys),
            )


def _get(file: h5py.File, name: str) -> npt.NDArray[Any]:
    """An array of the file, if its bytes can hold it.

    Raises:
        ValueError: it claims more.
    """
    stored = file[name]
    if stored.nbytes > MOST * stored.id.get_storage_size():
        msg = f"{name} claims more bytes than the file can hold"
        raise ValueError(msg)
    array: npt.NDArray[Any] = stored[()]
    return array


def _check(card: dict[str, Any], layout: Layout, table: pd.DataFrame, places: npt.NDArray[Any]) -> None:
    """Refuse parts of a file that do not belong together, and a card that lacks something.

    Raises:
        ValueError: they do not.
        KeyError: it does.
    """
    count = len(table)
    shape, dtype = layout.images.shape, layout.images.dtype.name
    if shape != (count, card["size"], card["size"]) or card["max_value"] != MAX_VALUES[dtype]:
        msg = f"images of shape {shape} and {dtype} for {count} rows of size {card['size']}"
        raise ValueError(msg)
    known = places.shape == (count,) and places.max(initial=0) < len(card["tables"])
    if layout.readable.shape != (count,) or not known:
        msg = f"{count} rows, of which other parts of the file do not know"
        raise ValueError(msg)
    if tuple(table.columns[: len(CANONICAL)]) != CANONICAL:
        msg = f"a table of other columns than {', '.join(CANONICAL)}"
        raise ValueError(msg)
    rules, terms = table_of(card), {tuple(term) for term in card["terms"]}
    if not {(term.column, term.source) for term in rules.terms} <= terms:
        raise ValueError("rules of terms of which it does not tell")
    facts_of(card)
    if card["closure"] is not None:
        Tree.load(card["closure"])
    for name in ("compat", "left_out", "list_column", "mappings", "released", "traced"):
        _ = card[name]
