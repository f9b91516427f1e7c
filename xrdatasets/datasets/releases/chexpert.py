"""CheXpert: 224,316 radiographs of Stanford with 14 labels, uncertain ones among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import FileIndex
from xrdatasets.datasets.releases.labelled import small_codes
from xrdatasets.datasets.releases.paths import join_names, read_names
from xrdatasets.datasets.tables import concat_tables
from xrdatasets.errors import EmptyDatasetError, XRDatasetsError

__all__ = ["CheXpert", "known_ages", "views_of"]

BATCH = "CheXpert-v1.0 batch 1 (validate & csv)"  # holds the tables of the full release
FOLDERS = ("", "CheXpert-v1.0-small/", f"{BATCH}/", f"CheXpert-v1.0/{BATCH}/", "CheXpert-v1.0/")
FACTS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
BLOCK = 1 << 16
WORDS = dict.fromkeys(("Sex", "Frontal/Lateral", "AP/PA"), "category")


class CheXpert(CXRDataset):
    """CheXpert, as Stanford released it, small or full size.

    Layout: ``CheXpert-v1.0-small/{train.csv, valid.csv, train/, valid/}``, or the full release:
    ``CheXpert-v1.0 batch 1 (validate & csv)/`` with the tables and ``valid/``, and ``batch 2 (train 1)`` to
    ``batch 4 (train 3)`` with the patients' folders (without a ``train/`` level). The root is the release's
    folder or the one that holds it. JPEG, 8 bit. 223,414 train and 234 valid images.

    Labels: 13 findings and "No Finding", mined from reports: 1, 0, -1 (uncertain) or blank. A blank is
    unmentioned: no negative, but a policy may fill it. "No Finding" makes the 12 findings negative, not
    Support Devices, and never where the report is positive or uncertain.

    Views: ``AP`` or ``PA`` for frontal images (17 rows say LL or RL: LATERAL), LATERAL else.

    Splits: ``train`` (train.csv) and ``val`` (valid.csv, read by three radiologists). The test set comes
    with CheXlocalize.

    Traps: ``Path`` begins with the name of the small or full release, whatever the folder is called; age 0
    is an unknown age; labels are those of the study, the same on all its images.

    Licence: Stanford University Dataset Research Use Agreement: non-commercial, no redistribution.

    Citation: Irvin J, Rajpurkar P, Ko M, et al. CheXpert: A Large Chest Radiograph Dataset with
    Uncertainty Labels and Expert Comparison. AAAI 2019. https://stanfordmlgroup.github.io/competitions/chexpert

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.CheXpert(CHEXPERT_ROOT, space="chexpert5", policy=xr.U_ONES, missing="keep")
        >>> ds.pathologies
        ('Atelectasis', 'Cardiomegaly', 'Consolidation', 'Edema', 'Effusion')
    """

    name = "chexpert"
    levels = 3  # patient00001/study1/view1_frontal: the full release has no folder train
    columns: ClassVar[Mapping[str, str]] = {"view": "AP/PA", "sex": "Sex", "age": "Age"}
    split_needs = "train.csv for 'train', valid.csv for 'val'"
    tables: ClassVar[dict[str, str]] = {"train": "train.csv", "val": "valid.csv"}

    @cached_property
    def files(self) -> FileIndex:
        """The images of the copy whose tables are read: small and full may lie side by side."""
        found = self._find("train.csv") or self._find("valid.csv")
        folder = found.parent if found else self.root
        return FileIndex(folder.parent if folder.name == BATCH else folder, levels=self.levels)

    def read_table(self) -> pd.DataFrame:
        """The tables of the wanted split (train.csv, valid.csv), one row per image.

        Raises:
            DatasetNotFoundError: none of the tables is there.
            TableError: a path is not of the release's form.
        """
        wanted = {self.split: self.tables[self.split]} if self.split in self.tables else self.tables
        there = {split: path for split, name in wanted.items() if (path := self._find(name))}
        if not there:
            self.find_table(*(folder + name for name in wanted.values() for folder in FOLDERS))
        frames = [self._read(path, split) for split, path in there.items()]
        return frames[0] if len(frames) == 1 else concat_tables(frames)

    def table_of(self, row: int) -> str:
        """``train.csv`` or ``valid.csv``."""
        return self.tables[self._table["split"].iloc[row]]

    def _find(self, name: str) -> Path | None:
        paths = (self.root / (folder + name + end) for folder in FOLDERS for end in ("", ".gz"))
        return next((path.absolute() for path in paths if path.is_file()), None)

    def _read(self, path: Path, split: str) -> pd.DataFrame:
        codes = [term.column for term in self.label_table.terms]
        # narrow types, and blocks of rows: at a million rows half the time and a third of the memory
        options: dict[str, Any] = {"dtype": WORDS | dict.fromkeys(codes, "float32")}
        try:
            frame = _tidy(self._blocks(path, options), path)
        except XRDatasetsError:
            raise
        except ValueError:
            frame = _tidy(self._blocks(path, {}), path)  # a cell is no code: the label table will say which
        return frame.assign(split=pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), [split]))

    def _blocks(self, path: Path, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
        columns = [*FACTS, *(term.column for term in self.label_table.terms)]
        return self.read_csv_blocks(path, columns, rows=BLOCK, **options)


def _tidy(blocks: Iterable[pd.DataFrame], path: Path) -> pd.DataFrame:
    """The table of a release's blocks of rows, ids in place of the paths."""
    frames, names, done = [], [], 0
    for block in blocks:
        if block.empty:
            continue
        rows = range(done, done + len(block))
        names.append(read_names(block["Path"].to_numpy(dtype=object), file=path, rows=rows))
        done += len(block)
        view = views_of(block["Frontal/Lateral"], block["AP/PA"])
        codes = small_codes(block.drop(columns=list(FACTS)))
        facts = {"Sex": block["Sex"], "AP/PA": view, "Age": known_ages(block["Age"])}
        frames.append(codes.assign(**facts))
    if not frames:
        msg = f"chexpert: {str(path)!r} has no rows. Expected one per image."
        raise EmptyDatasetError(msg)
    frame = concat_tables(frames)
    return frame.assign(**join_names(names))


def known_ages(ages: pd.Series) -> pd.Series:
    """Ages without 0, which stands for one that is not known."""
    ages = ages.astype("float32" if ages.dtype.kind in "iuf" else "object")
    return ages.mask(ages.isin([0, "0"]))


def views_of(position: pd.Series, direction: pd.Series) -> pd.Categorical:
    """AP or PA of frontal images ("Frontal" where neither is said), Lateral of lateral ones."""
    direction = direction.astype("category")
    words = ["Frontal", "Lateral", *map(str, direction.cat.categories)]
    codes = direction.cat.codes.to_numpy() + 2
    codes[codes == 1] = 0  # -1 plus 2: no direction
    return pd.Categorical.from_codes(np.where(position == "Lateral", 1, codes), words)
