"""Reports: whether a download is the release: its counts, its files, and whether every image opens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.exclusions import excluded
from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.datasets.registry import class_of
from xrdatasets.datasets.single import Single
from xrdatasets.errors import ImageReadError, XRDatasetsError
from xrdatasets.facts import Facts
from xrdatasets.resources import Row, mappings, read_rows

__all__ = ["Verification", "verify"]

COUNTS = ("positive", "negative", "uncertain")
COLUMNS = ("finding", *COUNTS, "source")
# the counts of these are of one split alone, as the `source` of each of their rows says
COUNTED_SPLIT = {"chexpert": "train", "chestx_det": "train"}
# images for one process at a time, and how many are too few for several: starting them takes a second
CHUNK, FEW = 32, 256


@dataclass(frozen=True, eq=False)
class Verification:
    """What of a download agrees with its release, and what does not.

    Attributes:
        dataset: key of the dataset.
        root: the folder of the download, empty where there is none.
        checks: one row per known count: ``dataset``, ``what`` (``images``, ``patients``, ``positive``,
            ``negative``, ``uncertain``), ``finding`` (empty for the first two), ``expected`` and ``found``
            (whole numbers, NA not known), ``agrees`` (NA where nothing is known).
        counted_split: the split that the counts of the findings are of, None for all.
        missing: ids of images without a file.
        doubles: ids of images that could be two files.
        exclusions: why images are left out when the dataset is opened, by id (``mappings/exclusions.csv``);
            they count as images of the release, and need neither be there nor open.
        decoded: how many images were opened, None if that was not asked for.
        damaged: ``image_id`` and ``reason`` of those that do not open.
    """

    dataset: str
    root: str
    checks: pd.DataFrame
    counted_split: str | None
    missing: tuple[str, ...]
    doubles: tuple[str, ...]
    exclusions: dict[str, str]
    decoded: int | None
    damaged: pd.DataFrame

    @property
    def differing(self) -> pd.DataFrame:
        """The rows of `checks` that do not agree."""
        return self.checks[(~self.checks["agrees"]).fillna(False).astype(bool)]

    @property
    def ok(self) -> bool:
        """Whether all that is known agrees, every file is there, and those that were opened are whole."""
        return self.differing.empty and self.damaged.empty and not (self.missing or self.doubles)


def verify(
    dataset: Single | str,
    root: str | Path | None = None,
    *,
    decode: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Verification:
    """Compare a download with what is known of its release.

    Images and patients are compared with ``mappings/datasets.csv``, the labels with
    ``mappings/counts/<dataset>.csv``, and the table with the image files. A part of a release differs.

    Args:
        dataset: key or class name in any case, opened in all views; or a dataset that is open, whose own
            rows are counted (so open it with ``views="*", missing="keep", exclusions=False``).
        root: the folder of the download; with a name only.
        decode: also open every image.
        workers: processes that open images, None for one per CPU.
        progress: show a bar while images are opened.

    Returns:
        What agrees and what does not.

    Raises:
        DatasetNotFoundError: no dataset is called so, or its folder or table is missing.
        TableError: its table is not what the release has.
        ImageReadError: a process that opened images died.
        ValueError: an argument is none of the above.

    Example:
        >>> import xrdatasets as xr
        >>> found = xr.verify("nih", NIH_ROOT, decode=True, progress=False)
        >>> found.ok, found.missing, found.decoded  # five images are no whole release
        (False, (), 5)
        >>> found.differing[["what", "expected", "found"]].head(1).to_dict("records")
        [{'what': 'images', 'expected': 112120, 'found': 5}]
    """
    check_flag("decode", decode)
    if workers is not None:
        check_count("workers", workers, least=1)
    opened = _opened(dataset, root)
    exclusions = excluded(opened.facts.key)
    ids = opened.table["image_id"]
    there, double = _files(opened, ids)
    usable = ~ids.isin(exclusions.keys()).to_numpy()
    rows = np.flatnonzero(there & ~double & usable)
    damaged = _damaged(opened, rows, workers, progress) if decode else {}
    bad = pd.DataFrame(
        {"image_id": ids.iloc[list(damaged)].to_numpy(dtype=object), "reason": list(damaged.values())}
    )
    return Verification(
        dataset=opened.facts.key,
        root=str(getattr(opened, "root", "")),
        checks=_checks(opened),
        counted_split=COUNTED_SPLIT.get(opened.facts.key),
        missing=tuple(ids[~there & usable]),
        doubles=tuple(ids[double & usable]),
        exclusions=exclusions,
        decoded=len(rows) if decode else None,
        damaged=bad.astype("str"),
    )


def _opened(dataset: Single | str, root: str | Path | None) -> Single:
    """The dataset with all of its rows and findings.

    Raises:
        ValueError: a dataset with a root, a name without one, or neither.
    """
    if isinstance(dataset, Single):
        if root is not None:
            raise ValueError("verify: expected a dataset, or a name and a root, got a dataset and a root.")
        return dataset
    name: object = dataset
    if not isinstance(name, str) or root is None:
        msg = f"verify: expected a dataset, or a name and a root, got {dataset!r} and {root!r}."
        raise ValueError(msg)
    found = class_of(name)
    kept = {"missing": "keep", "exclusions": False} if issubclass(found, CXRDataset) else {}
    return found.at(root, views="*", space="native", **kept)


def _checks(dataset: Single) -> pd.DataFrame:
    """Every count that is asked for, with what is known of it."""
    facts = dataset.facts
    table = dataset.table
    rows = [
        ("images", "", facts.images, len(table)),
        ("patients", "", facts.patients, int(table["patient_id"].nunique())),
        *_label_checks(dataset, facts),
    ]
    frame = pd.DataFrame(rows, columns=["what", "finding", "expected", "found"])
    frame = frame.astype({"what": "str", "finding": "str", "expected": "Int64", "found": "Int64"})
    frame.insert(0, "dataset", facts.key)
    return frame.assign(agrees=frame["expected"] == frame["found"])


def _label_checks(dataset: Single, facts: Facts) -> Iterator[tuple[str, str, int | None, int]]:
    known = _known_counts(facts.key)
    if not known:
        return
    split = COUNTED_SPLIT.get(facts.key)
    counted = dataset
    if split is not None:
        mask = (dataset.table["split"].astype("str") == split).to_numpy(dtype=bool, na_value=False)
        counted = dataset.select(mask)
    totals = counted.relabel([row.cells["finding"] for row in known]).totals()
    for row, found in zip(known, totals.to_dict("records"), strict=True):
        for what in COUNTS:
            yield what, row.cells["finding"], _number(row, what), int(found[what])


def _known_counts(key: str) -> list[Row]:
    file = mappings() / "counts" / f"{key}.csv"
    return read_rows(file, COLUMNS) if file.is_file() else []


def _number(row: Row, column: str) -> int | None:
    text = row.cells[column]
    if text and not text.isdecimal():
        expected = f"{column} to be a whole number or empty"
        raise row.error(expected, text)
    return int(text) if text else None


def _files(dataset: Single, ids: pd.Series) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(N,) bool each: whether an image has a file, and whether it could be one of two."""
    if not isinstance(dataset, CXRDataset):
        return np.ones(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    keys = dataset.files.keys(ids)
    there = keys.isin(dataset.files.paths.keys()).to_numpy(dtype=bool)
    return there, keys.isin(dataset.files.doubles.keys()).to_numpy(dtype=bool)


def _damaged(
    dataset: Single, rows: npt.NDArray[np.intp], workers: int | None, progress: bool
) -> dict[int, str]:
    """Why images do not open, by row.

    Processes, not threads: of 600 small JPEGs of NIH two threads read 0.6 times as many images a second as
    one (they wait for each other between the files), two processes 1.5 times as many.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    if not isinstance(dataset, CXRDataset):
        return {}
    found: dict[int, str] = {}
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    processes = 1 if len(rows) <= FEW else workers or _cpus()
    with tqdm(
        total=len(rows), desc=f"opening {dataset.facts.key}", unit="images", disable=not progress
    ) as bar:
        for chunk, reasons in zip(chunks, _results(dataset, chunks, processes), strict=True):
            found |= reasons
            bar.update(len(chunk))
    return found


def _results(
    dataset: CXRDataset, chunks: Sequence[npt.NDArray[np.intp]], processes: int
) -> Iterator[dict[int, str]]:
    if processes == 1:
        yield from (_open(dataset, chunk) for chunk in chunks)
        return
    try:
        with ProcessPoolExecutor(processes, initializer=_take, initargs=(dataset,)) as pool:
            yield from pool.map(_open_here, chunks)
    except BrokenProcessPool as error:
        msg = (
            f"{dataset.facts.key}: a process that opened images died: out of memory, or a decoder that does "
            "not survive a damaged file. Try fewer workers; one worker dies at that file."
        )
        raise ImageReadError(msg) from error


def _open(dataset: CXRDataset, rows: npt.NDArray[np.intp]) -> dict[int, str]:
    """Why the images of these rows do not open, by row."""
    table, found = dataset.table, {}
    for row in rows.tolist():
        try:
            dataset.read_raw(table.iloc[row])
        except (XRDatasetsError, OSError, MemoryError) as error:
            found[row] = str(error) or type(error).__name__
    return found


# the dataset of a process that opens images, so that it travels there once and not with every chunk
_here: dict[str, Any] = {}


def _take(dataset: CXRDataset) -> None:
    _here["dataset"] = dataset


def _open_here(rows: npt.NDArray[np.intp]) -> dict[int, str]:
    return _open(_here["dataset"], rows)


def _cpus() -> int:
    """CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
