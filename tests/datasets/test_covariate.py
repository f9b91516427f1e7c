"""Two datasets drawn so that dataset and finding go together: counts by hand, the same for the same seed."""

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes

OPTIONS = {
    "table": "labels.csv",
    "mapping": "mapping.csv",
    "missing": "keep",
    "columns": {"image_id": "file"},
}


def hospital(folder, codes, *, name):
    """Images 0, 1, … with these codes of Effusion; None is blank."""
    rows = [f"{name}{row}.png,{'' if code is None else code},1" for row, code in enumerate(codes)]
    fakes.write_table(folder / "labels.csv", "file,fluid,shadow", *rows)
    fakes.write_table(
        folder / "mapping.csv",
        "column,source,target,relation,note,reference",
        "fluid,,Effusion,exact,,our own reading guide",
        "shadow,,Nodule,exact,,our own reading guide",
    )
    return xr.TableDataset(folder, name=name, space=["Nodule"], **OPTIONS)


@pytest.fixture
def north(tmp_path):
    return hospital(tmp_path / "north", [1] * 6 + [0] * 10 + [-1, None], name="north")


@pytest.fixture
def south(tmp_path):
    return hospital(tmp_path / "south", [0, 1] * 4 + [-1], name="south")


def counts(both):
    """Positives of each dataset, then negatives of each."""
    codes, source = both.relabel(["Effusion"]).codes[:, 0], both.table["source"].to_numpy()
    return [int(((codes == code) & (source == part)).sum()) for code in (1, 0) for part in (0, 1)]


# North has 6 positives and 10 negatives, south 4 and 4. Of n positives and n negatives, round(ratio n) must
# not exceed min(6, 4), nor the rest min(4, 10).
@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.5, [4, 4, 4, 4]),
        (0.75, [4, 1, 1, 4]),  # of 5, 3.75 rounds to 4; of 6, 4.5 rounds to 5
        (0.25, [2, 4, 4, 2]),  # of 6, 1.5 rounds to 2, which leaves 4; of 7, 1.75 rounds to 2, which leaves 5
        (1.0, [4, 0, 0, 4]),
        (0.0, [0, 4, 4, 0]),
    ],
)
def test_as_many_as_there_can_be(north, south, ratio, expected):
    assert counts(xr.covariate(north, south, "Effusion", ratio=ratio)) == expected


def test_the_other_way_round(north, south):
    assert counts(xr.covariate(south, north, "Effusion", ratio=0.75)) == [4, 1, 1, 4]


def test_images_keep_their_order_and_their_labels(north, south):
    both = xr.covariate(north, south, "effusion", ratio=0.5, per_class=3)
    assert counts(both) == [2, 1, 1, 2]
    assert both.pathologies == ("Nodule",)
    ids = both.table["image_id"].tolist()
    assert ids == sorted(ids, key=lambda name: (name[:5], int(name[5:])))
    assert both.table["image_id"].is_unique


def test_uncertain_and_unknown_images_stay_out(north, south):
    for ratio in (0.0, 0.3, 0.5, 1.0):
        codes = xr.covariate(north, south, "Effusion", ratio=ratio).relabel(["Effusion"]).codes
        assert set(np.unique(codes)) == {0, 1}


def test_the_same_for_the_same_seed_in_any_order_of_rows(north, south):
    def drawn(seed, one=north, two=south):
        return set(xr.covariate(one, two, "Effusion", per_class=4, seed=seed).table["image_id"])

    turned = north.select(np.arange(len(north))[::-1]), south.select(np.arange(len(south))[::-1])
    assert drawn(0) == drawn(0) == drawn(0, *turned)
    assert len({frozenset(drawn(seed)) for seed in range(20)}) > 1


def test_no_global_random_state_is_touched(north, south):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    xr.covariate(north, south, "Effusion")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_larger_number_keeps_the_smaller_one_s_images(north, south):
    few, many = (
        set(xr.covariate(north, south, "Effusion", ratio=0.5, per_class=n).table["image_id"]) for n in (2, 6)
    )
    assert few < many


def test_patients_of_split_parts_stay_apart(tmp_path):
    one = xr.Phantom(n=300, hospital="A", views="*", seed=1, space=["Effusion"])
    two = xr.Phantom(n=300, hospital="B", views="*", seed=1, space=["Effusion"])
    drawn = [
        xr.covariate(*parts, "Effusion", ratio=ratio)
        for parts, ratio in zip(
            zip(*(ds.split_by_patient((0.5, 0.5)) for ds in (one, two)), strict=True), (0.9, 0.1), strict=True
        )
    ]
    train, test = (set(each.table["patient_id"]) for each in drawn)
    assert train
    assert test
    assert not train & test


def test_shared_images_are_warned_of(north):
    with pytest.warns(xr.OverlapWarning, match=r"share \d+ images"):
        xr.covariate(north, north, "Effusion", ratio=0.5)


class TestErrors:
    @pytest.mark.parametrize("ratio", [-0.1, 1.5, float("nan"), "0.5", True, None])
    def test_ratio(self, north, south, ratio):
        with pytest.raises(ValueError, match=r"ratio: expected a number from 0 to 1, got"):
            xr.covariate(north, south, "Effusion", ratio=ratio)

    def test_one_class_only(self, north, tmp_path):
        ill = hospital(tmp_path / "ill", [1, 1, None], name="ill")
        message = r"first has 6 positive and 10 negative, second 2 positive and 0 negative images"
        with pytest.raises(xr.EmptyDatasetError, match=message):
            xr.covariate(north, ill, "Effusion", ratio=0.5)
        assert counts(xr.covariate(north, ill, "Effusion", ratio=0.0)) == [0, 2, 2, 0]

    def test_empty(self, north, south):
        with pytest.raises(xr.EmptyDatasetError, match=r"first has 0 positive and 0 negative"):
            xr.covariate(north.select([]), south, "Effusion")

    def test_a_finding_that_nobody_labels(self, north, south):
        with pytest.raises(xr.EmptyDatasetError, match=r"Hernia with ratio 0\.5: first has 0 positive"):
            xr.covariate(north, south, "Hernia")

    def test_no_finding(self, north, south):
        with pytest.raises(xr.LabelNotFoundError, match=r"Efusion"):
            xr.covariate(north, south, "Efusion")

    def test_more_than_there_are(self, north, south):
        with pytest.raises(ValueError, match=r"per_class: expected at most 8 with ratio 0\.5, got 9"):
            xr.covariate(north, south, "Effusion", per_class=9)
        with pytest.raises(ValueError, match=r"per_class: expected a whole number of at least 1, got 0"):
            xr.covariate(north, south, "Effusion", per_class=0)

    def test_no_dataset(self, north):
        with pytest.raises(ValueError, match=r"covariate: expected datasets, got 'south'"):
            xr.covariate(north, "south", "Effusion")
