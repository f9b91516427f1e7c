"""VinDr-CXR: 18,000 radiographs from Hanoi, 28 findings and diagnoses, three readers each in train."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import require
from xrdatasets.datasets.headers import DICOM_SUFFIXES, dicom_files, read_headers
from xrdatasets.datasets.masks import BOX_COLUMNS, check_boxes, check_known
from xrdatasets.datasets.options import check_flag
from xrdatasets.datasets.readers import READER
from xrdatasets.errors import DatasetNotFoundError, MappingError, TableError
from xrdatasets.labels.consensus import Consensus, check_consensus
from xrdatasets.labels.table import LabelTable

__all__ = ["VinDr"]

LABELS = {"train": "image_labels_train.csv", "test": "image_labels_test.csv"}
BOXES = {"train": "annotations_train.csv", "test": "annotations_test.csv"}
FOLDER = "annotations"
RENAMED = {"Other disease": "Other diseases"}  # the word of the test table: that of train
PANEL = "consensus"  # the reader of the test set: five radiologists who agreed on one answer
TAGS = ["PatientSex", "PatientAge"]

KAGGLE, SIZES = "train.csv", "train_meta.csv"
# Kaggle's classes 0 to 14
CLASSES = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD",
    "Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening",
    "Pneumothorax", "Pulmonary fibrosis", "No finding",
)  # fmt: skip
PAIR = ["image_id", "rad_id"]
CORNERS = ["x_min", "y_min", "x_max", "y_max"]


class VinDr(CXRDataset):
    """VinDr-CXR of Vingroup Big Data Institute, from PhysioNet or from Kaggle (VinBigData).

    Layout: PhysioNet: ``annotations/image_labels_train.csv``, ``image_labels_test.csv``,
    ``annotations_train.csv``, ``annotations_test.csv``, images ``train/<image_id>.dicom`` and ``test/``.
    Kaggle: ``train.csv`` and ``train/<image_id>.dicom``, or re-uploads as PNG or JPEG. The two are told
    apart by their tables; where both are there, PhysioNet's count.

    Labels: 22 local findings and 6 diagnoses, 1 or 0, by 17 radiologists: three of them read each image
    of train (15,000) by themselves, five agreed on each of test (3,000). Kaggle has 14 of the findings
    and "No finding", and no labels for its test set; what it does not list is not covered, and neither is
    Lung Lesion, of whose three terms it has one. "Nodule/Mass" is a Lung Lesion, and leaves Nodule and
    Mass open. Readers mark Consolidation, Infiltration, Atelectasis, Edema, Pulmonary fibrosis, ILD or
    Nodule/Mass in place of Lung Opacity, so each of them is one. Pleural Other is not covered: thickening
    alone denies no scar and no plaque. Each cell is a stated 1 or 0: COPD takes no 0 of Emphysema away.
    ``compat="xrv"`` reads each class by itself.
    `consensus` says how three readers become one label. The default is ``majority``, which is nearest to
    what test has: there five readers had to agree, and in Kaggle's table four of ten findings of an image
    were marked by one reader alone. torchxrayvision uses ``any``.
    Boxes: of each reader, in pixels of the DICOM image; those of all readers are united, also where the
    consensus is 0.

    Views: all PA, by the release's page; the tables do not say it image by image. Sex and age stand in
    the headers.

    Splits: ``train`` and ``test`` of PhysioNet; ``train`` alone from Kaggle.

    Traps: one row for each image *and reader* in train; "Other diseases" is called "Other disease" in the
    test table; files end in ``.dicom``; some are MONOCHROME1 (541 of the 3,000 of test) and some JPEG
    2000. Re-uploads at another size need a size for each image, to draw boxes: columns ``width`` and
    ``height`` in ``train.csv``, or ``train_meta.csv`` with ``image_id``, ``dim0`` (rows) and ``dim1``
    (both from memory). Patients are not given.

    Licence: PhysioNet Credentialed Health Data License 1.5.0; on Kaggle the rules of the competition.

    Citation: Nguyen HQ, Lam K, Le LT, et al. VinDr-CXR: an open dataset of chest X-rays with radiologist's
    annotations. Sci Data 2022;9:429. doi 10.1038/s41597-022-01498-w

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        consensus: how the readers of an image become one label: ``majority``, ``any``, ``all`` or ``mean``.
        headers: read sex and age from the headers of DICOM files.

    Example:
        >>> import xrdatasets as xr
        >>> space = ["Cardiomegaly", "Effusion"]
        >>> xr.VinDr(VINDR_ROOT, space=space).codes[0]
        array([1., 0.], dtype=float32)
        >>> xr.VinDr(VINDR_ROOT, space=space, consensus="any").codes[0]
        array([1., 1.], dtype=float32)
    """

    name = "vindr"
    columns: ClassVar[Mapping[str, str]] = {"sex": "PatientSex", "age": "PatientAge"}
    image_folders = ("train", "test")
    split_needs = "image_labels_train.csv and image_labels_test.csv of PhysioNet for train and test"

    def __init__(
        self, root: str | Path, *, consensus: Consensus = "majority", headers: bool = True, **options: Any
    ) -> None:
        self.consensus = check_consensus(consensus)
        check_flag("headers", headers)
        self._read_headers, self._is_kaggle = headers, False
        super().__init__(root, **options)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules of `LabelTable`; of Kaggle's release, those of its terms.

        A finding that is put together of several terms is left out where Kaggle lacks one of them: that the
        others are 0 would not make it 0.
        """
        table = super().label_table
        if not self._is_kaggle:
            return table
        lost = {
            rule.target
            for rule in table.rules
            if rule.relation == "narrower" and rule.term.column not in CLASSES
        }
        # a class of its own says yes and no by itself, whatever kinds of it are missing
        lost -= {
            rule.target for rule in table.rules if rule.relation == "exact" and rule.term.column in CLASSES
        }
        rules = tuple(
            rule
            for rule in table.rules
            if rule.term.column in CLASSES and (rule.relation != "narrower" or rule.target not in lost)
        )
        return dataclasses.replace(table, rules=rules)

    def read_table(self) -> pd.DataFrame:
        """One row per image and reader, with a column of 1 and 0 for each term.

        Raises:
            DatasetNotFoundError: no table of PhysioNet or Kaggle is below the root.
            TableError: a column is missing.
            MappingError: Kaggle's table has a class that is none of the 15.
        """
        paths = self._tables(LABELS)
        self._is_kaggle = not paths
        parts = [self._read_labels(path, split) for split, path in paths.items()]
        frame = pd.concat(parts, ignore_index=True) if parts else self._read_kaggle()
        self.table_name = ", ".join(path.name for path in paths.values()) or KAGGLE
        images = frame["image_id"].drop_duplicates().reset_index(drop=True)
        files = dicom_files(images, self.files) if self._read_headers else pd.Series(dtype="str")
        facts = images.to_frame().join(read_headers(files, TAGS, dataset=self.name)).set_index("image_id")
        return frame.assign(view="PA").join(facts, on="image_id")

    def table_of(self, row: int) -> str:
        """The table of the row's split."""
        return KAGGLE if self._is_kaggle else LABELS[str(self._table["split"].iloc[row])]

    def read_boxes(self) -> pd.DataFrame:
        """The boxes of all readers, in pixels of the DICOM image, or of the sizes that a re-upload states.

        Raises:
            DatasetNotFoundError: a table of boxes is missing.
            TableError: it lacks a column, has a box that is none, or the size it is meant for is not known.
            MappingError: a class that no row of the mapping file knows.
        """
        if self._is_kaggle:
            return self._boxes_of(self.find_table(KAGGLE))
        splits = [split for split in BOXES if split in self._tables(LABELS)]
        paths = [self.find_table(f"{FOLDER}/{BOXES[split]}", BOXES[split]) for split in splits]
        tables = [self.read_csv(path, usecols=["image_id"]) for path in self._tables(LABELS).values()]
        images = pd.concat(tables)["image_id"]
        parts = [check_known(self._boxes_of(path), images, path=path, dataset=self.name) for path in paths]
        return pd.concat(parts, ignore_index=True)

    def _tables(self, names: Mapping[str, str]) -> dict[str, Path]:
        """PhysioNet's tables of each split, as far as they are there; Kaggle's must be there else.

        Raises:
            DatasetNotFoundError: neither is.
        """
        found = {}
        for split, name in names.items():
            try:
                found[split] = self.find_table(f"{FOLDER}/{name}", name)
            except DatasetNotFoundError:
                continue
        if not found:
            self.find_table(KAGGLE, f"{FOLDER}/{LABELS['train']}")
        return found

    def _read_labels(self, path: Path, split: str) -> pd.DataFrame:
        """A table of PhysioNet: a row for each image and reader; that of test has one reader."""
        terms = [term.column for term in LabelTable.load(self.name).terms]
        frame = self.read_csv(path).rename(columns=RENAMED)
        require(frame, ["image_id", *terms], path=path, dataset=self.name)
        readers = frame["rad_id"].astype("str").str.strip() if "rad_id" in frame else PANEL
        return frame[["image_id", *terms]].assign(**{READER: readers, "split": split})

    def _read_kaggle(self) -> pd.DataFrame:
        """Kaggle's table, whose rows are boxes, turned to a row for each image and reader.

        Raises:
            MappingError: a class that is none of the 15.
        """
        path = self.find_table(KAGGLE)
        frame = self.read_csv(path, [*PAIR, "class_name"])
        words = frame["class_name"].astype("str").str.strip()
        self._check_words(words, CLASSES, path)
        pairs = frame[PAIR].drop_duplicates()
        said = pd.crosstab([frame["image_id"], frame["rad_id"]], words).clip(upper=1).astype("int8")
        wide = pairs.join(said.reindex(columns=list(CLASSES), fill_value=0), on=PAIR).reset_index(drop=True)
        return wide.rename(columns={"rad_id": READER}).assign(split="train")

    def _boxes_of(self, path: Path) -> pd.DataFrame:
        """The boxes of one table."""
        boxes = self.read_csv(path, ["image_id", "class_name", *CORNERS])
        boxes = boxes[boxes[CORNERS].notna().any(axis=1)]
        words = boxes["class_name"].astype("str").str.strip().replace(RENAMED)
        self._check_words(words, [term.column for term in self.label_table.terms], path)
        direct = [rule for rule in self.label_table.rules if rule.relation in ("exact", "narrower")]
        findings = pd.DataFrame(
            [(rule.term.column, rule.target) for rule in direct], columns=["class_name", "finding"]
        )
        boxes = self._with_sizes(boxes.assign(class_name=words), path).merge(findings, on="class_name")
        x, y, right, bottom = (pd.to_numeric(boxes[name], errors="coerce") for name in CORNERS)
        boxes = boxes.assign(x=x, y=y, w=right - x, h=bottom - y)
        return check_boxes(boxes[list(BOX_COLUMNS)], path=path, dataset=self.name)

    def _with_sizes(self, boxes: pd.DataFrame, path: Path) -> pd.DataFrame:
        """The boxes with the size of the image they were drawn on; blank where that is the file itself.

        Raises:
            TableError: there are files other than DICOM, which may have any size, and nothing tells.
        """
        if {"width", "height"} <= set(boxes):
            return boxes
        try:
            sizes = self.read_csv(self.find_table(SIZES), ["image_id", "dim0", "dim1"])
        except DatasetNotFoundError:
            self._check_own_size(boxes["image_id"], path)
            return boxes.assign(width=float("nan"), height=float("nan"))
        sizes = sizes.drop_duplicates("image_id").set_index("image_id")[["dim0", "dim1"]]
        names = {"dim0": "height", "dim1": "width"}
        return boxes.drop(columns=["width", "height"], errors="ignore").join(
            sizes.rename(columns=names), on="image_id"
        )

    def _check_own_size(self, images: pd.Series, path: Path) -> None:
        files = self.files.keys(images).map(self.files.paths).dropna().astype("str")
        other = ~files.str.lower().str.endswith(DICOM_SUFFIXES)
        if other.any():
            msg = (
                f"{self.name}: {str(path)!r} measures boxes in pixels of the DICOM images, but "
                f"{files[other].iloc[0]!r} is another file, of a size of its own. Expected columns 'width' "
                f"and 'height', or {SIZES} (image_id, dim0, dim1), with the sizes of the DICOM images."
            )
            raise TableError(msg)

    def _check_words(self, words: pd.Series, known: tuple[str, ...] | list[str], path: Path) -> None:
        """Refuse a class that is unknown.

        Raises:
            MappingError: there is one.
        """
        if (bad := ~words.isin(known)).any():
            msg = (
                f"{self.name}: {str(path)!r}, column 'class_name': expected one of "
                f"{', '.join(map(repr, known))}, got {words[bad].iloc[0]!r}."
            )
            raise MappingError(msg)
