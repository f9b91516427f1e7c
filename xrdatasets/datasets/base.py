"""Datasets, step 4: what all releases have in common; a release only states its facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.files import check_root, user_path
from xrdatasets.datasets.masks import BoxTable
from xrdatasets.datasets.options import ImageOptions, check_flag
from xrdatasets.datasets.release import Release
from xrdatasets.datasets.rows import (
    check_split,
    first_per_patient,
    keep_present,
    keep_split,
    keep_views,
)
from xrdatasets.datasets.tables import canonical, view_words
from xrdatasets.images import Engine, Intensity, read_image
from xrdatasets.labels.codes import CODES, Floats
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.policies import U_IGNORE, Policy, check_policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.rules import CONSTANT, LIST
from xrdatasets.labels.spaces import NATIVE, LabelSpace, SpaceLike

if TYPE_CHECKING:
    from xrdatasets.typing import Missing, Transform

__all__ = ["CXRDataset"]


class CXRDataset(Release, Collection):
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
        engine: how images are made smaller: ``area`` (fast) or ``gaussian`` (as torchxrayvision).
        masks: whether samples carry ``mask`` and ``mask_known``.
        missing: what to do with rows whose image is not on disk: ``error``, ``drop`` them, or ``keep``
            them to work with labels and tables before one has the images.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.

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
        one_per_patient: bool = False,
        transform: Transform | None = None,
    ) -> None:
        self.root = user_path(root)
        self.policy, self.split = check_policy(policy), check_split(split)
        self.options = ImageOptions(size, crop, intensity, engine, masks, transform)
        self.tree = None if closure is None else Tree.load(closure)
        space = _checked_space(space)
        wanted = view_words(views)
        check_flag("one_per_patient", one_per_patient)
        check_root(self.root, self.facts)
        table = canonical(self.read_table(), self.columns, dataset=self.facts.key)
        table = keep_split(keep_views(table, wanted, self.facts), split, self.facts, needs=self.split_needs)
        if one_per_patient:
            table = first_per_patient(table)
        table = keep_present(table, self.files, missing, self.facts)
        self._boxes = BoxTable(self.read_boxes() if masks else None)
        # by image, so that a message names the image: rows were left out, and there may be two files
        self._terms = self.label_table.read_terms(table.set_index("image_id"), reader=self.findings)
        codes = [term.column for term in self._terms.terms if not term.source]
        self._table = table.drop(columns=codes, errors="ignore")
        matrix = self.label_table.apply(self._terms, keys=self._table["image_id"].to_numpy(dtype=object))
        self.matrix = (matrix.close(self.tree) if self.tree else matrix).relabel(space)

    @property
    def terms(self) -> pd.DataFrame:
        """(N, T) float32: what the source says, term by term: 1, 0, -1, NaN blank."""
        names = [term.name for term in self._terms.terms]
        return pd.DataFrame(self._terms.codes, columns=names)

    @property
    def parts(self) -> tuple[CXRDataset, ...]:
        """This dataset alone."""
        return (self,)

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """(1, N) int32: the rows as they are."""
        return np.arange(len(self), dtype=np.int32)[np.newaxis]

    def with_policy(self, policy: Policy) -> Self:
        """The same images with targets under another policy.

        Raises:
            ValueError: it is no policy.
        """
        return self._with(policy=check_policy(policy))

    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Returns:
            The cell of the release's table, the mapping row that applies, code, policy and target.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """
        row = self._row(index)
        found = self.label_table.explain(self._terms.select(np.array([row])), label, tree=self.tree)
        target = self.matrix.select([row]).relabel([label]).targets(self.policy)[0, 0]
        column = getattr(self.findings, "column", found.column) if found.column == LIST else found.column
        value = self._table[column].iloc[row] if column in self._table else found.value
        file = "" if not found.column or found.column == CONSTANT else self.table_of(row)
        return dataclasses.replace(
            found, file=file, column=column, value=value, policy=str(self.policy), target=float(target)
        )

    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels (and masks) of one row.

        Returns:
            ``img`` (1, H, W) float32; with ``masks=True`` also ``mask`` (L, H, W) uint8 and
            ``mask_known`` (L,) bool.

        Raises:
            DatasetNotFoundError: the file is missing.
            ImageReadError: it is damaged or no image.
        """
        entry = self._table.iloc[row]
        raw = read_image(self.image_source(entry), dataset=self.facts.key)
        image = {"img": self.options.prepare(raw)}
        if not self.options.masks:
            return image
        codes = np.array([CODES[self.matrix.column(label)[row]] for label in space.labels])
        frame = self.options.frame(raw.pixels.shape)
        return image | self._boxes.masks(entry["image_id"], space.labels, codes, raw.pixels.shape, frame)

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        return {"_terms": self._terms.select(numbers)}

    def _origin(self, row: int) -> tuple[CXRDataset, int]:
        return self, row

    def _families(self) -> pd.Series:
        return pd.Series(self.facts.image_family, index=self._table.index, dtype="category")

    def _targets(self) -> Floats:
        return self.matrix.targets(self.policy)

    def __repr__(self) -> str:
        patients = self._table["patient_id"].nunique()
        people = f" of {patients:,} patients" if patients else ""
        return (
            f"<{type(self).__name__}: {len(self):,} images{people}, space {self.space.name} "
            f"({len(self.space)} findings), policy {self.policy}, root {str(self.root)!r}>"
        )


def _checked_space(space: SpaceLike) -> SpaceLike:
    """A space that exists and has a finding, or the word ``native``.

    Raises:
        LabelNotFoundError: there is no such space or finding.
        ValueError: it is something else, or empty.
    """
    if isinstance(space, str) and space == NATIVE:
        return space
    found = LabelSpace.of(space)
    if not found.labels:
        raise ValueError("space: expected at least one finding, got none.")
    return found
