"""MIMIC-CXR-JPG: 377,110 radiographs of Boston, labels of each study by two labelers or a radiologist."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import read_csv, require
from xrdatasets.datasets.releases.labelled import LabelledColumns, join_labels, small_codes
from xrdatasets.errors import DatasetNotFoundError, TableError, XRDatasetsError
from xrdatasets.labels.terms import TermReader

__all__ = ["MIMICCXR", "StudyLabels"]

StudyLabels = Literal["chexpert", "negbio", "expert"]
"""Whose labels: of the CheXpert labeler, of NegBio, or of the radiologist who read the test set's reports."""

METADATA = (
    "mimic-cxr-2.0.0-metadata.csv",  # release 2.1.0 ships the tables of 2.0.0 under their names
    "mimic-cxr-*-metadata.csv",
)
SPLIT = ("mimic-cxr-2.0.0-split.csv", "mimic-cxr-*-split.csv")
LABELS: dict[str, tuple[str, ...]] = {
    "chexpert": ("mimic-cxr-2.0.0-chexpert.csv", "mimic-cxr-*-chexpert.csv"),
    "negbio": ("mimic-cxr-2.0.0-negbio.csv", "mimic-cxr-*-negbio.csv"),
    "expert": ("mimic-cxr-2.1.0-test-set-labeled.csv", "mimic-cxr-*-test-set-labeled.csv"),
}
# the radiologist's table; PhysioNet's page calls the other column so
RENAMED = {"Airspace Opacity": "Lung Opacity", "No Findings": "No Finding"}
IDS = {"subject_id": "int32", "study_id": "int32"}
WORDS = dict.fromkeys(
    (
        "ViewPosition",
        "PerformedProcedureStepDescription",
        "ViewCodeSequence_CodeMeaning",
        "PatientOrientationCodeSequence_CodeMeaning",
    ),
    "category",
)
# what `pandas.read_csv` takes for a blank cell (its documentation, `na_values`)
BLANKS = {
    "", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
FACTS = ("dicom_id", *IDS, *WORDS, "Rows", "Columns", "StudyDate")


class MIMICCXR(CXRDataset):
    """MIMIC-CXR-JPG, as PhysioNet released it (2.0.0 and 2.1.0).

    Layout: ``mimic-cxr-2.0.0-metadata.csv.gz``, ``-split.csv.gz``, ``-chexpert.csv.gz`` and
    ``-negbio.csv.gz`` (release 2.1.0 keeps these names and adds ``mimic-cxr-2.1.0-test-set-labeled.csv``),
    each gzipped or not, and ``files/p10/p10000032/s50414267/<dicom_id>.jpg``. JPEG, 8 bit, histogram
    equalised by the publisher. 377,110 images of 227,835 studies.

    Labels: 13 findings and "No Finding" of each study, mined from its report: 1, 0, -1 (uncertain) or
    blank, in alphabetical columns. A blank is unmentioned: no negative, but a policy may fill it.
    ``labels`` says whose: ``chexpert`` and ``negbio`` (both with CheXpert's phrases) label 227,827 studies;
    ``expert`` is one radiologist's reading of the reports of the test set. "No Finding" makes the 12
    findings negative, not Support Devices, and never where the report is positive or uncertain; the
    radiologist's is stricter: no abnormality of any kind.

    Views: column ``ViewPosition``: PA, AP, LATERAL, LL and a few others; blank ones are UNKNOWN
    (``ViewCodeSequence_CodeMeaning`` often knows them).

    Splits: ``train``, ``val`` (the release calls it validate) and ``test`` of the split table, patient-wise;
    without that table the dataset opens, but has no splits.

    Traps: labels belong to studies, not images; a study without a row of labels (column ``labelled``) is
    unknown in every finding, which no policy fills; the radiologist's table has no ``subject_id`` and calls
    Lung Opacity ``Airspace Opacity``; ``StudyDate`` is a number YYYYMMDD of a shifted calendar, of which
    ``study_date`` is the date: intervals between the studies of a patient are true, years are not. The
    release has neither age nor sex: these stand in MIMIC-IV.

    Licence: PhysioNet Credentialed Health Data License 1.5.0.

    Citation: Johnson AEW, Pollard TJ, Greenbaum NR, et al. MIMIC-CXR-JPG, a large publicly available database
    of labeled chest radiographs. arXiv 1901.07042, 2019. https://physionet.org/content/mimic-cxr-jpg/2.1.0/

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        labels: whose labels: ``chexpert``, ``negbio`` or ``expert``.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.MIMICCXR(MIMIC_CXR_ROOT, labels="negbio", space="chexpert5", split="train")
        >>> ds.table["study_date"].dt.year.tolist()
        [2180, 2180, 2181]
    """

    name = "mimic_cxr"
    columns: ClassVar[Mapping[str, str]] = {
        "image_id": "dicom_id",
        "patient_id": "subject_id",
        "study_id": "study_id",
        "view": "ViewPosition",
    }
    findings: TermReader = LabelledColumns()
    image_folders = ("files/*",)
    split_needs = "mimic-cxr-2.0.0-split.csv (or .csv.gz)"

    def __init__(self, root: str | Path, *, labels: StudyLabels = "chexpert", **options: Any) -> None:
        if labels not in get_args(StudyLabels):
            msg = f"labels: expected {', '.join(get_args(StudyLabels))}, got {labels!r}."
            raise ValueError(msg)
        self.label_source = labels
        super().__init__(root, **options)

    def read_table(self) -> pd.DataFrame:
        """The metadata table, with split and labels of each image's study, and ``study_date``.

        Raises:
            DatasetNotFoundError: no metadata, or none of the labels that were asked for.
            TableError: an id is no number, or a study stands twice in a table of studies.
        """
        frame = self._read(self.find_table(*METADATA), FACTS, IDS | WORDS | {"dicom_id": "str"}, words=WORDS)
        studies = frame["study_id"]
        split = self._split(studies)
        path = self.find_table(*LABELS[self.label_source])
        self.table_name = path.name
        labels = self._read_labels(path)
        texts = {name: _texts(frame[name]) for name in IDS}
        dates = {"StudyDate": _small(frame["StudyDate"]), "study_date": _dates(frame["StudyDate"])}
        sizes = {name: _small(frame[name]) for name in ("Rows", "Columns")}
        frame = frame.assign(**texts, **dates, **sizes, split=split)
        where = f"{self.name}: {str(path)!r}"
        codes, keys = labels.drop(columns="study_id"), labels["study_id"]
        # the radiologist read the test set alone
        return join_labels(frame, studies, codes, keys, where=where, whole=self.label_source != "expert")

    def _split(self, studies: pd.Series) -> pd.Categorical:
        """The split of each image's study, NA where no table says it."""
        try:
            path = self.find_table(*SPLIT)
        except DatasetNotFoundError:
            return pd.Categorical.from_codes(np.full(len(studies), -1, dtype=np.int8), ["train"])
        frame = self._read(path, ("study_id", "split"), IDS | {"split": "category"}, words=("split",))
        study, known = pd.factorize(frame["study_id"].to_numpy())
        split = frame["split"].cat.rename_categories({"validate": "val"})
        codes = np.full(len(known) + 1, -1, dtype=np.int8)  # the last: a study that the table lacks
        codes[study] = split.cat.codes
        if (other := codes[study] != split.cat.codes.to_numpy()).any():
            twice = frame["study_id"].iloc[int(other.argmax())]
            msg = (
                f"{self.name}: {str(path)!r}: study {twice} stands in two splits. Expected one. "
                "Download it again."
            )
            raise TableError(msg)
        rows = pd.Index(known).get_indexer(pd.Index(studies))
        return pd.Categorical.from_codes(codes[rows], split.cat.categories)

    def _read_labels(self, path: Path) -> pd.DataFrame:
        codes = [term.column for term in self.label_table.terms if term.column]
        columns = ["study_id", *dict.fromkeys(codes)]
        spelled = dict.fromkeys((*codes, *RENAMED), "float32")
        try:
            frame = self._read(path, columns, IDS | spelled)
        except XRDatasetsError:
            raise
        except ValueError:
            frame = self._read(path, columns, IDS)  # a cell is no code: the label table will say which
        return small_codes(frame[columns])

    def _read(
        self, path: Path, columns: Sequence[str], types: Mapping[str, str], *, words: Collection[str] = ()
    ) -> pd.DataFrame:
        """The columns of a table, in narrow types; ids that are no numbers are refused.

        Args:
            path: the table.
            columns: those that it needs.
            types: their types.
            words: if given, only these columns are searched for blanks, word by word instead of cell by cell,
                which takes a quarter of the time of reading off; the other columns are ids and numbers.
        """
        wanted = {*columns, *RENAMED}
        try:
            frame = read_csv(path, dataset=self.name, dtype=dict(types), usecols=wanted, na_filter=not words)
        except XRDatasetsError:
            raise
        except ValueError as error:
            ids = read_csv(path, dataset=self.name, dtype="str", usecols=list(IDS))
            self._check_ids(ids, path)
            raise ValueError(str(error)) from error
        blanks = {name: _blanked(frame[name]) for name in words if name in frame}
        found = frame.rename(columns=RENAMED).assign(**blanks)
        return require(found, columns, path=path, dataset=self.name)

    def _check_ids(self, ids: pd.DataFrame, path: Path) -> None:
        for name in ids:
            bad = ~ids[name].str.strip().str.fullmatch("[0-9]{1,9}").fillna(False).astype(bool)
            if bad.any():
                row = int(bad.to_numpy().argmax())
                msg = (
                    f"{self.name}: {str(path)!r}, row {row + 1} of the data: column {name!r}: expected a "
                    f"number, got {ids[name].iloc[row]!r}. Download it again."
                )
                raise TableError(msg)


def _blanked(words: pd.Series) -> pd.Series:
    """Categories, of which those that pandas reads as blank are NA."""
    return words.cat.remove_categories([word for word in words.cat.categories if word in BLANKS])


def _texts(numbers: pd.Series) -> pd.Series:
    """Numbers as text; equal ones are one text."""
    rows, distinct = pd.factorize(numbers.to_numpy())
    words = pd.array([*map(str, distinct.tolist())], dtype="str")  # numpy's own way takes four times as long
    return pd.Series(words.take(rows), index=numbers.index)


def _small(numbers: pd.Series) -> pd.Series:
    """Whole numbers in the narrowest type that holds them."""
    return pd.to_numeric(numbers, errors="coerce", downcast="integer")


def _dates(numbers: pd.Series) -> pd.Series:
    """Dates of numbers YYYYMMDD, NaT where they are none."""
    whole = pd.to_numeric(numbers, errors="coerce").fillna(0).to_numpy().astype(np.int64)
    year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
    dates = months.astype("datetime64[D]") + (day - 1)
    # the 31st of a month of 30 days would run on into the next
    good = (month >= 1) & (month <= 12) & (day >= 1) & (dates.astype("datetime64[M]") == months)
    return pd.Series(np.where(good, dates, np.datetime64("NaT")).astype("datetime64[s]"), index=numbers.index)
