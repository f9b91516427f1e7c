"""Open-i: 7,470 radiographs of Indiana University, each report indexed by hand and by machine."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import FileIndex
from xrdatasets.datasets.releases.reports_xml import read_reports
from xrdatasets.errors import DatasetNotFoundError, TableError
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingList

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["OpenI", "heading_words"]

logger = logging.getLogger(__name__)

Terms = Literal["major", "automatic"]
SECTIONS: Final = ("comparison", "indication", "findings", "impression")
IMAGE: Final = ("image_id", "uid", "caption")
AUTOMATIC: Final = "automatic:"  # how the mapping file tells the machine's words from the indexers'
NO_INDEXING: Final = "no indexing"
# CXR1_1_IM-0001-3001 of the release, 1_IM-0001-3001.dcm of Kaggle and 1_IM-0001-3001 of the DICOM archive
NAME: Final = r"([0-9]+_IM-[0-9][0-9-]*[0-9])"
# heads that mean one thing of the lung or the pleura and another elsewhere: the first of these qualifiers
# that stands in the heading becomes part of the word
DECISIVE: Final[Mapping[str, tuple[str, ...]]] = {
    "opacity": ("lung",),
    "density": ("lung",),
    "nodule": ("lung",),
    "mass": ("lung",),
    "cicatrix": ("lung", "pleura"),
    "thickening": ("pleura",),
    "pleura": ("blunted",),
    "costophrenic angle": ("blunted",),
    "sulcus": ("blunted",),
    "cardiac shadow": ("enlarged",),
    "lung": ("hyperdistention", "hypoinflation"),
    "mediastinum": ("enlarged", "prominent"),
    "tuberculosis": ("healed",),
}
LATERAL: Final = r"LATERAL|\bLAT\b"
ALONE: Final = r"PORTABLE|SINGLE|\b(?:1|ONE)[ -]VIEW"
DIRECTIONS: Final = {"PA": r"\bPA\b|POSTERO-?ANTERIOR", "AP": r"\bAP\b|ANTERO-?POSTERIOR"}


class OpenI(CXRDataset):
    """Indiana University chest X-ray collection, as Open-i distributes it.

    Layout: ``NLMCXR_reports.tgz`` (never unpacked), or its folder ``ecgen-radiology`` with ``1.xml`` to
    ``3999.xml``, and the PNG of ``NLMCXR_png.tgz``, in ``images`` or elsewhere below the root; their grey
    stands in three channels. Kaggle's copy has instead ``indiana_reports.csv``,
    ``indiana_projections.csv`` and ``images/images_normalized/1_IM-0001-4001.dcm.png``; an image keeps the
    id of the release there (``CXR1_1_IM-0001-4001``). 3,955 reports, 7,470 images; 104 reports have none.

    Labels: MeSH headings of the report, the same on all its images. ``terms="major"`` (default) reads what
    indexers gave by hand: a head and its qualifiers (``Opacity/lung/base/left``), of which the head
    counts, and the qualifier where it decides (``opacity/lung``, ``thickening/pleura``), in lower case.
    ``terms="automatic"`` reads the words that a program found in the text (586 of them). What is not there
    counts as negative, for either; ``normal`` is No Finding. 95 reports (172 images) say ``No Indexing``:
    nothing is known of them, but what the program found in 11. Most kinds of a dense lung (``Airspace
    Disease``, ``Consolidation``, ``Infiltrate``, ``Density``, ``Nodule``, ``Mass``, ``Pulmonary
    Atelectasis``) make Lung Opacity positive too, and some headings leave a finding unknown (a blunted
    costophrenic angle leaves Effusion, a scar of the lung Fibrosis, COPD and a wide lung Emphysema, a
    granuloma Nodule, a deformity Fracture).

    Views: the XML do not say which image is the lateral one, and their order does not tell: by the t-SNE of
    Cohen 2020, the image that it took of a report is lateral in 584 of 3,851 reports. A view is, in this
    order: the ``View Position`` of ``nlmcxr_dicom_metadata.csv`` (torchxrayvision has it); ``Lateral`` of
    ``indiana_projections.csv``; for its ``Frontal``, PA or AP if the caption of the report names one of them
    ("Xray Chest PA and Lateral"); for the caption of a single view ("AP portable chest"), that. All else is
    UNKNOWN: not opened by the default views, and counted in a warning. Either table may lie beside the
    official download. Without them the default opens 14 images, and ``views="*"`` everything, laterals
    included; with Kaggle's, ``views=("PA", "AP", "UNKNOWN")`` adds the frontal images whose direction nobody
    states.

    Splits: none.

    Traps: PNGs are RGB; ``No Indexing`` is no negative; heads differ in case (``Thoracic vertebrae``) and
    blanks; a report counts as a patient, since the release names none; words that might identify somebody
    are ``XXXX``, also in captions. ``compat="xrv"`` labels as Cohen 2020 and torchxrayvision do, by the names
    of findings within the program's words: then ``subcutaneous emphysema`` is Emphysema, ``pericardial
    effusion`` Effusion, and a report without indexing negative; views are those of ``nlmcxr_tsne_pa.csv``, if
    it is there.

    Licence: CC BY-NC-ND 4.0, as each report states.

    Citation: Demner-Fushman D, Kohli MD, Rosenman MB, et al. Preparing a collection of radiology
    examinations for distribution and retrieval. J Am Med Inform Assoc 2016;23(2):304-310.
    doi 10.1093/jamia/ocv080. https://openi.nlm.nih.gov/faq

    Args, attributes and errors are those of `CXRDataset`.

    Args:
        root: the folder of the download.
        terms: ``major`` for the indexers' headings (the default), ``automatic`` for the program's words (the
            default with ``compat="xrv"``).
        options: of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.OpenI(OPENI_ROOT, space=["Cardiomegaly", "Effusion"])
        >>> ds.table["MeSH"][0], ds.codes[0].tolist()
        ('Cardiomegaly/borderline;Pulmonary Artery/enlarged', [1.0, 0.0])
    """

    name = "openi"
    columns: ClassVar[Mapping[str, str]] = {"patient_id": "uid"}
    image_folders = ("images", "images/images_normalized", "NLMCXR_png")
    folders: ClassVar[tuple[str, ...]] = ("ecgen-radiology", "*/ecgen-radiology")
    tables: ClassVar[tuple[str, ...]] = (
        "NLMCXR_reports.tgz",
        "*/NLMCXR_reports.tgz",
        "indiana_reports.csv",
        "*/indiana_reports.csv",
    )
    projections: ClassVar[tuple[str, ...]] = ("indiana_projections.csv", "*/indiana_projections.csv")
    headers: ClassVar[tuple[str, ...]] = ("nlmcxr_dicom_metadata.csv", "*/nlmcxr_dicom_metadata.csv")
    clusters: ClassVar[tuple[str, ...]] = ("nlmcxr_tsne_pa.csv", "*/nlmcxr_tsne_pa.csv")

    def __init__(self, root: str | Path, *, terms: Terms | None = None, **options: Any) -> None:
        if terms not in (None, *get_args(Terms)):
            msg = f"terms: expected {' or '.join(map(repr, get_args(Terms)))}, got {terms!r}."
            raise ValueError(msg)
        compat = options.get("compat") is not None
        if compat and terms == "major":
            msg = "terms: expected 'automatic' with compat, whose rules know no other, got 'major'."
            raise ValueError(msg)
        self._list: Terms = terms or ("automatic" if compat else "major")
        self.findings = FindingList(self._list)
        super().__init__(root, **options)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules for the indexers' headings, or those for the program's words."""
        whole = LabelTable.load(self.facts.key, compat=self.compat)
        automatic = self._list == "automatic"
        rules = (rule for rule in whole.rules if rule.term.source.startswith(AUTOMATIC) == automatic)
        return dataclasses.replace(whole, rules=tuple(rules))

    @cached_property
    def files(self) -> FileIndex:
        """The image files, by what their names share in every copy of the release."""
        return _Names(self.root, folders=self.image_folders)

    def read_table(self) -> pd.DataFrame:
        """One row per image of the reports, with their headings, their text and the view.

        Raises:
            DatasetNotFoundError: neither reports nor Kaggle's tables are there.
            TableError: a report is damaged, lacks its id, or is there twice.
        """
        folder = next((path for name in self.folders for path in sorted(self.root.glob(name))), None)
        path = folder if folder is not None and folder.is_dir() else self.find_table(*self.tables)
        self.table_name = path.name
        kaggle = path.name.removesuffix(".gz").endswith(".csv")
        frame = self._read_kaggle(path) if kaggle else self._read_xml(path)
        frame = frame.assign(study_id=frame["uid"], major=_by_text(frame["MeSH"], heading_words))
        if not kaggle and not self.compat:
            silent = frame["major"].isna() & (frame["automatic"] == f"{AUTOMATIC}none")
            frame["automatic"] = frame["automatic"].mask(silent)
        return frame.assign(view=self._views(frame))

    def _read_xml(self, path: Path) -> pd.DataFrame:
        """Images and reports of the XML."""
        files = read_reports(path, dataset=self.name)
        texts, images = zip(*(_report(root, f"{path}/{name}") for name, root in files), strict=True)
        reports = pd.DataFrame(list(texts))
        frame = pd.DataFrame([image for several in images for image in several], columns=IMAGE, dtype="str")
        self._check_names(frame["image_id"], path)
        return self._join(frame, reports, path)

    def _read_kaggle(self, path: Path) -> pd.DataFrame:
        """Images and reports of Kaggle's copy, under the ids of the release."""
        if self._list == "automatic":
            msg = (
                f"{self.name}: {str(path)!r} has no automatic terms. Expected NLMCXR_reports.tgz below the "
                "root for terms='automatic': download it, or open with terms='major'."
            )
            raise TableError(msg)
        reports = self.read_csv(path, ["uid", "MeSH", "image", *SECTIONS]).rename(
            columns={"image": "caption"}
        )
        table = self.find_table(*self.projections)
        names = self._read_names(table, "filename", ["uid", "filename", "projection"])
        # the one report whose images repeat its number: CXR1_1_IM-0001-3001, but CXR2_IM-0652-1001
        ids = "CXR" + names["name"].str.replace(r"^1_", "1_1_", regex=True)
        return self._join(pd.DataFrame({"image_id": ids, "uid": names["uid"]}), reports, path, prefix="CXR")

    def _join(
        self, images: pd.DataFrame, reports: pd.DataFrame, path: Path, *, prefix: str = ""
    ) -> pd.DataFrame:
        """Each image with its report."""
        if (twice := reports["uid"].duplicated()).any():
            what = f"two reports of {reports['uid'][twice].iloc[0]!r}. Expected one"
        elif (lost := ~images["uid"].isin(reports["uid"])).any():
            what = f"no report {images['uid'][lost].iloc[0]!r}. Expected one for each image"
        else:
            frame = images.merge(reports, on="uid", how="left", validate="m:1")
            return frame.assign(uid=prefix + frame["uid"])
        msg = f"{self.name}: {str(path)!r} has {what}. Download it again."
        raise TableError(msg)

    def _views(self, frame: pd.DataFrame) -> pd.Series:
        """View of each image: what a header says, then what a projection and the caption say."""
        names = frame["image_id"].str.extract(NAME, expand=False)
        direction = _by_text(frame["caption"], _direction)
        view = _by_text(frame["caption"], _single)
        if (path := self._beside(self.projections)) is not None:
            table = self._read_names(path, "filename", ["uid", "filename", "projection"])
            words = table.set_index("name")["projection"].astype("str").str.strip()
            word = names.map(words.str.capitalize())
            view = word.mask(word == "Frontal", direction.fillna("Frontal")).fillna(view)
        if (path := self._beside(self.headers)) is not None:
            view = self._read_views(path, "View Position", names).fillna(view)
        if self.compat and (path := self._beside(self.clusters)) is not None:
            view = self._read_views(path, "tsne-view", names).fillna(view)
        unknown = int((view.isna() | (view == "Frontal")).sum())
        if unknown:
            logger.warning(
                "%s: %s of %s images have no view that a table or a caption states; they are UNKNOWN. "
                "indiana_projections.csv or nlmcxr_dicom_metadata.csv below the root tells more",
                *(self.name, f"{unknown:,}", f"{len(view):,}"),
            )
        return view

    def _read_views(self, path: Path, column: str, names: pd.Series) -> pd.Series:
        """Views of images by a table of torchxrayvision; NA where it has none."""
        table = self._read_names(path, "imageid", ["imageid", column])
        words = names.map(table.set_index("name")[column].astype("str").str.strip())
        return words.mask(words == "")

    def _read_names(self, path: Path, column: str, columns: list[str]) -> pd.DataFrame:
        """A table of images, one row per name that all copies of the release share."""
        frame = self.read_csv(path, columns, usecols=columns)
        names = self._check_names(frame[column].astype("str"), path)
        return frame.assign(name=names).drop_duplicates("name")

    def _check_names(self, names: pd.Series, path: Path) -> pd.Series:
        """The part of a name that all copies of the release share."""
        found = names.str.extract(NAME, expand=False)
        if found.isna().any():
            first = names[found.isna()].iloc[0]
            msg = (
                f"{self.name}: {str(path)!r} has an image called {first!r}. Expected names like "
                "CXR1_1_IM-0001-3001 or 1_IM-0001-3001.dcm.png. Download it again."
            )
            raise TableError(msg)
        return found

    def _beside(self, names: tuple[str, ...]) -> Path | None:
        """A table that may be there."""
        try:
            return self.find_table(*names)
        except DatasetNotFoundError:
            return None


