"""PadChest: 160,861 radiographs of Alicante with 193 terms of a tree, listed per report."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import read_csv, require
from xrdatasets.errors import TableError
from xrdatasets.facts import Absent
from xrdatasets.labels.codes import ABSENT, UNKNOWN, frozen
from xrdatasets.labels.rules import Term
from xrdatasets.labels.terms import FindingList, TermMatrix, TermReader, bad_cell, column_of

__all__ = ["OPEN_TERMS", "PadChest", "TermLists"]

OPEN_TERMS = ("exclude", "suboptimal study", "unchanged")
"""Terms of a study that could not be read, or whose report refers to an earlier one."""

NEEDED = (
    "ImageID",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "Projection",
    "Labels",
)
WORDS = (
    "PatientSex_DICOM",
    "Projection",
    "Pediatric",
    "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM",
    "MethodLabel",
)
TEXTS = ("ImageID", "StudyID", "PatientID", "Labels")
NUMBERS = ("ImageDir", "StudyDate_DICOM", "PatientBirth", "ReportID")
# words of few kinds are held once; the texts, most of the file, are not read
TYPES = {**dict.fromkeys(TEXTS, "str"), **dict.fromkeys(WORDS, "category")}
KEPT = frozenset((*NEEDED, *WORDS, *NUMBERS))
BROKEN = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)  # what literal_eval may raise

EXPECTED = "the text of a list of terms, as ['pneumonia']"


@dataclass(frozen=True, slots=True)
class TermLists:
    """All terms of an image stand in one cell, as the text of a Python list.

    A term that is not in the list is absent; but a list with one of `OPEN_TERMS` excludes nothing: its
    other terms count, and what it does not name is unknown.

    Attributes:
        column: the column with the lists.
    """

    column: str = "Labels"

    def read(self, table: pd.DataFrame, terms: Sequence[Term], *, absent: Absent, where: str) -> TermMatrix:
        """States of every term; an empty cell or list leaves all of them unknown.

        Args:
            table: the release's table.
            terms: the terms of the mapping file.
            absent: what it means that a term is not in the list.
            where: file or dataset, for error messages.

        Raises:
            TableError: the column is missing, or a cell is no list of terms; the first such row is named.
            MappingError: a list names a term that the mapping file does not have.
        """
        cells = column_of(table, self.column, where)
        rows, texts = pd.factorize(cells, use_na_sentinel=True)
        lists = [_parsed(str(text)) for text in texts]
        bad = np.array([*(words is None for words in lists), False])[rows]
        if bad.any():
            raise TableError(bad_cell(cells, ~bad, where, EXPECTED))
        joined = pd.DataFrame({self.column: ["|".join(words or ()) for words in lists]}, dtype="object")
        by_list = FindingList(self.column).read(joined, terms, absent=absent, where=where)
        states = np.full((len(terms), len(lists) + 1), UNKNOWN, dtype=np.uint8)  # the last: no list at all
        states[:, :-1] = by_list.states
        open_ = np.array([*(not set(OPEN_TERMS).isdisjoint(words or ()) for words in lists), False])
        states[:, open_] = np.where(states[:, open_] == ABSENT, UNKNOWN, states[:, open_])
        return TermMatrix(by_list.terms, frozen(states), frozen(np.where(rows < 0, len(lists), rows)))


class PadChest(CXRDataset):
    """PadChest, as BIMCV released it in February 2019.

    Layout: ``PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`` (or ``.csv.gz``); images in
    ``images/0`` to ``images/50`` and ``images/54`` (51 to 53 do not exist), or flat, as the common resized
    copies have them. PNG, 16 bit.

    Labels: the terms of a tree, 174 findings and 19 diagnoses, with UMLS codes; 24.3 % of the images were
    labelled by physicians (27 % of the reports, says the paper), the rest by a recurrent network
    (``MethodLabel``, kept in `table`: ``Physician`` or ``RNN_model``). ``mappings/labels/padchest.csv`` has a
    row for every term, read as a whole: of *subcutaneous emphysema*, *pericardial effusion* or *pseudonodule*
    nothing follows. The list names what was seen, so what it does not name counts as negative, with three
    exceptions: lists with ``exclude``, ``suboptimal study`` or ``unchanged`` leave what they do not name
    unknown (the rows stay); the 880 rows without a list are unknown (103 blank, 777 ``['']``); terms that are
    wider than a finding, or may be its sign or its cause, leave it unknown if only they are named: COPD signs
    and air trapping Emphysema, a blunted costophrenic angle Effusion, granulomas Nodule. No uncertain labels.
    "normal" is No Finding; it stands beside other terms in 226 images: they count, and what is not among them
    is 0. A list of devices alone is not normal: No Finding is 0 (2,656 images, with suture material).

    Views: PA, L (lateral), AP, AP_horizontal (AP_SUPINE) and COSTAL (UNKNOWN), by ``Projection``.

    Splits: none.

    Traps: terms may have a blank before them (``' pneumonia'``); age is the year of the study minus
    ``PatientBirth``, which is a year, so it may be one too high; children are among the patients
    (``Pediatric``, kept as it is written: ``No``, or ``PED`` for 274 images); labels are those of the report,
    the same on all images of a study; some files are missing or truncated. The texts (``Report``,
    ``Localizations``, ``LabelsLocalizationsBySentence``), the codes and most DICOM columns, by far the most
    of the file, are not read. ``PhotometricInterpretation_DICOM`` is MONOCHROME2 in every row.
    torchxrayvision searches the text of the list for 28 names: its Nodule has 2,241 pseudonodules, its
    Effusion 79 pericardial ones, its Emphysema 213 of the skin, its Mass 328 of the mediastinum and 141 of
    soft tissue; it drops patients born after 2008 or in no known year, and takes 2017 for the year of every
    study.

    Licence: PADCHEST Dataset Research Use Agreement: registration, research, no redistribution.

    Citation: Bustos A, Pertusa A, Salinas JM, de la Iglesia-Vaya M. PadChest: A large chest x-ray image
    dataset with multi-label annotated reports. Med Image Anal 2020;66:101797. doi 10.1016/j.media.2020.101797

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.PadChest(PADCHEST_ROOT, space=["Pneumonia", "Effusion"], missing="keep")
        >>> ds.terms["pneumonia"].sum(), ds.explain(1, "Effusion").term
        (np.float32(1.0), 'pleural effusion')
    """

    name = "padchest"
    columns: ClassVar[Mapping[str, str]] = {
        "image_id": "ImageID",
        "patient_id": "PatientID",
        "study_id": "StudyID",
        "view": "Projection",
        "sex": "PatientSex_DICOM",
    }
    findings: TermReader = TermLists()
    image_folders = ("images", "images/*")

    def read_table(self) -> pd.DataFrame:
        """The table without its texts, ids without their extension, with the age at the study."""
        path = self.find_table("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "PADCHEST_*.csv")
        self.table_name = path.name
        frame = read_csv(path, dataset=self.name, usecols=KEPT, dtype=TYPES)
        require(frame, NEEDED, path=path, dataset=self.name)
        # all words of pandas go before the first is made anew: new ones between them would keep 20 MB
        packed = {name: _packed(frame.pop(name)) for name in TEXTS}
        packed["ImageID"] = packed["ImageID"][0], re.sub(r"\.\w+ *$", "", packed["ImageID"][1], flags=re.M)
        dates, births = _numbers(frame["StudyDate_DICOM"]), _numbers(frame["PatientBirth"])
        return frame.assign(
            age=(dates // 10_000 - births).astype("float32"),
            StudyDate_DICOM=dates.astype("Int32"),
            PatientBirth=births.astype("float32"),
            **{name: _unpacked(*packed.pop(name)) for name in TEXTS},
        ).astype({"Labels": "category"})


def _parsed(text: str) -> list[str] | None:
    """The terms of a list as text, without the blanks around them; None if it is no such list."""
    words = text[2:-2].split("', '")
    # as nearly all of them are written; what is not goes the slow way
    if text[:2] + text[-2:] != "['']" or text.count("'") != 2 * len(words) or "\\" in text:
        try:
            words = ast.literal_eval(text.strip())
        except BROKEN:
            return None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return None
    return [stripped for word in words if (stripped := word.strip())]


def _packed(column: pd.Series) -> tuple[npt.NDArray[np.intp], str]:
    """Row numbers into the distinct words of a column, and these as the lines of one text."""
    rows, found = pd.factorize(column, use_na_sentinel=True)
    words = np.asarray(found, dtype=object).tolist()
    text = "\n".join(words)
    if text.count("\n") >= len(words) > 0:  # a damaged table: a line break within a word
        text = "\n".join(" ".join(word.split()) for word in words)
    return rows, text


def _unpacked(rows: npt.NDArray[np.intp], text: str) -> pd.Series:
    """Words of each row, without blanks around them, each distinct one held once."""
    framed = f"\n{text}\n"
    if "\n " in framed or " \n" in framed:  # looked for first: it is rare, and the cut takes its time
        text = re.sub(r"^ +| +$", "", text, flags=re.MULTILINE)
    words = np.array([*text.split("\n"), np.nan], dtype=object)
    return pd.Series(words[rows], dtype="str")


def _numbers(column: pd.Series) -> pd.Series:
    """Whole numbers as float64; NaN where there is none."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(numbers.between(0, 99_991_231) & (numbers % 1 == 0))
