"""Phantom, step 4: one patient in front of one detector, as numbers.

Patients differ in habitus, sex, age and proportions; images of one patient in rotation, breath, place and
view. Findings that change the shape of an organ (a wide heart, flat diaphragms) change these numbers; all
others are drawn later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xrdatasets.phantom.draws import Draws

__all__ = ["COLLAPSE", "FAINT", "TRACES", "Anatomy", "Case"]

TRACES = ("Cardiomegaly", "Effusion")
"""Signs that have a grade on a continuum: below 0, nobody is ill, yet a trace of the sign is drawn."""

FAINT = -0.35
"""The grade at which a trace is gone."""

COLLAPSE = 0.45
"""The grade of atelectasis from which a lobe is collapsed and pulls the diaphragm up."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be drawn.

    Attributes:
        key: of the image.
        patient_key: of the patient, the same on all images of the patient.
        female: sex.
        age: years.
        supine: an AP view, taken in bed; else PA, upright.
        grades: severity of each sign: above 0 it is there, 1 is the most; signs that
            are not named are not there. Of `TRACES`, grades from `FAINT` to 0 are drawn, too.
        devices: kinds of devices that Support Devices is drawn as (`xrdatasets.phantom.DEVICES`).
    """

    key: int
    patient_key: int
    female: bool
    age: float
    supine: bool
    grades: Mapping[str, float]
    devices: tuple[str, ...] = ("pacemaker",)

    def grade(self, sign: str) -> float:
        """Severity of a sign in (0, 1], 0 if it is not there."""
        return max(self.grades.get(sign, 0.0), 0.0)

    def draws(self, part: str) -> Draws:
        """A stream for this image alone."""
        return Draws(self.key, part)

    def of_patient(self, part: str) -> Draws:
        """A stream for all images of the patient."""
        return Draws(self.patient_key, part)


@dataclass(slots=True)
class Anatomy:
    """Sizes and places in half-widths of the detector (20 cm).

    Distances in x are from the midline, positive to the patient's left.

    Attributes:
        midline: x of the spine at y = 0.
        rotation: -1 to 1: how far the patient is turned.
        fat: soft tissue over the ribs, 1 is the average.
        chest: greatest half-width of the lungs.
        apex: y of the lungs' tops.
        widest: y at which the lungs are widest.
        dome: y of the diaphragm's tops (right, left).
        bow: how far the diaphragm falls from its top to the wall.
        depth: air along the ray in the middle of a lung.
        heart: scale of the heart.
        heart_x: x of the heart's middle.
        heart_y: y of the heart's middle.
        band: half-width of the upper mediastinum.
        arch: radius of the aortic arch.
        vessels: width of the lungs' vessels, 1 is the average.
        bone: density of the bones, 1 is that of a young adult.
        ribs: distance of a rib from the next.
        rib_start: y of the first posterior rib at the spine.
        breast: thickness of the breasts.
    """

    midline: float
    rotation: float
    fat: float
    chest: float
    apex: float
    widest: float
    dome: tuple[float, float]
    bow: float
    depth: float
    heart: float
    heart_x: float
    heart_y: float
    band: float
    arch: float
    vessels: float
    bone: float
    ribs: float
    rib_start: float
    breast: float

    @classmethod
    def of(cls, case: Case) -> Anatomy:
        """The anatomy of a case."""
        body, pose = case.of_patient("body"), case.draws("pose")
        build = body.normal(0, 1)  # of the habitus: thin and long to broad and short
        old = min(max((case.age - 40) / 45, 0.0), 1.0)
        supine = float(case.supine)
        # 0 is a full breath; bedside images are taken in a smaller one
        breath = max(0.0, pose.normal(0.25 + 0.45 * supine, 0.25))
        size = 1 + (-0.05 if case.female else 0.02) + body.normal(0, 0.025)
        chest = (0.755 + 0.025 * build) * size
        top = 0.55 - 0.035 * build - 0.17 * breath + body.normal(0, 0.025)
        down = (size - 1) * 0.6 + pose.normal(-0.01, 0.025)  # of the whole thorax on the detector
        dome = (top + down - 0.02, top + down + 0.035 + body.normal(0, 0.012))
        anatomy = cls(
            midline=pose.normal(0, 0.025),
            rotation=pose.normal(0, 0.28 + 0.2 * supine),
            fat=max(0.6, 1 + 0.16 * build + body.normal(0, 0.1)),
            chest=chest,
            apex=-0.77 * size + down + 0.02 * supine,
            widest=0.34 + down,
            dome=dome,
            bow=0.17 - 0.02 * build + body.normal(0, 0.02),
            depth=0.63 * (1 - 0.10 * breath) * (1 + body.normal(0, 0.04)),
            heart=(1.06 + 0.09 * supine + 0.05 * breath + 0.05 * old + 0.02 * build) * size
            + body.normal(0, 0.05),
            heart_x=0.085 + body.normal(0, 0.012),
            heart_y=dome[0] - 0.20,
            band=0.125 + 0.008 * build + 0.015 * supine + body.normal(0, 0.010),
            arch=0.085 + 0.02 * old + body.normal(0, 0.009),
            vessels=1.0 + body.normal(0, 0.11),
            bone=1.1 - 0.35 * old + body.normal(0, 0.07),
            ribs=(0.158 - 0.004 * build) * size,
            rib_start=-0.80 * size + down,
            breast=(0.10 + 0.05 * max(build, -1)) * (1 + body.normal(0, 0.3)) if case.female else 0.02,
        )
        anatomy.change(case)
        return anatomy

    def wall(self, y: float) -> float:
        """Half-width of the lungs at a height, both sides alike."""
        up = min(max((self.widest - y) / (self.widest - self.apex), 0.0), 1.0)
        return float(self.chest * (1 - up**2.6) ** 0.58)

    def change(self, case: Case) -> None:
        """The findings that give an organ another shape."""
        self._swell(case)
        self._inflate(case.grade("Emphysema"))
        loss = case.grade("Fibrosis")
        if loss:
            self.dome = (self.dome[0] - 0.05 * loss, self.dome[1] - 0.05 * loss)
        if (collapse := case.grade("Atelectasis")) > COLLAPSE:
            self._pull(case.draws("atelectasis").side(), 0.06 * collapse)
        if edema := case.grade("Edema"):
            self.vessels *= 1 + 0.24 * edema

    def _pull(self, side: int, height: float) -> None:
        """Raise the diaphragm on one side."""
        right, left = self.dome
        self.dome = (right - height, left) if side < 0 else (right, left - height)

    def _swell(self, case: Case) -> None:
        """Cardiomegaly, which may be there in traces, and a wide mediastinum."""
        grade = case.grades.get("Cardiomegaly", FAINT)
        if grade > FAINT:
            self.heart *= 1.085 + 0.19 * grade
        if wide := case.grade("Enlarged Cardiomediastinum"):
            self.band *= 1.05 + 0.34 * wide
            self.arch *= 1.03 + 0.30 * wide

    def _inflate(self, grade: float) -> None:
        """Emphysema: deep, dark lungs, low and flat diaphragms, a narrow heart, few vessels."""
        if grade:
            self.dome = (self.dome[0] + 0.10 * grade, self.dome[1] + 0.09 * grade)
            self.bow *= 0.95 - 0.60 * grade
            self.depth *= 1 + 0.12 * grade
            self.heart *= 0.99 - 0.12 * grade
            self.vessels *= 0.97 - 0.35 * grade
