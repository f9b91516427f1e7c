"""Splits by patient: whose image it is, and findings that stand alike on all sides."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets.families import FAMILY_ID, family_ids
from xrdatasets.datasets.splits import patient_keys, patient_parts
from xrdatasets.datasets.strata import _dealt, stratified


def rows(*cells, family="nih", names=None):
    """A table of (dataset, image, patient) and its families; a patient of None is unknown."""
    table = pd.DataFrame(cells, columns=["dataset", "image_id", "patient_id"]).astype("str")
    table["patient_id"] = table["patient_id"].mask([cell[2] is None for cell in cells])
    if names is not None:
        table[FAMILY_ID] = pd.Series(names, dtype="str").mask([name is None for name in names])
    families = [family] * len(table) if isinstance(family, str) else family
    return table, pd.Series(families, dtype="str")


def groups(table, families):
    """Number of the patient of each row, counted in the order of the rows."""
    return pd.factorize(patient_keys(table, families))[0].tolist()


class TestPatients:
    def test_a_patient_of_a_family_is_one_in_all_its_datasets(self):
        table = rows(
            ("nih", "1_0", "1"), ("nih", "1_1", "1"), ("nih_google", "1_0", "1"), ("nih", "2_0", "2")
        )
        assert groups(*table) == [0, 0, 0, 1]

    def test_one_id_in_two_families_is_two_patients(self):
        assert groups(*rows(("a", "x", "1"), ("b", "x", "1"), family=["a", "b"])) == [0, 1]

    def test_an_image_without_patient_belongs_to_whoever_knows_it(self):
        """RSNA does not say whose an image is; NIH does, and its patient has other images."""
        table = rows(
            ("nih", "1_0", "1"), ("nih", "1_1", "1"), ("rsna", "uid-a", None), ("rsna", "uid-b", None),
            names=[None, None, "1_1", None],
        )  # fmt: skip
        assert groups(*table) == [0, 0, 0, 1]

    def test_two_patients_of_one_image_are_one(self):
        table = rows(
            ("nih", "1_0", "1"), ("nih", "2_0", "2"), ("nih_google", "1_0", "one"), ("nih", "3_0", "3")
        )
        assert groups(*table) == [0, 1, 0, 2]

    def test_a_chain_of_images_and_patients(self):
        """a-1, 1-b, b-2, 2-c: one patient."""
        table = rows(
            ("nih", "a", "1"), ("nih", "b", "1"), ("chestx_det", "u", "2"), ("chestx_det", "v", "2"),
            ("nih", "c", None), ("nih", "d", None),
            names=[None, None, "b", "c", None, None],
        )  # fmt: skip
        assert groups(*table) == [0, 0, 0, 0, 0, 1]

    def test_names_of_unlike_datasets_are_unlike_images(self):
        """RSNA's image and SIIM's have one id by chance; neither says which of NIH's it is."""
        assert groups(*rows(("rsna", "7", None), ("siim", "7", None), ("rsna", "7", None))) == [0, 1, 0]

    def test_images_of_another_family(self):
        table = rows(
            ("covid19", "b343e657", "313"), ("covid19", "other", "313"), ("hannover", "b343e657", "042f06a9"),
            ("hannover", "c9280a30", "042f06a9"), ("hannover", "other2", "024e7871"),
            family=["covid19", "covid19", "hannover", "hannover", "hannover"],
        )  # fmt: skip
        assert groups(*table) == [0, 0, 0, 0, 1]

    def test_the_key_does_not_depend_on_the_order_of_rows(self):
        table, families = rows(
            ("nih", "a", "1"), ("rsna", "u", None), ("nih", "b", "2"), ("nih_google", "b", "1"),
            ("nih", "c", None),
            names=[None, "a", None, None, None],
        )  # fmt: skip
        turn = [4, 2, 0, 3, 1]
        turned = patient_keys(
            table.iloc[turn].reset_index(drop=True), families.iloc[turn].reset_index(drop=True)
        )
        np.testing.assert_array_equal(turned, patient_keys(table, families)[turn])

    def test_keys_of_one_dataset_never_change(self):
        """Stored: splits of old results must stay what they are."""
        table = rows(
            ("nih", "00000001_000", "1"), ("nih", "00000002_000", "2"), ("nih", "00000003_000", None)
        )
        assert patient_keys(*table).tolist() == STORED


