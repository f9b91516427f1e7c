"""NIH ChestX-ray14: 112,120 frontal radiographs with 14 findings mined from reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import require
from xrdatasets.datasets.masks import BOX_COLUMNS, check_boxes, check_known
from xrdatasets.errors import TableError
from xrdatasets.labels.terms import FindingList, TermReader

__all__ = ["NIH"]

logger = logging.getLogger(__name__)

# other spellings of the heads: the v2020 table of some mirrors, Google's release
RENAMED = {"Patient Sex": "Patient Gender", "Image ID": "Image Index", "Nodule/mass": "Nodule or mass"}
BOX_HEAD = ["Image Index", "Finding Label", "x", "y", "w", "h"]
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
FILE_NAME = r"[\w-]+\.[A-Za-z]+"
PIXELS = 1024  # side of the released PNGs, in which the boxes are measured


class NIH(CXRDataset):
    """NIH ChestX-ray14, as the NIH Clinical Center released it.

    Layout: ``Data_Entry_2017_v2020.csv`` (or ``Data_Entry_2017.csv``), images in ``images/`` or in
    ``images_001/images/`` to ``images_012/images/``, ``BBox_List_2017.csv``, ``train_val_list.txt``,
    ``test_list.txt``. PNG, 1024x1024, 8 bit; a few are RGBA.

    Labels: 14 findings and "No Finding", mined from the reports by DNorm and MetaMap with rules for
    negation (Wang 2017); the table lists what they named, so a finding that is not listed counts as
    negative. No uncertain labels.
    Boxes: 984 for 8 findings on 880 images; ``Infiltrate`` is Infiltration there.

    Views: PA (67,310) and AP (44,810), none lateral.

    Splits: ``train`` (``train_val_list.txt``, 86,524 images) and ``test`` (``test_list.txt``, 25,596),
    patient-wise; there is no official ``val``.

    Traps: two of the table's heads contain a comma; the tables of 2017 write ages as ``060Y``, ids with
    leading zeros, ages up to 414, and end their lines with a comma; ``Patient Gender`` is also found as
    ``Patient Sex``.

    Licence: no restriction; cite the paper and name the NIH Clinical Center.

    Citation: Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray
    Database and Benchmarks. CVPR 2017. https://nihcc.app.box.com/v/ChestXray-NIHCC

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.NIH(NIH_ROOT, size=64)
        >>> ds[0]["img"].shape, ds.pathologies[0]
        (torch.Size([1, 64, 64]), 'Atelectasis')
    """

    name = "nih"
    columns: ClassVar[Mapping[str, str]] = {
        "patient_id": "Patient ID",
        "view": "View Position",
        "age": "Patient Age",
        "sex": "Patient Gender",
    }
    findings: TermReader = FindingList("Finding Labels")
    image_folders = ("images", "images_*/images", "images_*")
    label_columns: ClassVar[tuple[str, ...]] = ("Finding Labels",)
    split_needs = "train_val_list.txt and test_list.txt below the root"
    tables: ClassVar[tuple[str, ...]] = (
        "Data_Entry_2017_v2020.csv",
        "Data_Entry_2017.csv",
        "Data_Entry_*.csv",
    )

    def read_table(self) -> pd.DataFrame:
        """The entry table, ids without their extension, with the official lists as ``split``."""
        path = self.find_table(*self.tables)
        self.table_name = path.name
        return self._tidy(self._read_entries(path))

    def read_boxes(self) -> pd.DataFrame:
        """The boxes of ``BBox_List_2017.csv``, in pixels of the 1024x1024 images.

        Raises:
            DatasetNotFoundError: the list is not below the root.
            TableError: it does not have the columns of the release, or a box that is none.
        """
        path = self.find_table("BBox_List_2017.csv")
        boxes = self.read_csv(path, BOX_HEAD[:2])
        if len(boxes.columns) < len(BOX_HEAD):
            msg = f"{self.name}: {str(path)!r}: expected x, y, w, h after 'Finding Label', got {list(boxes)}."
            raise TableError(msg)
        boxes = boxes.iloc[:, : len(BOX_HEAD)].set_axis(BOX_HEAD, axis=1)
        words = boxes["Finding Label"].astype("str").str.strip().replace("Infiltrate", "Infiltration")
        boxes = boxes.assign(
            image_id=_stems(boxes["Image Index"]), finding=words, width=PIXELS, height=PIXELS
        )
        boxes = check_boxes(boxes[list(BOX_COLUMNS)], path=path, dataset=self.name)
        return check_known(boxes, self._all_ids(), path=path, dataset=self.name)

    def _all_ids(self) -> pd.Series:
        """The ids of the whole entry table, read anew: nobody else needs them."""
        return _stems(self.read_csv(self.find_table(*self.tables), usecols=["Image Index"])["Image Index"])

    def _read_entries(self, path: Path) -> pd.DataFrame:
        frame = self.read_csv(path).rename(columns=RENAMED)
        require(frame, ["Image Index", "Patient ID", *self.label_columns], path=path, dataset=self.name)
        return frame.loc[:, ~frame.columns.str.startswith("Unnamed:")]

    def _tidy(self, frame: pd.DataFrame) -> pd.DataFrame:
        ids = _stems(frame["Image Index"])
        # one patient, however many leading zeros the table writes
        patients = frame["Patient ID"].str.strip().str.replace(r"^0+(?=.)", "", regex=True)
        words = {
            name: frame[name].astype("category")
            for name in {"Finding Labels", *self.label_columns}
            if name in frame
        }
        frame = frame.drop(columns="Image Index").assign(**{"Patient ID": patients}, **words)
        return frame.assign(image_id=ids, split=self._split(ids))

    def _split(self, ids: pd.Series) -> pd.Series:
        """Split of each image by the official lists, NA where it is in none of them."""
        split = pd.Series(pd.NA, index=ids.index, dtype="str")
        there = {word: self.root / name for name, word in LISTS.items() if (self.root / name).is_file()}
        for word, path in there.items():
            here = ids.isin(_stems(self._read_list(path)))
            if (both := here & split.notna()).any():
                msg = f"{self.name}: image {ids[both].iloc[0]!r} stands in both lists. Download them again."
                raise TableError(msg)
            if len(ids) and not here.any():
                msg = f"{self.name}: {str(path)!r} names no image of {self.table_name}. Download both again."
                raise TableError(msg)
            split[here] = word
        if len(there) == len(LISTS) and (lost := int(split.isna().sum())):
            logger.warning("%s: %s images stand in neither list; they have no split", self.name, f"{lost:,}")
        return split

    def _read_list(self, path: Path) -> pd.Series:
        """The file names of a list.

        Raises:
            TableError: it is empty, or holds what is no file name.
        """
        try:
            names = pd.Series(path.read_text(encoding="utf-8-sig").split(), dtype="str")
        except UnicodeDecodeError as error:
            msg = f"{self.name}: {str(path)!r} is no list of file names ({error}). Download it again."
            raise TableError(msg) from error
        bad = ~names.str.fullmatch(FILE_NAME)
        if names.empty or bad.any():
            got = "nothing" if names.empty else repr(names[bad].iloc[0])
            msg = (
                f"{self.name}: {str(path)!r}: expected a list of file names as 00000001_000.png, got {got}. "
                "Download it again."
            )
            raise TableError(msg)
        return names


def _stems(names: pd.Series) -> pd.Series:
    """File names without their extension."""
    return names.astype("str").str.replace(r"\.\w+$", "", regex=True)
