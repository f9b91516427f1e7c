"""Datasets, step 2: clinical readings, a small text file for each image, as the columns of a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from xrdatasets.datasets.files import FileIndex
from xrdatasets.errors import DatasetNotFoundError
from xrdatasets.facts import Facts

__all__ = ["read_names", "read_readings", "split_readings"]

logger = logging.getLogger(__name__)

READINGS = "ClinicalReadings"


def read_names(files: FileIndex, prefix: str, *, facts: Facts) -> pd.DataFrame:
    """The images whose name is prefix, number and a last digit that is the label: 0 normal, 1 tuberculosis.

    Args:
        files: the image files; only those directly in its folder count.
        prefix: what all names begin with.
        facts: the release, for the message.

    Returns:
        ``image_id`` (the stem), ``patient_id`` (without the last digit) and ``label``, in order.

    Raises:
        DatasetNotFoundError: there is no such image.
    """
    ids = pd.Series(sorted(files.paths), dtype="str")
    parts = ids.str.extract(rf"^(?P<patient_id>{prefix}_[0-9]+)_(?P<digit>[01])$").assign(image_id=ids)
    parts = parts[parts["digit"].notna()].reset_index(drop=True)
    if parts.empty:
        msg = (
            f"{facts.key}: no image in {str(files.root)!r} is called as {prefix}_0001_0.png. "
            f"Get them from {facts.url}, then pass the folder that holds CXR_png as root."
        )
        raise DatasetNotFoundError(msg)
    label = parts["digit"].map({"0": "normal", "1": "tuberculosis"}).astype("category")
    return parts.drop(columns="digit").assign(label=label)


def read_readings(
    folder: Path, image_ids: pd.Series, patterns: Mapping[str, str], *, dataset: str
) -> pd.DataFrame:
    """What the file ``<image_id>.txt`` of each image says; an image without one has blanks.

    Args:
        folder: the folder of the images: ``ClinicalReadings`` lies in it or beside it. A missing reading
            is logged.
        image_ids: (N,) stems of the images.
        patterns: of `split_readings`.
        dataset: key of the dataset, for the log.

    Returns:
        The frame of `split_readings`, row by row of `image_ids`.
    """
    places = (folder / READINGS, folder.resolve().parent / READINGS)
    files = {path.stem: path for path in next(filter(None, map(_listed, places)), [])}
    texts = [_text(files[name]) if name in files else None for name in image_ids]
    missing = sum(text is None for text in texts)
    if missing:
        logger.warning(
            "%s: %d of %d images have no text in %s: their sex, age and reading are unknown",
            dataset, missing, len(texts), READINGS,
        )  # fmt: skip
    return split_readings(pd.Series(texts, index=image_ids.index, dtype="str"), patterns)


def split_readings(texts: pd.Series, patterns: Mapping[str, str]) -> pd.DataFrame:
    r"""Sex, age and free text of readings.

    Args:
        texts: (N,) whole readings, lines ended by a line feed; NA where there is none.
        patterns: regular expressions with one group each, case ignored: ``sex``, ``number`` and
            ``unit`` of the age (the unit's first letter: years, months, weeks, days), ``reading``.

    Returns:
        ``sex`` as written; ``age`` as DICOM writes it (``16M``), NA unless it has number and unit, for
        a number alone may be of years or of months; ``reading``, NA where it is empty.

    Example:
        >>> patterns = {"sex": "^([fm])", "number": r"(\d+)", "unit": r"\d+([ymwd])", "reading": r"\n(.*)"}
        >>> split_readings(pd.Series(["male 16month\nnormal"]), patterns).iloc[0].to_dict()
        {'sex': 'm', 'age': '16M', 'reading': 'normal'}
    """
    parts = {
        name: texts.str.extract(f"(?is){pattern}", expand=False).str.strip()
        for name, pattern in patterns.items()
    }
    age = parts["number"] + parts["unit"].str.upper()
    return pd.DataFrame(
        {"sex": parts["sex"], "age": age, "reading": parts["reading"].mask(parts["reading"] == "")}
    )


def _listed(folder: Path) -> list[Path]:
    """The text files of a folder, none if it is not there."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix.lower() == ".txt" and path.is_file()]


def _text(path: Path) -> str:
    # what is not UTF-8 in a free text is no reason to lose the reading
    return path.read_text(encoding="utf-8-sig", errors="replace").strip()
