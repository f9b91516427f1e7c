"""One row for each patient: torchxrayvision mixes rows, and so does the legacy; nothing else here does."""

import numpy as np
import pytest

import xrdatasets as xr
import xrdatasets.legacy as xrv
from tests import fakes
from tests.fakes.chexpert import LABELS
from xrdatasets.datasets.registry import CLASSES

ROWS = (  # one patient: the first image is without a word of edema, the second is normal
    {"Pneumonia": 1, "Support Devices": 1},
    {"Edema": 1, "Pneumonia": 0},
    {"No Finding": 1},
)


@pytest.fixture
def release(tmp_path):
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LABELS)
    lines = [
        f"CheXpert-v1.0-small/train/patient00001/study{number}/view1_frontal.jpg,Male,60,Frontal,PA,"
        + ",".join(str(float(codes[label])) if label in codes else "" for label in LABELS)
        for number, codes in enumerate(ROWS, start=1)
    ]
    fakes.write_table(tmp_path / "train.csv", head, *lines)
    return tmp_path


def test_one_per_patient_never_mixes_rows(release):
    ds = xr.CheXpert(release, one_per_patient=True, missing="keep", space=["Pneumonia", "Edema", "Fracture"])
    assert ds.table["image_id"].tolist() == ["train/patient00001/study1/view1_frontal"]
    np.testing.assert_array_equal(ds.codes, [[1, np.nan, np.nan]])


def test_legacy_mixes_the_rows_of_a_patient_as_its_model_does(release):
    """The first cell that is not empty, column by column; then "No Finding" of the third overwrites all."""
    ds = xrv.datasets.CheX_Dataset(release)
    assert ds.csv["image_id"].tolist() == ["train/patient00001/study1/view1_frontal"]
    labels = dict(zip(ds.pathologies, ds.labels[0], strict=True))
    assert labels.pop("Support Devices") == 1
    assert set(labels.values()) == {0}


def test_without_unique_patients_the_rows_stay(release):
    ds = xrv.datasets.CheX_Dataset(release, unique_patients=False)
    edema, pneumonia = (ds.labels[:, ds.pathologies.index(name)] for name in ("Edema", "Pneumonia"))
    np.testing.assert_array_equal(edema, [np.nan, 1, 0])
    np.testing.assert_array_equal(pneumonia, [1, 0, 0])


@pytest.mark.parametrize("key", ["nih", "chexpert", "padchest", "mimic_cxr", "brax", "covid19", "siim"])
def test_every_row_of_one_per_patient_is_a_row_of_the_release(key, fake):
    """Of the fakes' patients with several images, whichever row is kept is kept whole."""
    options = getattr(fakes.load(key), "OPTIONS", {}) | {"views": "*", "space": "native"}
    dataset = getattr(xr, CLASSES[key])
    whole = dataset(fake(key), **options)
    one = dataset(fake(key), one_per_patient=True, **options)
    assert len(one) == whole.table["patient_id"].nunique() < len(whole)
    rows = [whole.table["image_id"].tolist().index(image) for image in one.table["image_id"]]
    np.testing.assert_array_equal(one.codes, whole.codes[rows])
