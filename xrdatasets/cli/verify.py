"""The command ``verify``: whether downloads are the releases that they should be.

Exit code 0 if everything that is known agrees, 1 if something differs (a part of a release does), 2 for a
mistake in the call or a table that cannot be read.

JSON: ``ok`` (all datasets), and ``datasets``, each with

- ``dataset`` (key), ``root``, ``ok``;
- ``checks``: ``what`` (``images``, ``patients``, ``positive``, ``negative``, ``uncertain``), ``finding``
  (null for the first two), ``expected`` (null if not known), ``found``, ``agrees`` (null if not known);
- ``counted_split``: the split that the counts of the findings are of, null for all images;
- ``missing``: ids of images without a file; ``doubles``: of those that could be two files;
- ``exclusions``: ``image_id`` and ``reason`` of images that are left out when the dataset is opened;
- ``decoded``: images that were opened, null without ``--decode``; ``damaged``: ``image_id`` and ``reason``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output, sources

if TYPE_CHECKING:
    from rich.table import Table

    from xrdatasets.reports import Verification

__all__ = ["HELP", "command"]

HELP = """Compare downloads with what is known of their releases.

Counts images, patients and labels, looks for the file of every image, and with --decode opens each of them.
A part of a release differs from the release: what differs is shown, and the exit code is 1.

\b
Examples:
  xrdatasets verify nih=/data/nih
  xrdatasets verify nih=/data/nih kermany=/data/chest_xray --decode
  xrdatasets verify nih=/data/nih --decode --workers 8 --json
"""
# names of images that people are shown; --json has all
MOST_SHOWN = 20


def command(
    datasets: Annotated[
        list[str], typer.Argument(metavar="NAME=ROOT", help="Dataset and the folder of its download.")
    ],
    decode: Annotated[bool, typer.Option("--decode", help="Also open every image.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes that open images. [default: one per CPU]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Compare downloads with what is known of their releases.

    Raises:
        XRDatasetsError: a dataset cannot be opened.
        ValueError: an option's value is wrong.
        typer.Exit: something differs.
    """
    if workers is not None and workers < 1:
        msg = f"--workers: expected at least 1, got {workers}."
        raise ValueError(msg)
    found = [
        _verified(source, decode=decode, workers=workers, where=f"{number} of {len(datasets)}")
        for number, source in enumerate(sources.parse(datasets), start=1)
    ]
    ok = all(verification.ok for verification in found)
    if as_json:
        output.to_json("verify", ok=ok, datasets=[_to_json(verification) for verification in found])
    else:
        output.emit(*(part for verification in found for part in _shown(verification)))
    if not ok:
        raise typer.Exit(1)


def _verified(source: sources.Source, *, decode: bool, workers: int | None, where: str) -> Verification:
    """One dataset; on a terminal with a word on what is going on."""
    from xrdatasets.reports import verify

    bar = sys.stderr.isatty()
    if decode:  # it has a bar of its own
        return verify(source.key, source.root, decode=True, workers=workers, progress=bar)
    with output.progress(f"counting {source.key} in {source.root} ({where})"):
        return verify(source.key, source.root)


def _to_json(found: Verification) -> dict[str, object]:
    checks = [
        {
            "what": row["what"],
            "finding": row["finding"] or None,
            "expected": _whole(row["expected"]),
            "found": int(row["found"]),
            "agrees": None if _whole(row["expected"]) is None else bool(row["agrees"]),
        }
        for row in found.checks.to_dict("records")
    ]
    return {
        "dataset": found.dataset,
        "root": found.root,
        "ok": found.ok,
        "checks": checks,
        "counted_split": found.counted_split,
        "missing": list(found.missing),
        "doubles": list(found.doubles),
        "exclusions": [{"image_id": key, "reason": why} for key, why in found.exclusions.items()],
        "decoded": found.decoded,
        "damaged": found.damaged.to_dict("records"),
    }


def _whole(number: object) -> int | None:
    """A whole number, None for pandas' NA."""
    return int(number) if isinstance(number, int) else None


def _shown(found: Verification) -> list[str | Table]:
    """One dataset for people, what agrees in a sentence and what does not in full."""
    known = int(found.checks["expected"].notna().sum())
    head = f"{found.dataset} in {found.root}: {'agrees with' if found.ok else 'differs from'} its release."
    split = f" (those of findings in the split {found.counted_split})" if found.counted_split else ""
    agreeing = known - len(found.differing)
    parts: list[str | Table] = [head, f"{agreeing} of {known} known counts agree{split}."]
    if not found.differing.empty:
        parts.append(_differing(found))
    parts += _names("Images without a file", found.missing)
    parts += _names("Images that could be two files", found.doubles)
    if found.exclusions:
        rows = list(found.exclusions.items())
        parts += ["", f"Left out when opened, by exclusions.csv: {len(rows):,}", *_rows(rows)]
    if found.decoded is not None:
        rows = list(zip(found.damaged["image_id"], found.damaged["reason"], strict=True))
        parts += [f"{found.decoded:,} images opened, {len(rows):,} of them damaged.", *_rows(rows)]
    return [*parts, ""]


def _differing(found: Verification) -> Table:
    rows = [
        (row["what"], row["finding"], int(row["expected"]), int(row["found"]))
        for row in found.differing.to_dict("records")
    ]
    return output.table(("Count", "Finding", "Expected", "Found"), rows)


def _names(title: str, ids: Sequence[str]) -> list[str | Table]:
    if not ids:
        return []
    more = f", and {len(ids) - MOST_SHOWN:,} more" if len(ids) > MOST_SHOWN else ""
    return [f"{title}: {len(ids):,} ({', '.join(ids[:MOST_SHOWN])}{more})"]


def _rows(rows: Sequence[tuple[str, str]]) -> list[str | Table]:
    if not rows:
        return []
    more = [f"and {len(rows) - MOST_SHOWN:,} more (--json has all)"] if len(rows) > MOST_SHOWN else []
    return [output.table(("Image", "Reason"), rows[:MOST_SHOWN]), *more]
