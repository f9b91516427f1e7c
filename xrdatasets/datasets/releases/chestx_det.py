"""ChestX-Det: 3,578 images of NIH ChestX-ray14, outlined anew by three radiologists."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, require
from xrdatasets.datasets.masks import (
    BOX_COLUMNS,
    CORNERS,
    POLYGON_COLUMNS,
    as_numbers,
    check_boxes,
    check_polygons,
)
from xrdatasets.errors import TableError
from xrdatasets.labels.terms import FindingList, TermReader

__all__ = ["ChestXDet"]

SPLITS = {"train": "ChestX_Det_train.json", "test": "ChestX_Det_test.json"}
LISTS = ["syms", "boxes", "polygons"]  # one item per instance, in the same order
NOTHING = "none"  # what an empty list is written as: a blank cell would say that nobody looked
PIXELS = 1024  # side of the released PNGs, in which boxes and outlines are measured


class ChestXDet(CXRDataset):
    """ChestX-Det of Deepwise AI Lab: findings outlined on images of NIH ChestX-ray14.

    Layout: ``ChestX_Det_train.json`` and ``ChestX_Det_test.json``; images in ``train_data/train/`` and
    ``test_data/test/`` (or ``train/`` and ``test/``). PNG, 1024x1024, 8 bit.

    Labels: 13 categories, marked one by one on the image by three radiologists: ``syms`` names each instance,
    so a category may stand there several times. An image without any was read too: its list is written
    ``none`` in `table`, and is negative for all findings that the dataset labels. Diffuse Nodule counts as
    Nodule; Calcification is no finding here and stays in ``syms``.
    Masks: an outline for each instance; its box where there is no outline.

    Views: not stated, so ``UNKNOWN``; all are frontal, as NIH's are, and pass.

    Splits: ``train`` (3,025 images, 547 of them without findings) and ``test`` (553, 64 without).

    Traps: the images are NIH's under new names, and no list says which is which: a model trained on NIH has
    seen many of them, and `join` cannot tell. Image ids keep the folder (``train/36200``), so that none looks
    like one of NIH's. Patients, age and sex are not given, so patients cannot be kept on one side either.
    ChestX-Det10 is an older release, with 10 categories.

    Licence: the release states none; images as NIH ChestX-ray14.

    Citation: Lian J, Liu J, Zhang S, et al. A Structure-Aware Relation Network for Thoracic Diseases
    Detection and Segmentation. IEEE Trans Med Imaging 2021;40(8):2042-2052. doi 10.1109/TMI.2021.3070847.
    https://github.com/Deepwise-AILab/ChestX-Det-Dataset

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.ChestXDet(CHESTX_DET_ROOT, space=["Nodule", "Mass"], size=64, masks=True)
        >>> ds.table["syms"][1], ds.labels[1].tolist()
        ('Nodule|Diffuse Nodule', [1.0, 0.0])
        >>> ds[1]["mask"].sum(dim=(1, 2)).tolist()
        [144, 0]
    """

    name = "chestx_det"
    findings: TermReader = FindingList("syms")
    levels = 2
    image_folders = ("train_data/train", "test_data/test", "train", "test")

    def read_table(self) -> pd.DataFrame:
        """One row per image of both lists: id, split, and its categories as one text."""
        self.table_name = ", ".join(SPLITS.values())
        parts = [self._read_list(path, split) for split, path in self._paths().items()]
        frame = pd.concat(parts, ignore_index=True)
        syms = frame["syms"].str.join("|")
        return frame[["image_id", "split"]].assign(syms=syms.mask(syms == "", NOTHING).astype("category"))

    def table_of(self, row: int) -> str:
        """The list of the row's split."""
        return SPLITS[str(self._table["split"].iloc[row])]

    def read_boxes(self) -> pd.DataFrame:
        """The boxes of the instances that have no outline, in pixels of the 1024x1024 images.

        Raises:
            TableError: one is none, or the lists of an image differ in length.
        """
        return self._read_instances(check_boxes, BOX_COLUMNS, outlined=False)

    def read_polygons(self) -> pd.DataFrame:
        """The outlines, in pixels of the 1024x1024 images.

        Raises:
            TableError: one is none, or the lists of an image differ in length.
        """
        return self._read_instances(check_polygons, POLYGON_COLUMNS, outlined=True)

    def _read_instances(
        self, check: Callable[..., pd.DataFrame], columns: Sequence[str], *, outlined: bool
    ) -> pd.DataFrame:
        """The instances with an outline, or those without, one row each."""
        direct = [rule for rule in self.label_table.rules if rule.relation in ("exact", "narrower")]
        findings = {rule.term.source: rule.target for rule in direct}
        parts = []
        for split, path in self._paths().items():
            rows = _instances(self._read_list(path, split), path)
            rows = rows.assign(finding=rows["syms"].str.strip().map(findings), width=PIXELS, height=PIXELS)
            rows = rows[rows["finding"].notna() & ((rows["points"].str.len() >= CORNERS) == outlined)]
            parts.append(check(rows[list(columns)], path=path, dataset=self.name))
        return pd.concat(parts, ignore_index=True)

    def _paths(self) -> dict[str, Path]:
        return {split: self.find_table(name) for split, name in SPLITS.items()}

    def _read_list(self, path: Path, split: str) -> pd.DataFrame:
        """One row per image, with the release's lists in columns."""
        try:
            frame = pd.DataFrame(json.loads(path.read_bytes())).rename(columns=str)
        except (
            AttributeError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:  # ValueError: no JSON, or no UTF-8
            msg = f"{self.name}: {str(path)!r} is no list of images in JSON ({error}). Download it again."
            raise TableError(msg) from error
        require(frame, ["file_name", *LISTS], path=path, dataset=self.name)
        words = frame["syms"].str.join("|")  # NA where it is no list of words
        if (bad := words.isna() | ~frame["syms"].map(type).eq(list)).any():
            got = frame["syms"][bad].iloc[0]
            msg = f"{self.name}: {str(path)!r}: column 'syms': expected a list of categories, got {got!r}."
            raise TableError(msg)
        names = check_paths(frame["file_name"].astype("str"), path=path, dataset=self.name)
        return frame.assign(image_id=split + "/" + names.str.replace(r"\.\w+$", "", regex=True), split=split)


def _instances(images: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One row per instance: category, corners of its outline, and its box.

    Raises:
        TableError: the lists of an image differ in length.
    """
    lists = images[LISTS].where(images[LISTS].map(lambda cell: isinstance(cell, list)))
    lengths = pd.DataFrame({name: lists[name].str.len() for name in LISTS})
    if (bad := lengths.isna().any(axis=1) | lengths.ne(lengths["syms"], axis=0).any(axis=1)).any():
        row = int(bad.to_numpy().argmax())
        msg = (
            f"{ChestXDet.name}: {str(path)!r}: expected as many boxes and polygons as syms of image "
            f"{images['image_id'].iloc[row]!r}, got {lengths.iloc[row].to_dict()}. Download it again."
        )
        raise TableError(msg)
    rows = images.explode(LISTS).dropna(subset=["syms"]).rename(columns={"polygons": "points"})
    left, top, right, bottom = (as_numbers(rows["boxes"].str[i]) for i in range(4))
    return rows.assign(x=left, y=top, w=right - left, h=bottom - top)
