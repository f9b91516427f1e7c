"""Guangzhou Women and Children's: 5,856 pediatric radiographs, pneumonia or normal."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import WHOLE_PATH, FileIndex, find_folder
from xrdatasets.errors import DatasetNotFoundError

__all__ = ["Kermany"]

# person1000_bacteria_2931, IM-0115-0001, NORMAL2-IM-0001-0001-0002
STEM = r"^(?P<person>person[0-9]+|(?:NORMAL[0-9]*-)?IM-[0-9]+)(?:_(?P<subtype>bacteria|virus)_)?"


class Kermany(CXRDataset):
    """Pediatric chest radiographs of the Guangzhou Women and Children's Medical Center.

    Layout: ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``; no table, the folder is the label.
    5,216 train, 16 val, 624 test. JPEG of many sizes; re-uploads squeeze them to 224x224.

    Labels: Pneumonia, positive or negative. NORMAL says nothing of other findings, so they stay
    unknown. ``subtype`` in `table` is ``bacteria`` or ``virus``, from the file name.

    Patients: ``person1000_…`` is taken for patient 1000 and the number in ``IM-0115-0001`` for patient
    115, within their split and class: the release does not say so, it is a guess from the names.

    Views: not stated (AP by the paper), so ``UNKNOWN``; all are frontal and pass. Ages one to five
    years, not given per image: mixed with adults, age predicts the label.

    Splits: ``train``, ``val`` and ``test``, the folders.

    Traps: 30 groups of files have identical bytes; archives hold ``__MACOSX`` copies, which are left out.

    Licence: CC BY 4.0.

    Citation: Kermany DS, Goldbaum M, Cai W, et al. Identifying Medical Diagnoses and Treatable Diseases
    by Image-Based Deep Learning. Cell 2018;172(5):1122-1131. https://data.mendeley.com/datasets/rscbjbr9sj

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.Kermany(KERMANY_ROOT, space="native", split="train")
        >>> ds.pathologies
        ('Pneumonia',)
    """

    name = "kermany"
    levels = WHOLE_PATH
    split_needs = "the folders train, val and test"
    table_name = "(the folder names)"

    @cached_property
    def files(self) -> FileIndex:
        """The image files below ``chest_xray``."""
        return FileIndex(find_folder(self.root, ("chest_xray", "."), facts=self.facts), levels=self.levels)

    def read_table(self) -> pd.DataFrame:
        """One row per file in a folder of the release, in the order of the paths.

        Raises:
            DatasetNotFoundError: there is no such file.
        """
        keys = pd.Series(sorted(self.files.paths), dtype="str")
        parts = keys.str.extract(r"^(?P<split>train|val|test)/(?P<label>NORMAL|PNEUMONIA)/(?P<stem>[^/]+)$")
        parts = parts.assign(image_id=keys)[parts["stem"].notna()].reset_index(drop=True)
        if parts.empty:
            msg = (
                f"kermany: no image in {str(self.files.root)!r} under train, val or test and NORMAL or "
                "PNEUMONIA there. "
                f"Get it from {self.facts.url}, then pass the folder chest_xray as root."
            )
            raise DatasetNotFoundError(msg)
        names = parts["stem"].str.extract(STEM)
        patients = parts["split"] + "-" + parts["label"] + "-" + names["person"]
        return parts.drop(columns="stem").assign(patient_id=patients, subtype=names["subtype"])
