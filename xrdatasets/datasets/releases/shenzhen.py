"""Shenzhen No. 3 People's Hospital: 662 radiographs, 336 of them with tuberculosis."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import WHOLE_PATH, FileIndex, find_folder
from xrdatasets.datasets.releases.readings import read_names, read_readings

__all__ = ["Shenzhen"]

# first lines: "male 45yrs", "female24yrs", "femal 32yrs", "male , 29yrs", "male 16month", "female 64days"
PATTERNS = {
    "sex": r"\A\W*([fm])[a-z]*",
    "number": r"\A\W*[a-z]*\W*([0-9]+(?:\.[0-9]+)?)",
    "unit": r"\A\W*[a-z]*\W*[0-9]+(?:\.[0-9]+)?\s*([ymwd])",
    "reading": r"\A[^\n]*\n(.*)\Z",
}


class Shenzhen(CXRDataset):
    """Shenzhen chest X-rays, of the National Library of Medicine and Shenzhen No. 3 People's Hospital.

    Layout: ``ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png`` (the folder is also called
    ``Shenzhen-Hospital-CXR-Set``; ``CXR_png`` below the root, or the images in the root itself, do as
    well), ``ClinicalReadings/*.txt``. 662 PNG of about 3000x3000, most with a palette.

    Labels: the last digit of the name: 0 normal, 1 tuberculosis (326 and 336). Normal says nothing of
    other findings, so only Tuberculosis is covered. ``reading`` in `table` is the radiologist's free text.
    ``Annotations`` and ``Annotations-2`` outline 19 kinds of lesion (nodules, infiltrates, cavities, ...) on
    the images with tuberculosis alone: they are no labels of the set, whose normal images nobody read for
    them, and are left out.

    Patients: one image each, the number in the name.

    Views: not stated per image (PA by the paper), so ``UNKNOWN``; all are frontal and pass. Children are
    among the patients.

    Splits: none.

    Traps: the first line of a reading is written in many ways (``male 45yrs``, ``femal 32yrs``,
    ``female24yrs``, ``male , 29yrs``); ages of infants are in months or days; a number without a unit is
    no age. Masks of lesions and lungs lie beside the images, with longer names. Readings that are missing
    leave sex and age unknown. The set also lies in ``extra`` of `TBX11K`.

    Licence: free for research with citation and acknowledgement of the National Library of Medicine
    and Shenzhen No. 3 People's Hospital.

    Citation: Jaeger S, Candemir S, Antani S, Wáng YXJ, Lu PX, Thoma G. Two public chest X-ray datasets
    for computer-aided screening of pulmonary diseases. Quant Imaging Med Surg 2014;4(6):475-477.
    doi 10.3978/j.issn.2223-4292.2014.11.20. Annotations: Yang F, Lu PX, Deng M, et al. Data 2022;7(7):95.
    doi 10.3390/data7070095

    Not checked against the files: the spellings of first lines are as other readers of the release
    describe them.

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.Shenzhen(SHENZHEN_ROOT, space="native")
        >>> ds.totals().loc["Tuberculosis", ["positive", "negative"]].tolist()
        [2, 4]
    """

    name = "shenzhen"
    levels = WHOLE_PATH
    table_name = "(the file names)"

    @cached_property
    def files(self) -> FileIndex:
        """The image files in ``CXR_png``; masks lie elsewhere."""
        names = ("ChinaSet_AllFiles/CXR_png", "Shenzhen-Hospital-CXR-Set/CXR_png", "CXR_png", ".")
        return FileIndex(find_folder(self.root, names, facts=self.facts), levels=self.levels)

    def read_table(self) -> pd.DataFrame:
        """One row per image, with what its reading says.

        Raises:
            DatasetNotFoundError: there is no image of such a name.
        """
        images = read_names(self.files, "CHNCXR", facts=self.facts)
        readings = read_readings(self.files.root, images["image_id"], PATTERNS, dataset=self.name)
        return pd.concat([images, readings], axis=1)
