"""Phantom: radiographs that are drawn, not downloaded, of three hospitals, with the whole truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.datasets.single import Single
from xrdatasets.facts import Facts
from xrdatasets.images import Intensity, RawImage, normalize
from xrdatasets.labels.codes import NEGATIVE, POSITIVE, Floats, frozen
from xrdatasets.labels.findings import finding
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.policies import U_IGNORE, Policy
from xrdatasets.labels.provenance import Provenance
from xrdatasets.labels.spaces import LabelSpace, SpaceLike
from xrdatasets.labels.terms import FindingColumns, FindingList, TermReader
from xrdatasets.phantom import HOSPITALS, Population, made_of, radiograph, report
from xrdatasets.typing import Missing

if TYPE_CHECKING:
    from xrdatasets.typing import Transform

__all__ = ["Phantom"]

SIZE = 224  # pixels of a side where none is asked for
LIST_COLUMN = "Finding Labels"  # of hospital A


class Phantom(Single):
    """Frontal radiographs of three hospitals that are drawn, so that the truth is known; no download.

    Nobody was ever ill here: images are drawn as an X-ray is made, attenuation summed along each ray and
    passed through a detector, with a radiographic sign for each finding. They are no substitute for
    radiographs.

    Layout: none. Each image is a function of (hospital, seed, row), the same on any worker and in any order;
    the first rows of a larger dataset are those of a smaller one.

    Labels: what the hospital's reports say of the truth, 21 findings in three vocabularies. A lists 14
    findings, as NIH ChestX-ray14 does; what is not listed counts as negative. B has columns of its own with
    1, 0, -1 (uncertain) and blanks that say nothing. C has CheXpert's 14 columns with blanks for what a
    report does not mention, with "No Finding", uncertain findings, and children whose parents in the tree
    are blank. Reports miss what is faint. The hospitals call Cardiomegaly and Effusion from another
    severity on (``label_shift``). `truth` knows all.
    Masks: where each sign was drawn.

    Views: PA and AP (70, 90 and 35 % PA in A, B and C), none lateral.

    Splits: none; use `split_by_patient`. A patient has 1 to 6 images.

    Traps: the hospitals differ in exposure, blur, noise, letters, devices, ages and prevalence, so the
    image tells where it comes from. What a hospital sees much, a model learns to expect.

    Licence: Apache-2.0, as the package that draws it.

    Citation: this package and its version (`xrdatasets.__version__`).

    Args:
        n: images.
        hospital: ``A`` (outpatients), ``B`` (screening and chest clinic) or ``C`` (acute care).
        space: the label space, its name, ``native``, or findings in order.
        seed: another seed gives other patients.
        label_shift: whether the hospitals call Cardiomegaly and Effusion from different severities on.
        views: which views to keep, a word or several, ``"*"`` for all.
        split: None: there are no splits.
        policy: what uncertain and unmentioned mean.
        closure: a hierarchy that adds what it implies (``irvin2019``, ``luo2020``), None for none.
        size: height and width in pixels, at which the image is drawn; None for 224.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].
        masks: whether samples carry ``mask`` and ``mask_known``.
        one_per_patient: keep the first row of each patient, whole.
        transform: called with each sample, last.

    Attributes:
        hospital: key of the hospital.
        seed: the seed.

    Raises:
        SplitNotFoundError: a split was asked for.
        EmptyDatasetError: no row is left.
        ValueError: an argument is none of the above.

    Example:
        >>> import xrdatasets as xr
        >>> ds = xr.Phantom(100, "C", size=64)
        >>> ds[0]["img"].shape, ds.labels.shape, ds.truth.shape
        (torch.Size([1, 64, 64]), (100, 21), (100, 21))
    """

    name = "phantom"
    table_name = "(drawn)"

    def __init__(
        self,
        n: int = 1000,
        hospital: str = "A",
        space: SpaceLike = "union21",
        seed: int = 0,
        *,
        label_shift: bool = True,
        views: str | Sequence[str] | None = ("PA", "AP"),
        split: str | None = None,
        policy: Policy = U_IGNORE,
        closure: str | None = None,
        size: int | None = None,
        intensity: Intensity = "xrv",
        masks: bool = False,
        one_per_patient: bool = False,
        transform: Transform | None = None,
    ) -> None:
        check_count("n", n, least=1)
        check_count("seed", seed, least=0)
        check_flag("label_shift", label_shift)
        self.hospital, self.seed = hospital, seed
        self._people = Population.of(hospital, n, seed=seed)
        self._label_shift, self._full = label_shift, False
        self.findings: TermReader = FindingList(LIST_COLUMN) if hospital == "A" else FindingColumns()
        super().__init__(
            views=views,
            split=split,
            space=space,
            policy=policy,
            closure=closure,
            size=SIZE if size is None else size,
            intensity=intensity,
            masks=masks,
            one_per_patient=one_per_patient,
            transform=transform,
        )

    @classmethod
    def at(cls, root: str | Path, **options: Any) -> Self:
        """The Phantom of a hospital, as ``phantom=A`` and ``xr.open("phantom", "A")`` mean it.

        Args:
            root: ``A``, ``B`` or ``C``.
            options: of the class; ``missing`` is taken, too: no image is ever missing.

        Raises:
            ValueError: no such hospital, or an option is wrong.
        """
        missing = options.pop("missing", "error")
        if missing not in get_args(Missing):
            msg = f"missing: expected {', '.join(get_args(Missing))}, got {missing!r}."
            raise ValueError(msg)
        hospital = cls.place(str(root))
        return cls(hospital=hospital if hospital in HOSPITALS else str(root), **options)

    @classmethod
    def place(cls, root: str) -> str:
        """The hospital that a root means: its letter, in either case."""
        return root.strip().upper()

    @cached_property
    def facts(self) -> Facts:
        """Facts of the hospital: what a blank in its table means."""
        return Facts.load(f"{self.name}_{self.hospital.lower()}")

    @cached_property
    def truth(self) -> Floats:
        """(N, L) float32, read-only: 1 where a finding was drawn, 0 where not, NaN if it never is.

        It is the same whatever the hospital labels, and under any policy.
        """
        return self._truth.relabel(self.space).codes

    @cached_property
    def severity(self) -> Floats:
        """(N, L) float32, read-only: how plainly a finding shows, in (0, 1], where it was drawn; else 0.

        NaN for findings that are never drawn.
        """
        there = self._people.severity
        out = np.full((len(self), len(self.space)), np.nan, dtype=np.float32)
        for column, label in enumerate(self.space.labels):
            if label in self._people.findings:
                out[:, column] = np.maximum(there[self._people.findings.index(label)], 0)
        return frozen(out)

    def with_truth(self) -> Self:
        """The same images labelled with the truth: what full labels would give, the bound of partial ones."""
        return self._with(matrix=self._truth.relabel(self.space), _full=True)

    @property
    def traced(self) -> bool:
        """Not where the labels are the truth, of which no report speaks."""
        return not self._full

    def plain(self, severity: float = 0.6) -> Self:
        """The images on which each finding that is there is at least so severe; healthy ones among them."""
        grade = np.maximum(self._people.severity, 0)
        return self.select(((grade == 0) | (grade >= severity)).all(axis=0))

    def read_table(self) -> pd.DataFrame:
        """The hospital's table: one row per image, its report's labels last."""
        people = self._people
        stem = f"{self.hospital}{self.seed}"
        patients = np.char.add(f"{stem}-", np.char.zfill(people.patient.astype(str), 6))
        studies = np.char.add(np.char.add(patients, "-"), (people.number + 1).astype(str))
        facts = {
            "image_id": studies,
            "patient_id": patients,
            "study_id": studies,
            "view": people.view,
            "sex": people.sex,
            "age": people.age,
            "row": np.arange(len(people)),
        }
        labels = report(people, label_shift=self._label_shift)
        return pd.concat([pd.DataFrame(facts), labels], axis=1)

    def explain(self, index: int, label: str) -> Provenance:
        """Where the label of one image and finding comes from.

        Args:
            index: the image.
            label: a finding, in the space or not, by canonical name or synonym.

        Raises:
            IndexError: there is no such image.
            LabelNotFoundError: there is no such finding.
        """
        if not self._full:
            return super().explain(index, label)
        row, name = self._row(index), finding(label)
        code = float(self._truth.select([row]).relabel([name]).codes[0, 0])
        reasons = {1.0: "it was drawn", 0.0: "it was not drawn"}
        return Provenance(
            file=self.table_name,
            column=name,
            term=name,
            value=code,
            relation="exact",
            reference=f"Phantom, hospital {self.hospital}",
            code=code,
            policy=str(self.policy),
            target=code,
            rule="",
            note="",
            reason=reasons.get(code, "this is never drawn"),
        )

    def read(self, row: int, space: LabelSpace) -> dict[str, npt.NDArray[Any]]:
        """Pixels (and masks) of one row, drawn anew each time.

        Args:
            row: number of the row, from 0.
            space: the L findings of the masks.

        Returns:
            ``img`` (1, H, W) float32; with ``masks=True`` also ``mask`` (L, H, W) uint8 and ``mask_known``
            (L,) bool: the place of every finding that is ever drawn is known. Below 64 pixels a small one
            may fall between two pixels and have an empty mask.
        """
        size = self.options.size or SIZE
        signs = [made_of(label) if self.options.masks else () for label in space.labels]
        wanted = {sign for several in signs for sign in several}
        case = self._people.case(row)
        pixels, places = radiograph(case, HOSPITALS[self.hospital].detector, size, wanted)
        image = {"img": normalize(RawImage(pixels, 255), self.options.intensity)}
        if not self.options.masks:
            return image
        mask = np.zeros((len(signs), size, size), dtype=np.uint8)
        for out, several in zip(mask, signs, strict=True):
            for sign in several:
                out |= places[sign]
        return image | {"mask": mask, "mask_known": np.array([bool(several) for several in signs])}

    def _take_images(self, table: pd.DataFrame) -> pd.DataFrame:
        people = self._people = self._people.take(table["row"].to_numpy())
        states = np.where(people.truth, POSITIVE, NEGATIVE).astype(np.uint8)
        keys = table["image_id"].to_numpy(dtype=object)
        names = people.findings
        self._truth = LabelMatrix(frozen(states), names, names, keys, LabelSpace.load("union21"))
        return table.drop(columns="row")

    def _chosen(self, numbers: npt.NDArray[np.intp]) -> dict[str, Any]:
        own = {"_people": self._people.take(numbers), "_truth": self._truth.select(numbers)}
        return super()._chosen(numbers) | own

    def _where(self) -> str:
        shift = "" if self._label_shift else ", no label shift"
        labels = ", labelled with the truth" if self._full else shift
        return f"hospital {self.hospital}, seed {self.seed}{labels}"
