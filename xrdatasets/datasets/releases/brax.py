"""BRAX: 40,967 radiographs of São Paulo, labels mined from reports in Portuguese."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, read_csv, require
from xrdatasets.datasets.releases.labelled import small_codes
from xrdatasets.errors import TableError, XRDatasetsError

__all__ = ["BRAX"]

PATHS = ("PngPath", "DicomPath")
FACTS = ("PatientID", "PatientSex", "PatientAge", "AccessionNumber", "ViewPosition")
IDS = dict.fromkeys((*PATHS, "PatientID", "AccessionNumber", "PatientAge"), "str")
FORM = r"^(?:.*/)?(id_[^/]+/Study_[^/]+/Series_[^/]+/[^/]+)\.png$"
EXPECTED = "images/id_.../Study_.../Series_.../image-....png"
GROUP = r"^([0-9]+)\s*(?:or more|\+|(?:-|to)\s*[0-9]+)$"


class BRAX(CXRDataset):
    """BRAX, the Brazilian labeled chest x-ray dataset, as PhysioNet released it (1.1.0).

    Layout: ``master_spreadsheet_update.csv`` (or ``master_spreadsheet.csv``),
    ``images/id_.../Study_.../Series_.../image-....png`` and the same below ``Anonymized_DICOMs/`` as DICOM.
    Where both are there the PNG is read. 40,967 images of 24,959 studies and 19,351 patients.

    Labels: 13 findings and "No Finding" of CheXpert's labeler, adapted to Portuguese: 1, 0, -1 (uncertain)
    or blank. A blank is unmentioned: no negative, but a policy may fill it. "No Finding" makes the 12
    findings negative, not Support Devices, and never where the report is positive or uncertain.

    Views: column ``ViewPosition``: PA, AP, L, RL; blank ones are UNKNOWN.

    Splits: none; use `split_by_patient`.

    Traps: ages are groups of five years, the last one "85 or more": ``age`` is the number that the table
    writes, for a range or "or more" its lower bound, so 85 means 85 or above (``PatientAge`` keeps the
    words; that a lone number is the lower bound of its group is from memory); the sex O (other) is unknown;
    dates are fictitious; labels are those of the study, the same on all its images; the table's paths are
    relative to the root, and one that leaves it is refused.

    Licence: PhysioNet Credentialed Health Data License 1.5.0.

    Citation: Reis EP, de Paiva JPQ, da Silva MCB, et al. BRAX, Brazilian labeled chest x-ray dataset. Sci
    Data 2022;9:487. https://physionet.org/content/brax/1.1.0/

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.BRAX(BRAX_ROOT, space="chexpert5", policy=xr.U_ONES)
        >>> ds.table["age"].tolist()
        [45.0, 85.0, 60.0]
    """

    name = "brax"
    columns: ClassVar[Mapping[str, str]] = {
        "patient_id": "PatientID",
        "study_id": "AccessionNumber",
        "view": "ViewPosition",
        "sex": "PatientSex",
    }
    image_folders = ("images/*",)  # PNG before DICOM
    levels = 4  # id_.../Study_.../Series_.../image-...: the same in both folders
    tables: ClassVar[tuple[str, ...]] = ("master_spreadsheet_update.csv", "master_spreadsheet.csv")

    def read_table(self) -> pd.DataFrame:
        """The master spreadsheet, ids in place of the paths.

        Raises:
            TableError: a path leaves the root, or is not of the release's form.
        """
        path = self.find_table(*self.tables)
        self.table_name = path.name
        codes = [term.column for term in self.label_table.terms]
        try:
            frame = self._read(path, dict.fromkeys(codes, "float32"))
        except XRDatasetsError:
            raise
        except ValueError:
            frame = self._read(path, {})  # a cell is no code: the label table will say which
        require(frame, ["PngPath", *FACTS, *codes], path=path, dataset=self.name)
        for name in PATHS:
            if name in frame:
                check_paths(frame[name], path=path, dataset=self.name)
        frame = frame.assign(
            image_id=self._ids(frame["PngPath"], path), age=_lower_bounds(frame["PatientAge"])
        )
        frame["PatientAge"] = frame["PatientAge"].astype("category")
        return small_codes(frame.drop(columns=list(PATHS), errors="ignore"))

    def _read(self, path: Path, types: dict[str, Any]) -> pd.DataFrame:
        return read_csv(path, dataset=self.name, dtype=IDS | types)

    def _ids(self, paths: pd.Series, path: Path) -> pd.Series:
        ids = paths.str.strip().str.extract(FORM, expand=False)
        if ids.isna().any():
            row = int(ids.isna().to_numpy().argmax())
            msg = (
                f"{self.name}: {str(path)!r}, row {row + 1} of the data: column 'PngPath': expected a path "
                f"like {EXPECTED!r}, got {paths.iloc[row]!r}."
            )
            raise TableError(msg)
        return ids


def _lower_bounds(ages: pd.Series) -> pd.Series:
    """Groups of ages ("85 or more", "60 - 64") as their lower bound; other words as they are."""
    words = ages.astype("category")
    distinct = words.cat.categories.to_series().str.strip()
    bounds = distinct.str.extract(GROUP, expand=False).fillna(distinct)
    return words.map(dict(zip(words.cat.categories, bounds, strict=True))).astype("str")
