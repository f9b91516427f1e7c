"""Phantom, step 3: what a hospital's reports say of the truth, in the columns of its release.

Readers miss what is faint, call some of it uncertain, and now and then see what is not there. Each hospital
writes in its own way: A lists what it saw, as NIH does; B fills in a form with words of its own and leaves
cells out; C is mined from reports as CheXpert is, with most negatives blank, and parents that do not follow
from their children. ``mappings/labels/phantom_a.csv`` and its two neighbours lead from there to findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.labels.codes import Floats
from xrdatasets.labels.draws import uniform
from xrdatasets.phantom.hospitals import Hospital
from xrdatasets.phantom.population import SIGNS, Population, severities

__all__ = ["report"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

_NIH = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip

# column of B's form: the finding that it speaks of
_FORM = {
    "Airspace opacity": "Lung Opacity",
    "Nodule or mass": "Lung Lesion",
    "Consolidation": "Consolidation",
    "Volume loss": "Atelectasis",
    "Lung edema": "Edema",
    "Emphysema": "Emphysema",
    "Fibrosis": "Fibrosis",
    "Tuberculosis": "Tuberculosis",
    "Pleural fluid": "Effusion",
    "Pneumothorax": "Pneumothorax",
    "Enlarged heart": "Cardiomegaly",
    "Hiatal hernia": "Hernia",
    "Fracture": "Fracture",
    "Tube or line": "Support Devices",
}
_LOBAR = 0.4  # share of atelectasis that is the collapse of a lobe; chosen
_SUSPECTED = (
    0.1,
    0.6,
)  # how often the referring physician suspects infection without and with pneumonia; chosen
_WORN = (40, 0.02)  # age from which on a spine may be worn, and by how much more often each year; chosen

# column of C, as in CheXpert's train.csv: its finding
_COLUMNS = {
    "Enlarged Cardiomediastinum": "Enlarged Cardiomediastinum",
    "Cardiomegaly": "Cardiomegaly",
    "Lung Opacity": "Lung Opacity",
    "Lung Lesion": "Lung Lesion",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
    "Pleural Other": "Pleural Other",
    "Fracture": "Fracture",
    "Support Devices": "Support Devices",
}

# Child, parent, and how often the parent's cell is 1, -1 and 0 where the child's is 1; blank else. Counted in
# CheXpert's train.csv v1.0 (223,414 rows), where 27,000, 6,039, 14,783, 33,376, 52,246 and 9,186 children are
# 1. A parent of several positive children follows the last of them.
_EDGES = (
    ("Cardiomegaly", "Enlarged Cardiomediastinum", (0.070, 0.012, 0.006)),
    ("Pneumonia", "Consolidation", (0.168, 0.090, 0.087)),
    ("Consolidation", "Lung Opacity", (0.377, 0.060, 0.004)),
    ("Atelectasis", "Lung Opacity", (0.424, 0.018, 0.010)),
    ("Edema", "Lung Opacity", (0.525, 0.017, 0.009)),
    ("Lung Lesion", "Lung Opacity", (0.579, 0.022, 0.015)),
)


def report(population: Population, hospital: str | None = None, *, label_shift: bool = True) -> pd.DataFrame:
    """The label columns of a hospital's release.

    A finding of severity s is missed with probability ``miss * (1 - s)``, and what is seen is called
    uncertain with ``doubt * (1 - s)`` (`Reader`), by draws that depend on hospital, image and finding alone.
    The label shift changes Cardiomegaly and Effusion, and what follows from them: in C, Enlarged
    Cardiomediastinum and No Finding.

    Args:
        population: N images.
        hospital: whose readers; those of the population's own hospital if None.
        label_shift: whether the hospitals call Cardiomegaly and Effusion at unlike grades (A 0, B 0.3,
            C -0.2), or all of them at 0, which is the truth.

    Returns:
        N rows. A: ``Finding Labels``, text: what was seen, joined by vertical bars, or ``No Finding``. B: 17
        columns, C: 14 columns, float32: 1, 0, -1 or NaN; ``No Finding`` of C is 1 or NaN.

    Raises:
        ValueError: no such hospital, or `label_shift` is neither True nor False.

    Example:
        >>> people = Population.of("A", 3, seed=0)
        >>> report(people)["Finding Labels"].tolist()
        ['No Finding', 'Hernia', 'Mass|Consolidation']
    """
    place = Hospital.of(population.hospital if hospital is None else hospital)
    return _FORMS[place.key](_Desk(place, population, _flag(label_shift, "label_shift")))


@dataclass(frozen=True)
class _Desk:
    """A reader of a hospital in front of N images."""

    place: Hospital
    population: Population
    label_shift: bool

    def draw(self, word: str) -> Numbers:
        """(N,) numbers in [0, 1), one for each image."""
        return uniform(self.population.key, label=f"{self.place.key} reads {word}", seed=0, epoch=0)

    def severity(self) -> dict[str, Floats]:
        """(N,) severity of each finding, counted from the threshold at which this hospital calls it."""
        grades = self.population.grades
        if self.label_shift:
            grades = grades.copy()
            for sign, threshold in self.place.reader.thresholds.items():
                grades[SIGNS.index(sign)] -= np.float32(threshold)
        return dict(zip(self.population.findings, np.minimum(severities(grades), 1), strict=True))

    def call(self, finding: str, severity: Floats, word: str = "") -> Floats:
        """(N,) float32: 1, 0 or -1, what the reader thinks of one finding.

        Args:
            finding: canonical name.
            severity: (N,), above 0 where it is there.
            word: what the draws are called; the finding if empty.
        """
        reader, word = self.place.reader, word or finding
        there, faint = severity > 0, 1 - severity
        chance = self.draw(f"{word} call")
        seen = there & (chance >= reader.miss * faint)
        doubt = reader.doubts.get(finding, reader.doubt)
        uncertain = self.draw(f"{word} doubt") < np.where(seen, doubt * faint, doubt * reader.hedge)
        codes = np.where(seen | (~there & (chance < reader.ghost)), 1, 0)
        return np.where(uncertain, -1, codes).astype(np.float32)

    def kept(self, codes: Floats, share: float, word: str) -> Floats:
        """(N,) float32: the codes of this share of the images; NaN for the others."""
        return np.where(self.draw(word) < share, codes, np.float32(np.nan))


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        msg = f"{name}: expected True or False, got {value!r}."
        raise ValueError(msg)
    return value


def _listed(desk: _Desk) -> pd.DataFrame:
    """A: one list for each image."""
    severity = desk.severity()
    seen = np.stack([desk.call(finding, severity[finding]) == 1 for finding in _NIH])
    # the words are joined once for each combination, not for each image
    sums, rows = np.unique((1 << np.arange(len(_NIH))) @ seen, return_inverse=True)
    words = [
        "|".join(finding for bit, finding in enumerate(_NIH) if total >> bit & 1) or "No Finding"
        for total in sums.tolist()
    ]
    return pd.DataFrame({"Finding Labels": pd.Series(np.array(words, dtype=object)[rows], dtype="str")})


def _form(desk: _Desk) -> pd.DataFrame:
    """B: a form, of which cells are left out."""
    severity = desk.severity()
    cells = {word: desk.call(finding, severity[finding], word) for word, finding in _FORM.items()}
    lobar = desk.draw("which atelectasis") < _LOBAR
    collapse = np.where(lobar, severity["Atelectasis"], np.float32(-1))
    cells["Lobar collapse"] = desk.call("Atelectasis", collapse, "Lobar collapse")
    suspected = np.array(_SUSPECTED)[(severity["Pneumonia"] > 0).astype(np.intp)]
    cells["Suspected infection"] = (desk.draw("request") < suspected).astype(np.float32)
    first, yearly = _WORN
    worn = desk.draw("spine") < (desk.population.age - first) * yearly
    cells["Degenerative spine"] = worn.astype(np.float32)
    read = 1 - desk.place.reader.unread
    return pd.DataFrame({word: desk.kept(codes, read, f"{word} read") for word, codes in cells.items()})


def _mined(desk: _Desk) -> pd.DataFrame:
    """C: what a labeler finds in the reports."""
    severity, stated = desk.severity(), desk.place.reader.stated
    cells: dict[str, Floats] = {}
    for finding in _COLUMNS.values():
        codes = desk.call(finding, severity[finding])
        negative = desk.kept(codes, stated[finding], f"{finding} stated")
        cells[finding] = np.where(codes == 0, negative, codes)
    for child, parent, shares in _EDGES:
        follows = _following(desk.draw(f"{parent} above {child}"), shares)
        cells[parent] = np.where(cells[child] == 1, follows, cells[parent])
    found = np.stack([np.abs(cells[name]) == 1 for name in cells if name != "Support Devices"]).any(axis=0)
    nothing = np.where(found, np.float32(np.nan), np.float32(1))
    return pd.DataFrame(
        {"No Finding": nothing, **{column: cells[finding] for column, finding in _COLUMNS.items()}}
    )


def _following(draw: Numbers, shares: tuple[float, float, float]) -> Floats:
    """(N,) float32 codes of a parent whose child is positive."""
    codes = np.array([1, -1, 0, np.nan], dtype=np.float32)
    return codes[np.searchsorted(np.cumsum(shares), draw, side="right")]


_FORMS: Mapping[str, Callable[[_Desk], pd.DataFrame]] = {"A": _listed, "B": _form, "C": _mined}