# pandas' hash of "nih\0p1", "nih\0p2" and "nih\0i00000003_000", in the version of the first release
STORED = [14238707522766374485, 589520871482702498, 7208205884895663274]


class TestNIHAndRSNA:
    @pytest.fixture
    def both(self, fake, tmp_path):
        """NIH's five images with their patients; two of them in a challenge that knows the names alone."""
        folder = tmp_path / "rsna"
        fakes.write_table(
            folder / "labels.csv", f"file,opacity,{FAMILY_ID}", "u.png,1,00000001_001", "v.png,0,00000003_000"
        )
        fakes.write_table(
            folder / "mapping.csv",
            "column,source,target,relation,note,reference",
            "opacity,,Lung Opacity,exact,,our own reading guide",
        )
        options = {"table": "labels.csv", "mapping": "mapping.csv", "columns": {"image_id": "file"}}
        rsna = xr.TableDataset(folder, name="rsna", image_family="nih", missing="keep", **options)
        with pytest.warns(xr.OverlapWarning, match=r"nih and rsna share 2 images"):
            return xr.concat([xr.NIH(fake("nih")), rsna])

    @pytest.mark.parametrize("stratify", [None, "Effusion"])
    def test_an_image_is_on_one_side(self, both, stratify):
        for seed in range(8):
            one, two = both.split_by_patient((0.5, 0.5), seed=seed, stratify=stratify)
            assert len(one) + len(two) == 7
            assert not set(family_ids(one.table)) & set(family_ids(two.table))
            assert not set(one.table["patient_id"].dropna()) & set(two.table["patient_id"].dropna())
            assert len(one.split_by_patient((1.0,))[0]) == len(one)

    def test_three_patients_not_five(self, both):
        with pytest.raises(ValueError, match=r"of 3 patients leave a part empty"):
            both.split_by_patient((0.7, 0.1, 0.1, 0.1))


