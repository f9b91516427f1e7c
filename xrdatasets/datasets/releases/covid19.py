"""COVID-19 image data collection: radiographs of pneumonia, gathered from papers and web sites."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths
from xrdatasets.datasets.files import IMAGE_SUFFIXES
from xrdatasets.errors import TableError
from xrdatasets.labels.terms import FindingList, TermReader

__all__ = ["COVID19"]

logger = logging.getLogger(__name__)

COLUMNS: Final = ("patientid", "sex", "age", "finding", "view", "modality", "filename")
SUFFIX: Final = rf"(?i)\.(?:{'|'.join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))})$"


class COVID19(CXRDataset):
    """COVID-19 image data collection (ieee8023), as its GitHub repository holds it.

    Layout: ``covid-chestxray-dataset/metadata.csv`` and ``images/<filename>``, PNG and JPEG of all sizes;
    lung masks in ``annotations/lungVAE-masks`` are left alone. The collection grew until 2020, so counts
    depend on the day of the download.

    Labels: ``finding``, one diagnosis of the case as a path, ``Pneumonia/Viral/COVID-19``: each part is a
    term, so what stands before a part is true too. Covered are Pneumonia, COVID-19 and Tuberculosis. What is
    not named is unknown, not negative: ``Pneumonia`` alone does not say by what, and the opacities of a
    pneumonia are not listed. But a case has one diagnosis: a named germ or cause excludes the others
    (``Klebsiella`` is neither COVID-19 nor Tuberculosis), and ``No Finding`` all three. ``todo`` and
    ``Unknown`` say nothing. Tuberculosis leaves Pneumonia unknown. torchxrayvision counts everything that
    is not named as 0.

    Views: PA, AP (``AP Erect`` too), AP_SUPINE (``AP Supine``), LATERAL (``L``). Of ``modality`` only X-ray
    is kept: CT slices (``Axial``, ``Coronal``) are left out, and counted in the log.

    Splits: none.

    Traps: CT slices stand in the same table and folder; several images of one patient, days apart
    (``offset``); extensions differ; ``finding`` may end with a blank; images are figures of papers, so that
    the source (``url``, ``location``) predicts the diagnosis. Images of `Hannover` were added under their
    ``image_id``, with other patient ids; those taken before admission are No Finding here and COVID-19 there.

    Licence: each image has its own, in ``license`` (CC BY-NC-SA, CC BY, Apache 2.0 and others); the table is
    CC BY-NC-SA 4.0.

    Citation: Cohen JP, Morrison P, Dao L, et al. COVID-19 Image Data Collection: Prospective Predictions Are
    the Future. MELBA 2020;2020:002. arXiv 2006.11988. https://github.com/ieee8023/covid-chestxray-dataset

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.COVID19(COVID19_ROOT, space="native")
        >>> ds.pathologies, ds.codes[0].tolist()
        (('Pneumonia', 'Tuberculosis', 'COVID-19'), [1.0, 0.0, 1.0])
    """

    name = "covid19"
    columns: ClassVar[Mapping[str, str]] = {"patient_id": "patientid"}
    findings: TermReader = FindingList("finding", separator="/")
    image_folders = ("images", "*/images")

    def read_table(self) -> pd.DataFrame:
        """The rows of ``metadata.csv`` that are radiographs, ids as file names without extension."""
        path = self.find_table("metadata.csv", "*/metadata.csv")
        self.table_name = path.name
        frame = self.read_csv(path, COLUMNS)
        self._refuse_swallowed(frame, path)
        check_paths(frame["filename"], path=path, dataset=self.name)
        frame = self._radiographs(frame.loc[:, ~frame.columns.str.startswith("Unnamed:")])
        names = frame["filename"].astype("str").str.replace("\\", "/").str.strip()
        return frame.assign(
            image_id=names.str.replace(r"^.*/", "", regex=True).str.replace(SUFFIX, "", regex=True),
            view=frame["view"].astype("str").str.strip(),
        )

    def _refuse_swallowed(self, frame: pd.DataFrame, path: Path) -> None:
        """Refuse a table in which a quote that nobody closed has made one cell of many rows.

        Raises:
            TableError: a file name or a finding has several lines.
        """
        for name in ("filename", "finding"):
            bad = frame[name].astype("str").str.contains("\n", regex=False, na=False)
            if bad.any():
                row = int(bad.to_numpy().argmax())
                msg = (
                    f"{self.name}: {str(path)!r}, row {row + 1} of the data: column {name!r}: expected one "
                    f"line, got {str(frame[name].iloc[row])[:60]!r}: a quote is left open before it. "
                    "Download the table again."
                )
                raise TableError(msg)

    def _radiographs(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of modality X-ray; how many others there were is logged."""
        modality = frame["modality"].astype("str").str.strip()
        kept = (modality.str.lower() == "x-ray").to_numpy(dtype=bool, na_value=False)
        if not kept.all():
            counts = modality[~kept].fillna("blank").value_counts()
            listed = ", ".join(f"{word} {number:,}" for word, number in counts.items())
            logger.info("%s: %s rows are no radiographs and left out: %s", self.name, (~kept).sum(), listed)
        return frame[kept].reset_index(drop=True)
