"""TBX11K: 11,702 radiographs, 8,400 of them labelled healthy, sick or tuberculosis, with boxes."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, require
from xrdatasets.datasets.files import WHOLE_PATH, FileIndex, find_folder
from xrdatasets.datasets.masks import BOX_COLUMNS, check_boxes
from xrdatasets.datasets.options import check_flag
from xrdatasets.errors import DatasetNotFoundError, TableError

__all__ = ["TBX11K"]

FOLDERS = ("health", "sick", "tb", "test", "extra")
# categories of the boxes, as the annotations name them
ACTIVE, LATENT, UNCERTAIN = "ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis"
KINDS = (ACTIVE, LATENT, UNCERTAIN)
# where the images of a split are listed, the first that is there; the test set has no boxes
LISTS = {
    "train": ("annotations/json/TBX11K_train.json", "annotations/json/all_train.json"),
    "val": ("annotations/json/TBX11K_val.json", "annotations/json/all_val.json"),
    "test": (
        "annotations/json/TBX11K_test.json", "annotations/json/all_test.json",
        "lists/TBX11K_test.txt", "lists/all_test.txt",
    ),
}  # fmt: skip
COLUMNS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
KEYS = frozenset({"id", "image_id", "category_id", "name"})
# Montgomery and Shenzhen have their label as last digit, the sets of da+db as first letter
NAMED_POSITIVE = r"/mc\+shenzhen/.*_1$|/da\+db/(?:.*/)?p[^/]*$"
NAMED_NEGATIVE = r"/mc\+shenzhen/.*_0$|/da\+db/(?:.*/)?n[^/]*$"


class TBX11K(CXRDataset):
    """TBX11K: tuberculosis X-rays of Nankai University and InferVision.

    Layout: ``TBX11K/imgs/{health,sick,tb,test,extra}/*.png``, ``annotations/json/TBX11K_train.json`` and
    ``TBX11K_val.json`` (COCO), ``all_test.json`` or ``lists/all_test.txt``. PNG, RGB, 512x512.

    Labels: the folder and the boxes. ``health`` is No Finding without tuberculosis. ``sick`` is abnormal,
    not tuberculosis; of what kind is not said. ``tb`` was confirmed in the clinic; its boxes are of active
    or latent (obsolete) tuberculosis, and ``categories`` in `table` says ``active``, ``latent``, ``both``,
    ``uncertain`` or ``none``. Active makes Tuberculosis 1, also beside latent. Latent alone leaves
    Tuberculosis unknown: it is no active disease and no absence of one either. A box of uncertain kind is
    -1; train and val have none. ``test`` is not labelled.
    Boxes: those of active tuberculosis.

    Patients: none are named; each image counts as one of its own.

    Views: not stated, so ``UNKNOWN``; all are frontal and pass.

    Splits: ``train`` (6,600 images: 3,000 health, 3,000 sick, 600 tb), ``val`` (1,800: 800, 800, 200),
    ``test`` (3,302).

    Traps: a name is unique with its folder only, so ids are ``tb/tb0005``; ``tb1199`` has no box, so
    it is unknown; 30 images have both active and latent boxes. ``extra`` holds other sets, among them
    Montgomery and Shenzhen, so to train on it and test there is leakage; it is left out unless
    ``extra=True``. The paper's test set has 2,800 images, the release's 3,302: the rest may come from
    those other sets too.

    Licence: non-commercial research.

    Citation: Liu Y, Wu YH, Ban Y, Wang H, Cheng MM. Rethinking Computer-aided Tuberculosis Diagnosis.
    CVPR 2020, 2646-2655. doi 10.1109/CVPR42600.2020.00272

    Not checked against the files: the names in ``extra`` (Montgomery's and Shenzhen's own; ``n`` or
    ``p`` first in ``da+db``) and that ``all_*.json`` list it are as other readers of the release describe it.

    Args:
        root: the folder of the download.
        extra: open the images of ``extra`` too, as listed in ``all_train.json`` and ``all_val.json``;
            they have ids such as ``extra/mc+shenzhen/train/MCUCXR_0001_0``, and Tuberculosis 1 or 0 by
            their names.
        options: of `CXRDataset`.

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.TBX11K(TBX11K_ROOT, space=["Tuberculosis", "No Finding"], split="train")
        >>> ds.table["image_id"].tolist()[:2], ds.codes[0].tolist()
        (['tb/tb0005', 'tb/tb0007'], [1.0, 0.0])
    """

    name = "tbx11k"
    levels = WHOLE_PATH
    split_needs = "annotations/json/TBX11K_train.json and TBX11K_val.json, lists/all_test.txt"

    def __init__(self, root: str | Path, *, extra: bool = False, **options: Any) -> None:
        check_flag("extra", extra)
        self._extra = extra
        super().__init__(root, **options)

    @cached_property
    def files(self) -> FileIndex:
        """The image files in ``imgs``."""
        return FileIndex(
            find_folder(self.root, ("TBX11K/imgs", "imgs"), facts=self.facts), levels=self.levels
        )

    def read_table(self) -> pd.DataFrame:
        """One row per listed image: its folder, the kinds of its boxes, and columns of codes.

        Raises:
            DatasetNotFoundError: there is no list of images.
            TableError: a list is damaged, or names an image in no folder of the release, or twice.
        """
        images, marks = self._listed
        if images["image_id"].duplicated().any():
            twice = images["image_id"][images["image_id"].duplicated()].iloc[0]
            msg = (
                f"{self.name}: image {twice!r} is listed twice. Expected it in one split. Download it again."
            )
            raise TableError(msg)
        images = images.assign(patient_id=images["image_id"], **_codes(images, marks))
        return images.drop(columns=["id", "file_name", "width", "height"])

    def read_boxes(self) -> pd.DataFrame:
        """The boxes of active tuberculosis.

        Raises:
            TableError: a box is none, or lies outside its image.
        """
        marks = self._listed[1]
        marks = marks[marks["category"] == ACTIVE].reset_index(drop=True)
        box = marks["bbox"].astype(object)
        whole = box.map(lambda cell: isinstance(cell, list)) & (box.str.len() == len("xywh"))
        edges = {name: box.where(whole).str[number] for number, name in enumerate("xywh")}
        boxes = marks.assign(finding="Tuberculosis", **edges)
        path = self._base / "annotations" / "json"
        return check_boxes(boxes[list(BOX_COLUMNS)], path=path, dataset=self.name)

    def table_of(self, row: int) -> str:
        """The list of the row's split."""
        return self._paths[self._table["split"].iloc[row]].name

    @property
    def _base(self) -> Path:
        return self.files.root.parent

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """The list of each split that is there."""
        paths = {}
        for split, names in LISTS.items():
            wanted = [name for name in names if not self._extra or "/all_" in name]
            there = [self._base / name for name in wanted if (self._base / name).is_file()]
            paths.update({split: there[0]} if there else {})
        if not paths.keys() & {"train", "val"}:
            kind = "all" if self._extra else "TBX11K"
            msg = (
                f"{self.name}: no {kind}_train.json in {str(self._base / 'annotations' / 'json')!r}. "
                f"Expected {kind}_train.json and {kind}_val.json there. Get them from {self.facts.url}, "
                "then pass the folder that holds imgs and annotations as root."
            )
            raise DatasetNotFoundError(msg)
        return paths

    @cached_property
    def _listed(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All listed images with ``split`` and ``folder``, and their boxes with ``category``."""
        parts = [_read(path, split) for split, path in self._paths.items()]
        images, marks = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
        if not self._extra:
            images = images[images["folder"] != "extra"].reset_index(drop=True)
            marks = marks[marks["image_id"].isin(images["image_id"])].reset_index(drop=True)
        return images, marks


def _codes(images: pd.DataFrame, marks: pd.DataFrame) -> dict[str, Any]:
    """Columns of codes of folder, boxes and name, and ``categories``, the boxes in one word."""
    active, latent, uncertain = (
        images["image_id"].isin(marks["image_id"][marks["category"] == kind]).to_numpy() for kind in KINDS
    )
    ids, folder = images["image_id"], images["folder"]
    health, sick, disease = ((folder == name).to_numpy() for name in ("health", "sick", "tb"))
    boxed = active | latent | uncertain
    words = np.select(
        [active & latent, active, latent, uncertain, health | sick | disease],
        ["both", "active", "latent", "uncertain", "none"],
        default="",
    )
    return {
        "categories": pd.Series(words, dtype="str").replace("", pd.NA).astype("category"),
        "active": np.select([active, uncertain, boxed | health | sick], [1.0, -1.0, 0.0], default=np.nan),
        "latent": np.select([latent, uncertain, boxed | health | sick], [1.0, -1.0, 0.0], default=np.nan),
        "health": np.select([health, sick | disease], [1.0, 0.0], default=np.nan),
        "sick": np.select([sick, health | disease], [1.0, 0.0], default=np.nan),
        "named": np.select(
            [ids.str.contains(pattern).to_numpy() for pattern in (NAMED_POSITIVE, NAMED_NEGATIVE)],
            [1.0, 0.0],
            default=np.nan,
        ),
    }


def _read(path: Path, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images and boxes of one list.

    Raises:
        TableError: it is damaged, or names an image in no folder of the release.
    """
    content = _parsed(path)
    images, marks, kinds = (_frame(content, key, path) for key in COLUMNS)
    ids = check_paths(images["file_name"].astype("str"), path=path, dataset="tbx11k")
    ids = ids.str.removeprefix("imgs/").str.replace(r"\.\w+$", "", regex=True)
    folder = ids.str.extract(r"^([^/]+)/", expand=False)
    if not (good := folder.isin(FOLDERS)).all():
        msg = (
            f"tbx11k: {str(path)!r}: expected images in {', '.join(FOLDERS)}, got "
            f"{images['file_name'][~good].iloc[0]!r}. Download it again."
        )
        raise TableError(msg)
    folders = pd.Categorical(folder, categories=list(FOLDERS))
    images = images[list(COLUMNS["images"])].assign(image_id=ids, folder=folders, split=split)
    names = kinds.drop_duplicates("id").set_index("id")["name"]
    sizes = images.drop_duplicates("id").set_index("id")[["image_id", "width", "height"]]
    marks = marks[list(COLUMNS["annotations"])].rename(columns={"image_id": "id"}).join(sizes, on="id")
    marks = marks.assign(category=marks["category_id"].map(names))
    if not (good := marks["category"].isin(KINDS) & marks["image_id"].notna()).all():
        msg = (
            f"tbx11k: {str(path)!r}, annotation {int(good.to_numpy().argmin()) + 1}: expected a listed image "
            f"and one of {', '.join(KINDS)}, got image {marks['id'][~good].iloc[0]!r} and category "
            f"{marks['category_id'][~good].iloc[0]!r}. Download it again."
        )
        raise TableError(msg)
    return images, marks


def _parsed(path: Path) -> dict[str, Any]:
    """A COCO file, or a plain list of file names in its form.

    Raises:
        TableError: it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else None
    except (OSError, RecursionError, ValueError) as error:
        msg = f"tbx11k: {str(path)!r} cannot be read ({error}). Download it again."
        raise TableError(msg) from error
    if content is None:
        names = text.split()
        images = [{"id": i, "file_name": name, "width": None, "height": None} for i, name in enumerate(names)]
        return {"images": images, "annotations": [], "categories": []}
    if not isinstance(content, dict):
        msg = f"tbx11k: {str(path)!r}: expected an object with images, got {type(content).__name__}."
        raise TableError(msg)
    return content


def _frame(content: dict[str, Any], key: str, path: Path) -> pd.DataFrame:
    """One list of a COCO file as a frame that has its columns.

    Raises:
        TableError: it is no list of objects, or lacks a column.
    """
    rows = content.get(key, None if key == "images" else [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"tbx11k: {str(path)!r}: expected {key!r} to be a list of objects. Download it again."
        raise TableError(msg)
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(COLUMNS[key]))
    require(frame, COLUMNS[key], path=path, dataset="tbx11k")
    for name in KEYS.intersection(frame):
        bad = ~frame[name].map(lambda cell: isinstance(cell, int | str)).astype(bool)
        if bad.any():
            msg = (
                f"tbx11k: {str(path)!r}: expected a number or a word as {name!r} of {key!r}, got "
                f"{str(frame[name][bad].iloc[0])[:60]}. Download it again."
            )
            raise TableError(msg)
    # as text, since a number is no word and pandas joins none of them to the other
    return frame.assign(**{name: frame[name].astype("str") for name in KEYS.intersection(frame)})
