"""Datasets, step 2: what the DICOM headers of a release say where its tables do not: view, sex, age."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from xrdatasets.datasets.files import FileIndex
from xrdatasets.images.silence import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DICOM_SUFFIXES", "dicom_files", "ids_below", "read_headers"]

logger = logging.getLogger(__name__)

DICOM_SUFFIXES = (".dcm", ".dicom")
THREADS = 16  # they wait for the disk, mostly for a network's
SHOWN_FROM = 500  # files; fewer take less than a second


def dicom_files(image_ids: pd.Series, files: FileIndex) -> pd.Series:
    """(N,) path of the DICOM file of each image, NA where there is none, or an image of another kind.

    Args:
        image_ids: (N,) ids.
        files: the image files of the release.
    """
    paths = files.keys(image_ids).map(files.paths).astype("str")
    return paths.where(paths.str.lower().str.endswith(DICOM_SUFFIXES))


def ids_below(files: FileIndex, *folders: str) -> pd.Series:
    """Ids of the images in folders of these names, wherever they lie: those that no table names.

    Args:
        files: the image files of the release.
        folders: names, of which ``*`` is the rest.
    """
    paths = pd.Series(files.paths, dtype="str").str.slice(len(str(files.root)))
    words = "|".join(re.escape(name).replace(r"\*", r"[^/\\]*") for name in folders)
    return pd.Series(paths.index[paths.str.contains(rf"[/\\](?:{words})[/\\]", regex=True)], dtype="str")


def read_headers(paths: pd.Series, tags: Sequence[str], *, dataset: str) -> pd.DataFrame:
    """Elements of many DICOM headers, of which nothing else is read.

    Args:
        paths: (N,) files, NA for none.
        tags: the elements by keyword, as ``ViewPosition``.
        dataset: key of the dataset, for the log.

    Returns:
        (N, T) text, NA where there is no file, or the header lacks the element. A file that is no DICOM has
        no element at all, and is counted in one warning of the log.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    wanted = paths.dropna()
    hide = True if len(wanted) < SHOWN_FROM else None  # None: where the output is no terminal
    with quiet, ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda path: _read_header(path, tags), wanted)
        headers = list(tqdm(found, f"{dataset}: headers", len(wanted), disable=hide, leave=False))
    bad = [path for path, header in zip(wanted, headers, strict=True) if header is None]
    if bad:
        logger.warning(
            "%s: %d of %d files are no DICOM that can be read, the first is %s; what their headers would say "
            "is unknown", dataset, len(bad), len(wanted), bad[0],
        )  # fmt: skip
    rows = [header or [None] * len(tags) for header in headers]
    frame = pd.DataFrame(rows, index=wanted.index, columns=list(tags), dtype="str")
    return frame.reindex(paths.index)


def _read_header(path: str | Path, tags: Sequence[str]) -> list[str | None] | None:
    """The elements of one file, None if it is no DICOM."""
    from pydicom import dcmread

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (a pipe would be waited for)
            return None
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(tags))
    except Exception:  # pydicom raises a dozen kinds over damaged bytes; the caller counts them
        return None
    return [_text(header, tag) for tag in tags]


def _text(header: Dataset, tag: str) -> str | None:
    """One element as text; None if it is missing, blank or damaged."""
    try:
        value = header.get(tag)
    except Exception:  # as above: a value is decoded when it is asked for
        return None
    text = "" if value is None else str(value).strip()
    return text or None
