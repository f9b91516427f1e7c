"""NIH images read anew by Google's panel: four findings on 4,376 images."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from xrdatasets.datasets.releases.nih import NIH
from xrdatasets.datasets.tables import concat_tables
from xrdatasets.labels.terms import FindingColumns, TermReader

__all__ = ["NIHGoogle"]

MERGED = "google2019_nih-chest-xray-labels.csv"
RELEASED = {  # as in the release's bucket, and as copies of it are commonly named
    "test": ("four_findings_expert_labels/test_labels.csv", "four_findings_expert_labels_test_labels.csv"),
    "val": (
        "four_findings_expert_labels/validation_labels.csv",
        "four_findings_expert_labels_validation_labels.csv",
    ),
}


class NIHGoogle(NIH):
    """Expert labels of Google (Majkowska 2020) for four findings on NIH ChestX-ray14 images.

    Layout: a folder of NIH ChestX-ray14 with the labels beside its tables, either merged
    (``google2019_nih-chest-xray-labels.csv``) or as released (``four_findings_expert_labels/test_labels.csv``
    and ``validation_labels.csv``).

    Labels: adjudicated by three radiologists, YES or NO: Fracture, Pneumothorax, Airspace opacity (Lung
    Opacity here), "Nodule or mass". The last is wider than either: NO excludes both, YES leaves both
    unknown, and no policy can fill them.

    Views: AP (3,244) and PA (1,132).

    Splits: the release's ``val`` (2,414 images) and ``test`` (1,962).

    Traps: the images are NIH's: joined with `NIH`, an image has two readers (`xrdatasets.join`), and a
    random split would put it on both sides (`split_by_patient` does not).

    Licence: labels for research and education; images as NIH ChestX-ray14.

    Citation: Majkowska A, Mittal S, Steiner DF, et al. Chest Radiograph Interpretation with Deep
    Learning Models. Radiology 2020;294(2):421-431. doi 10.1148/radiol.2019191293

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.NIHGoogle(NIH_GOOGLE_ROOT, space="native", missing="keep")
        >>> ds.pathologies
        ('Pneumothorax', 'Fracture', 'Lung Opacity')
    """

    name = "nih_google"
    findings: TermReader = FindingColumns()
    label_columns: ClassVar[tuple[str, ...]] = (
        "Fracture",
        "Pneumothorax",
        "Airspace opacity",
        "Nodule or mass",
    )
    split_needs = ""
    tables: ClassVar[tuple[str, ...]] = (MERGED, *RELEASED["test"])

    def read_table(self) -> pd.DataFrame:
        """The merged table, or the two released ones, with their set as ``split``."""
        path = self.find_table(*self.tables)
        self.table_name = path.name
        if path.name.removesuffix(".gz") == MERGED:
            frame = self._read_entries(path)
            return self._tidy(frame).assign(split=frame.get("Set Id"))
        parts = [self._tidy(self._read_entries(self.find_table(*names))) for names in RELEASED.values()]
        return concat_tables([part.assign(split=split) for split, part in zip(RELEASED, parts, strict=True)])

    def table_of(self, row: int) -> str:
        """The merged table, or the released one of the row's set."""
        return MERGED if self.table_name.startswith(MERGED) else RELEASED[self._table["split"].iloc[row]][0]

    def read_boxes(self) -> None:
        """None: NIH's boxes were drawn by other readers."""

    def _split(self, ids: pd.Series) -> pd.Series:
        """Not NIH's lists: the release has sets of its own (`read_table`)."""
        return pd.Series(pd.NA, index=ids.index, dtype="str")
