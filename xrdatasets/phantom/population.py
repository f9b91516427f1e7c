"""Phantom, step 2: who came to a hospital, and what they have: the truth that images are drawn from.

Signs are drawn one after the other, each with a chance that rises with its causes: conditions (heart failure,
infection, intensive care, …) and signs that came before it. What lasts belongs to the patient and is on all
images of the patient, what comes and goes belongs to the image. Every number is a hash of (hospital, seed,
patient, image), so a population is the beginning of every larger one, on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xrdatasets.labels.codes import Floats, frozen
from xrdatasets.labels.draws import Hashes, mix, uniform
from xrdatasets.labels.spaces import LabelSpace
from xrdatasets.phantom.anatomy import FAINT, TRACES, Case
from xrdatasets.phantom.draws import GOLDEN, MASK
from xrdatasets.phantom.hospitals import Hospital

__all__ = ["INFLUENCES", "LASTING", "SIGNS", "Population", "made_of", "severities"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

SIGNS = (
    "Emphysema", "Fibrosis", "Hernia", "Infiltration", "Pleural_Thickening", "Mass", "Nodule", "Atelectasis",
    "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Pneumonia", "Pneumothorax",
    "Enlarged Cardiomediastinum", "Fracture", "Pleural Other", "Support Devices", "Tuberculosis",
)  # fmt: skip
"""What is drawn, in the order of `Population.grades`; Pleural Other is drawn as plaques."""

INFLUENCES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "smoking": {},
        "heart failure": {"old age": 0.15},
        "malignancy": {"smoking": 0.06, "old age": 0.05},
        "Tuberculosis": {},
        "Emphysema": {"smoking": 0.25, "old age": 0.03},
        "Fibrosis": {"Tuberculosis": 0.25, "Emphysema": 0.15, "old age": 0.03},
        "Mass": {"malignancy": 0.50},
        "Nodule": {"malignancy": 0.45, "Tuberculosis": 0.15},
        "Pleural_Thickening": {"Tuberculosis": 0.25, "Fibrosis": 0.20, "old age": 0.03},
        "Pleural Other": {"Pleural_Thickening": 0.30, "Fibrosis": 0.12, "old age": 0.03},
        "Hernia": {"old age": 0.10},
        "Cardiomegaly": {"heart failure": 0.70, "old age": 0.03},
        "Enlarged Cardiomediastinum": {"heart failure": 0.30, "malignancy": 0.25, "old age": 0.02},
        "trauma": {},
        "infection": {"malignancy": 0.12, "Emphysema": 0.10, "Tuberculosis": 0.08},
        "intensive care": {"trauma": 0.30, "heart failure": 0.25, "infection": 0.25},
        "Fracture": {"trauma": 0.60},
        "Infiltration": {"infection": 0.50, "Tuberculosis": 0.15},
        "Pneumonia": {"infection": 0.40},
        "Consolidation": {"infection": 0.40, "Mass": 0.08},
        "Edema": {"heart failure": 0.40, "intensive care": 0.25},
        "Effusion": {
            "heart failure": 0.35,
            "intensive care": 0.30,
            "Edema": 0.25,
            "malignancy": 0.25,
            "Consolidation": 0.20,
        },
        "Atelectasis": {"Effusion": 0.35, "intensive care": 0.35, "Mass": 0.15},
        "Pneumothorax": {"trauma": 0.35, "intensive care": 0.14, "Emphysema": 0.12},
        "Support Devices": {"intensive care": 0.75, "Pneumothorax": 0.25, "heart failure": 0.05},
        "AP": {"intensive care": 0.90, "trauma": 0.30},
    }
)
"""Chance that a cause alone brings about a condition or sign, in the order in which they are drawn.

