"""Models, step 7: which weights have a name: one row each of ``mappings/weights.csv``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args
from urllib.parse import urlsplit

from xrdatasets.errors import WeightsNotFoundError
from xrdatasets.facts import dataset_keys
from xrdatasets.images import Intensity
from xrdatasets.labels import LabelSpace, space_names
from xrdatasets.labels.findings import near
from xrdatasets.models.backbones.making import BACKBONES
from xrdatasets.resources import Row, mappings, read_rows

__all__ = ["Format", "Source", "WeightsEntry", "weights_entries", "weights_entry"]

Source = Literal["bundled", "url"]
"""Where a file of weights is: in this package, or on a server."""

Format = Literal["safetensors", "torchxrayvision-module", "torchxrayvision-state"]
"""What a file of weights is: ours, or a pickled module or a pickled state dict of torchxrayvision."""

COLUMNS = (
    "name", "alias", "source", "location", "sha256", "format", "architecture", "space", "trained", "size",
    "intensity", "trained_on", "licence", "reference", "note",
)  # fmt: skip
# one name, of letters that are a file's name on every system; no hidden file, no way up
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ADDRESS = re.compile(r"https?://[^\s/@]+/\S*")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """Weights that this package knows by name: a row of ``mappings/weights.csv``.

    Attributes:
        name: the name.
        alias: a shorter one, empty if there is none.
        source: ``bundled``, a file of this package, or ``url``.
        location: the file's name, or its address.
        sha256: its digest, 64 hexadecimal digits; empty if not known.
        format: what the file is (`Format`).
        architecture: name of the backbone (`xrdatasets.models.BACKBONES`).
        space: name of the label space.
        trained: the findings whose outputs were trained, in the order of the space.
        size: rows and columns of the images.
        intensity: range of the images.
        trained_on: keys of the datasets.
        licence: of the weights.
        reference: the publication, and where the facts come from.
        note: what else is known.

    Example:
        >>> entry = weights_entry("chex")
        >>> entry.name, len(entry.trained), entry.trained_on
        ('densenet121-res224-chex', 11, ('chexpert',))
    """

    name: str
    alias: str
    source: Source
    location: str
    sha256: str
    format: Format
    architecture: str
    space: str
    trained: tuple[str, ...]
    size: int
    intensity: Intensity
    trained_on: tuple[str, ...]
    licence: str
    reference: str
    note: str

    @property
    def file(self) -> str:
        """Its name on disk: the last part of the location."""
        return self.location if self.source == "bundled" else urlsplit(self.location).path.rpartition("/")[2]


def weights_entries() -> tuple[WeightsEntry, ...]:
    """All weights that have a name, in the order of ``mappings/weights.csv``.

    Raises:
        MappingError: the table is wrong: file, line and what was expected.

    Example:
        >>> "densenet121-res224-all" in [entry.name for entry in weights_entries()]
        True
    """
    return _table()


def weights_entry(name: str) -> WeightsEntry:
    """The weights with a name or alias.

    Args:
        name: the name, in any case.

    Returns:
        The row.

    Raises:
        WeightsNotFoundError: no weights are called so; the message gives the nearest names.
        MappingError: the table is wrong.

    Example:
        >>> weights_entry("all").architecture
        'densenet121'
    """
    known = {each.lower(): entry for entry in weights_entries() for each in (entry.alias, entry.name) if each}
    plain = str(name).lower()
    if plain in known:
        return known[plain]
    names = [entry.name for entry in weights_entries()]
    hint = near(plain, known) or f"Expected one of: {', '.join(names)}."
    msg = f"no weights are called {name!r}, and no such file is there. {hint}"
    raise WeightsNotFoundError(msg)


@cache
def _table() -> tuple[WeightsEntry, ...]:
    entries: list[WeightsEntry] = []
    names: set[str] = set()
    files: set[str] = set()
    for row in read_rows(mappings() / "weights.csv", COLUMNS):
        entry = _entry(row)
        for name in (entry.name, entry.alias):
            if name.lower() in names:
                raise row.error("each name and alias once", name)
            if name:
                names.add(name.lower())
        if entry.file.lower() in files:  # they would lie in one place
            raise row.error("each file name once", entry.file)
        files.add(entry.file.lower())
        entries.append(entry)
    return tuple(entries)


def _entry(row: Row) -> WeightsEntry:
    cells = row.cells
    for column in ("name", "licence", "reference"):
        if not cells[column]:
            expected = f"{column} to be filled"
            raise row.error(expected, "")
    for column in ("name", "alias"):
        if cells[column] and not FILE.fullmatch(cells[column]):
            expected = f"{column} of letters, digits, '.', '_' and '-'"
            raise row.error(expected, cells[column])
    if cells["sha256"] and not DIGEST.fullmatch(cells["sha256"]):
        raise row.error("sha256 to be 64 hexadecimal digits in small letters, or empty", cells["sha256"])
    if not (cells["size"].isdecimal() and int(cells["size"])):
        raise row.error("size to be a whole number of at least 1", cells["size"])
    space = _one_of(row, "space", space_names())
    entry = WeightsEntry(
        cells["name"],
        cells["alias"],
        _one_of(row, "source", get_args(Source)),  # type: ignore[arg-type]
        cells["location"],
        cells["sha256"],
        _one_of(row, "format", get_args(Format)),  # type: ignore[arg-type]
        _one_of(row, "architecture", BACKBONES),
        space,
        _trained(row, LabelSpace.load(space)),
        int(cells["size"]),
        _one_of(row, "intensity", get_args(Intensity)),  # type: ignore[arg-type]
        _listed(row, "trained_on", dataset_keys()),
        cells["licence"],
        cells["reference"],
        cells["note"],
    )
    _check_location(row, entry)
    return entry


def _check_location(row: Row, entry: WeightsEntry) -> None:
    if entry.source == "url" and not ADDRESS.fullmatch(entry.location):
        raise row.error("location to be an address that begins with https:// or http://", entry.location)
    if not FILE.fullmatch(entry.file):
        raise row.error("location to end in the name of a file", entry.location)
    if entry.source == "bundled" and not entry.sha256:
        raise row.error("sha256 of a bundled file", "")


def _one_of(row: Row, column: str, known: Collection[str]) -> str:
    cell = row.cells[column]
    if cell not in known:
        expected = f"{column} to be one of {', '.join(known)}"
        raise row.error(expected, cell)
    return cell


def _listed(row: Row, column: str, known: Collection[str]) -> tuple[str, ...]:
    """Words of a cell, joined by a vertical bar, each known and once."""
    words = tuple(row.cells[column].split("|"))
    for word in words:
        if word not in known or words.count(word) > 1:
            expected = f"{column} to name one or more of {', '.join(known)}, each once"
            raise row.error(expected, row.cells[column])
    return words


def _trained(row: Row, space: LabelSpace) -> tuple[str, ...]:
    if not row.cells["trained"]:
        return space.labels
    named = _listed(row, "trained", space.labels)
    return tuple(label for label in space.labels if label in named)
