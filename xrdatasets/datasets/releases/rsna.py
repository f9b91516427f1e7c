"""RSNA: 26,684 images of NIH ChestX-ray14, read anew for opacities that look like pneumonia."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import read_csv, require
from xrdatasets.datasets.headers import dicom_files, ids_below, read_headers
from xrdatasets.datasets.masks import BOX_COLUMNS, check_boxes
from xrdatasets.datasets.nih_names import add_nih_names
from xrdatasets.datasets.options import check_flag
from xrdatasets.errors import DatasetNotFoundError, TableError
from xrdatasets.labels.table import LabelTable

__all__ = ["RSNA"]

LABELS = "stage_2_train_labels.csv"
CLASSES = "stage_2_detailed_class_info.csv"
# a table of the headers, as it goes round with the JPEG files
HEADERS = ("stage_2_train_images_dicom_headers.csv", "kaggle_stage_2_train_images_dicom_headers.csv")
TAGS = ["ViewPosition", "PatientSex", "PatientAge"]
OPACITY = "Lung Opacity"  # the class of images with Target 1
BOX = ["x", "y", "width", "height"]
PIXELS = 1024  # side of the released images, in which the boxes are measured


class RSNA(CXRDataset):
    """RSNA Pneumonia Detection Challenge of 2018, stage 2.

    Layout: ``stage_2_train_labels.csv``, ``stage_2_detailed_class_info.csv`` (may be missing), images in
    ``stage_2_train_images/`` and ``stage_2_test_images/`` as DICOM (JPEG within, 1024x1024, 8 bit), or in
    ``stage_2_train_images_jpg/`` as a re-upload.

    Labels: one class for each image, by radiologists who looked for opacities that suggest pneumonia: "Lung
    Opacity" (Target 1, 6,012 images), "No Lung Opacity / Not Normal" (11,821), "Normal" (8,851). So Lung
    Opacity is 1 or 0, and its 0 means no opacity that suggests pneumonia, not none: of 555 images of the
    second class that the readers of `NIHGoogle` read too, 368 have Airspace opacity YES (9 of 230 of
    "Normal", 330 of 351 of Target 1; matched by pixels, four false matches left out). "Normal" is No Finding;
    without the table of classes, No Finding is not covered. Pneumonia is not: the readers saw no patient, and
    an opacity is a sign, no diagnosis.
    Boxes: 9,555 for the images with Target 1, drawn in pixels of 1024x1024.

    Views: in the headers alone (PA 14,511, AP 12,173), as are sex and age; they are read from DICOM files
    once, or from ``kaggle_stage_2_train_images_dicom_headers.csv`` below the root, if it is there. With JPEG
    files alone the view is unknown; all are frontal, and pass.

    Splits: ``train`` are the images of stage 2 that have labels; ``test`` are the files in
    ``stage_2_test_images/`` (3,000), without labels: all is unknown. Without a split, ``train`` alone.

    Traps: the labels have a row for each box (30,227 rows for 26,684 images). ``patientId`` names an image,
    no patient. All images are NIH's under new names: a model that was trained on NIH has seen them, and NIH's
    own labels of them differ. Patients and NIH's names are known where RSNA's table of names lies below the
    root (``pneumonia-challenge-dataset-mappings_2018.json``): then ``patient_id`` and ``family_image_id`` are
    filled, and `xrdatasets.concat`, `join`, `overlap` and ``split_by_patient`` see the same image in both.

    Licence: rules of the competition: academic research and education, not commercial.

    Citation: Shih G, Wu CC, Halabi SS, et al. Augmenting the National Institutes of Health Chest Radiograph
    Dataset with Expert Annotations of Possible Pneumonia. Radiol Artif Intell 2019;1(1):e180041.
    doi 10.1148/ryai.2019180041

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        headers: read view, sex and age from the headers of DICOM files (some 20 seconds for all of them).

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.RSNA(RSNA_ROOT, space=["Lung Opacity", "No Finding"], size=64)
        >>> ds.codes[0], ds.table["view"][0], ds.table["class"][0]
        (array([1., 0.], dtype=float32), 'AP', 'Lung Opacity')
    """

    name = "rsna"
    columns: ClassVar[Mapping[str, str]] = {
        "image_id": "patientId",
        "view": "ViewPosition",
        "sex": "PatientSex",
        "age": "PatientAge",
    }
    # not the JPEG files: where both are below the root, DICOM counts
    image_folders = ("stage_2_train_images", "stage_2_test_images", "*/stage_2_t*_images")
    split_needs = "the folder stage_2_test_images for test"

    def __init__(self, root: str | Path, *, headers: bool = True, **options: Any) -> None:
        check_flag("headers", headers)
        self._read_headers, self._classes = headers, False
        super().__init__(root, **options)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules of `LabelTable`; without a table of classes, those of Target alone."""
        table = super().label_table
        if self._classes:
            return table
        rules = tuple(rule for rule in table.rules if rule.term.column != "class")
        return dataclasses.replace(table, rules=rules)

    def read_table(self) -> pd.DataFrame:
        """One row per image: ``Target``, ``class`` where it is known, view, sex, age and split.

        Raises:
            DatasetNotFoundError: there is no table of labels.
            TableError: a column is missing, or the tables contradict each other or themselves.
        """
        path = self.find_table(LABELS)
        self.table_name = path.name
        frame = self.read_csv(path, ["patientId", "Target"])[["patientId", "Target"]].drop_duplicates()
        if frame["patientId"].duplicated().any():
            image = frame["patientId"][frame["patientId"].duplicated()].iloc[0]
            msg = f"{self.name}: {str(path)!r}: image {image!r} has two Targets. Download the table again."
            raise TableError(msg)
        frame = self._with_classes(frame.assign(split="train"))
        if self.split not in (None, "train"):
            ids = ids_below(self.files, "stage_2_test_images*")
            rest = pd.DataFrame({"patientId": ids[~ids.isin(frame["patientId"])], "split": "test"})
            frame = pd.concat([frame, rest])
        frame = self._with_headers(frame.reset_index(drop=True))
        return add_nih_names(frame, self.root, column="patientId", dataset=self.name)

    def table_of(self, row: int) -> str:
        """The table of labels, and that of classes if it is there."""
        return f"{self.table_name}, {CLASSES}" if self._classes else self.table_name

    def read_boxes(self) -> pd.DataFrame:
        """The boxes of Lung Opacity, in pixels of the 1024x1024 images.

        Raises:
            TableError: the table lacks a column, or has a box that is none.
        """
        path = self.find_table(LABELS)
        boxes = self.read_csv(path, ["patientId", *BOX, "Target"])
        boxes = boxes[(boxes["Target"] == 1) | boxes[BOX].notna().any(axis=1)]
        names = {"patientId": "image_id", "width": "w", "height": "h"}
        boxes = boxes.rename(columns=names).assign(finding=OPACITY, width=PIXELS, height=PIXELS)
        return check_boxes(boxes[list(BOX_COLUMNS)], path=path, dataset=self.name)

    def _with_classes(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the column ``class``, if its table is there.

        Raises:
            TableError: an image has two classes, or one that contradicts its Target.
        """
        try:
            path = self.find_table(CLASSES)
        except DatasetNotFoundError:
            return frame
        self._classes = True
        classes = self.read_csv(path, ["patientId", "class"], usecols=["patientId", "class"])
        classes = classes.astype("str").drop_duplicates()
        twice = classes["patientId"].duplicated()
        both = frame.merge(classes[~twice], how="left", on="patientId")
        wrong = both["class"].notna() & ((both["class"].str.strip() == OPACITY) != (both["Target"] == 1))
        if twice.any() or wrong.any():
            image = (classes["patientId"][twice] if twice.any() else both["patientId"][wrong]).iloc[0]
            msg = (
                f"{self.name}: {str(path)!r}: expected one class for each image, {OPACITY!r} where Target is "
                f"1 and nowhere else; image {image!r} has another. Take both tables from the same stage."
            )
            raise TableError(msg)
        return both.assign(**{"class": both["class"].astype("category")})

    def _with_headers(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with view, sex and age, from a table or from the files."""
        try:
            path = self.find_table(*HEADERS)
        except DatasetNotFoundError:
            files = (
                dicom_files(frame["patientId"], self.files) if self._read_headers else pd.Series(dtype="str")
            )
            return frame.join(read_headers(files, TAGS, dataset=self.name))
        # in these headers PatientID is the image's name too
        known = read_csv(path, dataset=self.name, dtype="str")
        known = require(known, ["PatientID", *TAGS], path=path, dataset=self.name)[["PatientID", *TAGS]]
        known = known.assign(PatientID=known["PatientID"].str.strip()).drop_duplicates("PatientID")
        return frame.join(known.set_index("PatientID"), on="patientId")
