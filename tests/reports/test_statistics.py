from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

import xrdatasets as xr
from tests import fakes
from xrdatasets.reports import cooccurrence, images_by, labelled_space, policy_counts, stats

FINDINGS = ["Effusion", "Cardiomegaly", "Edema"]
WORDS = {"Effusion": "fluid", "Cardiomegaly": "heart", "Edema": "water"}
CODES = ["positive", "negative", "uncertain", "unmentioned", "unlabelled"]


@pytest.fixture
def source():
    """300 images of a table of one's own, with every code."""
    rng = np.random.default_rng(5)
    codes = rng.choice([1.0, 0.0, -1.0, np.nan], size=(300, 3), p=[0.3, 0.4, 0.2, 0.1])
    table = pd.DataFrame(codes, columns=list(WORDS.values()))
    table.insert(0, "image_id", [f"image{number}" for number in range(300)])
    table["sex"] = rng.choice(["F", "M", ""], size=300)
    table["view"] = rng.choice(["PA", "AP", "LATERAL"], size=300)
    table["age"] = rng.choice([0, 9, 10, 39.5, 99, 122, 500, np.nan], size=300)
    table["split"] = rng.choice(["val", "test", "train", "site B", "unknown", ""], size=300)
    return table


@pytest.fixture
def own(source, tmp_path):
    """Open a table (the 300 images, if none is given) as a dataset."""

    def build(table=source, **options):
        table.to_csv(tmp_path / "labels.csv", index=False)
        rows = [f"{word},,{name},exact,,guide" for name, word in WORDS.items()]
        fakes.write_table(tmp_path / "map.csv", "column,source,target,relation,note,reference", *rows)
        given = {"space": FINDINGS, "views": "*", "missing": "keep"} | options
        return xr.TableDataset(tmp_path, table="labels.csv", mapping="map.csv", **given)

    return build


def test_counts_of_a_random_table_are_those_of_pandas(own, source):
    frame = stats(own()).set_index("finding")
    assert frame.index.tolist() == FINDINGS
    for name, word in WORDS.items():
        counts = source[word].value_counts(dropna=False)
        assert frame.loc[name, CODES].tolist() == [counts[1.0], counts[0.0], counts[-1.0], counts[np.nan], 0]
    assert (frame[CODES].sum(axis=1) == 300).all()


def test_a_finding_that_is_not_labelled_is_unlabelled_on_every_image(own):
    row = stats(own(space=["Hernia"])).iloc[0]
    assert row[CODES].tolist() == [0, 0, 0, 0, 300]


def test_without_a_policy_there_are_no_targets(own):
    assert stats(own()).columns.tolist() == ["dataset", "finding", *CODES]


@pytest.mark.parametrize("unmentioned", [None, 0.0, 1.0])
@pytest.mark.parametrize(("name", "uncertain"), [("U-Ignore", None), ("U-Zeros", 0.0), ("U-Ones", 1.0)])
def test_targets_of_the_plain_policies(own, source, name, uncertain, unmentioned):
    policy = xr.Policy.load(name).with_unmentioned(unmentioned)
    frame = stats(own(), policy=policy).set_index("finding")
    for finding, word in WORDS.items():
        said = source[word].map(lambda code: {-1.0: uncertain}.get(code, code), na_action="ignore")
        filled = said.astype(float).mask(
            source[word].isna(), unmentioned if unmentioned is not None else np.nan
        )
        row = frame.loc[finding]
        assert row["target_positive"] == (filled == 1).sum()
        assert row["target_negative"] == (filled == 0).sum()
        assert row["target_unknown"] == filled.isna().sum()
        assert row["target_mean"] == pytest.approx(filled.mean())


@pytest.mark.parametrize(("policy", "low", "high"), [(xr.U_ONES_LSR, 0.55, 0.85), (xr.U_ZEROS_LSR, 0.0, 0.3)])
def test_a_smoothed_target_counts_by_the_side_of_one_half_that_it_is_on(own, source, policy, low, high):
    row = stats(own(), policy=policy).set_index("finding").loc["Edema"]
    ones, zeros, unsure = ((source["water"] == code).sum() for code in (1, 0, -1))
    up = unsure if low >= 0.5 else 0
    assert (row["target_positive"], row["target_negative"]) == (ones + up, zeros + unsure - up)
    total = ones + zeros + unsure
    assert (ones + low * unsure) / total < row["target_mean"] < (ones + high * unsure) / total


