"""The command line's datasets: from the words ``NAME=ROOT`` to datasets that are open."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdatasets.cli import output

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["Source", "open_all", "parse"]


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset and its root.

    Attributes:
        key: key of the dataset.
        root: the folder of the download (or what else the dataset calls its root), or a packed file, as the
            user wrote it.
    """

    key: str
    root: str


def parse(words: Sequence[str]) -> list[Source]:
    """Sources from ``NAME=ROOT``; the name ends at the first ``=``, the root may hold others.

    Raises:
        ValueError: a word without name or root, the same root twice, or a home folder that is unknown.
        DatasetNotFoundError: no dataset is called so.
    """
    from xrdatasets.datasets import class_of

    sources: list[Source] = []
    seen: set[tuple[str, Hashable]] = set()
    for word in words:
        name, _, root = word.partition("=")
        if not name or not root:
            msg = f"expected NAME=ROOT, got {word!r}. For example: nih=/data/nih"
            raise ValueError(msg)
        found = class_of(name)
        source = Source(found.name, root)
        place = (source.key, found.place(root))
        if place in seen:
            msg = f"expected each NAME=ROOT once, got {word!r} again."
            raise ValueError(msg)
        seen.add(place)
        sources.append(source)
    return sources


def open_all(sources: Sequence[Source], **options: Any) -> list[Single]:
    """The datasets, opened one after the other with the same options; a terminal shows which.

    Raises:
        ValueError: a packed file is of another dataset than the one it was named as.
    """
    opened = []
    for number, source in enumerate(sources, start=1):
        with output.progress(f"opening {source.key} in {source.root} ({number} of {len(sources)})"):
            opened.append(_open(source, options))
    return opened


def _open(source: Source, options: dict[str, Any]) -> Single:
    """A release in its folder, or a packed file."""
    from xrdatasets.datasets import class_of
    from xrdatasets.datasets.registry import table_keys
    from xrdatasets.packed.layout import is_packed

    if not is_packed(Path(source.root).expanduser()):
        return class_of(source.key).at(source.root, **options)
    from xrdatasets.packed import PackedDataset

    dataset = PackedDataset.at(source.root, **options)
    if dataset.facts.key not in table_keys(source.key):
        msg = f"expected a packed file of {source.key}, got {source.root!r}, which is of {dataset.facts.key}."
        raise ValueError(msg)
    return dataset
