"""Datasets, step 5: two datasets as one, in which the dataset tells of a finding as much as one wants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.datasets.combine import Combined, concat
from xrdatasets.datasets.families import image_names
from xrdatasets.datasets.options import check_count
from xrdatasets.errors import EmptyDatasetError
from xrdatasets.labels.draws import uniform
from xrdatasets.labels.findings import finding

__all__ = ["covariate"]


def covariate(
    first: Collection,
    second: Collection,
    label: str,
    *,
    ratio: float = 0.5,
    per_class: int | None = None,
    seed: int = 0,
) -> Combined:
    """Images of two datasets, drawn so that a finding and the dataset go together by a chosen degree.

    Of the positives a share of `ratio` comes from `first`, of the negatives the same share from `second`:
    with 0.5 the dataset says nothing of the finding, with 1 everything, with 0 everything the other way.
    There are as many positives as negatives. A model that was trained with one ratio and tested with another
    shows how far it reads the dataset instead of the finding (Viviano et al., "Saliency is a possible red
    herring when diagnosing poor generalization", ICLR 2021, arXiv 1910.00199).

    The draw depends on seed and images alone. To train and test on unlike patients, split each dataset
    first (`Collection.split_by_patient`), then draw from each part.

    Args:
        first: gives the positives by `ratio`.
        second: gives the negatives by `ratio`.
        label: a finding; only codes 1 and 0 count, uncertain and unknown images stay out.
        ratio: share between 0 and 1, to the nearest whole number of images.
        per_class: number of positives, and of negatives; None for as many as there can be. One number for
            all ratios makes experiments comparable.
        seed: of the draw.

    Returns:
        The images of `first`, then those of `second`, in their old order.

    Raises:
        ValueError: a ratio outside [0, 1], or more images than there are; datasets with other masks or
            intensity.
        LabelNotFoundError: there is no such finding.
        EmptyDatasetError: positives or negatives that the ratio asks for are missing; all are counted.

    Warns:
        OverlapWarning: the datasets share images; the message counts them.

    Example:
        >>> import xrdatasets as xr
        >>> nih, children = xr.NIH(NIH_ROOT), xr.Kermany(KERMANY_ROOT)
        >>> both = xr.covariate(children, nih, "Pneumonia", ratio=1.0)
        >>> both.relabel(["Pneumonia"]).codes[:, 0].tolist(), both.table.source.tolist()
        ([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0, 0, 0, 1, 1, 1])
    """
    check_datasets("covariate", (first, second))
    name = finding(label)
    check_count("seed", seed, least=0)
    if per_class is not None:
        check_count("per_class", per_class, least=1)
    _check_ratio(ratio)
    drawn = [_order(dataset, name, seed) for dataset in (first, second)]
    major, minor = _numbers(name, ratio, per_class, [tuple(map(len, rows)) for rows in drawn])
    (positive, negative), (positive_too, negative_too) = drawn
    one = np.sort(np.concatenate([positive[:major], negative[:minor]]))
    two = np.sort(np.concatenate([positive_too[:minor], negative_too[:major]]))
    return concat([first.select(one), second.select(two)])


def _check_ratio(ratio: object) -> None:
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        msg = f"ratio: expected a number from 0 to 1, got {ratio!r}."
        raise ValueError(msg)


def _order(dataset: Collection, label: str, seed: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows with code 1 and rows with code 0, each in the order in which they are drawn."""
    codes = dataset.matrix.relabel([label]).codes[:, 0]
    _, names = image_names(dataset._table, dataset._families())
    draws = uniform(names[: len(dataset)], label=f"covariate/{label}", seed=seed, epoch=0)
    order = np.argsort(draws, kind="stable")
    return order[codes[order] == 1], order[codes[order] == 0]


def _numbers(
    label: str, ratio: float, per_class: int | None, there: list[tuple[int, ...]]
) -> tuple[int, int]:
    """How many of each class come from the dataset that `ratio` favours, and from the other one.

    Raises:
        EmptyDatasetError: a class is missing.
        ValueError: there are fewer than `per_class`.
    """
    (positive, negative), (positive_too, negative_too) = there
    counts = (
        f"first has {positive:,} positive and {negative:,} negative, second {positive_too:,} positive and "
        f"{negative_too:,} negative images"
    )
    most, most_minor = min(positive, negative_too), min(positive_too, negative)
    if (ratio > 0 and not most) or (ratio < 1 and not most_minor):
        msg = (
            f"covariate: {label} with ratio {ratio}: {counts}. Expected some of all that the ratio asks for."
        )
        raise EmptyDatasetError(msg)
    total = np.arange(most + most_minor + 1)
    major = np.floor(ratio * total + 0.5).astype(np.int64)
    possible = np.flatnonzero((major <= most) & (total - major <= most_minor))[-1]
    if per_class is not None and per_class > possible:
        msg = f"per_class: expected at most {possible:,} with ratio {ratio}, got {per_class:,} ({counts})."
        raise ValueError(msg)
    chosen = int(possible if per_class is None else per_class)
    return int(major[chosen]), chosen - int(major[chosen])