def test_a_target_of_one_half_is_positive(own, source):
    row = stats(own(), policy=xr.Policy(uncertain=0.5)).iloc[0]
    assert row["target_positive"] == source["fluid"].isin([1, -1]).sum()


def test_the_mean_of_no_target_at_all_is_not_a_number(own):
    row = stats(own(space=["Hernia"]), policy=xr.U_ONES).iloc[0]
    assert (row["target_positive"], row["target_negative"], row["target_unknown"]) == (0, 0, 300)
    assert np.isnan(row["target_mean"])


def test_policy_counts_say_for_each_policy_what_stats_says(own):
    dataset = own()
    frame = policy_counts(dataset)
    policies = ["U-Ignore", "U-Zeros", "U-Ones", "U-Ones+LSR", "U-Zeros+LSR"]
    assert frame["policy"].unique().tolist() == policies
    assert frame["finding"].tolist() == FINDINGS * 5
    for name, part in frame.groupby("policy"):
        alone = stats(dataset, policy=xr.Policy.load(name))
        targets = [column for column in alone if column.startswith("target_")]
        pd.testing.assert_frame_equal(part[targets].reset_index(drop=True), alone[targets])


def test_policies_of_ones_own(own, source):
    mixed = xr.U_ZEROS.for_labels({"Edema": xr.U_ONES})
    frame = policy_counts(own(), {"mixed": mixed}).set_index("finding")
    assert frame.loc["Edema", "target_positive"] == source["water"].isin([1, -1]).sum()
    assert frame.loc["Effusion", "target_positive"] == (source["fluid"] == 1).sum()
    assert set(frame["policy"]) == {"mixed"}


def test_cooccurrence_is_the_lower_right_of_a_confusion_matrix(own, source):
    frame = cooccurrence(own())
    assert frame.dtypes.unique().tolist() == [np.dtype("int64")]
    for one, first in WORDS.items():
        for two, second in WORDS.items():
            table = confusion_matrix(source[first] == 1, source[second] == 1)
            assert frame.loc[one, two] == table[1, 1]


def test_cooccurrence_beyond_what_float32_can_count(own, source, monkeypatch):
    monkeypatch.setattr("xrdatasets.reports.statistics.EXACT", 10)
    assert cooccurrence(own()).loc["Edema", "Edema"] == (source["water"] == 1).sum()


def test_images_by_their_usual_order_and_unknown_last(own, source):
    frame = images_by(own())
    of = {name: part.set_index("value")["images"] for name, part in frame.groupby("attribute", sort=False)}
    assert list(of) == ["view", "sex", "age", "split"]
    assert of["view"].index.tolist() == ["PA", "AP", "LATERAL"]
    assert of["sex"].index.tolist() == ["F", "M", "unknown"]
    # 0 and 9 are one decade; 500 years and no age are unknown
    assert of["age"].index.tolist() == ["0-9", "10-19", "30-39", "90-99", "120-129", "unknown"]
    assert of["split"].index.tolist() == ["train", "val", "test", "site B", "unknown"]
    for name, counts in of.items():
        assert counts.sum() == 300, name
    assert of["age"]["0-9"] == source["age"].isin([0, 9]).sum()
    assert of["age"]["unknown"] == (source["age"].isna() | (source["age"] == 500)).sum()
    assert of["view"].to_dict() == source["view"].value_counts().to_dict()
    # a split that is called so, and one that is not given, are both unknown
    assert of["split"]["unknown"] == source["split"].isin(["unknown", ""]).sum()


def test_images_by_leaves_out_values_that_do_not_occur(own):
    dataset = own()
    women = dataset.select((dataset.table["sex"] == "F").to_numpy(dtype=bool, na_value=False))
    assert images_by(women).query("attribute == 'sex'")["value"].tolist() == ["F"]


@pytest.fixture
def nih(fake):
    return xr.NIH(fake("nih"), space="nih14")


