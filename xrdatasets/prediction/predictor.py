"""Prediction, step 7, all steps at once: a classifier over files and folders, to a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdatasets.prediction.describing import describe
from xrdatasets.prediction.drawing import Artist
from xrdatasets.prediction.formats import Row, check_out, write_out
from xrdatasets.prediction.gathering import ImageFiles, PathLike, find_images
from xrdatasets.prediction.journal import Journal, shortest
from xrdatasets.prediction.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from xrdatasets.models.predictor import Predictor

__all__ = ["Predicted", "predict_files"]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a classifier says of files.

    Attributes:
        table: one row for each image that was read, in the order of the files: ``path`` as given, and one
            float32 column for each finding, NaN where its output was not trained.
        failed: ``path`` and ``reason`` of those that were not.
        skipped: files in folders that are no images.
        heatmaps: ``path``, ``finding`` and ``file`` of the pictures that were drawn.
        metadata: what the numbers are of (see `describe`), how many ``images`` were read, ``skipped`` and
            ``failed``; fit for JSON.
        out: the file that was written, None for none.
    """

    table: pd.DataFrame
    failed: pd.DataFrame
    skipped: int
    heatmaps: pd.DataFrame
    metadata: dict[str, Any]
    out: Path | None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ok(self) -> bool:
        """Whether every image was read."""
        return len(self.failed) == 0

    def rows(self) -> list[Row]:
        """The rows of the table as a file has them: path, a number for each finding, heatmaps."""
        drawn: dict[str, dict[str, str]] = {}
        for path, finding, file in self.heatmaps.itertuples(index=False):
            drawn.setdefault(path, {})[finding] = file
        values = self.table.drop(columns="path").to_numpy()
        return [
            (path, [shortest(value) for value in row], drawn.get(path))
            for path, row in zip(self.table["path"], values, strict=True)
        ]


def predict_files(
    classifier: Predictor,
    paths: ImageFiles | PathLike | Iterable[PathLike],
    *,
    out: str | os.PathLike[str] | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    heatmaps: str | os.PathLike[str] | None = None,
    findings: Sequence[str] | None = None,
    weights: Mapping[str, str] | None = None,
    progress: bool = False,
    resume: bool = True,
) -> Predicted:
    """Ask a classifier about every image of files, folders and patterns.

    A file that cannot be read never ends the call: it is in `failed`. With `out`, what is predicted is kept
    in ``<out>.part`` batch by batch; if the call is interrupted, the same one goes on from there.

    Args:
        classifier: a `Classifier`, or what answers as one; it predicts on the device that it is on.
        paths: see `find_images`; or what it gave.
        out: the file to write: CSV, JSON or lines of JSON, by its ending. CSV and lines have their metadata
            in ``<out>.meta.json``.
        batch_size: images that the network sees at once.
        workers: processes that read images; 0 reads in this one, None is one for each core, or 0 for few
            images.
        heatmaps: a folder for pictures of where a finding is seen.
        findings: those that are drawn, None for each image's most probable one.
        weights: what the metadata say of the weights: ``name``, and ``sha256`` of their file.
        progress: show a bar.
        resume: go on with what an interrupted call left; False begins anew and replaces a file that is there.

    Returns:
        The table, and what failed.

    Raises:
        XRDatasetsError: an interrupted call had other weights, or another process writes to `out`.
        LabelNotFoundError: a finding is not in the classifier's space.
        ValueError: there is no image, `out` is there, or an argument is none of the above.

    Example:
        >>> from xrdatasets.models import Classifier, Network
        >>> model = Classifier(Network("mini", 2), ["Effusion", "Nodule"])
        >>> predicted = predict_files(model, NIH_ROOT, out=TMP / "nih.csv")
        >>> len(predicted), predicted.failed.empty, list(predicted.table)
        (5, True, ['path', 'Effusion', 'Nodule'])
    """
    _check_count("batch_size", batch_size, least=1)
    if workers is not None:
        _check_count("workers", workers, least=0)
    if findings is not None and (heatmaps is None or isinstance(findings, str) or not findings):
        msg = (
            f"findings: expected names of those that heatmaps are drawn of, with heatmaps=, got {findings!r}."
        )
        raise ValueError(msg)
    target = None if out is None else _target(Path(out), resume=resume)
    files = paths if isinstance(paths, ImageFiles) else find_images(paths)
    artist = None if heatmaps is None else Artist(classifier, heatmaps, findings)
    run = Run(classifier, files, artist, describe(classifier, weights))
    if target is None:
        run.go(batch_size, workers, progress=progress)
        return _predicted(run, None)
    journal = Journal(target.with_name(f"{target.name}.part"), run.job(), resume=resume)
    finished = False
    try:
        run.resume(journal)
        run.go(batch_size, workers, progress=progress)
        write_out(target, {"version": 1, "command": "predict", **run.document()}, run.rows())
        finished = True
    finally:
        journal.close(finished=finished)
    return _predicted(run, target)


def _predicted(run: Run, out: Path | None) -> Predicted:
    """The tables of a call."""
    import pandas as pd

    # as objects: a name that is no UTF-8 is no text to pandas' strings
    names = pd.Series([run.paths[row] for row in run.known()], dtype=object)
    table = pd.DataFrame(run.probabilities[run.known()], columns=run.metadata["findings"])
    table.insert(0, "path", names)
    drawn = [(run.paths[row], *each) for row in run.known() for each in run.drawn.get(row, {}).items()]
    metadata = run.document()
    return Predicted(
        table=table,
        failed=pd.DataFrame(metadata["failed"], columns=["path", "reason"], dtype=object),
        skipped=metadata["skipped"],
        heatmaps=pd.DataFrame(drawn, columns=["path", "finding", "file"], dtype=object),
        metadata=metadata,
        out=out,
    )


def _target(out: Path, *, resume: bool) -> Path:
    """The file to write.

    Raises:
        ValueError: it cannot be written, or is there.
    """
    check_out(out)
    if out.exists() and resume:
        msg = f"out: {str(out)!r} is there already. Pass another name, or resume=False."
        raise ValueError(msg)
    return out


def _check_count(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{name}: expected a whole number of at least {least}, got {value!r}."
        raise ValueError(msg)