The numbers are chosen; that the cause raises the chance is textbook knowledge.
"""

LASTING = frozenset(
    {
        "old age", "smoking", "heart failure", "malignancy", "Tuberculosis", "Emphysema", "Fibrosis", "Mass",
        "Nodule", "Pleural_Thickening", "Pleural Other", "Hernia", "Cardiomegaly",
        "Enlarged Cardiomediastinum",
    }
)  # fmt: skip
"""Conditions and signs of the patient; all others are of the image."""

# Signs that make a finding, where it is not the sign of the same name alone. A parent of the tree irvin2019
# is made of all that makes its children.
_MADE_OF = {
    "Consolidation": ("Consolidation", "Pneumonia"),
    "Lung Lesion": ("Nodule", "Mass"),
    "Pleural Other": ("Pleural Other", "Pleural_Thickening"),
    "Enlarged Cardiomediastinum": ("Enlarged Cardiomediastinum", "Cardiomegaly"),
    "Lung Opacity": (
        "Atelectasis", "Consolidation", "Pneumonia", "Edema", "Infiltration", "Nodule", "Mass", "Fibrosis",
        "Tuberculosis",
    ),
}  # fmt: skip

# share of patients with 1 to 6 images, 1.96 on average; chosen
_IMAGES = (0.55, 0.20, 0.10, 0.07, 0.05, 0.03)
_QUANTILES = np.array([0, 0.10, 0.25, 0.50, 0.75, 0.90, 1])  # of `Hospital.ages`
_OLD = 65  # years at the first image from which on `old age` is a cause; chosen
_LEAST = 0.1  # severity of a sign that is just there, `TRACES` apart, which begin at 0; chosen
_CHANGE = 0.1  # how much the severity of a lasting sign may differ from image to image; chosen
_TRACE = 0.08  # share of the images without a sign of `TRACES` that have a trace of it; chosen
_NONE = -1.0  # grade of what is not there


@dataclass(frozen=True, eq=False)
class Population:
    """The N images of a hospital before they are drawn: who is on them, and what these people have.

    Attributes:
        hospital: key of the hospital.
        seed: the seed.
        patient: (N,) int64 number of the patient, from 0, rising.
        number: (N,) int64 number of the image among those of the patient, from 0.
        patient_key: (N,) uint64, from which all random numbers of the patient come.
        key: (N,) uint64, from which those of the image come.
        sex: (N,) text, ``F`` or ``M``.
        age: (N,) float32, whole years from 18 to 100; later images of a patient are not of a younger one.
        view: (N,) text, ``PA`` or ``AP``.
        grades: (19, N) float32, the signs of `SIGNS`. Above 0 the sign is there, with this severity up to 1.
            Down to -0.35 there is a trace of it that does not count (Cardiomegaly and Effusion alone); -1 is
            nothing.

    Example:
        >>> people = Population.of("C", 1000, seed=0)
        >>> people.truth.shape, people.view[:3].tolist()
        ((21, 1000), ['PA', 'AP', 'AP'])
        >>> more = Population.of("C", 2000, seed=0)
        >>> bool((people.truth == more.truth[:, :1000]).all())
        True
    """

    hospital: str
    seed: int
    patient: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    patient_key: Hashes
    key: Hashes
    sex: npt.NDArray[np.str_]
    age: Floats
    view: npt.NDArray[np.str_]
    grades: Floats

    @classmethod
    def of(cls, hospital: str, n: int, *, seed: int = 0) -> Population:
        """The first images of a hospital.

        Args:
            hospital: ``A``, ``B`` or ``C``.
            n: images.
            seed: another number gives other people.

        Raises:
            ValueError: no such hospital, fewer than one image, or a seed that is no whole number.
        """
        place = Hospital.of(hospital)
        count, seed = _whole(n, "n"), _whole(seed, "seed")
        if count < 1:
            msg = f"n: expected at least 1 image, got {count}."
            raise ValueError(msg)
        stream = _stream(place.key, seed)
        patient, number = _visits(stream, count)
        patient_key = _counted(np.uint64(stream), patient)
        key = _counted(patient_key, number)
        first = _first_age(place, patient_key)
        there = _conditions(place, {True: patient_key, False: key}, first >= _OLD)
        years = np.floor(first + number * uniform(patient_key, label="years between", seed=0, epoch=0))
        grades = np.stack([_grade(sign, there[sign], patient_key, key) for sign in SIGNS])
        women = uniform(patient_key, label="sex", seed=0, epoch=0) < place.female
        return cls(
            hospital=place.key,
            seed=seed,
            patient=frozen(patient),
            number=frozen(number),
            patient_key=frozen(patient_key),
            key=frozen(key),
            sex=frozen(np.where(women, "F", "M")),
            age=frozen(years.astype(np.float32)),
            view=frozen(np.where(there["AP"], "AP", "PA")),
            grades=frozen(grades),
        )

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: npt.NDArray[np.intp]) -> Population:
        """The chosen images, in the order given."""
        arrays = ("patient", "number", "patient_key", "key", "sex", "age", "view")
        chosen = {name: frozen(getattr(self, name)[rows]) for name in arrays}
        return replace(self, **chosen, grades=frozen(self.grades[:, rows]))

    def case(self, index: int) -> Case:
        """One image, as it is to be drawn."""
        return Case(
            key=int(self.key[index]),
            patient_key=int(self.patient_key[index]),
            female=bool(self.sex[index] == "F"),
            age=float(self.age[index]),
            supine=bool(self.view[index] == "AP"),
            grades=dict(zip(SIGNS, self.grades[:, index].tolist(), strict=True)),
            devices=Hospital.of(self.hospital).devices,
        )

    @property
    def findings(self) -> tuple[str, ...]:
        """The 21 findings of `truth` and `severity`: those of the space ``union21``."""
        return _findings()

    @cached_property
    def severity(self) -> Floats:
        """(21, N) float32: the greatest grade among the signs that make a finding; above 0 it is there."""
        return frozen(severities(self.grades))

    @cached_property
    def truth(self) -> Mask:
        """(21, N) bool: which findings are there.

        It respects every edge of the tree ``irvin2019``, and those of ``luo2020`` but one: Fibrosis is
        scarring of the lung here, which is nothing of the pleura; ``luo2020`` has it below Pleural Other
        because the CheXpert labeler counts the bare word there.
        """
        return frozen(self.severity > 0)


def severities(grades: Floats) -> Floats:
    """The grades of findings from those of signs.

    Args:
        grades: (19, N) float32, in the order of `SIGNS`.

    Returns:
        (21, N) float32, in the order of ``union21``: the greatest grade among the signs that make a finding.

    Example:
        >>> grades = np.full((19, 1), -1, dtype=np.float32)
        >>> grades[SIGNS.index("Nodule")] = 0.4
        >>> found = severities(grades)[:, 0] > 0
        >>> [name for name, there in zip(LabelSpace.load("union21").labels, found) if there]
        ['Nodule', 'Lung Opacity', 'Lung Lesion']
    """
    row = {sign: number for number, sign in enumerate(SIGNS)}
    rows = [[row[sign] for sign in made_of(name)] for name in _findings()]
    return np.stack([grades[several].max(axis=0) for several in rows])


def made_of(finding: str) -> tuple[str, ...]:
    """The signs that make a finding; none if it is never drawn.

    Example:
        >>> made_of("Lung Lesion"), made_of("Edema"), made_of("COVID-19")
        (('Nodule', 'Mass'), ('Edema',), ())
    """
    return _MADE_OF.get(finding, (finding,) if finding in SIGNS else ())


def _findings() -> tuple[str, ...]:
    return LabelSpace.load("union21").labels


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        msg = f"{name}: expected a whole number, got {value!r}."
        raise ValueError(msg)
    return int(value)


def _stream(hospital: str, seed: int) -> int:
    """64 bits for each pair of hospital and seed."""
    text = f"phantom\x00{hospital}\x00{seed}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") & MASK


def _counted(start: Hashes | np.uint64, count: npt.NDArray[np.int64]) -> Hashes:
    """(N,) numbers `count` of the SplitMix64 streams that begin at `start`."""
    return mix(start + (count.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def _visits(stream: int, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number of the patient, and of the image of the patient, for each of n images."""
    people = np.arange(n, dtype=np.int64)  # each has an image at least, so more are not needed
    draw = uniform(_counted(np.uint64(stream), people), label="images", seed=0, epoch=0)
    images = 1 + np.searchsorted(np.cumsum(_IMAGES)[:-1], draw, side="right")
    patient = np.repeat(people, images)[:n]
    first = np.cumsum(images) - images
    return patient, np.arange(n, dtype=np.int64) - first[patient]


