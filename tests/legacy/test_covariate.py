"""The covariate shift: how many images of which dataset and label, by torchxrayvision's arguments."""

import numpy as np
import pandas as pd
import pytest

from xrdatasets.legacy.base import Dataset
from xrdatasets.legacy.datasets import CovariateDataset, MergeDataset, SubsetDataset


class Numbers(Dataset):
    """Images that are their own number."""

    def __init__(self, start, labels):
        self.pathologies = ["Custom"]
        self.labels = np.array(labels, dtype=np.float32).reshape(-1, 1)
        self.csv = pd.DataFrame({"number": np.arange(start, start + len(labels))})

    def __getitem__(self, idx):
        return {"idx": idx, "lab": self.labels[idx], "img": self.csv["number"][idx]}


FIRST = Numbers(0, [1] * 60 + [0] * 40)
SECOND = Numbers(1000, [0] * 70 + [1] * 50)


def made(**options):
    return CovariateDataset(FIRST, FIRST.labels[:, 0], SECOND, SECOND.labels[:, 0], **options)


def counts(ds):
    """(dataset, label) of each group: how many images."""
    return [
        int(((ds.site == site) & (ds.labels[:, 0] == label)).sum()) for site in (0, 1) for label in (0, 1)
    ]


@pytest.mark.parametrize(
    ("ratio", "mode", "expected"),
    [  # 40 of each group; first dataset negative, positive, second negative, positive
        (0.5, "train", [20, 20, 20, 20]),
        (0.75, "train", [30, 10, 10, 30]),
        (0.75, "valid", [5, 15, 15, 5]),
        (0.75, "test", [5, 15, 15, 5]),
        (1.0, "train", [40, 0, 0, 40]),
        (0.0, "train", [0, 40, 40, 0]),
    ],
)
def test_the_ratio_says_how_many_of_each_group(ratio, mode, expected):
    assert counts(made(ratio=ratio, mode=mode)) == expected


def test_the_three_modes_share_no_image():
    images = [set(made(ratio=0.6, mode=mode).csv["number"]) for mode in ("train", "valid", "test")]
    assert sum(map(len, images)) == len(set.union(*images)) == 160


def test_splits_that_add_up_but_for_rounding_are_taken():
    """0.7 + 0.2 + 0.1 is 0.9999999999999999."""
    assert len(made(splits=[0.7, 0.2, 0.1])) == 4 * 28


def test_rows_and_images_belong_together():
    ds = made(ratio=0.3)
    for row in range(len(ds)):
        item = ds[row]
        assert item["img"] == ds.csv["number"][row]
        assert item["lab"] == item["lab-old"] == ds.labels[row]
        assert item["site"] == (item["img"] >= 1000)


def test_the_seed_decides_and_touches_nothing():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    numbers = [made(seed=seed).csv["number"].tolist() for seed in (0, 0, 1)]
    assert numbers[0] == numbers[1] != numbers[2]
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_fewer_samples():
    assert counts(made(nsamples=10)) == [2, 3, 3, 2]


def test_it_can_be_merged_and_cut():
    ds = made()
    assert MergeDataset([ds, ds]).string().count("CovariateDataset num_samples=80") == 2
    assert SubsetDataset(ds, [1])[0]["img"] == ds[1]["img"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "dev"}, "mode: expected train, valid, test, got 'dev'"),
        ({"ratio": 1.5}, "ratio: expected a number from 0 to 1, got 1.5"),
        ({"splits": [0.5, 0.5]}, "splits: expected three shares that add up to 1"),
        (
            {"ratio": 1, "splits": [0.7, 0.2, 0.1]},
            "expected at most the 40 images of a group, got 56 for train",
        ),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_targets_of_another_length_are_refused():
    with pytest.raises(ValueError, match="expected one for each of 120 images, got 3"):
        CovariateDataset(FIRST, FIRST.labels, SECOND, [0, 1, 1])
