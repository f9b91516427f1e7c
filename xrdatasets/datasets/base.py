"""Datasets, step 4: what all releases have in common; a release only states its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.exclusions import keep_usable
from xrdatasets.datasets.files import check_root, user_path
from xrdatasets.datasets.masks import MaskTable
from xrdatasets.datasets.options import check_compat, check_flag
from xrdatasets.datasets.release import Release
from xrdatasets.datasets.rows import TableRow, keep_present
from xrdatasets.datasets.single import Single
from xrdatasets.images import Engine, Intensity, RawImage, read_image
from xrdatasets.labels.policies import U_IGNORE, Policy
from xrdatasets.labels.spaces import LabelSpace, SpaceLike

if TYPE_CHECKING:
    from xrdatasets.typing import Compat, Missing, Transform

__all__ = ["CXRDataset"]


class CXRDataset(Release, Single):
    """A release, opened on the folder as it was downloaded.

    A subclass is a data card: its docstring tells layout, label origin, exclusions, licence and
    citation; its attributes state facts (`Release`); `read_table` gives one row per image.

    Args:
        root: the folder of the download.
        views: which views to keep, a word or several (``PA AP AP_SUPINE LATERAL UNKNOWN``), ``"*"`` for
            all. Where a release says nothing of views and is all frontal, its images pass.
        split: ``train``, ``val`` or ``test`` of the release, None for all.
        space: the label space, its name, ``native``, or findings in order.
        policy: what uncertain and unmentioned mean.
        closure: a hierarchy that adds what it implies (``irvin2019``, ``luo2020``), None for none.
        size: height and width of the images in pixels; None keeps the native size, without a crop.
        crop: cut to the centre square before resizing (if not, the image is squeezed).
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].
        engine: how images are made smaller: ``area`` (fast), ``gaussian`` (as torchxrayvision) or ``xrv``
            (with its frame).
        masks: whether samples carry ``mask`` and ``mask_known``.
        missing: what to do with rows whose image is not on disk: ``error``, ``drop`` them, or ``keep``
            them to work with labels and tables before one has the images.
        exclusions: leave out the images that nobody can use, by ``mappings/exclusions.csv``.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.
        compat: ``xrv`` to reproduce torchxrayvision's numbers where they differ from the right ones: its
            rules for labels (``mappings/compat``), its rows of a patient, its frame around an image that is
            resized; None for the right ones.
        reduced: decode JPEG 2000 in DICOM at the lowest resolution level that `size` needs, which is many
            times as fast and a little softer; False decodes every pixel. Masks, `size=None` and engines
            other than ``area`` do so anyway.

    Raises:
        DatasetNotFoundError: root, table or images are missing.
        TableError: the table is not what the release has.
        MappingError: the table has a label term that the mapping file lacks.
        SplitNotFoundError: the release has no such split.
        EmptyDatasetError: no row is left.
        ValueError: an argument is none of the above.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        views: str | Sequence[str] | None = ("PA", "AP"),
        split: str | None = None,
        space: SpaceLike = "xrv18",
        policy: Policy = U_IGNORE,
        closure: str | None = None,
        size: int | None = None,
        crop: bool = True,
        intensity: Intensity = "xrv",
        engine: Engine = "area",
        masks: bool = False,
        missing: Missing = "error",
        exclusions: bool = True,
        one_per_patient: bool = False,
        transform: Transform | None = None,
        compat: Compat | None = None,
        reduced: bool = True,
    ) -> None:
        check_flag("exclusions", exclusions)
        self.compat = check_compat(compat)
        self.root, self._missing, self._exclusions = user_path(root), missing, exclusions
        super().__init__(
            views=views,
            split=split,
            space=space,
            policy=policy,
            closure=closure,
            size=size,
            crop=crop,
            intensity=intensity,
            engine="xrv" if self.compat else engine,
            masks=masks,
            one_per_patient=one_per_patient,
            transform=transform,
            reduced=reduced,
        )

    @classmethod
    def at(cls, root: str | Path, **options: Any) -> Self:
        """The dataset in a folder: ``cls(root, **options)``."""
        return cls(root, **options)

    @classmethod
    def place(cls, root: str) -> Path:
        """The folder that a root means, whatever way it is written.

        Raises:
            ValueError: a home folder that is unknown.
        """
        try:
            return Path(root).expanduser().resolve()
        except RuntimeError as error:  # what pathlib raises for a home that it does not know
            msg = f"no such home folder in {root!r}. Write the whole path."
            raise ValueError(msg) from error

    def alone(self, rows: npt.NDArray[np.integer[Any]]) -> Self:
        """The chosen images, with nothing that others need: small enough to be sent to another process."""
        chosen = super().alone(rows)
        return chosen._with(files=self.files.only(chosen._table["image_id"]))

    def warm_up(self) -> None:
        """Look the image files up now, not once in every worker."""
        _ = self.files.paths

    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels (and masks) of one row.

        Returns:
            ``img`` (1, H, W) float32; with ``masks=True`` also ``mask`` (L, H, W) uint8 and
            ``mask_known`` (L,) bool.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it is damaged or no image.
        """
        entry = TableRow(self._table, row)
        raw = self.read_raw(entry)
        image = {"img": self.options.prepare(raw)}
        if not self.options.masks:
            return image
        codes, frame = self._codes_of(row, space), self.options.frame(raw.pixels.shape)
        return image | self._masks.masks(entry["image_id"], space.labels, codes, raw.pixels.shape, frame)

    def read_raw(self, entry: Mapping[str, Any]) -> RawImage:
        """The undistorted pixels of one row; its bytes say what they are, unless a release overrides this.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it is damaged or no image.
        """
        return read_image(self.image_source(entry), dataset=self.facts.key, at_least=self.options.at_least)

    def _usable(self, table: pd.DataFrame) -> pd.DataFrame:
        return keep_usable(table, self.facts) if self._exclusions else table

    def _check_source(self) -> None:
        check_root(self.root, self.facts)

    def _take_images(self, table: pd.DataFrame) -> pd.DataFrame:
        table = keep_present(table, self.files, self._missing, self.facts)
        drawn = (self.read_boxes, self.read_polygons, self.read_runs) if self.options.masks else ()
        self._masks = MaskTable(*(read() for read in drawn))
        return table

    def _where(self) -> str:
        return f"root {str(self.root)!r}"
