"""SIIM-ACR: 12,047 images of NIH ChestX-ray14 with outlines of pneumothoraces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import read_csv, require
from xrdatasets.datasets.headers import dicom_files, ids_below, read_headers
from xrdatasets.datasets.masks import RUN_COLUMNS, check_runs
from xrdatasets.datasets.options import check_flag
from xrdatasets.errors import TableError

__all__ = ["SIIM"]

TABLES = ("train-rle.csv", "stage_2_train.csv")
IMAGE, RUNS = "ImageId", "EncodedPixels"
NOTHING = "-1"  # what the table writes where there is no pneumothorax
TAGS = ["PatientID", "ViewPosition", "PatientSex", "PatientAge"]
FINDING = "Pneumothorax"
PIXELS = 1024  # side of the released images, whose pixels the runs count


class SIIM(CXRDataset):
    """SIIM-ACR Pneumothorax Segmentation challenge of 2019.

    Layout: ``train-rle.csv`` (or ``stage_2_train.csv``), images in
    ``dicom-images-train/<study>/<series>/<image>.dcm`` and ``dicom-images-test/``, as DICOM (JPEG within,
    1024x1024, 8 bit). A file is found by the last part of its path, wherever it lies.

    Labels: Pneumothorax alone, outlined by radiologists; -1 in the table is none. 2,669 of 12,047 images have
    one. Nothing is said of other findings.
    Masks: run lengths over the columns of 1024x1024 pixels; each start counts from the end of the run before.

    Views: in the headers alone, as are patient, sex and age; they are read once from all files. Without
    headers the view is unknown; all are frontal, and pass.

    Splits: ``train`` are the images that the table names; ``test`` are the files in ``dicom-images-test/``
    (or ``stage_2_images/``) that it does not name, without labels: all is unknown. Without a split, ``train``
    alone.

    Traps: an image with several outlines has several rows (12,954 in all), which are united. The head of the
    second column begins with a blank. Rows whose file is missing may be there (not checked): open with
    ``missing="drop"``. The images are NIH's under new names, and no list says which is which. Whether the
    PatientID of the headers is the same for two images of one patient could not be checked.

    Licence: rules of the competition: academic research and education, not commercial.

    Citation: Zawacki A, Wu C, Shih G, et al. SIIM-ACR Pneumothorax Segmentation. Kaggle 2019.
    https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation
    Filice RW, Stein A, Wu CC, et al. Crowdsourcing pneumothorax annotations using machine learning
    annotations on the NIH chest X-ray dataset. J Digit Imaging 2020;33(2):490-496.
    doi 10.1007/s10278-019-00299-9

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        headers: read patient, view, sex and age from the headers of DICOM files.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.SIIM(SIIM_ROOT, space="native", masks=True)
        >>> ds.codes.ravel().tolist(), ds[1]["mask"].shape
        ([0.0, 1.0, 0.0, 1.0], torch.Size([1, 64, 64]))
    """

    name = "siim"
    columns: ClassVar[Mapping[str, str]] = {
        "image_id": IMAGE,
        "patient_id": "PatientID",
        "view": "ViewPosition",
        "sex": "PatientSex",
        "age": "PatientAge",
    }
    image_folders = ("dicom-images-train/*", "dicom-images-test/*", "*/dicom-images-t*/*")
    split_needs = "the folder dicom-images-test for test"

    def __init__(self, root: str | Path, *, headers: bool = True, **options: Any) -> None:
        check_flag("headers", headers)
        self._read_headers = headers
        super().__init__(root, **options)

    def read_table(self) -> pd.DataFrame:
        """One row per image: Pneumothorax 1 or 0, patient, view, sex, age and split.

        Raises:
            DatasetNotFoundError: there is no table.
            TableError: a column is missing, a cell is blank, or an image has a pneumothorax and none.
        """
        path, frame = self._read_runs()
        found = frame[RUNS] != NOTHING
        images = pd.DataFrame({IMAGE: frame[IMAGE], FINDING: found.astype("int8")}).drop_duplicates()
        if (twice := images[IMAGE].duplicated()).any():
            image = images[IMAGE][twice].iloc[0]
            msg = f"{self.name}: {str(path)!r}: image {image!r} has both run lengths and {NOTHING!r}."
            raise TableError(msg)
        images = images.assign(split="train")
        if self.split not in (None, "train"):
            ids = ids_below(self.files, "dicom-images-test*", "stage_2_images")
            images = pd.concat(
                [images, pd.DataFrame({IMAGE: ids[~ids.isin(images[IMAGE])], "split": "test"})]
            )
        images = images.reset_index(drop=True)
        files = dicom_files(images[IMAGE], self.files) if self._read_headers else pd.Series(dtype="str")
        return images.join(read_headers(files, TAGS, dataset=self.name))

    def read_runs(self) -> pd.DataFrame:
        """The run lengths of the pneumothoraces, one row for each outline.

        Raises:
            TableError: they are no whole numbers, an odd number of them, or more than the image's pixels.
        """
        path, frame = self._read_runs()
        frame = frame[frame[RUNS] != NOTHING]
        # start and length, start and length: pixels off and on, which is how COCO counts
        counts = frame[RUNS].str.split()
        if (odd := counts.str.len() % 2 == 1).any():
            image = frame[IMAGE][odd].iloc[0]
            msg = (
                f"{self.name}: {str(path)!r}: column {RUNS!r}: expected pairs of start and length, got an "
                f"odd number of numbers (image {image!r}). Download the table again."
            )
            raise TableError(msg)
        runs = pd.DataFrame({"image_id": frame[IMAGE], "finding": FINDING, "counts": counts})
        runs = runs.assign(width=PIXELS, height=PIXELS)
        return check_runs(runs[list(RUN_COLUMNS)], path=path, dataset=self.name)

    def _read_runs(self) -> tuple[Path, pd.DataFrame]:
        """The table, stripped.

        Raises:
            TableError: a column is missing, or a cell is blank.
        """
        path = self.find_table(*TABLES)
        self.table_name = path.name
        frame = read_csv(path, dataset=self.name, dtype="str")
        frame = require(frame, [IMAGE, RUNS], path=path, dataset=self.name)[[IMAGE, RUNS]]
        frame = frame.assign(**{name: frame[name].str.strip() for name in (IMAGE, RUNS)})
        if (blank := frame.isna().any(axis=1) | (frame == "").any(axis=1)).any():
            row = int(blank.to_numpy().argmax())
            msg = (
                f"{self.name}: {str(path)!r}, row {row + 1} of the data is blank. Expected an image and its "
                f"run lengths, or {NOTHING}. Download the table again."
            )
            raise TableError(msg)
        return path, frame
