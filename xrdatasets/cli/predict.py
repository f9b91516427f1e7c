"""The command ``predict``: what a classifier says of files and folders of images.

Exit code 0 if every image was read, 1 if some could not be (they are listed on stderr, and in the output), 2
for a mistake in the call, 130 if interrupted: the same command then goes on.

JSON, on stdout and as a file:

- ``weights``: ``name``, ``sha256`` of their file or null, ``fingerprint`` of what the answers depend on;
- ``space``, ``findings``, ``untrained`` (findings without a number), ``operating_points`` (by finding, null
  for none), ``inputs`` (what images are brought to), ``xrdatasets`` (version);
- ``images`` (that were read), ``skipped`` (files in folders that are no images), ``failed``: ``path`` and
  ``reason``;
- ``predictions``: ``path``, ``probabilities`` (by finding, null if untrained) and, with ``--heatmaps``,
  ``heatmaps`` (names of pictures, by finding). With ``--out``, stdout has ``out`` in their place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from rich.table import Table

    from xrdatasets.models import Classifier
    from xrdatasets.prediction import Predicted

__all__ = ["HELP", "command"]

HELP = """Ask a classifier about images: PNG, JPEG, DICOM, TIFF, BMP.

PATH is a file, a folder (all images below it, by their content), a pattern in quotes, or - for names on
stdin. Files that cannot be read are listed at the end. If it is interrupted, the same command goes on where
it stopped. Numbers are probabilities, 0.5 at the operating point where the weights have one. For research:
no number is a diagnosis.

\b
Examples:
  xrdatasets predict film.dcm --weights densenet121-res224-all
  xrdatasets predict /data/films --weights densenet121-res224-all --out films.csv
  xrdatasets predict "/data/**/*_PA.png" --weights mine.safetensors --out films.json
  xrdatasets predict film.png --weights mine.safetensors --heatmaps maps --finding Effusion
  find . -name "*.dcm" -print0 | xrdatasets predict - --weights mine.safetensors --json
"""
# more findings than these do not fit on a line: the most probable ones are shown
MOST_COLUMNS, MOST_PROBABLE = 5, 3
NO_POINTS = "none"


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files, folders, patterns, or -.")],
    weights: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Name of published weights, or a file of them.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write .csv, .json or .jsonl. [default: a table here]"),
    ] = None,
    heatmaps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw where a finding is seen, one PNG each.")
    ] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Draw this one; may be repeated. [default: the most probable]"),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Images that the network sees at once.")] = 16,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Processes that read images. [default: one per CPU, 0 for few images]"
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:N, mps or auto.")] = "auto",
    recursive: Annotated[bool, typer.Option(help="Look into folders of folders.")] = True,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many images.")] = None,
    operating_points: Annotated[
        str, typer.Option(metavar="WORD", help="Of the weights: published, corrected or none.")
    ] = "published",
    like: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Published weights that a file of torchxrayvision is of."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew, and replace a file that is there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Predict.

    Raises:
        XRDatasetsError: the weights cannot be loaded, or an interrupted call had others.
        ValueError: an option's value is wrong.
        typer.Exit: some images cannot be read.
    """
    from xrdatasets.prediction import find_images, predict_files

    if finding and heatmaps is None:
        raise ValueError("--finding: expected --heatmaps too, the folder of the pictures.")
    with output.progress("looking for images"):
        files = find_images(_names(paths), recursive=recursive, limit=limit)
    classifier = _classifier(weights, operating_points, like, device)
    try:
        found = predict_files(
            classifier, files, out=out, batch_size=batch_size, workers=workers, heatmaps=heatmaps,
            findings=finding or None, weights=_told(weights), progress=sys.stderr.isatty(),
            resume=not overwrite,
        )  # fmt: skip
    except KeyboardInterrupt:
        if out is not None:
            output.warn("interrupted", f"what is done is in {out}.part; the same command goes on from there.")
        raise
    _tell(found, as_json=as_json)
    for path, reason in found.failed.itertuples(index=False):
        output.warn(_plain(path), reason)
    if not found.ok:
        raise typer.Exit(1)


