"""The command ``download``: the files of a release that is open to a program.

JSON: ``dataset`` (key), ``root``, ``licence``, ``url`` (the page of the release), ``dry_run``, and
``files``, each with ``file``, ``url`` (null: to be had by hand), ``bytes`` and ``checksum`` as
``mappings/downloads.csv`` has them (null if not known), and ``path`` (null if it was not downloaded).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from xrdatasets.downloading import Source
    from xrdatasets.facts import Facts

__all__ = ["HELP", "command"]

HELP = """Download a release that is open: no login, and terms that let a program take it.

What is cut off is resumed by the same command, what is there already is checked and not fetched again. A
file has its name only when it is whole. Releases that ask for a registration say so, with their page.

\b
Examples:
  xrdatasets download kermany /data/kermany --unpack
  xrdatasets download nih /data/nih --dry-run
  xrdatasets download nih /data/nih --file images_001.tar.gz
"""


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Dataset.")],
    root: Annotated[str, typer.Argument(metavar="ROOT", help="Folder; made if it is not there.")],
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="FILE", help="Only this file; may repeat. [default: all]"),
    ] = None,
    unpack: Annotated[bool, typer.Option("--unpack", help="Also unpack the archives.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be downloaded.")] = False,
    retries: Annotated[int, typer.Option(metavar="N", help="How often to try again without progress.")] = 5,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Without a byte, a server counts as stalled.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Download a release that is open.

    Raises:
        XRDatasetsError: there is no such dataset, it is not open, or a file cannot be had.
        ValueError: an option's value is wrong.
    """
    from xrdatasets.downloading import chosen_of, download, folder_of, sources_of

    facts, chosen = chosen_of(name, files or None)
    folder_of(root)
    there: dict[str, Path] = {}
    if not dry_run:
        paths = download(
            facts.key,
            root,
            files=files or None,
            unpack=unpack,
            progress=sys.stderr.isatty(),
            retries=retries,
            timeout=timeout,
        )
        there = {path.name: path for path in paths}
    by_hand = () if files else tuple(source for source in sources_of(facts.key) if not source.url)
    shown = (*chosen, *by_hand)
    if as_json:
        output.to_json(
            "download",
            dataset=facts.key,
            root=root,
            licence=facts.licence,
            url=facts.url,
            dry_run=dry_run,
            files=[_to_json(source, there) for source in shown],
        )
    else:
        output.emit(*_shown(facts, shown, there, root))


def _to_json(source: Source, there: dict[str, Path]) -> dict[str, object]:
    path = there.get(source.file)
    return {
        "file": source.file,
        "url": source.url or None,
        "bytes": source.size,
        "checksum": source.checksum or None,
        "path": None if path is None else str(path),
    }


def _shown(facts: Facts, shown: Sequence[Source], there: dict[str, Path], root: str) -> list[str | Table]:
    rows = [
        (source.file, _bytes(source, there), _state(source, there), source.checksum.partition(":")[0])
        for source in shown
    ]
    known = sum(source.size or 0 for source in shown)
    more = " or more" if any(source.size is None for source in shown) else ""
    done = f"in {root}" if there else f"would be downloaded to {root}: {known:,} bytes{more}"
    return [
        f"{facts.title}: {facts.licence}",
        facts.url,
        "",
        output.table(("File", "Bytes", "State", "Checksum"), rows),
        "",
        f"{facts.key} {done}",
    ]


def _bytes(source: Source, there: dict[str, Path]) -> int | None:
    path = there.get(source.file)
    return source.size if path is None else path.stat().st_size


def _state(source: Source, there: dict[str, Path]) -> str:
    if not source.url:
        return "by hand"
    return "whole" if source.file in there else "open"