@pytest.fixture
def kermany(fake):
    return xr.Kermany(fake("kermany"), space="native")


def test_the_rows_of_nih_counted_by_hand(nih):
    frame = stats(nih, policy=xr.U_ONES).set_index("finding")
    assert set(frame["dataset"]) == {"nih"}
    once = {"Effusion", "Hernia", "Cardiomegaly", "Nodule", "Pleural_Thickening", "Infiltration"}
    assert set(frame.index[frame["positive"] == 1]) == once
    assert frame["positive"].sum() == 6
    assert (frame["negative"] == 5 - frame["positive"]).all()
    assert (frame["target_mean"] == frame["positive"] / 5).all()
    assert images_by(nih)["images"].tolist() == [3, 2, 3, 2, 2, 2, 1, 3, 2]


def test_several_datasets_each_in_its_own_space(nih, kermany):
    frame = stats([nih, kermany])
    assert frame["dataset"].tolist() == ["nih"] * 14 + ["kermany"]
    assert frame.iloc[-1][["finding", *CODES]].tolist() == ["Pneumonia", 3, 3, 0, 0, 0]
    assert frame.index.tolist() == list(range(15))


def test_the_same_release_twice_has_two_names(nih, kermany):
    frame = stats([nih, nih, kermany, nih.select([0])])
    assert frame["dataset"].unique().tolist() == ["nih", "nih (2)", "kermany", "nih (3)"]
    assert frame.groupby("dataset")["positive"].sum().to_dict()["nih (3)"] == 2


def test_names_of_ones_own(nih, kermany):
    parts = {"train": nih.select([0, 1, 2]), "test": nih.select([3, 4])}
    for count in (stats, policy_counts, images_by):
        assert count(parts)["dataset"].unique().tolist() == ["train", "test"]


def test_datasets_that_were_joined_count_as_one(nih, kermany):
    frame = stats(xr.concat([nih, kermany])).set_index("finding")
    assert set(frame["dataset"]) == {"nih+kermany"}
    # NIH: 5 negative; Kermany: 3 and 3
    assert frame.loc["Pneumonia", CODES].tolist() == [3, 8, 0, 0, 0]
    assert frame.loc["Hernia", CODES].tolist() == [1, 4, 0, 0, 6]


def test_no_dataset_makes_empty_tables_with_their_columns():
    assert stats([]).columns.tolist() == ["dataset", "finding", *CODES]
    assert "target_mean" in stats([], policy=xr.U_ONES)
    assert policy_counts([]).columns.tolist()[:3] == ["dataset", "policy", "finding"]
    assert images_by([]).columns.tolist() == ["dataset", "attribute", "value", "images"]
    assert labelled_space([]).labels == ()


def test_a_dataset_without_rows(nih):
    empty = nih.select([])
    assert (stats(empty, policy=xr.U_ONES)[CODES] == 0).all(axis=None)
    assert images_by(empty).empty
    assert not cooccurrence(empty).to_numpy().any()


def test_the_labelled_space_has_what_the_native_one_lacks(nih, fake):
    google = xr.NIHGoogle(fake("nih_google"))
    # "Nodule or mass=NO" excludes both, although neither is covered
    assert set(labelled_space(google).labels) == {
        "Pneumothorax",
        "Fracture",
        "Lung Opacity",
        "Nodule",
        "Mass",
    }
    # all of NIH's 14, Fracture and Lung Opacity of Google, and "No Finding"
    both = labelled_space([nih, google]).labels
    assert set(both) == {*nih.pathologies, "Fracture", "Lung Opacity", "No Finding"}
    assert both == labelled_space([google, nih]).labels


def test_the_labelled_space_leaves_out_a_wider_term_that_never_excludes(fake):
    google = xr.NIHGoogle(fake("nih_google"))
    assert "Nodule" not in labelled_space(google.select([1])).labels  # its one image says YES


def test_the_labelled_space_has_what_a_hierarchy_implies(fake):
    kermany = xr.Kermany(fake("kermany"), closure="irvin2019")
    assert set(labelled_space(kermany).labels) == {"Pneumonia", "Consolidation", "Lung Opacity"}
