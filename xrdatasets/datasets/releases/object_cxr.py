"""Object-CXR: 9,000 frontal radiographs of township hospitals, half of them with foreign objects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from xrdatasets.datasets.archives import ZipImages
from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.csvtables import check_paths, require
from xrdatasets.datasets.rows import refuse_double
from xrdatasets.errors import DecoderNotFoundError, ImageReadError, TableError
from xrdatasets.images import RawImage, read_image

__all__ = ["ObjectCXR"]

SPLITS = {"train": "train", "val": "dev"}  # the release's word for each split: its table, archive and folder
NAMES = ("image_name", "image_path")  # of the column of names, by the version of the release page
SHAPES = {"0": "rectangle", "1": "ellipse", "2": "polygon"}
NUMBERS = {"rectangle": 4, "ellipse": 4}  # left, top, right, bottom
OBJECT = r"^\s*(?P<kind>[012])\s+(?P<numbers>-?[0-9]+(?:\.[0-9]+)?(?:\s+-?[0-9]+(?:\.[0-9]+)?)*)\s*$"


class ObjectCXR(CXRDataset):
    """object-CXR of JF Healthcare: foreign objects on chest radiographs.

    Layout: ``train.csv``, ``dev.csv`` and ``train.zip``, ``dev.zip``, whose images are read without unpacking
    them; or the folders ``train/`` and ``dev/`` that unpacking makes. JPEG of many sizes.

    Labels: none of the findings. ``foreign_object`` in `table` is 1 where an object is marked on the lung
    field (a button, a pin), else 0; ``annotation`` holds the marks as released; `read_objects` reads them.
    Support devices were left out by the annotators, so nothing is known of them. In every label space all
    codes are unknown, so the dataset serves as images, or with labels from `table`.

    Views: not stated, so ``UNKNOWN``; all are frontal and pass.

    Splits: ``train`` (8,000 images) and ``val`` (``dev``, 1,000); half of each have objects. The 1,000 test
    images of the challenge are not in the download.

    Traps: the column of names is ``image_name`` or ``image_path``, by the version of the release page. A
    blank annotation says that there is no object, not that nobody looked. Patients, age and sex are unknown.

    Licence: free for scientific research and non-commercial usage, says the release page.

    Citation: JF Healthcare. object-CXR: Automatic detection of foreign objects on chest X-rays. MIDL 2020
    challenge. https://jfhealthcare.github.io/object-CXR/

    Args, attributes and errors are those of `CXRDataset`; also `ImageReadError` for a damaged archive.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.ObjectCXR(OBJECT_CXR_ROOT)
        >>> ds.table["foreign_object"].tolist()
        [1, 0, 1, 0]
        >>> ds.read_objects()[["image_id", "shape"]].values.tolist()[:2]
        [['train/00001', 'rectangle'], ['train/00001', 'ellipse']]
    """

    name = "object_cxr"
    levels = 2
    image_folders: ClassVar[tuple[str, ...]] = tuple(SPLITS.values())

    @cached_property
    def files(self) -> ZipImages:
        """The image files below the root, and those in the archives beside the tables."""
        archives = [self.root / f"{word}.zip" for word in SPLITS.values()]
        there = [path for path in archives if path.is_file()]
        return ZipImages(self.root, there, dataset=self.name, levels=self.levels, folders=self.image_folders)

    def read_table(self) -> pd.DataFrame:
        """One row per image of both tables: id, split, whether it has an object, and the marks themselves."""
        paths = {split: self.find_table(f"{word}.csv") for split, word in SPLITS.items()}
        self.table_name = ", ".join(f"{word}.csv" for word in SPLITS.values())
        return pd.concat([self._read_part(path, split) for split, path in paths.items()], ignore_index=True)

    def table_of(self, row: int) -> str:
        """The table of the row's split."""
        return f"{SPLITS[str(self._table['split'].iloc[row])]}.csv"

    def image_source(self, row: Mapping[str, Any]) -> Path | bytes:
        """File of the image of one row, or its content if it lies in an archive.

        Raises:
            DatasetNotFoundError: it is neither on disk nor in an archive, or could be two.
            ImageReadError: the archive is damaged.
        """
        refuse_double(row["image_id"], self.files, self.facts)
        packed = self.files.read(row["image_id"])
        return super().image_source(row) if packed is None else packed

    def read_raw(self, entry: Mapping[str, Any]) -> RawImage:
        """The undistorted pixels of one row.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it, or its archive, is damaged.
        """
        source = self.image_source(entry)
        try:
            return read_image(source, dataset=self.name)
        except (DecoderNotFoundError, ImageReadError) as error:
            if isinstance(source, Path):
                raise
            # of bytes, the reader knows only their number
            msg = f"{error} It is {self.files.paths[self.files.key(entry['image_id'])]!r}."
            raise type(error)(msg) from error

    def read_objects(self) -> pd.DataFrame:
        """The marks of this dataset's images, one row each.

        Returns:
            ``image_id``, ``shape`` (``rectangle``, ``ellipse`` or ``polygon``) and ``points``: (P, 2) x and y
            in pixels of the image; of rectangle and ellipse the upper left and the lower right corner.

        Raises:
            TableError: a mark is none of the three.
        """
        marks = self._table[["image_id", "annotation"]]
        marks = marks.assign(mark=marks["annotation"].str.split(";")).explode("mark", ignore_index=True)
        marks = marks[marks["mark"].str.strip() != ""].reset_index(drop=True)
        parts = marks["mark"].str.extract(OBJECT)
        shapes = parts["kind"].map(SHAPES)
        count = parts["numbers"].str.count(r"\S+").astype(float)
        wanted = shapes.map(NUMBERS).fillna(count)
        good = shapes.notna() & (count == wanted) & (count % 2 == 0)
        if not good.all():
            row = marks.iloc[int(good.to_numpy().argmin())]
            msg = (
                f"{self.name}: image {row['image_id']!r}: column 'annotation': expected 0 or 1 (rectangle, "
                f"ellipse) with x1 y1 x2 y2, or 2 (polygon) with x y of each corner, got {row['mark']!r}. "
                "Download the table again."
            )
            raise TableError(msg)
        points = parts["numbers"].map(lambda text: np.array(text.split(), dtype=np.float64).reshape(-1, 2))
        return marks[["image_id"]].assign(shape=shapes, points=points)

    def _read_part(self, path: Path, split: str) -> pd.DataFrame:
        frame = self.read_csv(path)
        if NAMES[0] not in frame:
            frame = frame.rename(columns={NAMES[1]: NAMES[0]})
        require(frame, [NAMES[0], "annotation"], path=path, dataset=self.name)
        names = check_paths(frame[NAMES[0]].astype("str"), path=path, dataset=self.name)
        # the file's name alone: a path begins with a folder of the publisher's
        stems = names.str.extract(r"([^/]+?)(?:\.\w+)?$", expand=False)
        marks = frame["annotation"].astype("str").fillna("")
        found = (marks.str.strip(" ;") != "").astype("int8")
        ids = {"image_id": f"{SPLITS[split]}/" + stems, "split": split}
        return pd.DataFrame({**ids, "foreign_object": found, "annotation": marks})
