"""Datasets, step 2: image, patient and study from paths of CheXpert's form, a million in about a second.

``CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg`` is read as bytes, column by column of
letters, because text methods go through the paths one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.csvtables import OUTSIDE
from xrdatasets.errors import TableError

__all__ = ["PathNames", "join_names", "read_names"]

Texts = npt.NDArray[np.object_]
Bytes = npt.NDArray[np.bytes_]
Numbers = npt.NDArray[np.int32]
BLOCK = 1 << 16
DIGITS = 9  # of a number; more do not fit in 32 bits
EXPECTED = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"


class PathNames(NamedTuple):
    """What the paths of a block of rows say.

    Attributes:
        ids: image ids: the paths without the release's folder and the extension.
        folders: the byte of each id where the patient's folder begins.
        patients: number of the patient.
        studies: number of the study.
    """

    ids: Texts
    folders: Numbers
    patients: Numbers
    studies: Numbers


def read_names(
    paths: Texts, *, file: Path, rows: Sequence[int], dataset: str = "chexpert", expected: str = EXPECTED
) -> PathNames:
    """Read a block of paths, at least one, as bytes; all lie in the same folder.

    Args:
        paths: (N,) paths.
        file: their table, for messages.
        rows: (N,) their rows in it, from 0.
        dataset: its dataset.
        expected: a path as the release writes them.

    Raises:
        TableError: a path is not of the release's form, or leaves the root.
    """

    def bad_path(number: int, why: str = "") -> TableError:
        where = f"{dataset}: {str(file)!r}, row {rows[number] + 1} of the data"
        got = f"{paths[number]!r}: {why}" if why else f"{paths[number]!r}"
        return TableError(f"{where}: expected a path like {expected!r}, got {got}.")

    first = str(paths[0])
    head, end = first[: max(first.find("patient"), 0)].encode(), first[first.rfind(".") :].encode()
    if re.search(OUTSIDE, first.strip().replace("\\", "/")):  # what all paths begin with is cut off below
        raise bad_path(0, "it points outside the root")
    try:
        data = paths.astype("S")
    except UnicodeEncodeError as error:
        raise bad_path(next(row for row, path in enumerate(paths) if not str(path).isascii())) from error
    data = data.astype(f"S{data.dtype.itemsize + 1}")  # a byte more: a number ends before the edge
    patients, after = _number(data, np.full(len(data), len(head) + len("patient")))
    studies, stop = _number(data, after + len("/study"))
    good = np.strings.startswith(data, head + b"patient") & np.strings.endswith(data, end)
    good &= (np.strings.find(data, b"/study") == after) & (np.strings.find(data, b"/", after + 1) == stop)
    for digits in (after - len(head) - len("patient"), stop - after - len("/study")):
        good &= (digits > 0) & (digits <= DIGITS)
    if not good.all():
        raise bad_path(int(good.argmin()))
    # the release's folder and the extension say nothing of the image: small and full agree
    start = head.rstrip(b"/").rfind(b"/") + 1
    folders = np.full(len(data), len(head) - start, dtype=np.int32)
    return PathNames(_texts(np.strings.slice(data, start, -len(end))), folders, patients, studies)


def join_names(blocks: Sequence[PathNames], rows: npt.NDArray[np.intp] | None = None) -> dict[str, pd.Series]:
    """Image, patient and study ids of all blocks; equal ids are one text.

    Args:
        blocks: what the paths of each block say, in order.
        rows: (N,) the row of each of these paths, if they are not in the order of the table.

    Returns:
        ``image_id``, ``patient_id`` (``patient00001``) and ``study_id`` (``patient00001/study1``), (N,) each.
    """
    ids, folders, patients, studies = (np.concatenate(column) for column in zip(*blocks, strict=True))
    patient = _groups(patients)
    study = _groups(patients.astype(np.int64) * (int(studies.max()) + 1) + studies)
    texts = {
        "image_id": ids,
        "patient_id": _folders(ids, folders, patient, depth=1),
        "study_id": _folders(ids, folders, study, depth=2),
    }
    order = slice(None) if rows is None else np.argsort(rows, kind="stable")
    return {name: pd.Series(text[order], dtype="str") for name, text in texts.items()}


def _number(data: Bytes, start: npt.NDArray[np.intp]) -> tuple[Numbers, npt.NDArray[np.intp]]:
    """The number that begins at a byte of each path, and the byte behind it."""
    letters = data.view(np.uint8).reshape(len(data), -1)
    rows, stop = np.arange(len(data)), start
    value: Numbers = np.zeros(len(data), dtype=np.int32)
    while True:
        digit = letters[rows, np.minimum(stop, letters.shape[1] - 1)] - np.uint8(ord("0"))
        more = digit < 10
        if not more.any():
            return value, stop
        value = np.where(more, value * np.int32(10) + digit, value).astype(np.int32)
        stop = stop + more


class _Groups(NamedTuple):
    """Equal values of a column: the number of each row's group, and the first row of each group."""

    codes: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]


def _groups(values: npt.NDArray[Any]) -> _Groups:
    codes, found = pd.factorize(values)
    first = np.empty(len(found), dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return _Groups(codes, first)


def _folders(ids: Texts, starts: Numbers, groups: _Groups, *, depth: int) -> Texts:
    """The patient's folder (depth 1) or the study's in it (depth 2), one text for all rows of a group."""
    words = np.empty(len(groups.first), dtype=object)
    for begin in range(0, len(words), BLOCK):
        rows = groups.first[begin : begin + BLOCK]
        data = ids[rows].astype("S")
        stop: npt.NDArray[Any] = starts[rows]
        for _ in range(depth):
            stop = np.strings.find(data, b"/", stop + 1)
        words[begin : begin + BLOCK] = _texts(np.strings.slice(data, starts[rows], stop))
    return words[groups.codes]


def _texts(data: Bytes) -> Texts:
    """Bytes to text, all in one call: casting them one by one takes four times as long."""
    return np.array(b"\n".join(data.tolist()).decode().split("\n"), dtype=object)
