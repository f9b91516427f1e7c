"""Datasets, step 2: what images of NIH are called that a challenge has renamed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from xrdatasets.datasets.csvtables import read_csv, require
from xrdatasets.datasets.families import FAMILY_ID
from xrdatasets.errors import TableError

__all__ = ["add_nih_names", "read_nih_names", "read_records"]

# columns of the challenge's id and of NIH's file name: RSNA's own table, and one made by comparing pixels
MATCHED = "rsna_to_nih_26684.csv"
FILES = {
    "pneumonia-challenge-dataset-mappings_2018.json": ("subset_img_id", "img_id"),
    MATCHED: ("rsna", "nih_image_index"),
    f"{MATCHED}.gz": ("rsna", "nih_image_index"),
}
# In the table made by comparing pixels 26,586 images have a mean squared difference below 8 and 98 one above
# 73: no copy was found for these, and the name is that of an image that looks alike.
LARGEST_ERROR = 20.0
STEM = r"^[0-9]{8}_[0-9]{3}$"  # NIH: patient and number of the image


def add_nih_names(frame: pd.DataFrame, root: Path, *, column: str, dataset: str) -> pd.DataFrame:
    """A table with the patients and names of NIH, if a table of names lies below the root.

    Args:
        frame: the challenge's table.
        root: the folder of the download.
        column: the column of the challenge's image ids.
        dataset: key of the dataset, for messages.

    Returns:
        The same rows, with ``patient_id`` and ``family_image_id`` where the names are there; an image
        that they lack has neither. Without a table of names the frame as it is.

    Raises:
        TableError: the table of names is damaged.
    """
    names = read_nih_names(root, dataset=dataset)
    if names is None:
        return frame
    found = names.reindex(frame[column].astype("str"))
    return frame.assign(**{name: found[name].to_numpy() for name in names})


def read_nih_names(root: Path, *, dataset: str = "rsna") -> pd.DataFrame | None:
    """What images are called in NIH ChestX-ray14.

    Args:
        root: the folder in which the table of names lies, or a folder of it, by one of the names of `FILES`.
        dataset: key of the dataset, for messages.

    Returns:
        Indexed by the challenge's image id: ``patient_id``, NIH's patient as `NIH` writes it, and
        ``family_image_id``, NIH's file name without its extension; NA where another image has that name
        already (NIH has a few images twice). None if there is no such table.

    Raises:
        TableError: it is damaged, lacks a column, or names an image twice.
    """
    places = [path for name in FILES for path in (root / name, *sorted(root.glob(f"*/{name}")))]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        return None
    frame = _rows_named(read_records(path, dataset=dataset), path, dataset)
    stems = frame["name"].str.replace(r"\.\w+$", "", regex=True)
    bad = ~stems.str.match(STEM).fillna(False).astype(bool)
    if bad.any():
        name = frame["name"][bad].iloc[0]
        msg = f"{dataset}: {str(path)!r} has the NIH file name {name!r}. Expected one as '00000001_000.png'."
        raise TableError(msg)
    if not frame["own"].is_unique:
        twice = frame["own"][frame["own"].duplicated()].iloc[0]
        msg = f"{dataset}: {str(path)!r} names image {twice!r} twice. Download the table again."
        raise TableError(msg)
    patients = stems.str.slice(0, 8).str.replace(r"^0+(?=.)", "", regex=True)
    return pd.DataFrame(
        {"patient_id": patients.to_numpy(), FAMILY_ID: stems.mask(stems.duplicated()).to_numpy()},
        index=pd.Index(frame["own"], name="image_id"),
        dtype="str",
    )


def _rows_named(records: pd.DataFrame, path: Path, dataset: str) -> pd.DataFrame:
    """Columns ``own`` and ``name`` of the rows that do name a copy, each once."""
    columns = FILES[path.name]
    matched = path.name.startswith(MATCHED)
    frame = require(records, [*columns, *(["mse"] if matched else [])], path=path, dataset=dataset)
    if matched:
        errors = pd.to_numeric(frame["mse"], errors="coerce")
        frame = frame.assign(mse=errors)[errors <= LARGEST_ERROR].sort_values("mse", kind="stable")
    frame = frame[list(columns)].set_axis(["own", "name"], axis=1).astype("str")
    return frame.apply(lambda column: column.str.strip()).drop_duplicates()


def read_records(path: Path, *, dataset: str) -> pd.DataFrame:
    """A table from CSV (plain or gzipped) or from JSON: a list of objects, as RSNA has it.

    Raises:
        TableError: it is neither.
    """
    if path.suffix.lower() != ".json":
        return read_csv(path, dataset=dataset, dtype="str")
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, RecursionError, ValueError) as error:
        msg = f"{dataset}: {str(path)!r} is no JSON in UTF-8 ({error}). Download it again."
        raise TableError(msg) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        msg = f"{dataset}: {str(path)!r} is no list of objects. Expected one for each image."
        raise TableError(msg)
    return pd.DataFrame(records)
