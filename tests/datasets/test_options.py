"""Wrong arguments are found when a dataset is opened, by their name."""

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes


@pytest.fixture
def root(tmp_path):
    return fakes.write("nih", tmp_path / "nih")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size"),
        ({"size": "224"}, "size"),
        ({"size": 224.5}, "size"),
        ({"size": True}, "size"),
        ({"engine": "cubic"}, "engine"),
        ({"intensity": "imagenet"}, "intensity"),
        ({"crop": "no"}, "crop: expected True or False, got 'no'"),
        ({"masks": 1}, "masks: expected True or False"),
        ({"one_per_patient": "x"}, "one_per_patient: expected True or False"),
        ({"transform": 5}, "transform: expected something to call, or None, got 5"),
        (
            {"policy": "U-Ones"},
            r"policy: expected a Policy such as xr.U_ONES, got 'U-Ones'. Take xr.Policy.load",
        ),
        ({"policy": None}, "policy: expected a Policy"),
        ({"split": 1}, "split: expected 'train', 'val', 'test' or None, got 1"),
        ({"split": ["train"]}, "split: expected"),
        ({"views": 5}, "views: expected PA, AP"),
        ({"space": 5}, "space: expected a label space, its name, or findings in order, got 5"),
        ({"space": []}, "space: expected at least one finding, got none"),
    ],
)
def test_wrong_argument(root, options, message):
    with pytest.raises(ValueError, match=message):
        xr.NIH(root, **options)


@pytest.mark.parametrize("closure", [5, True, "irvin"])
def test_wrong_closure(root, closure):
    with pytest.raises(
        xr.LabelNotFoundError, match=r"no hierarchy is called .* Expected one of: irvin2019, luo2020"
    ):
        xr.NIH(root, closure=closure)


@pytest.mark.parametrize("root", [None, 5, ["x"], b"x"])
def test_wrong_root(root):
    with pytest.raises(ValueError, match="root: expected a path, got"):
        xr.NIH(root)


def test_arguments_are_checked_before_any_file(tmp_path):
    with pytest.raises(ValueError, match="size"):
        xr.NIH(tmp_path / "nowhere", size=-1)


def test_a_policy_by_name_elsewhere(root):
    ds = xr.NIH(root)
    for call in (lambda: ds.with_policy("U-Ones"), lambda: xr.concat([ds]).with_policy(5)):
        with pytest.raises(ValueError, match="policy: expected a Policy"):
            call()


def test_things_that_are_no_datasets(root):
    ds = xr.NIH(root)
    with pytest.raises(ValueError, match="concat: expected a list of datasets, got <NIH"):
        xr.concat(ds)
    with pytest.raises(ValueError, match="concat: expected datasets, got 'nih' among them"):
        xr.concat(["nih"])
    with pytest.raises(ValueError, match="join: expected datasets, got None among them"):
        xr.join(ds, None)
    with pytest.raises(ValueError, match="loader: expected datasets, got None among them"):
        xr.loader(None)
    assert len(xr.concat(part for part in [ds])) == len(ds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"batch_size": None}, "batch_size"),
        ({"workers": -1}, "workers: expected a whole number of at least 0, got -1"),
        ({"workers": "2"}, "workers"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_wrong_loader(root, options, message):
    with pytest.raises(ValueError, match=message):
        xr.loader(xr.NIH(root), **options)


def test_no_images_to_load(root):
    with pytest.raises(xr.EmptyDatasetError, match="the dataset has no images"):
        xr.loader(xr.NIH(root).select([]), shuffle=True)


@pytest.mark.parametrize("fractions", ["0.5", ("a", "b"), None, 5, (0.5, None)])
def test_wrong_fractions(root, fractions):
    with pytest.raises(ValueError, match="fractions: expected numbers above 0 that add up to 1"):
        xr.NIH(root).split_by_patient(fractions)
    with pytest.raises(ValueError, match="seed: expected a whole number"):
        xr.NIH(root).split_by_patient((0.5, 0.5), seed="x")


@pytest.mark.parametrize("rows", [[0.5], "0", [[0]], np.ones(3, bool)])
def test_wrong_rows(root, rows):
    with pytest.raises(ValueError, match="rows: expected"):
        xr.NIH(root).select(rows)


def test_rows_out_of_range(root):
    with pytest.raises(IndexError, match="rows: expected numbers below 5, got 0 to 5"):
        xr.NIH(root).select([0, 5])


def test_parts_of_unlike_masks_or_intensity_do_not_join(root):
    with pytest.raises(
        ValueError, match=r"masks: expected the same in all datasets .* False \(nih\), True \(nih\)"
    ):
        xr.concat([xr.NIH(root), xr.NIH(root, masks=True)])
    with pytest.raises(ValueError, match=r"intensity: expected the same .* 'xrv' \(nih\), 'unit' \(nih\)"):
        xr.join(xr.NIH(root), xr.NIH(root, intensity="unit"))
