"""Datasets, step 5: splits that keep a patient on one side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.options import check_count
from xrdatasets.labels.draws import hash_keys, uniform

__all__ = ["patient_keys", "patient_parts"]


def patient_keys(table: pd.DataFrame, families: pd.Series) -> npt.NDArray[np.uint64]:
    """(N,) uint64: equal for the images of one patient of one image family.

    Args:
        table: with ``image_id`` and ``patient_id``; an image without a patient is its own.
        families: (N,) image family of each row.
    """
    patients = table["patient_id"].astype("str")
    unknown = table["patient_id"].isna()
    owner = families.astype("str") + "\x00p" + patients.fillna("")
    alone = families[unknown].astype("str") + "\x00i" + table.loc[unknown, "image_id"]
    return hash_keys(owner.mask(unknown, alone).to_numpy(dtype=object))


def patient_parts(
    table: pd.DataFrame, families: pd.Series, fractions: Sequence[float], *, seed: int
) -> npt.NDArray[np.intp]:
    """(N,) number of the part that each image goes to.

    Args:
        table: with ``image_id`` and ``patient_id``.
        families: (N,) image family of each row.
        fractions: shares of the patients, adding up to 1.
        seed: of the patients' order.

    Raises:
        ValueError: fractions that do not add up to 1, or a part that would stay empty.
    """
    shares = _shares(fractions)
    check_count("seed", seed, least=0)
    patients, owner = np.unique(patient_keys(table, families), return_inverse=True)
    order = np.argsort(uniform(patients, label="split_by_patient", seed=seed, epoch=0), kind="stable")
    cuts = np.rint(np.cumsum(shares) * len(patients)).astype(np.intp)
    if np.any(np.diff(cuts, prepend=0) == 0):
        msg = f"fractions: {fractions!r} of {len(patients)} patients leave a part empty. Use fewer parts."
        raise ValueError(msg)
    part = np.empty(len(patients), dtype=np.intp)
    part[order] = np.searchsorted(cuts, np.arange(len(patients)), side="right")
    return part[owner]


def _shares(fractions: object) -> list[float]:
    """Fractions as numbers.

    Raises:
        ValueError: they are no numbers above 0 that add up to 1.
    """
    good = isinstance(fractions, Iterable) and not isinstance(fractions, str)
    given = list(fractions) if good else []  # type: ignore[call-overload]
    shares = [share for share in given if isinstance(share, (int, float)) and share > 0]
    if not shares or len(shares) < len(given) or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        msg = f"fractions: expected numbers above 0 that add up to 1, got {fractions!r}."
        raise ValueError(msg)
    return shares
