"""Several datasets as one: spaces, policies, numbers, overlap, patients."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import xrdatasets as xr
from tests import fakes


@pytest.fixture
def nih(tmp_path):
    return xr.NIH(fakes.write("nih", tmp_path / "nih"), space="nih14", size=8)


@pytest.fixture
def chexpert(tmp_path):
    root = fakes.write("chexpert", tmp_path / "chexpert")
    return xr.CheXpert(root, space="chexpert13", policy=xr.U_ONES.with_unmentioned(0.0), size=8)


def test_spaces_are_joined_in_first_seen_order(nih, chexpert):
    both = xr.concat([nih, chexpert])
    assert both.pathologies[:14] == nih.pathologies
    assert set(both.pathologies) == set(xr.LabelSpace.load("union20").labels)
    assert len(both) == len(nih) + len(chexpert)


def test_each_part_keeps_its_policy_and_its_numbers(nih, chexpert):
    both = xr.concat([nih, chexpert])
    columns = [both.pathologies.index(label) for label in chexpert.pathologies]
    np.testing.assert_array_equal(both.labels[len(nih) :, columns], chexpert.labels)
    np.testing.assert_array_equal(both.labels[: len(nih), :14], nih.labels)
    assert np.isnan(both.labels[len(nih) :, both.pathologies.index("Hernia")]).all()
    assert np.isnan(both.labels[: len(nih), both.pathologies.index("Fracture")]).all()


def test_with_policy_reaches_every_part(nih, chexpert):
    both = xr.concat([nih, chexpert]).with_policy(xr.U_ZEROS)
    effusion = both.pathologies.index("Effusion")
    assert both.labels[len(nih) + 1, effusion] == 0
    assert both.explain(len(nih) + 1, "Effusion").policy == "U-Zeros"


def test_samples(nih, chexpert):
    both = xr.concat([nih, chexpert])
    sample = both[len(nih)]
    assert torch.equal(sample["img"], chexpert[0]["img"])
    assert (sample["idx"], sample["source"]) == (len(nih), 1)
    batches = list(xr.loader(both, batch_size=4, workers=0, shuffle=True, seed=3))
    assert sorted(torch.cat([batch["idx"] for batch in batches]).tolist()) == list(range(len(both)))
    assert {"img", "lab", "idx", "source"} == set(batches[0])


def test_concat_of_concat_is_flat(nih, chexpert):
    both = xr.concat([xr.concat([nih, chexpert.select([1, 2, 3, 4])]), chexpert.select([0])])
    assert [part.facts.key for part in both.parts] == ["nih", "chexpert", "chexpert"]
    assert both.table["source"].tolist() == [0] * 5 + [1] * 4 + [2]
    np.testing.assert_array_equal(both.relabel("chexpert13").codes[-1], chexpert.codes[0])


def test_select_and_relabel(nih, chexpert):
    both = xr.concat([nih, chexpert])
    some = both.select([6, 0])
    assert [sample["idx"] for sample in some] == [0, 1]
    assert some[0]["source"] == 1
    np.testing.assert_array_equal(some.labels, both.labels[[6, 0]])
    np.testing.assert_array_equal(both.relabel("chexpert13").labels[5:], chexpert.labels)
    assert {"Hernia", "Support Devices"} < set(both.relabel("native").pathologies)
    assert some.explain(0, "Effusion").code == -1


def test_explain_of_what_nobody_labels(nih, chexpert):
    found = xr.concat([nih, chexpert]).explain(0, "Tuberculosis")
    assert (found.column, found.reason) == ("", "nih does not label Tuberculosis")


def test_no_warning_without_overlap(nih, chexpert):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.concat([nih, chexpert])
        xr.concat([nih.select([0, 1]), nih.select([2])])


def test_overlap_is_counted(nih):
    with pytest.warns(xr.OverlapWarning, match=r"nih and nih share 1 images"):
        xr.concat([nih.select([0, 1]), nih.select([1, 2])])


def test_nothing_to_join(nih):
    with pytest.raises(ValueError, match=r"expected at least one dataset, got none"):
        xr.concat([])
    with pytest.raises(ValueError, match=r"expected at least two datasets, got 1"):
        xr.join(nih)
    with pytest.raises(ValueError, match=r"how: expected 'prefer' or 'per_reader', got 'best'"):
        xr.join(nih, nih, how="best")


def test_join_fills_blanks_that_may_be_filled_last(tmp_path):
    """A code beats a blank, and a fillable blank beats a finding that is not labelled at all."""
    root = fakes.write("chexpert", tmp_path / "chexpert")
    ds = xr.CheXpert(root, space=["Effusion", "Edema", "Hernia"], views="*")
    first = ds.relabel(["Effusion", "Edema", "Hernia"])
    both = xr.join(first, ds)
    np.testing.assert_array_equal(both.codes, ds.codes)
    np.testing.assert_array_equal(both.unmentioned, ds.unmentioned)
    assert len(both) == len(ds)


def test_join_keeps_each_readers_policy(tmp_path):
    root = fakes.write("nih_google", tmp_path / "g")
    google = xr.NIHGoogle(root, space=["Fracture", "Hernia"], policy=xr.U_ONES)
    both = xr.join(google, xr.NIH(root, space=["Fracture", "Hernia"]))
    np.testing.assert_array_equal(both.labels, [[0, 1], [1, 0], [np.nan, 0]])


def two_hospitals(tmp_path):
    """Two tables of the same form and file names, images in folders of their own."""
    options = {"table": "labels.csv", "mapping": "mapping.csv", "columns": {"image_id": "file"}}
    roots = [fakes.write("table", tmp_path / name) for name in ("north", "south")]
    return [xr.TableDataset(root, space="native", **options) for root in roots]


def test_own_tables_in_unlike_folders_are_unlike_images(tmp_path):
    north, south = two_hospitals(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(xr.concat([north, south])) == 6
    assert len(xr.join(north, south)) == 6


def test_own_tables_of_one_folder_are_readers_of_the_same_images(tmp_path):
    north, _ = two_hospitals(tmp_path)
    assert len(xr.join(north, north)) == 3
    with pytest.warns(xr.OverlapWarning, match=r"share 3 images"):
        xr.concat([north, north])


def test_explain_agrees_with_the_labels_where_a_blank_may_be_filled(tmp_path):
    """One reader's blank says nothing, the other's may be filled: the second decides, also in explain."""
    root = fakes.write("table", tmp_path / "own")
    options = {"table": "labels.csv", "mapping": "mapping.csv", "columns": {"image_id": "file"}}
    policy = xr.U_ZEROS.with_unmentioned(0.25)
    readers = [
        xr.TableDataset(root, space="native", name=absent, absent=absent, policy=policy, **options)
        for absent in ("unknown", "unmentioned")
    ]
    both = xr.join(*readers)
    assert both.labels[1].tolist() == [0.25, 0]
    assert both.explain(1, "Effusion").target == 0.25
    assert "may fill it" in both.explain(1, "Effusion").reason


class TestSplitByPatient:
    def test_no_patient_on_two_sides(self, nih, chexpert):
        both = xr.concat([nih, chexpert])
        parts = both.split_by_patient((0.5, 0.3, 0.2), seed=4)
        patients = [set(zip(part.table["dataset"], part.table["patient_id"], strict=True)) for part in parts]
        assert sum(len(part) for part in parts) == len(both)
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
        assert [len(p) for p in patients] == [4, 2, 1]  # seven patients: 3.5 rounds to 4, 5.6 to 6

    def test_the_same_for_the_same_seed(self, nih):
        one, two = (nih.split_by_patient((0.5, 0.5), seed=1) for _ in range(2))
        assert one[0].table["image_id"].tolist() == two[0].table["image_id"].tolist()
        seen = {tuple(nih.split_by_patient((0.5, 0.5), seed=s)[0].table["image_id"]) for s in range(20)}
        assert len(seen) > 1

    def test_order_of_the_rows_does_not_matter(self, nih):
        turned = nih.select(np.arange(len(nih))[::-1])
        one, two = nih.split_by_patient((0.5, 0.5))[0], turned.split_by_patient((0.5, 0.5))[0]
        assert set(one.table["image_id"]) == set(two.table["image_id"])

    def test_a_family_stays_together(self, tmp_path):
        root = fakes.write("nih_google", tmp_path / "g")
        both = xr.join(xr.NIH(root), xr.NIHGoogle(root), how="per_reader")
        for seed in range(5):
            one, two = both.split_by_patient((0.5, 0.5), seed=seed)
            assert not set(one.table["patient_id"]) & set(two.table["patient_id"])

    def test_an_image_without_patient_is_its_own(self, tmp_path):
        root = fakes.write("table", tmp_path / "own")
        fakes.write_table(
            root / "labels.csv", "file,fluid,big heart", "a/1.png,1,0", "a/2.png,0,0", "b/1.png,0,0"
        )
        options = {"table": "labels.csv", "mapping": "mapping.csv", "columns": {"image_id": "file"}}
        ds = xr.TableDataset(root, **options)
        assert [len(part) for part in ds.split_by_patient((1 / 3, 2 / 3))] == [1, 2]
        assert len(xr.TableDataset(root, one_per_patient=True, **options)) == 3

    @pytest.mark.parametrize("fractions", [(), (0.5, 0.4), (1.2, -0.2), (0.5, 0.5, 0.0)])
    def test_fractions(self, nih, fractions):
        with pytest.raises(ValueError, match=r"fractions: expected numbers above 0 that add up to 1"):
            nih.split_by_patient(fractions)

    def test_too_few_patients(self, nih):
        with pytest.raises(ValueError, match=r"of 3 patients leave a part empty"):
            nih.split_by_patient((0.9, 0.05, 0.05))


class TestNumbers:
    """`idx` is the place in this very object, whatever it was made of."""

    def numbers(self, ds):
        return [sample["idx"] for sample in ds]

    def test_after_every_combination(self, nih, chexpert):
        both = xr.concat([nih, chexpert])
        made = {
            "concat": both,
            "concat of concat": xr.concat([both.select([7, 3]), chexpert.select([4])]),
            "select": both.select([9, 0, 4]),
            "relabel": both.relabel("native"),
            "policy": both.with_policy(xr.U_ONES),
            "join": xr.join(both.select([0, 1]), nih),
            "per reader": xr.join(nih.select([2, 1]), nih, how="per_reader"),
            "split": both.split_by_patient((0.5, 0.5), seed=3)[1],
        }
        for name, ds in made.items():
            assert self.numbers(ds) == list(range(len(ds))), name
            assert len(ds.table) == len(ds.labels) == len(ds.codes) == ds.rows.shape[1] == len(ds), name
            assert ds.table.index.equals(pd.RangeIndex(len(ds))), name

    def test_an_image_that_is_chosen_twice_stands_twice(self, nih):
        twice = nih.select([1, 1, 0])
        assert self.numbers(twice) == [0, 1, 2]
        assert twice.table["image_id"].tolist() == ["00000001_001", "00000001_001", "00000001_000"]
        assert torch.equal(twice[0]["img"], twice[1]["img"])
        one = twice.split_by_patient((1.0,))[0]
        assert len(one) == 3

    def test_negative_numbers_name_the_same_sample(self, nih, chexpert):
        both = xr.concat([nih, chexpert])
        assert both[-1]["idx"] == len(both) - 1
        assert torch.equal(both[-1]["img"], chexpert[-1]["img"])


def test_a_part_that_was_taken_as_a_whole_from_another_is_not_warned_of_twice(nih, chexpert):
    with pytest.warns(xr.OverlapWarning) as first:
        twice = xr.concat([nih, nih])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.concat([twice, chexpert])
    assert len(first) == 1


def test_names_in_the_family_stay_through_every_combination(nih, tmp_path):
    root = fakes.write("table", tmp_path / "own")
    fakes.write_table(
        root / "labels.csv", "file,pid,fluid,big heart,family_image_id", "a/1.png,7,1,0,x", "b/1.png,8,0,,"
    )
    columns = {"image_id": "file", "patient_id": "pid"}
    own = xr.TableDataset(root, table="labels.csv", mapping="mapping.csv", columns=columns, size=8)
    both = xr.concat([xr.concat([nih, own]).select([5, 6, 0]), nih.select([1])])
    assert both.table["family_image_id"].fillna("").tolist() == ["x", "", "", ""]
    assert both.table["family_image_id"].dtype == "str"
    assert "family_image_id" not in xr.concat([nih]).table
