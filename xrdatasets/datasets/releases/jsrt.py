"""JSRT: 247 radiographs, 154 with one lung nodule that is located, sized and diagnosed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.files import IMAGE_SUFFIXES, FileIndex
from xrdatasets.datasets.masks import BOX_COLUMNS, check_boxes
from xrdatasets.errors import TableError
from xrdatasets.images import RawImage
from xrdatasets.images.headerless import Layout, read_headerless

__all__ = ["JSRT"]

SUFFIX = ".img"
# SCR's outlines of lungs and heart are GIF files with the names of the images
SUFFIXES = (IMAGE_SUFFIXES | {SUFFIX}) - {".gif"}
# page of the database: 2048 x 2048, 12 bits, no header, big-endian. Polarity: readers of the files (mednet
# among them) take 4095 - x; the database itself does not say
LAYOUT = Layout(2048, 2048, bits=12, big_endian=True, inverted=True)
SPACING = 0.175  # mm per pixel, page of the database

TABLES = {  # in the archive; the case of the extension varies
    "nodule": ("Clinical_Information/CLNDAT_EN.txt", "*/CLNDAT_EN.[Tt][Xx][Tt]", "CLNDAT_EN.[Tt][Xx][Tt]"),
    "non-nodule": (
        "Clinical_Information/CNNDAT_EN.TXT",
        "*/CNNDAT_EN.[Tt][Xx][Tt]",
        "CNNDAT_EN.[Tt][Xx][Tt]",
    ),
}
NAMES = {"nodule": "JPCLN", "non-nodule": "JPCNN"}
# cells are parted by tabs in one table, by blanks in the other; an age may be "?" or left out
PERSON = r"\s+(?:(?P<age>[0-9]+|\?)\s+)?(?P<sex>[A-Za-z]+|\?)\s+"
RECORDS = {
    "nodule": (
        r"^(?P<image_id>JPCLN[0-9]{3})(?:\.\w+)?\s+(?P<subtlety>[1-5])\s+(?P<size_mm>[0-9]+(?:\.[0-9]+)?|\?)"
        + PERSON
        + r"(?P<x>[0-9]+)\s+(?P<y>[0-9]+)\s+(?P<malignancy>malignant|benign)"
        + r"\s+(?P<location>[^\t]*)\s*(?P<diagnosis>.*)$"
    ),
    "non-nodule": r"^(?P<image_id>JPCNN[0-9]{3})(?:\.\w+)?" + PERSON + r"(?P<diagnosis>.*)$",
}
CELLS = {
    "nodule": "file, subtlety, size, age, sex, x, y, malignant or benign, location, diagnosis",
    "non-nodule": "file, age, sex, diagnosis",
}
NUMBERS = ("subtlety", "size_mm", "x", "y")
WORDS = ("age", "malignancy", "location", "diagnosis")


class JSRT(CXRDataset):
    """Standard Digital Image Database of the Japanese Society of Radiological Technology.

    Layout: ``JPCLN001.IMG`` to ``JPCLN154.IMG`` (nodule) and ``JPCNN001.IMG`` to ``JPCNN093.IMG`` (none), in
    the root or folders such as ``All247images``; ``Clinical_Information/CLNDAT_EN.txt`` and
    ``CNNDAT_EN.TXT``. An ``.IMG`` file has no header: 2048x2048 pixels of two bytes, big-endian, 12 bits,
    0.175 mm. Copies as PNG or another format are found and read too.

    Labels: Nodule, from the two tables. The other radiographs have no nodule; that says nothing of other
    findings. ``size_mm`` in `table` goes up to 60 mm: what is above 30 mm is a nodule to the release and a
    mass by definition, and Mass is not covered. ``subtlety`` is 1 (extremely subtle) to 5 (obvious);
    ``malignancy``, ``location``, ``diagnosis``, and ``x`` and ``y``, the nodule's centre in pixels of
    2048x2048, stand there too.
    Boxes: derived, not drawn: the square of ``size_mm`` around the centre.

    Patients: one image each, as far as is known.

    Views: PA, all of them (SCR's description of the set).

    Splits: none.

    Traps: the films are stored, dense is dark: values are turned round (4095 - x), as other readers of the
    files do, so that dense is bright. Copies in other formats are taken as they are: look whether theirs
    were turned. Lines of the tables may end with a carriage return alone; some ages are missing. SCR's masks,
    a separate release, are GIF files with the names of the images; GIF files are not looked at.

    Licence: free for research with registration and citation.

    Citation: Shiraishi J, Katsuragawa S, Ikezoe J, et al. Development of a Digital Image Database for
    Chest Radiographs With and Without a Lung Nodule. AJR 2000;174(1):71-74.
    doi 10.2214/ajr.174.1.1740071. https://db.jsrt.or.jp/eng.php

    Not checked against the files: polarity and the columns of the tables are as several other readers
    of the release have them.

    Args, attributes and errors are those of `CXRDataset`.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.JSRT(JSRT_ROOT, space="native", size=64)
        >>> ds.pathologies, ds.codes[:, 0].tolist(), ds.table["malignancy"][0]
        (('Nodule',), [1.0, 1.0, 0.0, 0.0], 'malignant')
    """

    name = "jsrt"
    image_folders = ("", "*[0-9][Ii]mages")  # All247images, Nodule154images, NonNodule93images

    @cached_property
    def files(self) -> FileIndex:
        """The image files below the root, ``.IMG`` among them."""
        return FileIndex(self.root, levels=self.levels, folders=self.image_folders, suffixes=SUFFIXES)

    def read_table(self) -> pd.DataFrame:
        """The two tables, one below the other, with ``label``.

        Raises:
            DatasetNotFoundError: one is not there.
            TableError: a line of one is not of its form, or it has none.
        """
        return pd.concat([self._read_label(label) for label in TABLES], ignore_index=True).assign(view="PA")

    def read_boxes(self) -> pd.DataFrame:
        """Squares of the nodules' size around their centres.

        Raises:
            TableError: a centre lies so far outside the image that nothing of the square is in it.
        """
        nodules = self._read_label("nodule")
        nodules = nodules[nodules["size_mm"].notna()]
        side = nodules["size_mm"] / SPACING
        boxes = nodules.assign(
            finding="Nodule", x=nodules["x"] - side / 2, y=nodules["y"] - side / 2, w=side, h=side,
            width=LAYOUT.width, height=LAYOUT.height,
        )  # fmt: skip
        boxes = boxes[list(BOX_COLUMNS)].reset_index(drop=True)
        return check_boxes(boxes, path=self.find_table(*TABLES["nodule"]), dataset=self.name)

    def read_raw(self, entry: Mapping[str, Any]) -> RawImage:
        """The pixels of one row: of an ``.IMG`` file by what the release says of it, else by its bytes.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it is damaged or no image.
        """
        path = self.image_source(entry)
        if isinstance(path, Path) and path.suffix.lower() == SUFFIX:
            return read_headerless(path, LAYOUT, dataset=self.name)
        return super().read_raw(entry)

    def table_of(self, row: int) -> str:
        """The table of the row's label."""
        return self.find_table(*TABLES[self._table["label"].iloc[row]]).name

    def _read_label(self, label: str) -> pd.DataFrame:
        """One table, with ``label``."""
        path = self.find_table(*TABLES[label])
        # a record begins with its image, whatever ends the one before
        records = pd.Series(re.split(rf"(?={NAMES[label]}[0-9])", _text(path))[1:], dtype="str").str.strip()
        table = records.str.extract(RECORDS[label], flags=re.IGNORECASE)
        if records.empty or table["image_id"].isna().any():
            row = 0 if records.empty else int(table["image_id"].isna().to_numpy().argmax())
            msg = (
                f"{self.name}: {str(path)!r}, record {row + 1}: expected {CELLS[label]}, "
                f"got {records.get(row, 'nothing')!r}. Download it again."
            )
            raise TableError(msg)
        numbers = {name: pd.to_numeric(_blank(table[name])) for name in NUMBERS if name in table}
        words = {name: _blank(table[name].str.strip()) for name in WORDS if name in table}
        # float, since the other table has none of these
        numbers = {name: column.astype("float32") for name, column in numbers.items()}
        ids = table["image_id"].str.upper()
        kind = pd.Categorical([label] * len(table), categories=list(TABLES))
        return table.assign(image_id=ids, patient_id=ids, label=kind, **words, **numbers)


def _blank(cells: pd.Series) -> pd.Series:
    """Cells with NA where nothing is said."""
    return cells.mask(cells.isin(["", "?"]))


def _text(path: Path) -> str:
    """A table's text; what is not UTF-8 is no reason to lose a diagnosis."""
    return path.read_bytes().decode("utf-8-sig", errors="replace")
