"""Reports: how often each finding occurs, with whom, and what a policy makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from xrdatasets.labels.codes import UNKNOWN
from xrdatasets.labels.findings import all_findings
from xrdatasets.labels.policies import POLICIES, Policy
from xrdatasets.labels.spaces import LabelSpace

if TYPE_CHECKING:
    from xrdatasets.datasets.collection import Collection

    Datasets = Collection | Sequence[Collection] | Mapping[str, Collection]

__all__ = ["cooccurrence", "images_by", "labelled_space", "policy_counts", "stats"]

CODES = ("positive", "negative", "uncertain", "unmentioned", "unlabelled")
TARGETS = ("target_positive", "target_negative", "target_unknown", "target_mean")
ORDER = ("PA", "AP", "AP_SUPINE", "LATERAL", "UNKNOWN", "F", "M", "train", "val", "test")
BANDS = [f"{low}-{low + 9}" for low in range(0, 130, 10)]
# float32 counts whole numbers exactly up to here
EXACT = 2**24


def stats(datasets: Datasets, *, policy: Policy | None = None) -> pd.DataFrame:
    """Counts of every finding in every dataset.

    Args:
        datasets: one dataset, several, or several by a name of one's own; each in its own label space.
        policy: also count what this policy makes of the codes.

    Returns:
        One row per dataset and finding: ``dataset, finding, positive, negative, uncertain, unmentioned,
        unlabelled``; a row adds up to the number of images. With a policy also ``target_positive`` (target
        of 0.5 and more), ``target_negative``, ``target_unknown``, ``target_mean`` (NaN if all are unknown).
        A second dataset of the same release is called ``nih (2)``.

    Example:
        >>> import xrdatasets as xr
        >>> frame = xr.stats([xr.NIH(NIH_ROOT, space="nih14")])
        >>> frame.columns.tolist()
        ['dataset', 'finding', 'positive', 'negative', 'uncertain', 'unmentioned', 'unlabelled']
    """
    columns = ["dataset", "finding", *CODES, *(TARGETS if policy else ())]
    frames = []
    for name, dataset in _named(datasets):
        counts = dataset.totals().reset_index().assign(dataset=name)
        frames.append(counts if policy is None else counts.join(_targets(dataset, policy)))
    return _stacked(frames, columns)


def policy_counts(datasets: Datasets, policies: Mapping[str, Policy] = POLICIES) -> pd.DataFrame:
    """What each policy would make of datasets.

    Args:
        datasets: as for `stats`.
        policies: policy by name.

    Returns:
        One row per dataset, policy and finding: ``dataset, policy, finding, target_positive,
        target_negative, target_unknown, target_mean`` (as for `stats`).

    Example:
        >>> frame = policy_counts(DATASET.relabel("nih14"))
        >>> len(frame), frame["policy"].unique().tolist()[0]
        (70, 'U-Ignore')
    """
    frames = [
        _targets(dataset, policy).assign(dataset=name, policy=word, finding=list(dataset.pathologies))
        for name, dataset in _named(datasets)
        for word, policy in policies.items()
    ]
    return _stacked(frames, ["dataset", "policy", "finding", *TARGETS])


def cooccurrence(dataset: Collection) -> pd.DataFrame:
    """How often two findings are positive on the same image.

    Returns:
        (L, L) integers, findings by findings; the diagonal counts the positives.

    Example:
        >>> int(cooccurrence(DATASET).loc["Effusion", "Hernia"])
        1
    """
    positive = (dataset.codes == 1).astype(np.float32 if len(dataset) <= EXACT else np.float64)
    names = pd.Index(dataset.pathologies, name="finding", dtype="str")
    return pd.DataFrame((positive.T @ positive).astype(np.int64), index=names, columns=names.rename(None))


def images_by(datasets: Datasets) -> pd.DataFrame:
    """Images by view, sex, age band (decades) and split.

    Args:
        datasets: as for `stats`.

    Returns:
        One row per dataset, attribute and value: ``dataset, attribute, value, images``, values in their
        usual order. The images of an attribute add up to those of the dataset, ``unknown`` among them.

    Example:
        >>> images_by(DATASET).query("attribute == 'view'")["value"].tolist()
        ['PA', 'AP']
    """
    rows = [
        (name, attribute, value, count)
        for name, dataset in _named(datasets)
        for attribute, column in _attributes(dataset.table).items()
        for value, count in _value_counts(column).items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "attribute", "value", "images"])


def labelled_space(datasets: Datasets) -> LabelSpace:
    """All that one of the datasets says anything of, in the order of ``findings.csv``.

    That is more than the ``native`` spaces: also "No Finding", findings that a wider term rules out, and
    those that a hierarchy implies.

    Example:
        >>> import xrdatasets as xr
        >>> labelled_space(xr.NIHGoogle(NIH_GOOGLE_ROOT, missing="keep")).labels
        ('Pneumothorax', 'Nodule', 'Mass', 'Fracture', 'Lung Opacity')
    """
    said: set[str] = set()
    for _, dataset in _named(datasets):
        matrix = dataset.matrix
        said |= set(matrix.covered)
        said |= {name for name in matrix.stored if (matrix.column(name) != UNKNOWN).any()}
    return LabelSpace("labelled", tuple(name for name in all_findings() if name in said))


def _named(datasets: Datasets) -> list[tuple[str, Collection]]:
    """The datasets, each with a name that no other has."""
    if isinstance(datasets, Mapping):
        return list(datasets.items())
    named: dict[str, Collection] = {}
    for dataset in datasets if isinstance(datasets, Sequence) else [datasets]:
        release = "+".join(map(str, dataset.table["dataset"].unique()))
        name, number = release, 1
        while name in named:
            number += 1
            name = f"{release} ({number})"
        named[name] = dataset
    return list(named.items())


def _stacked(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _targets(dataset: Collection, policy: Policy) -> pd.DataFrame:
    """(L, 4) what a policy makes of each finding."""
    labels = dataset.with_policy(policy).labels
    known = (~np.isnan(labels)).sum(axis=0)
    positive = (labels >= 0.5).sum(axis=0)  # NaN compares as False
    totals = np.nansum(labels, axis=0, dtype=np.float64)
    means = np.divide(totals, known, out=np.full(len(known), np.nan), where=known > 0)
    counts = (positive, known - positive, len(labels) - known, means)
    return pd.DataFrame(dict(zip(TARGETS, counts, strict=True)))


def _attributes(table: pd.DataFrame) -> dict[str, pd.Series]:
    decades = np.where(table["age"].isna(), -1, table["age"].fillna(0) // 10).astype(np.int8)
    ages = pd.Series(pd.Categorical.from_codes(decades, BANDS))
    return {"view": table["view"], "sex": table["sex"], "age": ages, "split": table["split"]}


def _value_counts(column: pd.Series) -> dict[str, int]:
    """Images of each value that occurs, in the usual order; unknown last."""
    counts = {str(value): int(count) for value, count in column.value_counts().items() if count}
    known = {value: counts.pop(value) for value in (*ORDER, *BANDS) if value in counts}
    unknown = counts.pop("unknown", 0) + int(column.isna().sum())
    return known | dict(sorted(counts.items())) | ({"unknown": unknown} if unknown else {})
