"""Reports: how often each finding occurs, with whom, and what a policy makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from xrdatasets.labels.policies import POLICIES, Policy

if TYPE_CHECKING:
    from xrdatasets.datasets.collection import Collection

__all__ = ["cooccurrence", "images_by", "policy_counts", "stats"]


def stats(datasets: Sequence[Collection] | Collection, *, policy: Policy | None = None) -> pd.DataFrame:
    """Counts of every finding in every dataset.

    Args:
        datasets: one dataset or several, each in its own label space.
        policy: also count what this policy makes of the codes.

    Returns:
        One row per dataset and finding: ``dataset, finding, positive, negative, uncertain, unmentioned,
        unlabelled``; a row adds up to the number of images. With a policy also ``target_positive`` (target
        of 0.5 and more), ``target_negative``, ``target_unknown``, ``target_mean`` (NaN if all are unknown).

    Example:
        >>> import xrdatasets as xr
        >>> frame = xr.stats([xr.NIH(NIH_ROOT, space="nih14")])
        >>> frame.columns.tolist()
        ['dataset', 'finding', 'positive', 'negative', 'uncertain', 'unmentioned', 'unlabelled']
    """
    several = datasets if isinstance(datasets, Sequence) else [datasets]
    frames = []
    for dataset in several:
        counts = dataset.totals().reset_index()
        counts.insert(0, "dataset", _name(dataset))
        if policy is not None:
            counts = counts.join(_targets(dataset, policy))
        frames.append(counts)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def policy_counts(dataset: Collection, policies: Mapping[str, Policy] = POLICIES) -> pd.DataFrame:
    """What each policy would make of a dataset.

    Returns:
        One row per policy and finding: ``dataset, policy, finding, target_positive, target_negative,
        target_unknown, target_mean``.
    """
    frames = []
    for name, policy in policies.items():
        frame = _targets(dataset, policy)
        frame.insert(0, "finding", list(dataset.pathologies))
        frame.insert(0, "policy", name)
        frame.insert(0, "dataset", _name(dataset))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def cooccurrence(dataset: Collection) -> pd.DataFrame:
    """How often two findings are positive on the same image.

    Returns:
        (L, L) integers, findings by findings; the diagonal counts the positives.
    """
    positive = (dataset.codes == 1).astype(np.float32)
    names = pd.Index(dataset.pathologies, name="finding", dtype="str")
    # float32 counts whole numbers exactly up to 2^24 images; float64 beyond
    wide = positive.astype(np.float64) if len(dataset) > 2**24 else positive
    return pd.DataFrame((wide.T @ wide).astype(np.int64), index=names, columns=names.rename(None))


def images_by(dataset: Collection) -> pd.DataFrame:
    """Images by view, sex, age band (decades) and split.

    Returns:
        One row per dataset, attribute and value: ``dataset, attribute, value, images``; the images of an
        attribute add up to those of the dataset, ``unknown`` among them.
    """
    table = dataset.table
    bands = pd.Categorical.from_codes(_decades(table["age"]), [f"{low}-{low + 9}" for low in range(0, 130, 10)])
    columns = {"view": table["view"], "sex": table["sex"], "age": pd.Series(bands), "split": table["split"]}
    rows = [
        {"dataset": _name(dataset), "attribute": attribute, "value": value, "images": int(count)}
        for attribute, column in columns.items()
        for value, count in _value_counts(column).items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "attribute", "value", "images"])


def _targets(dataset: Collection, policy: Policy) -> pd.DataFrame:
    labels = dataset.with_policy(policy).labels
    known = ~np.isnan(labels)
    positive = labels >= 0.5  # NaN compares as False
    counted = known.sum(axis=0)
    totals = np.nansum(labels, axis=0, dtype=np.float64)
    means = np.divide(totals, counted, out=np.full(len(counted), np.nan), where=counted > 0)
    return pd.DataFrame(
        {
            "target_positive": positive.sum(axis=0),
            "target_negative": counted - positive.sum(axis=0),
            "target_unknown": len(labels) - counted,
            "target_mean": means,
        }
    )


def _decades(ages: pd.Series) -> np.ndarray:
    return np.where(ages.isna(), -1, ages.fillna(0).to_numpy() // 10).astype(np.int8)


def _value_counts(column: pd.Series) -> dict[str, int]:
    """Images of each value, ages in their order, the others most frequent first, unknown last."""
    counts = column.value_counts(sort=column.dtype.name != "category" or not column.name == "age")
    found = {str(value): int(count) for value, count in counts.items() if count}
    unknown = int(column.isna().sum())
    return found | ({"unknown": unknown} if unknown else {})


def _name(dataset: Collection) -> str:
    keys = dict.fromkeys(str(key) for key in dataset.table["dataset"].cat.categories)
    return "+".join(keys)
