"""Packed, step 2: a packed file as a dataset like any other."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.files import user_path
from xrdatasets.datasets.options import ImageOptions, check_flag
from xrdatasets.datasets.rows import check_split, first_per_patient, keep_split, keep_views
from xrdatasets.datasets.single import Single
from xrdatasets.datasets.tables import view_words
from xrdatasets.errors import MappingError, MappingWarning, PackedFileError
from xrdatasets.facts import Facts
from xrdatasets.images.intensity import Intensity, rescale
from xrdatasets.labels.consensus import Readings, agree
from xrdatasets.labels.findings import finding
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import U_IGNORE, Policy, check_policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.spaces import LabelSpace, SpaceLike
from xrdatasets.labels.table import LabelTable
from xrdatasets.labels.terms import FindingColumns, FindingList, TermReader
from xrdatasets.packed.card import current_table, digests, facts_of, table_of
from xrdatasets.packed.contents import Contents
from xrdatasets.packed.pixels import Pixels

if TYPE_CHECKING:
    from xrdatasets.typing import Transform

__all__ = ["Mapping", "PackedDataset"]

logger = logging.getLogger(__name__)

Mapping = Literal["packed", "current"]
"""Whose mapping tables: those of the day of packing, or those of this package."""

ROW = "row of the packed file"
# images that are brought into range together: they stay in the processor's cache (measured: 1.1 to 1.6 times
# as fast as a whole batch at once)
CACHED = 2


class PackedDataset(Single):
    """A dataset in one file, written by `pack`; its images are read as from memory.

    It holds codes and source terms, not targets: policy, space and closure are chosen now, and labels can be
    made anew by the mapping tables of today.

    Args:
        path: the file.
        views: which of the packed views to keep, a word or several; ``"*"`` or None for all.
        split: ``train``, ``val`` or ``test``, None for all that was packed.
        space: the label space, its name, ``native``, or findings in order; None for that of the dataset that
            was packed.
        policy: what uncertain and unmentioned mean.
        closure: a hierarchy that adds what it implies (``irvin2019``, ``luo2020``); None for what was packed.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1]; None for that of the dataset that was
            packed.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.
        mapping: ``packed`` takes the labels as they were packed, with a warning if the mapping tables of
            today would give others; ``current`` makes them anew from the stored terms.

    Attributes:
        path: the file.

    Raises:
        PackedFileError: the file is missing, unfinished, damaged, or of a newer version.
        SplitNotFoundError: what was packed has no such split.
        EmptyDatasetError: no row is left.
        MappingError: ``current``, and the tables of today have terms of which the file does not tell.
        ValueError: an argument is none of the above.

    Warns:
        MappingWarning: the mapping tables of today would give other labels.

    Example:
        >>> import xrdatasets as xr
        >>> file = xr.pack(xr.Phantom(6, size=32), TMP / "phantom.h5", workers=0)
        >>> ds = xr.open(file, space=["Effusion", "Nodule"])
        >>> ds[0]["img"].shape, ds[0]["lab"].shape, len(ds)
        (torch.Size([1, 32, 32]), torch.Size([2]), 6)
    """

    in_memory = True

    def __init__(
        self,
        path: str | Path,
        *,
        views: str | Sequence[str] | None = None,
        split: str | None = None,
        space: SpaceLike | None = None,
        policy: Policy = U_IGNORE,
        closure: str | None = None,
        intensity: Intensity | None = None,
        one_per_patient: bool = False,
        transform: Transform | None = None,
        mapping: Mapping = "packed",
    ) -> None:
        self.policy, self.split = check_policy(policy), check_split(split)
        wanted = view_words(views)
        check_flag("one_per_patient", one_per_patient)
        space = None if space is None else _checked_space(space)
        tree = None if closure is None else Tree.load(closure)
        if mapping not in get_args(Mapping):
            msg = f"mapping: expected {' or '.join(map(repr, get_args(Mapping)))}, got {mapping!r}."
            raise ValueError(msg)
        ImageOptions(intensity=intensity or "xrv", transform=transform)  # checked before anything is read
        self.path = user_path(path, name="path").absolute()
        read = Contents.read(self.path)
        card = self._card = read.card
        self.compat, self.consensus, self.table_name = card["compat"], card["consensus"], ""
        if one_per_patient and self.compat:
            msg = (
                "one_per_patient: expected False for a file packed with compat='xrv'. Choose it when packing."
            )
            raise ValueError(msg)
        self.tree = _tree(card["closure"], tree)
        range_ = intensity or read.options.intensity
        self.options = dataclasses.replace(read.options, intensity=range_, transform=transform)
        self._pixels = Pixels.of(self.path, read.layout.images)
        self._rows = np.arange(read.layout.images.shape[0])
        self._table, self._terms, self._places = read.table, read.terms, read.places
        self.matrix = read.matrix if tree is None else read.matrix.close(tree)
        self._take_labels(mapping)
        kept = read.table.assign(**{ROW: self._rows})[read.readable]
        self._report_unreadable(read.readable)
        kept = keep_split(
            keep_views(kept.reset_index(drop=True), wanted, self.facts), split, self.facts, needs=""
        )
        kept = first_per_patient(kept) if one_per_patient else kept
        if len(kept) < len(self):
            self.__dict__.update(self.select(kept[ROW].to_numpy()).__dict__)
        self.matrix = self.matrix.relabel(self.matrix.space if space is None else space)

    @classmethod
    def at(cls, root: str | Path, **options: Any) -> Self:
        """The dataset in a file: ``cls(root, **options)``; `missing` is taken, too: no image is missing."""
        options.pop("missing", None)
        return cls(root, **options)

    @classmethod
    def place(cls, root: str) -> Path:
        """The file that a root means."""
        return user_path(root).resolve()

    @cached_property
    def facts(self) -> Facts:
        """Facts of the release that was packed."""
        return facts_of(self._card)

    @cached_property
    def label_table(self) -> LabelTable:
        """The rules that gave the labels."""
        return table_of(self._card)

    @cached_property
    def findings(self) -> TermReader:  # type: ignore[override]
        """How the release wrote its labels."""
        column = self._card["list_column"]
        return FindingList(column) if column else FindingColumns()

    @property
    def traced(self) -> bool:
        """Whether the labels are what the rules make of the terms."""
        return bool(self._card["traced"])

    def table_of(self, row: int) -> str:
        """Name of the release's table in which a row stands."""
        return str(self._card["tables"][self._places[row]])

    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from, as the dataset that was packed would tell.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """
        if self.traced:
            return super().explain(index, label)
        row, name = self._row(index), finding(label)
        one = self.matrix.select([row]).relabel([name])
        code, target = float(one.codes[0, 0]), float(one.targets(self.policy)[0, 0])
        return Provenance(
            file=self.table_of(row), column=name, term=name, value=code, relation="exact",
            reference=self.facts.title,
            code=code, policy=str(self.policy), target=target, rule="", note="", reason="it was packed so",
        )  # fmt: skip

    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels of one row: ``img`` (1, S, S) float32.

        Args:
            row: number of the row, from 0.
            space: of masks, which are not packed.

        Raises:
            PackedFileError: the file is gone or was changed.
        """
        return {"img": self.read_many(np.array([row]))[0]}

    def read_many(self, rows: npt.NDArray[np.integer[Any]], *, raw: bool = False) -> npt.NDArray[Any]:
        """(n, 1, S, S) images of many rows at once.

        Args:
            rows: (n,) numbers from 0, in any order.
            raw: the stored uint8 or uint16 in place of float32 in the dataset's range.

        Raises:
            PackedFileError: the file is gone or was changed.
        """
        pixels = self._pixels.take(self._rows[rows])[:, np.newaxis]
        if raw:
            return pixels
        out = np.empty(pixels.shape, np.float32)
        for start in range(0, len(out), CACHED):
            block = slice(start, start + CACHED)
            rescale(pixels[block], self._card["max_value"], intensity=self.options.intensity, out=out[block])
        return out

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several images at once, read in one go."""
        import torch

        transform = self.options.transform
        rows = [self._row(index) for index in indices]
        images = torch.from_numpy(self.read_many(np.array(rows, dtype=np.intp)))
        labels = torch.from_numpy(self.labels[rows])
        samples = [
            {"img": image, "lab": label, "idx": row}
            for image, label, row in zip(images, labels, rows, strict=True)
        ]
        return [transform(sample) for sample in samples] if transform else samples  # type: ignore[arg-type]

    def read_table(self) -> pd.DataFrame:
        """The table as it was packed."""
        return self.table

    def _take_labels(self, mapping: Mapping) -> None:
        """Keep the packed labels, or make them anew, where the mapping tables are others than then."""
        card, key = self._card, self.facts.key
        if card["mappings"] == digests(key, compat=self.compat, released=card["released"]):
            return
        if not self.traced:
            if mapping == "current":
                msg = "mapping: expected 'packed', because these labels come from no table, got 'current'."
                raise ValueError(msg)
            return
        table = current_table(card)
        new = [term.name for term in table.terms if term not in self._terms.terms]
        if mapping == "packed":
            if new or not _alike(self.matrix, self._made_by(table)):
                msg = (
                    f"{str(self.path)!r}: the mapping tables of {key} have changed since it was packed, and "
                    "would give other labels now. Pass mapping='current' for those, 'packed' with this "
                    "warning "
                    "off for the old ones."
                )
                warnings.warn(msg, MappingWarning, stacklevel=3)
            return
        if new:
            msg = (
                f"{str(self.path)!r}: the mapping table of {key} has terms of which this file does not tell: "
                f"{', '.join(new[:5])}. Pack the dataset again."
            )
            raise MappingError(msg)
        self.label_table = table
        self.matrix = self._made_by(table).relabel(self.matrix.space)

    def _made_by(self, table: LabelTable) -> LabelMatrix:
        """The labels of all rows by other rules."""
        keys, terms = np.asarray(self.matrix.keys), self._terms
        if isinstance(terms, Readings):
            matrix = agree(table.apply(terms.answers), terms.starts, self._card["consensus"], keys=keys)
        else:
            matrix = table.apply(terms, keys=keys)  # type: ignore[arg-type]
        return matrix.close(self.tree) if self.tree else matrix

    def _report_unreadable(self, readable: npt.NDArray[np.bool_]) -> None:
        lost = len(readable) - int(readable.sum())
        if lost == len(readable):
            msg = (
                f"{str(self.path)!r} has no image: packing did not end. Pack it again; what is done is kept."
            )
            raise PackedFileError(msg)
        if lost:
            logger.warning(
                "%s: %d of %d images were damaged when %s was packed; they are left out",
                self.facts.key, lost, len(readable), self.path.name,
            )  # fmt: skip

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        return super()._chosen(numbers) | {"_rows": self._rows[numbers], "_places": self._places[numbers]}

    def _where(self) -> str:
        return f"packed {self.path.name!r}"


def _tree(packed: str | None, asked: Tree | None) -> Tree | None:
    """The hierarchy that closes the labels.

    Raises:
        ValueError: the file was closed by another one.
    """
    if packed is None:
        return asked
    if asked is not None and asked.name != packed:
        msg = (
            f"closure: expected {packed!r}, by which the labels were closed when they were packed, "
            f"got {asked.name!r}."
        )
        raise ValueError(msg)
    return Tree.load(packed)


def _checked_space(space: SpaceLike) -> SpaceLike:
    return space if space == "native" else LabelSpace.of(space)


def _alike(one: LabelMatrix, other: LabelMatrix) -> bool:
    """Whether two matrices say the same of every finding."""
    names = {*one.stored, *other.stored}
    return all(np.array_equal(one.column(name), other.column(name)) for name in names)
