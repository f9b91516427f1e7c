"""Datasets made of datasets: what torchxrayvision makes of them, without its traps."""

import logging

import numpy as np
import pytest

import xrdatasets.legacy as xrv
from tests.legacy.openers import open_fake
from xrdatasets.legacy.datasets import FilterDataset, MergeDataset, SubsetDataset, relabel_dataset


@pytest.fixture
def nih(fake):
    return open_fake("nih", fake("nih"), views="*", unique_patients=False)


@pytest.fixture
def google(fake):
    return open_fake("nih_google", fake("nih_google"))


def test_relabel_puts_columns_in_order_and_fills_with_nan(google):
    before = google.labels.copy()
    wanted = ["Mass", "Pneumothorax", "Lung Opacity"]
    assert relabel_dataset(wanted, google, silent=True) is None
    assert google.labels.dtype == np.float32
    np.testing.assert_array_equal(google.labels, np.column_stack([[np.nan] * 2, before[:, 3], before[:, 0]]))
    wanted.append("Hernia")  # the list is the caller's
    assert google.pathologies == ["Mass", "Pneumothorax", "Lung Opacity"]


def test_relabel_says_what_is_lost_in_the_log_alone(google, caplog, capsys):
    with caplog.at_level(logging.INFO, "xrdatasets"):
        relabel_dataset(xrv.datasets.default_pathologies, google)
    assert "dropped: Nodule/Mass; added as NaN: Atelectasis" in caplog.text
    assert capsys.readouterr().out == ""


def test_two_datasets_do_not_share_their_list_of_labels(nih, google):
    for ds in (nih, google):
        relabel_dataset(xrv.datasets.default_pathologies, ds, silent=True)
    nih.pathologies.reverse()
    assert google.pathologies == xrv.datasets.default_pathologies


@pytest.fixture
def merged(nih, google):
    for ds in (nih, google):
        relabel_dataset(xrv.datasets.default_pathologies, ds, silent=True)
    return MergeDataset([nih, google])


def test_merge_puts_one_below_the_other(merged, nih, google):
    assert len(merged) == 7
    assert merged.which_dataset.tolist() == [0] * 5 + [1] * 2
    assert merged.offset.tolist() == [0] * 5 + [5] * 2
    np.testing.assert_array_equal(merged.labels, np.concatenate([nih.labels, google.labels]))
    assert merged.csv["Image Index"].tolist() == [*nih.csv["Image Index"], *google.csv["Image Index"]]
    item = merged[5]
    assert item["source"] == 1
    np.testing.assert_array_equal(item["img"], google[0]["img"])
    np.testing.assert_array_equal(item["lab"], google.labels[0])


def test_merge_counts_from_the_end_too(merged, google):
    np.testing.assert_array_equal(merged[-1]["img"], google[1]["img"])
    with pytest.raises(IndexError, match="from -7 to 6, got 7"):
        merged[7]


def test_merge_shows_its_parts(merged):
    assert merged.string() == (
        "MergeDataset num_samples=7\n"
        "├0 NIH_Dataset num_samples=5 views=['*'] data_aug=None\n"
        "└1 NIH_Google_Dataset num_samples=2 views=['PA'] data_aug=None\n"
    )


def test_merge_refuses_labels_in_another_order(nih, google):
    with pytest.raises(ValueError, match=r"dataset 1 has the labels \['Lung Opacity'.*Call relabel_dataset"):
        MergeDataset([nih, google])
    with pytest.raises(ValueError, match="expected at least one"):
        MergeDataset([])


def test_merge_can_give_each_dataset_columns_of_its_own(google):
    merged = MergeDataset([google, google], label_concat=True)
    nan = np.full((2, 4), np.nan)
    np.testing.assert_array_equal(merged.labels, np.block([[google.labels, nan], [nan, google.labels]]))
    assert merged.pathologies == google.pathologies * 2


@pytest.mark.parametrize("name", ["transform", "data_aug", "labels", "pathologies"])
def test_what_belongs_to_the_parts_is_set_there(merged, name):
    with pytest.raises(NotImplementedError, match=f"{name} cannot be set on a MergeDataset"):
        setattr(merged, name, None)
    merged.note = "anything else may be"


def test_subset_takes_numbers_and_masks(nih):
    numbers = SubsetDataset(nih, [4, 0])
    mask = SubsetDataset(nih, nih.csv["Image Index"].isin(["00000001_000.png", "00000003_001.png"]))
    assert [item["idx"] for item in numbers] == [4, 0]
    assert len(mask) == len(mask.labels) == len(mask.csv) == 2
    assert mask.csv["Image Index"].tolist() == ["00000001_000.png", "00000003_001.png"]
    np.testing.assert_array_equal(numbers.labels, nih.labels[[4, 0]])
    assert numbers.string().endswith("└ of NIH_Dataset num_samples=5 views=['*'] data_aug=None")
    with pytest.raises(IndexError, match="expected numbers below 5"):
        SubsetDataset(nih, [5])
    with pytest.raises(NotImplementedError, match="SubsetDataset"):
        numbers.labels = None


def test_subset_keeps_where_the_images_came_from(merged):
    subset = SubsetDataset(merged, [0, 6])
    assert subset.which_dataset.tolist() == [0, 1]
    assert subset[-1]["source"] == 1


def test_filter_has_an_image_with_two_of_the_labels_once(nih, capsys):
    found = FilterDataset(nih, ["Hernia", "Effusion", "Nodule"])
    assert found.csv["Image Index"].tolist() == ["00000001_000.png", "00000003_000.png"]
    assert found.csv.index.tolist() == [0, 1]
    assert [item["idx"] for item in found] == [0, 3]
    assert len(FilterDataset(nih)) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"labels: expected some of \['Atelectasis'.*got 'Fracture'"):
        FilterDataset(nih, ["Fracture"])