class _Names(FileIndex):
    """Image files by the part of their name that all copies of the release share."""

    def key(self, image_id: str) -> str:
        found = re.search(NAME, image_id)
        return found[1] if found else image_id

    def keys(self, image_ids: pd.Series) -> pd.Series:
        found = image_ids.str.extract(NAME, expand=False)
        return found.fillna(image_ids)

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path of each name; of two copies the one in a folder of the release, else both are doubles."""
        plain = FileIndex(self.root, folders=self.folders)
        found: dict[str, str] = {}
        for stem, path in plain.paths.items():
            key = self.key(stem)
            if found.setdefault(key, path) != path and self._rank(path) == self._rank(found[key]):
                self.doubles.setdefault(key, path)
        self.doubles.update((self.key(stem), path) for stem, path in plain.doubles.items())
        return found

    def _rank(self, path: str) -> bool:
        return self._is_official(Path(path).parent.relative_to(self.root).parts)


def heading_words(headings: str) -> str | None:
    """The words of the mapping file for the MeSH headings of one report.

    Args:
        headings: as the release writes them, joined by ``;``.

    Returns:
        Words in lower case, joined by ``|``; None where the report was not indexed.

    Example:
        >>> heading_words("Opacity/lung/base/left;Thoracic vertebrae/degenerative;Nodule/thorax")
        'opacity/lung|thoracic vertebrae|nodule'
    """
    words = []
    for heading in headings.split(";"):
        head, *qualifiers = (" ".join(part.lower().split()) for part in heading.split("/"))
        decisive = next((word for word in DECISIVE.get(head, ()) if word in qualifiers), "")
        words.append(f"{head}/{decisive}" if decisive else head)
    listed = dict.fromkeys(word for word in words if word)
    return None if list(listed) in ([], [NO_INDEXING]) else "|".join(listed)


def _report(root: Element, name: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """What the table keeps of one report, and its images."""
    element = root.find("uId")
    uid = "" if element is None else element.get("id", "").strip()
    images = [
        (image.get("id", "").strip(), uid, (image.findtext("caption") or "").strip())
        for image in root.findall("parentImage")
    ]
    if not uid:
        msg = f"openi: {name!r} has no uId with an id. Expected a report of Open-i. Download it again."
        raise TableError(msg)
    major, automatic = ([_text(term) for term in root.findall(f"MeSH/{kind}")] for kind in get_args(Terms))
    sections = {part.get("Label", ""): _text(part) for part in root.iter("AbstractText")}
    return {
        "uid": uid,
        "MeSH": ";".join(major),
        "automatic": "|".join(AUTOMATIC + word.lower() for word in automatic or ["none"]),
        **{section: sections.get(section.upper(), "") for section in SECTIONS},
    }, images


def _text(element: Element) -> str:
    return " ".join((element.text or "").split())


def _by_text(column: pd.Series, word_of: Callable[[str], str | None]) -> pd.Series:
    """A word for each text, each distinct text looked at once; NA where there is none."""
    rows, texts = pd.factorize(column)
    words = np.array([*(word_of(str(text)) for text in texts), None], dtype=object)
    return pd.Series(words[rows], index=column.index, dtype="str")


def _direction(caption: str) -> str | None:
    """PA or AP, if a caption names one of them."""
    named = [view for view, pattern in DIRECTIONS.items() if re.search(pattern, caption.upper())]
    return named[0] if len(named) == 1 else None


def _single(caption: str) -> str | None:
    """The same, if the caption is that of a single view: "PA chest XXXX" may have lost its lateral."""
    text = caption.upper()
    return _direction(text) if re.search(ALONE, text) and not re.search(LATERAL, text) else None
