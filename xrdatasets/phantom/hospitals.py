"""Phantom, step 1: three hospitals: whom they see, what these people have, and how their radiologists read.

A is a clinic for outpatients, B a clinic for screening and diseases of the chest, C a hospital for acute
care. The numbers are part of what is published: a changed one changes every image and label of the hospital,
so they are frozen from the first release on. Each says where it was counted, or that it is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from xrdatasets.phantom.detector import Detector

__all__ = ["HOSPITALS", "Hospital", "Reader"]

# Chance of each condition and sign in a person who has none of its causes (`population.INFLUENCES`), in
# hospital A, B, C. Chosen so that each sign is on 5 to 30 % of the images of every hospital.
_BASE = {
    "smoking": (0.150, 0.320, 0.160),
    "heart failure": (0.053, 0.025, 0.120),
    "malignancy": (0.076, 0.085, 0.039),
    "Tuberculosis": (0.058, 0.120, 0.057),
    "Emphysema": (0.041, 0.071, 0.015),
    "Fibrosis": (0.047, 0.067, 0.022),
    "Mass": (0.022, 0.037, 0.023),
    "Nodule": (0.064, 0.111, 0.028),
    "Pleural_Thickening": (0.050, 0.067, 0.022),
    "Pleural Other": (0.026, 0.038, 0.022),
    "Hernia": (0.047, 0.048, 0.038),
    "Cardiomegaly": (0.040, 0.037, 0.032),
    "Enlarged Cardiomediastinum": (0.022, 0.031, 0.024),
    "trauma": (0.060, 0.045, 0.100),
    "infection": (0.099, 0.117, 0.150),
    "intensive care": (0.002, 0.004, 0.143),
    "Fracture": (0.025, 0.032, 0.021),
    "Infiltration": (0.088, 0.032, 0.020),
    "Pneumonia": (0.018, 0.021, 0.026),
    "Consolidation": (0.024, 0.020, 0.036),
    "Edema": (0.024, 0.025, 0.035),
    "Effusion": (0.035, 0.014, 0.060),
    "Atelectasis": (0.044, 0.020, 0.059),
    "Pneumothorax": (0.028, 0.019, 0.018),
    "Support Devices": (0.018, 0.004, 0.039),
    "AP": (0.247, 0.035, 0.543),  # in all 30, 10 and 65 % of the images; chosen
}

# How C's reports speak of a finding: doubt (see `Reader`), set so that the share of uncertain cells among the
# uncertain and positive ones is that of CheXpert's train.csv (mappings/counts/chexpert.csv); and the share of
# negatives that is written as 0, from the same counts: 0 among the cells that are 0 or blank.
_MINED = {
    "Enlarged Cardiomediastinum": (1.15, 0.108),
    "Cardiomegaly": (0.57, 0.059),
    "Lung Opacity": (0.12, 0.059),
    "Lung Lesion": (0.32, 0.006),
    "Edema": (0.44, 0.131),
    "Consolidation": (1.74, 0.155),
    "Pneumonia": (2.68, 0.014),
    "Atelectasis": (1.19, 0.008),
    "Pneumothorax": (0.3, 0.281),
    "Effusion": (0.31, 0.282),
    "Pleural Other": (1.05, 0.001),
    "Fracture": (0.14, 0.012),
    "Support Devices": (0.02, 0.058),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """How a hospital's reports differ from the truth.

    All chances are in [0, 1], `doubt` apart. Severity is that of the finding, in (0, 1], counted from the
    threshold.

    Attributes:
        thresholds: grade above which a sign is called, where this is not 0: the label shift.
        miss: chance to miss a finding of severity 0; falls in a line to none at severity 1.
        ghost: chance to call what is not there.
        doubt: chance to call a finding uncertain at severity 0; falls in a line to none at severity 1. Where
            it is above 1, all of the faint ones are uncertain.
        doubts: the same, for findings that have a number of their own.
        hedge: this times `doubt` is the chance to call uncertain what was missed or is not there.
        stated: share of the negatives that are written as 0, the others stay blank; all of them where a
            finding is not named.
        unread: share of the cells that stay blank, whatever is there.
    """

    thresholds: Mapping[str, float]
    miss: float
    ghost: float
    doubt: float
    doubts: Mapping[str, float]
    hedge: float
    stated: Mapping[str, float]
    unread: float


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital of the Phantom; all its numbers are frozen once published.

    Attributes:
        key: ``A``, ``B`` or ``C``.
        setting: what kind of hospital it is.
        female: share of women among the patients.
        ages: age at the first image in years: smallest, 10, 25, 50, 75 and 90 % quantile, greatest.
        base: chance, in [0, 1], of each condition and sign, and of an AP view, where none of its causes is
            there.
        reader: how its reports differ from the truth.
        detector: how its images look.
        devices: which kinds its patients carry, where they have Support Devices.

    Example:
        >>> HOSPITALS["C"].setting
        'acute care'
        >>> HOSPITALS["B"].reader.thresholds["Effusion"]
        0.3
    """

    key: str
    setting: str
    female: float
    ages: tuple[float, float, float, float, float, float, float]
    base: Mapping[str, float]
    reader: Reader
    detector: Detector
    devices: tuple[str, ...]

    @staticmethod
    def of(key: str) -> Hospital:
        """The hospital with this key.

        Raises:
            ValueError: there is none.
        """
        if key not in HOSPITALS:
            msg = f"hospital: expected one of {', '.join(HOSPITALS)}, got {key!r}."
            raise ValueError(msg)
        return HOSPITALS[key]


