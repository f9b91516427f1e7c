"""The command line's datasets: from the words ``NAME=ROOT`` to datasets that are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdatasets.cli import output

if TYPE_CHECKING:
    from xrdatasets.datasets import CXRDataset

__all__ = ["Source", "open_all", "parse"]


@dataclass(frozen=True, slots=True)
class Source:
    """A release and the folder of its download.

    Attributes:
        key: key of the dataset.
        root: the folder, as the user wrote it.
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
    seen: set[tuple[str, Path]] = set()
    for word in words:
        name, _, root = word.partition("=")
        if not name or not root:
            msg = f"expected NAME=ROOT, got {word!r}. For example: nih=/data/nih"
            raise ValueError(msg)
        source = Source(class_of(name).name, root)
        place = (source.key, _folder(root))
        if place in seen:
            msg = f"expected each NAME=ROOT once, got {word!r} again."
            raise ValueError(msg)
        seen.add(place)
        sources.append(source)
    return sources


def _folder(root: str) -> Path:
    """The folder that a root means, whatever way it is written."""
    try:
        return Path(root).expanduser().resolve()
    except RuntimeError as error:  # what pathlib raises for a home that it does not know
        msg = f"no such home folder in {root!r}. Write the whole path."
        raise ValueError(msg) from error


def open_all(sources: Sequence[Source], **options: Any) -> list[CXRDataset]:
    """The datasets, opened one after the other with the same options; a terminal shows which."""
    from xrdatasets.datasets import class_of

    opened = []
    for number, source in enumerate(sources, start=1):
        with output.progress(f"opening {source.key} in {source.root} ({number} of {len(sources)})"):
            opened.append(class_of(source.key)(source.root, **options))
    return opened