def _first_age(place: Hospital, patient_key: Hashes) -> Numbers:
    """(N,) age of each image's patient at the first image, in years."""
    draw = uniform(patient_key, label="age", seed=0, epoch=0)
    ages: Numbers = np.interp(draw, _QUANTILES, np.array(place.ages))
    return ages


def _conditions(place: Hospital, keys: Mapping[bool, Hashes], old: Mask) -> dict[str, Mask]:
    """(N,) bool for each condition and sign: each cause that is there is one more chance of it (noisy-OR).

    Args:
        place: the hospital.
        keys: (N,) keys of what lasts (True) and what does not.
        old: (N,) whether the patient is old.
    """
    there = {"old age": old}
    for name, causes in INFLUENCES.items():
        spared = np.full(len(old), 1 - place.base[name])
        for cause, weight in causes.items():
            spared[there[cause]] *= 1 - weight
        there[name] = uniform(keys[name in LASTING], label=name, seed=0, epoch=0) < 1 - spared
    return there


def _grade(sign: str, there: Mask, patient_key: Hashes, key: Hashes) -> Floats:
    """(N,) float32 grade of one sign."""
    lasting = sign in LASTING
    draw = uniform(patient_key if lasting else key, label=f"{sign} grade", seed=0, epoch=0)
    least = 0.0 if sign in TRACES else _LEAST
    grade = 1 - (1 - least) * draw
    if lasting:
        change = uniform(key, label=f"{sign} change", seed=0, epoch=0) - 0.5
        grade = np.clip(grade + _CHANGE * change, 0.01, 1)
    absent = np.full(len(there), _NONE)
    if sign in TRACES:
        trace = uniform(patient_key if lasting else key, label=f"{sign} trace", seed=0, epoch=0) / _TRACE
        absent = np.where(trace < 1, FAINT * trace, _NONE)
    return np.where(there, grade, absent).astype(np.float32)