class TestStratified:
    def test_dealt_in_turn(self):
        assert _dealt(np.array([6, 2])).tolist() == [0, 0, 1, 0, 0, 0, 1, 0]
        assert _dealt(np.array([2, 2])).tolist() == [0, 1, 0, 1]

    def test_every_finding_in_its_share(self):
        """20 patients, 4 with a hernia, 10 with an effusion: halves of both, and of the patients."""
        table, families = rows(*(("x", f"i{n}", f"p{n}") for n in range(20)), family="x")
        hernia, effusion = np.arange(20) < 4, np.arange(20) % 2 == 0
        positive = np.column_stack([effusion, hernia])
        for seed in range(20):
            part = patient_parts(table, families, (0.5, 0.5), seed=seed, positive=positive)
            assert np.bincount(part).tolist() == [10, 10]
            assert positive[part == 0].sum(axis=0).tolist() == [5, 2]

    def test_patients_with_many_images(self):
        """Six patients with 6, 5, 4, 3, 2, 1 positive images: 21 are split 14 to 7 as two to one."""
        counts = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]], dtype=float)
        part = stratified(counts, np.array([4, 2]), np.linspace(0.1, 0.9, 6))
        assert np.bincount(part, counts[0]).tolist() == [14, 7]

    def test_a_move_that_leaves_a_part_empty_is_not_made(self):
        counts = np.array([[1, 1, 1], [9, 1, 1]], dtype=float)
        for draws in ([0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1]):
            part = stratified(counts, np.array([1, 1, 1]), np.array(draws))
            assert sorted(part.tolist()) == [0, 1, 2]

    def test_the_same_for_the_same_seed_in_any_order_of_rows(self):
        ds = xr.Phantom(n=400, views="*", seed=2, space=["Effusion", "Mass", "Hernia"])
        turned = ds.select(np.arange(len(ds))[::-1])

        def ids(dataset, seed):
            return frozenset(
                dataset.split_by_patient((0.3, 0.7), seed=seed, stratify=True)[0].table["image_id"]
            )

        assert ids(ds, 1) == ids(ds, 1) == ids(turned, 1)
        assert len({ids(ds, seed) for seed in range(5)}) == 5

    def test_no_patient_on_two_sides(self):
        ds = xr.Phantom(n=400, views="*", seed=2, space=["Effusion", "Mass"])
        parts = ds.split_by_patient((0.6, 0.2, 0.2), stratify=["Effusion", "mass", "Effusion"])
        patients = [set(part.table["patient_id"]) for part in parts]
        assert sum(len(part) for part in parts) == len(ds)
        assert sum(map(len, patients)) == len(set.union(*patients)) == ds.table["patient_id"].nunique()
        positives = [(part.codes == 1).sum(axis=0) for part in parts]
        expected = np.outer((0.6, 0.2, 0.2), (ds.codes == 1).sum(axis=0))
        assert np.abs(np.array(positives) - expected).max() <= 1

    def test_a_finding_outside_the_space_and_one_that_is_never_there(self):
        ds = xr.Phantom(n=200, views="*", seed=2, space=["Hernia"])
        one, two = ds.split_by_patient((0.5, 0.5), stratify=["Effusion", "Fracture", "Support Devices"])
        counts = [(part.relabel(["Effusion"]).codes == 1).sum() for part in (one, two)]
        assert abs(counts[0] - counts[1]) <= 1

    @pytest.mark.parametrize("stratify", [[], False, 3, ()])
    def test_neither_findings_nor_true(self, fake, stratify):
        with pytest.raises(ValueError, match=r"stratify: expected True, a finding or several, or None, got"):
            xr.NIH(fake("nih")).split_by_patient((0.5, 0.5), stratify=stratify)

    def test_no_such_finding(self, fake):
        with pytest.raises(xr.LabelNotFoundError, match=r"Efusion"):
            xr.NIH(fake("nih")).split_by_patient((0.5, 0.5), stratify="Efusion")

    def test_too_few_patients(self, fake):
        with pytest.raises(ValueError, match=r"of 3 patients leave a part empty"):
            xr.NIH(fake("nih")).split_by_patient((0.9, 0.05, 0.05), stratify=True)

    def test_a_quarter_of_a_million_images_in_seconds(self):
        random = np.random.default_rng(0)
        count = 250_000
        patient = random.integers(0, count // 4, count)
        table = pd.DataFrame({"image_id": np.arange(count).astype(str), "patient_id": patient.astype(str)})
        families = pd.Series("x", index=table.index)
        positive = random.random((count, 20)) < np.geomspace(0.001, 0.3, 20)
        start = time.process_time()
        part = patient_parts(table.assign(dataset="x"), families, (0.8, 0.2), seed=0, positive=positive)
        assert time.process_time() - start < 10  # about half a second
        assert np.abs(positive[part == 1].sum(axis=0) - 0.2 * positive.sum(axis=0)).max() <= 1


@pytest.mark.data
def test_nih_within_one_image_of_each_finding():
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    root = Path(os.environ["XRDATASETS_DATA"]) / "tables"
    ds = xr.NIH(root, missing="keep", views="*", space="nih14")
    fractions = (0.8, 0.1, 0.1)
    parts = ds.split_by_patient(fractions, stratify=True)
    for part, fraction in zip(parts, fractions, strict=True):
        expected = fraction * (ds.codes == 1).sum(axis=0)
        assert np.abs((part.codes == 1).sum(axis=0) - expected).max() <= 1
        assert abs(part.table["patient_id"].nunique() - fraction * 30_805) <= 3
