"""Montgomery County: 138 screening radiographs, 58 of them with tuberculosis."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import WHOLE_PATH, FileIndex, find_folder
from xrdatasets.datasets.releases.readings import read_names, read_readings

__all__ = ["Montgomery"]

PATTERNS = {
    "sex": r"\bSex\s*:\s*([a-z]+)",
    "number": r"\bAge\s*:\s*([0-9]+)",
    "unit": r"\bAge\s*:\s*[0-9]+\s*([ymwd])",
    "reading": r"\A(?:[ \t]*Patient.s [^\n]*(?:\n|\Z))*(.*)\Z",
}
SAME_PATIENT = r"same pt as (MCUCXR_[0-9]+)"


class Montgomery(CXRDataset):
    """Montgomery County chest X-rays, of the National Library of Medicine.

    Layout: ``MontgomerySet/CXR_png/MCUCXR_0001_0.png`` (or ``CXR_png`` below the root, or the images in
    the root itself), ``ClinicalReadings/*.txt``, ``ManualMask/leftMask`` and ``rightMask``. 138 PNG of
    4020x4892 or 4892x4020.

    Labels: the last digit of the name: 0 normal, 1 tuberculosis (80 and 58; "80 TB", as some write, is
    mistaken). Normal is said in a screening for tuberculosis and says nothing of other findings, so only
    Tuberculosis is covered. Some readings of digit 1 speak of old inactive disease: a digit 1 is a
    manifestation, active or not. ``reading`` in `table` is the radiologist's free text.

    Patients: the number in the name, one image each, but for two readings that say "same pt as
    MCUCXR_0113_1" (of 0117) and "... 0162_1" (of 0166): those have the patient that they name. 0170
    may be of that patient too, by its sex, age and prior views; it is kept apart.

    Views: not stated per image (PA by the paper; the reading of 0251 calls it apical), so ``UNKNOWN``; all
    are frontal and pass.

    Splits: none.

    Traps: the lung masks have the names of the images and are never taken for them; ``leftMask`` is
    the lung on the left of the image, the patient's right one. Ages are written ``027Y``; a sex may be
    ``O``, which counts as unknown. Readings that are missing leave sex and age unknown. The set also lies
    in ``extra`` of `TBX11K`.

    Licence: free for research with citation and acknowledgement of the National Library of Medicine
    and the Department of Health and Human Services of Montgomery County.

    Citation: Jaeger S, Candemir S, Antani S, Wáng YXJ, Lu PX, Thoma G. Two public chest X-ray datasets
    for computer-aided screening of pulmonary diseases. Quant Imaging Med Surg 2014;4(6):475-477.
    doi 10.3978/j.issn.2223-4292.2014.11.20

    Not checked against the files: patients, sexes, ages and the two references are as other readers of
    the release describe its texts.

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.Montgomery(MONTGOMERY_ROOT, space="native")
        >>> ds.pathologies, ds.table["reading"][0]
        (('Tuberculosis',), 'normal')
    """

    name = "montgomery"
    levels = WHOLE_PATH
    table_name = "(the file names)"

    @cached_property
    def files(self) -> FileIndex:
        """The image files in ``CXR_png``; lung masks have their names and lie elsewhere."""
        folder = find_folder(self.root, ("MontgomerySet/CXR_png", "CXR_png", "."), facts=self.facts)
        return FileIndex(folder, levels=self.levels)

    def read_table(self) -> pd.DataFrame:
        """One row per image, with what its reading says.

        Raises:
            DatasetNotFoundError: there is no image of such a name.
        """
        images = read_names(self.files, "MCUCXR", facts=self.facts)
        readings = read_readings(self.files.root, images["image_id"], PATTERNS, dataset=self.name)
        same = readings["reading"].str.extract(SAME_PATIENT, expand=False)
        return pd.concat([images.assign(patient_id=same.fillna(images["patient_id"])), readings], axis=1)
