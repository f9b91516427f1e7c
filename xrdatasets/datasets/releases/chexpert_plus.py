"""CheXpert Plus: CheXpert's images in full depth, with reports, demographics and CheXbert's labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, read_csv, require
from xrdatasets.datasets.options import check_flag
from xrdatasets.datasets.releases.chexpert import known_ages, views_of
from xrdatasets.datasets.releases.labelled import LabelledColumns, join_labels, small_codes
from xrdatasets.datasets.releases.paths import join_names, read_names
from xrdatasets.datasets.tables import concat_tables
from xrdatasets.errors import TableError
from xrdatasets.labels.terms import TermReader

__all__ = ["CheXpertPlus", "ReportPart"]

ReportPart = Literal["report", "findings", "impression"]
"""Which part of the report CheXbert read."""

EXPECTED = "train/patient00001/study1/view1_frontal.jpg"
KEY = "path_to_image"
FACTS = (KEY, "frontal_lateral", "ap_pa", "age", "sex", "split")
WORDS = (
    "frontal_lateral", "ap_pa", "sex", "race", "ethnicity", "interpreter_needed", "insurance_type",
    "deceased", "split",
)  # fmt: skip
# the image's path says both: the DICOM lies under the same name, the patient is its folder
REPEATED = {"path_to_dcm", "deid_patient_id"}
BLOCK = 1 << 16


class CheXpertPlus(CXRDataset):
    """CheXpert Plus, as Stanford released it (April 2024).

    Layout: ``df_chexpert_plus_240401.csv``, ``chexbert_labels/{report,findings,impression}_fixed.json``, and
    ``PNG/{train,valid}/patient00001/study1/view1_frontal.png`` or the same below ``DICOM/Uncompressed/`` as
    DICOM. Where both are there the PNG is read. 223,462 images of 187,711 studies and 64,725 patients.

    Labels: 13 findings and "No Finding" by CheXbert: 1, 0, -1 (uncertain) or blank (null). A blank is
    unmentioned: no negative, but a policy may fill it. ``labels`` says from which text: the whole report, its
    findings or its impression. "No Finding" makes the 12 findings negative, not Support Devices, and never
    where the text is positive or uncertain. An image without a line of labels (column ``labelled``) is
    unknown in every finding, which no policy fills.

    Views: ``AP`` or ``PA`` for frontal images, LATERAL else.

    Splits: ``train`` and ``val`` (the release calls it valid). The test set comes with CheXlocalize.

    Traps: image ids are CheXpert's, so that an image has one id in both; ``path_to_image`` ends in ``.jpg``,
    the files in ``.png``; downloads leave ``.azDownload-...`` files behind, which are passed over; about 5 %
    of the DICOMs lack ``HighBit``; where a report has no findings (or impression), CheXbert was given nothing
    and answers "No Finding" (told by users of the release, not checked here): prefer the whole report; age 0
    is an unknown age, as in CheXpert (from memory).

    Licence: Stanford University Dataset Research Use Agreement: non-commercial, no redistribution.

    Citation: Chambon P, Delbrouck JB, Sounack T, et al. CheXpert Plus: Augmenting a Large Chest X-ray Dataset
    with Text Radiology Reports, Patient Demographics and Additional Image Formats. arXiv 2405.19538, 2024.
    https://aimi.stanford.edu/datasets/chexpert-plus

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        labels: the text that was labelled: ``report``, ``findings`` or ``impression``.
        reports: whether the table carries the report and its sections, a gigabyte of text.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.CheXpertPlus(CHEXPERT_PLUS_ROOT, reports=True, split="val")
        >>> ds.table[["image_id", "section_impression"]].iloc[0].tolist()
        ['valid/patient64541/study1/view1_frontal', 'Rib fracture.']
    """

    name = "chexpert_plus"
    levels = 3  # patient00001/study1/view1_frontal: wherever the chunks were unpacked
    image_folders = ("*PNG/*",)  # PNG before DICOM
    columns: ClassVar[Mapping[str, str]] = {"view": "ap_pa"}
    findings: TermReader = LabelledColumns()
    split_needs = "the column 'split' of df_chexpert_plus_240401.csv"

    def __init__(
        self, root: str | Path, *, labels: ReportPart = "report", reports: bool = False, **options: Any
    ) -> None:
        if labels not in get_args(ReportPart):
            msg = f"labels: expected {', '.join(get_args(ReportPart))}, got {labels!r}."
            raise ValueError(msg)
        check_flag("reports", reports)
        self.label_source, self.reports = labels, reports
        super().__init__(root, **options)

    def read_table(self) -> pd.DataFrame:
        """The table of the release with CheXbert's labels, ids in place of the paths.

        Raises:
            DatasetNotFoundError: the table or the labels that were asked for are missing.
            TableError: a path is not of the release's form, or no image has labels.
        """
        path = self.find_table("df_chexpert_plus_240401.csv", "df_chexpert_plus_*.csv")
        name = f"{self.label_source}_fixed.json"
        label_path = self.find_table(f"chexbert_labels/{name}", name)
        self.table_name = label_path.name
        frame = self._read(path)
        labels = self._read_labels(label_path)
        where = f"{self.name}: {str(label_path)!r}"
        joined = join_labels(frame, frame[KEY], labels.drop(columns=KEY), labels[KEY], where=where)
        return joined.drop(columns=[KEY, "frontal_lateral"])

    def _read(self, path: Path) -> pd.DataFrame:
        frame = read_csv(
            path,
            dataset=self.name,
            dtype=dict.fromkeys(WORDS, "category") | {KEY: "str"},
            usecols=self._wanted,
        )
        require(frame, FACTS, path=path, dataset=self.name)
        frame = frame.assign(
            **self._ids(check_paths(frame[KEY], path=path, dataset=self.name), path),
            ap_pa=views_of(frame["frontal_lateral"], frame["ap_pa"]),
            age=known_ages(frame["age"]),
        )
        return frame.assign(split=frame["split"].cat.rename_categories({"valid": "val"}))

    def _wanted(self, column: str) -> bool:
        heavy = column == "report" or column.startswith("section_")
        return column not in REPEATED and (self.reports or not heavy)

    def _ids(self, paths: pd.Series, path: Path) -> dict[str, pd.Series]:
        """Ids of the images, patients and studies: the paths of both folders stand in one table."""
        valid = paths.str.startswith("valid/", na=False).to_numpy(dtype=bool)
        folders = [rows for rows in (np.flatnonzero(~valid), np.flatnonzero(valid)) if len(rows)]
        words = paths.to_numpy(dtype=object)
        names = [
            read_names(words[rows], file=path, rows=rows.tolist(), dataset=self.name, expected=EXPECTED)
            for rows in folders
        ]
        return join_names(names, np.concatenate(folders)) if names else {"image_id": paths}

    def _read_labels(self, path: Path) -> pd.DataFrame:
        """Path and codes of every line of a file of labels."""
        columns = [KEY, *dict.fromkeys(term.column for term in self.label_table.terms)]
        try:
            with pd.read_json(path, lines=True, chunksize=BLOCK, dtype=False) as blocks:
                frames = [
                    _narrow(require(block, columns, path=path, dataset=self.name)[columns])
                    for block in blocks
                ]
        except TableError:
            raise
        except (AttributeError, OSError, OverflowError, RecursionError, TypeError, ValueError) as error:
            msg = f"{self.name}: {str(path)!r}: expected a line of JSON for each image ({error})."
            raise TableError(msg) from error
        if not frames:
            msg = f"{self.name}: {str(path)!r} is empty. Expected a line of JSON for each image."
            raise TableError(msg)
        return concat_tables(frames)


def _narrow(lines: pd.DataFrame) -> pd.DataFrame:
    """Path and codes in narrow types; a column with a cell that is no number stays as it is."""
    numbers = lines.drop(columns=KEY).apply(pd.to_numeric, errors="coerce").astype("float32")
    codes = lines.drop(columns=KEY)
    odd = (numbers.isna() & codes.notna()).any()
    codes = small_codes(numbers).assign(**{name: codes[name].astype("object") for name in odd.index[odd]})
    return codes.assign(**{KEY: lines[KEY].astype("str")})