def _base(column: int) -> Mapping[str, float]:
    return MappingProxyType({name: shares[column] for name, shares in _BASE.items()})


def _fixed(**numbers: float) -> Mapping[str, float]:
    return MappingProxyType(numbers)


_A = Hospital(
    key="A",
    setting="outpatients",
    # 48,780 of the 112,120 images of NIH ChestX-ray14 (Data_Entry_2017_v2020.csv)
    female=0.435,
    # of the 106,718 images there with ages from 18 to 100
    ages=(18, 27, 37, 50, 59, 67, 95),
    base=_base(0),
    # chosen
    reader=Reader(
        thresholds=_fixed(Cardiomegaly=0.0, Effusion=0.0),
        miss=0.3,
        ghost=0.008,
        doubt=0.0,
        doubts=_fixed(),
        hedge=0.0,
        stated=_fixed(),
        unread=0.0,
    ),
    # a digital detector in a quiet room: sharp, steep, little noise; chosen
    detector=Detector(
        half=0.60,
        contrast=2.5,
        scatter=0.12,
        blur=0.003,
        noise=0.009,
        grain=0.5,
        exposure=0.04,
        letter="L",
        letter_size=0.09,
        tag=False,
        words="",
        collimation=0.0,
    ),
    devices=("pacemaker", "port", "wires"),  # chosen
)
_B = Hospital(
    key="B",
    setting="screening and diseases of the chest",
    female=0.52,  # chosen
    ages=(18, 25, 35, 49, 62, 70, 95),  # chosen
    base=_base(1),
    # chosen
    reader=Reader(
        thresholds=_fixed(Cardiomegaly=0.3, Effusion=0.3),
        miss=0.2,
        ghost=0.004,
        doubt=0.25,
        doubts=_fixed(),
        hedge=0.05,
        stated=_fixed(),
        unread=0.25,
    ),
    # digitised storage plates: soft, coarse noise, a flat curve, the letter in a tag, collimated; chosen
    detector=Detector(
        half=0.66,
        contrast=1.9,
        scatter=0.22,
        blur=0.0075,
        noise=0.012,
        grain=0.8,
        exposure=0.07,
        letter="R",
        letter_size=0.08,
        tag=True,
        words="",
        collimation=0.07,
    ),
    devices=("pacemaker", "wires", "line"),  # chosen
)
_C = Hospital(
    key="C",
    setting="acute care",
    female=0.41,  # chosen
    ages=(18, 36, 50, 63, 74, 83, 95),  # chosen
    base=_base(2),
    # chosen, apart from what `_MINED` holds
    reader=Reader(
        thresholds=_fixed(Cardiomegaly=-0.2, Effusion=-0.2),
        miss=0.35,
        ghost=0.01,
        doubt=0.0,
        doubts=MappingProxyType({name: doubt for name, (doubt, _) in _MINED.items()}),
        hedge=0.01,
        stated=MappingProxyType({name: stated for name, (_, stated) in _MINED.items()}),
        unread=0.0,
    ),
    # a mobile unit at the bedside: much scatter, noise, exposure that varies; chosen
    detector=Detector(
        half=0.54,
        contrast=2.0,
        scatter=0.36,
        blur=0.0045,
        noise=0.012,
        grain=0.5,
        exposure=0.09,
        letter="L",
        letter_size=0.075,
        tag=False,
        words="PORTABLE AP",
        collimation=0.03,
    ),
    devices=("tube", "line", "electrodes", "drain", "pacemaker"),  # chosen
)

HOSPITALS: Mapping[str, Hospital] = MappingProxyType({each.key: each for each in (_A, _B, _C)})
"""The hospitals by key."""