def _names(paths: Sequence[str]) -> list[str | Path]:
    """The names, those on stdin in the place of ``-``: one a line, or with a zero byte behind each."""
    names: list[str | Path] = []
    for path in paths:
        if path != "-":
            names.append(path)
            continue
        given = sys.stdin.buffer.read()
        lines = given.split(b"\0") if b"\0" in given else given.splitlines()
        names += [Path(os.fsdecode(line)) for line in lines if line.strip()]
    return names


def _classifier(weights: str, points: str, like: str | None, device: str) -> Classifier:
    """The classifier on its device.

    Raises:
        XRDatasetsError: it cannot be loaded.
        ValueError: there is no such device, or no such operating points.
    """
    from xrdatasets.models.weights.registry import load

    place = _device(device)
    given: Any = None if points == NO_POINTS else points
    return load(weights, operating_points=given, like=like).to(place)


def _device(name: str) -> str:
    """The device that is meant.

    Raises:
        ValueError: there is none.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, usable in there.items() if usable)
    kind, _, number = name.partition(":")
    usable = there.get(kind, False)
    if number or ":" in name:
        usable = usable and kind == "cuda" and number.isdecimal() and int(number) < torch.cuda.device_count()
    if not usable:
        known = ", ".join(kind for kind, usable in there.items() if usable)
        msg = f"--device: expected auto or one of those here ({known}), got {name!r}."
        raise ValueError(msg)
    return name


def _told(weights: str) -> dict[str, str]:
    """What the metadata say of the weights: the name, and the digest of a file."""
    import hashlib

    path = Path(weights).expanduser()
    if not path.is_file():
        return {"name": weights}
    with path.open("rb") as file:
        return {"name": weights, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _tell(found: Predicted, *, as_json: bool) -> None:
    """What was predicted, or where it was written."""
    from xrdatasets.prediction.formats import document

    if as_json:
        if found.out is not None:
            output.to_json("predict", **found.metadata, out=str(found.out))
            return
        findings = found.metadata["findings"]
        output.to_json(
            "predict", **found.metadata, predictions=[document(row, findings) for row in found.rows()]
        )
        return
    if found.out is None and len(found):
        output.emit(_shown(found), "")
    output.emit(_summary(found))


def _summary(found: Predicted) -> str:
    """One sentence."""
    parts = [f"{len(found):,} {'image' if len(found) == 1 else 'images'} read"]
    parts += [f"{len(found.failed):,} could not be"] if not found.ok else []
    parts += [f"{found.skipped:,} other files left out"] if found.skipped else []
    parts += [f"{len(found.heatmaps):,} heatmaps drawn"] if len(found.heatmaps) else []
    where = f" Written to {_plain(str(found.out))}." if found.out is not None else ""
    return f"{', '.join(parts)}.{where}"


def _shown(found: Predicted) -> Table:
    """All findings, or of many the most probable ones."""
    findings = found.metadata["findings"]
    rows = [(_plain(path), values) for path, values, _ in found.rows()]
    if len(findings) <= MOST_COLUMNS:
        return output.table(("Image", *findings), [(path, *values) for path, values in rows])
    heads = ("Image", "Most probable findings")
    return output.table(heads, [(path, _most_probable(findings, values)) for path, values in rows])


def _most_probable(findings: Sequence[str], values: Sequence[float | None]) -> str:
    known = [(value, name) for name, value in zip(findings, values, strict=True) if value is not None]
    best = sorted(known, key=lambda each: -each[0])[:MOST_PROBABLE]
    return ", ".join(f"{name} {value:.3f}" for value, name in best)


def _plain(path: str) -> str:
    """A name as a terminal may be given it: one of other bytes could move its cursor."""
    return path if path.isprintable() else ascii(path)
