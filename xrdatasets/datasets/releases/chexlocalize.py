"""CheXlocalize: CheXpert's validation and test images, read by radiologists, ten findings outlined."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, require
from xrdatasets.datasets.masks import RUN_COLUMNS, check_known
from xrdatasets.datasets.releases.chexpert import known_ages, views_of
from xrdatasets.datasets.releases.paths import join_names, read_names
from xrdatasets.datasets.releases.rle import run_lengths
from xrdatasets.datasets.tables import concat_tables
from xrdatasets.errors import EmptyDatasetError, TableError

__all__ = ["CheXlocalize"]

ROOTS = ("", "chexlocalize/")
IDS = {"val": "valid", "test": "test"}  # ids as CheXpert writes them: the folder is val, the path says valid
EXPECTED = "CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg"
RENAMED = {"Airspace Opacity": "Lung Opacity"}  # the segmentation files
FACTS = ("Sex", "Age", "Frontal/Lateral", "AP/PA")  # of the validation table alone
Cell = tuple[str, str, Any]


class CheXlocalize(CXRDataset):
    """CheXlocalize, as Stanford released it: with CheXpert's test set.

    Layout: ``CheXpert/val_labels.csv``, ``CheXpert/test_labels.csv``, ``CheXpert/val/`` and
    ``CheXpert/test/`` with ``patient64541/study1/view1_frontal.jpg``,
    ``CheXlocalize/gt_segmentations_val.json`` and ``CheXlocalize/gt_segmentations_test.json``. The root is
    the folder that holds both, or the one around it. JPEG, full size, 8 bit. 234 validation images of 200
    patients, 668 test images of 500.

    Labels: 13 findings and "No Finding", 1 or 0 in every cell: the consensus of radiologists who read the
    images (three for validation, five for test). A blank, which the release does not have, would be unknown.
    Masks: outlines of two radiologists for ten findings (not Fracture, Pleural Other, Pneumonia), as run
    lengths; 187 validation and 499 test images have one.

    Views: validation has AP or PA for frontal images, LATERAL else. The test table says nothing: its file
    names tell lateral images, the frontal ones are UNKNOWN and pass as frontal with the default views (every
    image of this release without a stated view is frontal).

    Splits: ``val`` and ``test``.

    Traps: ids are CheXpert's (``valid/patient64541/study1/view1_frontal``), though the folder is called
    ``val``: the same image has the same id in both; the test table lacks sex, age and view; the segmentation
    files call Lung Opacity ``Airspace Opacity``; they hold an empty mask for each finding that was not
    outlined, also where it is there (one test image): such a mask is not known.

    Licence: Stanford University Dataset Research Use Agreement: non-commercial, no redistribution.

    Citation: Saporta A, Gui X, Agrawal A, et al. Benchmarking saliency methods for chest X-ray
    interpretation. Nat Mach Intell 2022;4:867-878. doi 10.1038/s42256-022-00536-x

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.CheXlocalize(CHEXLOCALIZE_ROOT, space="chexpert5", split="test")
        >>> ds.table["image_id"][0], ds.table["view"][0]
        ('test/patient64741/study1/view1_frontal', 'UNKNOWN')
    """

    name = "chexlocalize"
    levels = 3  # patient64541/study1/view1_frontal: the folder is val, the id says valid
    image_folders = ("CheXpert/*", "chexlocalize/CheXpert/*")
    columns: ClassVar[Mapping[str, str]] = {"view": "AP/PA", "sex": "Sex", "age": "Age"}
    split_needs = "CheXpert/val_labels.csv for 'val', CheXpert/test_labels.csv for 'test'"
    tables: ClassVar[dict[str, str]] = {split: f"{split}_labels.csv" for split in IDS}

    def read_table(self) -> pd.DataFrame:
        """The tables of the wanted split (val_labels.csv, test_labels.csv), one row per image.

        Raises:
            DatasetNotFoundError: none of the tables is there.
            TableError: a path is not of the release's form.
        """
        wanted = [self.split] if self.split in IDS else list(IDS)
        there = {split: path for split in wanted if (path := self._find(f"CheXpert/{split}_labels.csv"))}
        if not there:
            self.find_table(*(f"{root}CheXpert/{split}_labels.csv" for split in wanted for root in ROOTS))
        self._splits = tuple(there)
        return concat_tables([self._read(path, split) for split, path in there.items()])

    def table_of(self, row: int) -> str:
        """``val_labels.csv`` or ``test_labels.csv``."""
        return self.tables[self._table["split"].iloc[row]]

    def read_runs(self) -> pd.DataFrame:
        """The outlined findings of the segmentation files of the splits that were read.

        Raises:
            DatasetNotFoundError: a segmentation file is missing.
            TableError: it is damaged, or has a finding that the mapping file lacks.
        """
        return concat_tables([self._read_runs(split) for split in self._splits])

    def _find(self, name: str) -> Path | None:
        paths = (self.root / (root + name + end) for root in ROOTS for end in ("", ".gz"))
        return next((path for path in paths if path.is_file()), None)

    def _read(self, path: Path, split: str) -> pd.DataFrame:
        codes = [term.column for term in self.label_table.terms]
        frame = self.read_csv(path).rename(columns=RENAMED)
        require(frame, ["Path", *codes], path=path, dataset=self.name)
        if frame.empty:
            msg = f"{self.name}: {str(path)!r} has no rows. Expected one per image."
            raise EmptyDatasetError(msg)
        paths = check_paths(frame["Path"], path=path, dataset=self.name).to_numpy(dtype=object)
        names = read_names(paths, file=path, rows=range(len(paths)), dataset=self.name, expected=EXPECTED)
        texts = join_names([names])
        ids = texts["image_id"].str.replace(r"^[^/]+", IDS[split], regex=True)
        frame = frame.reindex(columns=[*FACTS, *codes])
        by_name = ids.str.endswith("_lateral").map({True: "Lateral", False: "Frontal"}).astype("object")
        position = frame["Frontal/Lateral"].astype("object").fillna(by_name)
        facts = {"AP/PA": views_of(position, frame["AP/PA"]), "Age": known_ages(frame["Age"])}
        return frame.drop(columns="Frontal/Lateral").assign(
            **facts, **(texts | {"image_id": ids}), split=pd.Categorical([split] * len(frame))
        )

    def _read_runs(self, split: str) -> pd.DataFrame:
        name = f"CheXlocalize/gt_segmentations_{split}.json"
        path = self.find_table(*(root + name for root in ROOTS))
        cells = self._cells(path)
        findings = {
            rule.term.column: rule.target for rule in self.label_table.rules if rule.relation == "exact"
        }
        findings |= {own: findings[name] for own, name in RENAMED.items()}
        if unknown := {term for _, term, _ in cells} - set(findings):
            msg = (
                f"{self.name}: {str(path)!r} has the finding {min(unknown)!r}, which the mapping file lacks. "
                f"Expected one of: {', '.join(findings)}."
            )
            raise TableError(msg)
        runs = [self._runs(cell, path) for cell in cells]
        # an empty mask says that nobody outlined the finding, not that it is not there
        marked = [(cell, counts) for cell, counts in zip(cells, runs, strict=True) if counts[1::2].any()]
        sizes = np.array([cell[2]["size"] for cell, _ in marked], dtype=np.int64).reshape(-1, 2)
        images = pd.Series([image for (image, _, _), _ in marked], dtype="str")
        columns = (
            f"{IDS[split]}/" + images.str.replace("_", "/", n=2, regex=False),
            pd.Series([findings[term] for (_, term, _), _ in marked], dtype="str"),
            pd.Series([counts for _, counts in marked], dtype=object),
            sizes[:, 1],
            sizes[:, 0],
        )
        found = pd.DataFrame(dict(zip(RUN_COLUMNS, columns, strict=True)))
        return check_known(found, self._ids_of(split), path=path, dataset=self.name)

    def _ids_of(self, split: str) -> pd.Series:
        """The ids of all images of a split."""
        path = self._find(f"CheXpert/{self.tables[split]}")
        if path is None:
            return pd.Series(dtype="str")
        parts = self.read_csv(path, ["Path"], usecols=["Path"])["Path"].str.split("/").str[-3:].str.join("/")
        return f"{IDS[split]}/" + parts.str.replace(r"\.\w+$", "", regex=True)

    def _cells(self, path: Path) -> list[Cell]:
        """Image, finding and mask of each entry of a segmentation file."""
        try:
            data = json.loads(path.read_text(encoding="utf-8-sig"))
            cells = [(image, term, mask) for image, masks in data.items() for term, mask in masks.items()]
        except (AttributeError, RecursionError, ValueError) as error:
            msg = (
                f"{self.name}: {str(path)!r}: expected JSON, image to finding to mask ({error}). "
                "Download it again."
            )
            raise TableError(msg) from error
        if not cells:
            msg = f"{self.name}: {str(path)!r} has no mask. Expected one for each image. Download it again."
            raise TableError(msg)
        return cells

    def _runs(self, cell: Cell, path: Path) -> npt.NDArray[np.int64]:
        image, term, mask = cell
        if not isinstance(mask, dict) or not {"size", "counts"} <= set(mask):
            mask = {"size": None, "counts": None}
        try:
            return run_lengths(mask["counts"], mask["size"])
        except ValueError as error:
            msg = f"{self.name}: {str(path)!r}, image {image!r}, {term!r}: {error} Download it again."
            raise TableError(msg) from error
