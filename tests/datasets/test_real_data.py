"""Real downloads: counts of the releases, every image opens. Needs XRDATASETS_DATA."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from xrdatasets.resources import mappings

pytestmark = pytest.mark.data

OFFICIAL = {
    "Infiltration": 19_894, "Effusion": 13_317, "Atelectasis": 11_559, "Nodule": 6_331, "Mass": 5_782,
    "Pneumothorax": 5_302, "Consolidation": 4_667, "Pleural_Thickening": 3_385, "Cardiomegaly": 2_776,
    "Emphysema": 2_516, "Edema": 2_303, "Fibrosis": 1_686, "Pneumonia": 1_431, "Hernia": 227,
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    return Path(os.environ["XRDATASETS_DATA"])


def test_nih_official_counts(data):
    ds = xr.NIH(data / "tables", missing="keep", space="nih14")
    assert len(ds) == 112_120
    assert ds.totals()["positive"].to_dict() == OFFICIAL
    assert (ds.totals()[["uncertain", "unmentioned", "unlabelled"]] == 0).all(axis=None)
    assert ds.table["patient_id"].nunique() == 30_805
    assert ds.table["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}


def test_google_nodule_or_mass(data):
    ds = xr.NIHGoogle(data / "tables", missing="keep", space=["Nodule", "Mass", "Pneumothorax"])
    assert len(ds) == 4_376
    assert ds.totals()["negative"].to_dict()["Nodule"] == ds.totals()["negative"].to_dict()["Mass"] == 3_771
    source = pd.read_csv(data / "tables" / "google2019_nih-chest-xray-labels.csv.gz")
    yes = (source["Nodule or mass"] == "YES").to_numpy()
    assert np.isnan(ds.codes[yes, :2]).all()
    assert not np.isnan(ds.codes[~yes, :2]).any()
    assert ds.totals().loc["Pneumothorax", "positive"] == 195 + 43


@pytest.mark.parametrize("key", ["nih", "nih_google", "kermany", "hannover"])
def test_counts_of_the_mapping_tables(data, key):
    """What mappings/counts says of a release, where all of it is at hand."""
    root = {"nih": "tables", "nih_google": "tables"}.get(key, key)
    ds = xr.open(key, data / root, missing="keep", space="native")
    if key == "kermany":
        assert ds.totals().loc["Pneumonia", ["positive", "negative"]].tolist() == [4265, 1575]  # without val
        return
    known = pd.read_csv(str(mappings() / "counts" / f"{key}.csv")).set_index("finding")
    totals = ds.relabel(list(known.index)).totals()
    for column in ("positive", "negative", "uncertain"):
        given = known[column].dropna()
        assert totals.loc[given.index, column].to_dict() == given.astype(int).to_dict()


def test_rsna_s_zero_is_no_opacity_that_suggests_pneumonia(data):
    """Images of RSNA that Google's readers read too, matched by pixels, without four false matches."""
    names = pd.read_csv(data / "tables" / "rsna_to_nih_26684.csv.gz").query("mse < 10")
    google = pd.read_csv(data / "tables" / "google2019_nih-chest-xray-labels.csv.gz")
    both = names.merge(google, left_on="nih_image_index", right_on="Image Index")
    found = pd.crosstab(both["class"], both["Airspace opacity"])
    assert found.loc["No Lung Opacity / Not Normal"].to_dict() == {"NO": 187, "YES": 368}
    assert found.loc["Normal"].to_dict() == {"NO": 221, "YES": 9}
    assert found.loc["Lung Opacity"].to_dict() == {"NO": 21, "YES": 330}


@pytest.mark.parametrize(
    ("name", "cls", "count"),
    [
        ("nih_original", "NIH", 31),
        ("nih", "NIH", 2_626),
        ("kermany", "Kermany", 5_840),
        ("hannover", "Hannover", 243),
    ],
)
def test_real_folders_open_and_load(data, name, cls, count):
    ds = getattr(xr, cls)(data / name, size=64)
    assert len(ds) == count
    some = ds.select(np.linspace(0, count - 1, 24).astype(int))
    batch = next(iter(xr.loader(some, batch_size=24, workers=0)))
    assert batch["img"].shape == (24, 1, 64, 64)
    assert -1024 <= batch["img"].min() < batch["img"].max() <= 1024


def test_fixture_with_alpha(data):
    ds = xr.NIH(data / "fixtures" / "nih", missing="drop")
    assert all(sample["img"].shape == (1, 1024, 1024) for sample in ds)


def test_every_official_box_is_one(data):
    """984 boxes of 8 findings on 880 images (Wang 2017)."""
    ds = xr.NIH(data / "tables", missing="keep", masks=True)
    boxes = ds.read_boxes()
    assert (len(boxes), boxes["image_id"].nunique(), boxes["finding"].nunique()) == (984, 880, 8)


# Cohen 2020, Table A.1: positives and negatives of the first image of each patient, all views. (Its NIH
# column was counted in the first form of NIH's table, which is not the one at hand.)
COHEN_GOOGLE = {"Fracture": (60, 1_635), "Lung Opacity": (601, 1_094), "Pneumothorax": (72, 1_623)}


def test_cohen_2020_table_a1_google(data):
    ds = xr.NIHGoogle(
        data / "tables", missing="keep", views="*", one_per_patient=True, space=list(COHEN_GOOGLE)
    )
    totals = ds.totals()[["positive", "negative"]]
    assert {label: tuple(row) for label, *row in totals.itertuples()} == COHEN_GOOGLE


def test_cohen_2020_nodule_or_mass(data):
    """Table A.1 drops it: 232 and 1,463; NO excludes both findings, YES decides neither."""
    ds = xr.NIHGoogle(
        data / "tables", missing="keep", views="*", one_per_patient=True, space=["Nodule", "Mass"]
    )
    assert ds.totals()["negative"].tolist() == [1_463, 1_463]
    assert ds.totals()["unlabelled"].tolist() == [232, 232]
