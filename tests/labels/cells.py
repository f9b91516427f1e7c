"""Rows of the releases, and a cell of a label matrix as one word, for the tests of labels.

A word is ``1``, ``0``, ``-1``, ``U`` (NaN that ``unmentioned=0`` fills) or ``N`` (NaN for ever).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
)  # fmt: skip
GOOGLE = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
NIH = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def chexpert_rows(*rows: dict[str, float]) -> pd.DataFrame:
    """CheXpert's columns, blank where a row says nothing."""
    return pd.DataFrame(list(rows), columns=list(CHEXPERT), dtype=float)


def nih_rows(*lists: str | None) -> pd.Series:
    return pd.Series(list(lists), name="Finding Labels", dtype=object)


def google_rows(*rows: dict[str, str | None]) -> pd.DataFrame:
    """Google's columns, NO where a row says nothing."""
    return pd.DataFrame([dict.fromkeys(GOOGLE, "NO") | row for row in rows])


def word(matrix, label, row=0):
    seen = matrix.relabel([label])
    code, fillable = float(seen.codes[row, 0]), bool(seen.unmentioned[row, 0])
    if np.isnan(code):
        return "U" if fillable else "N"
    assert not fillable
    return f"{code:g}"


def words(matrix, label):
    return [word(matrix, label, row) for row in range(len(matrix))]
