"""Every registered dataset stands the conformance suite; one without a fake fails here."""

import shutil
from functools import partial

import pytest

import xrdatasets as xr
from tests import fakes
from tests.datasets.conformance import CollectionConformance, DatasetConformance
from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.registry import CLASSES, class_of, table_keys
from xrdatasets.facts import dataset_keys


def suite_of(key):
    """The suite for the fake of a dataset."""
    fake = fakes.load(key)
    facts = {"key": key, "images": fake.IMAGES, "options": getattr(fake, "OPTIONS", {})}
    return type(f"Test_{key}", (DatasetConformance,), facts | {"__module__": __name__})


SUITES = {f"Test_{key}": suite_of(key) for key in fakes.KEYS}
globals().update(SUITES)  # where pytest looks for them


class PhantomConformance(CollectionConformance):
    key, images, findings = "phantom", 12, 21
    hospital: str

    @pytest.fixture
    def open_(self):
        return partial(xr.Phantom, self.images, self.hospital)


class TestPhantomA(PhantomConformance):
    hospital = "A"


class TestPhantomB(PhantomConformance):
    hospital = "B"


class TestPhantomC(PhantomConformance):
    hospital = "C"


def test_every_dataset_has_a_fake():
    lying = {key for key in CLASSES if issubclass(class_of(key), CXRDataset)}
    assert {suite.key for suite in SUITES.values()} == lying | {"table"}


def test_registry_and_facts_name_the_same_datasets():
    assert sorted(key for name in CLASSES for key in table_keys(name)) == sorted(dataset_keys())


@pytest.mark.parametrize("key", CLASSES)
def test_the_docstring_is_a_data_card(key):
    card = class_of(key).__doc__
    for heading in ("Layout:", "Labels:", "Views:", "Splits:", "Traps:", "Licence:", "Citation:", "Example:"):
        assert heading in card, heading


COPIED = ("rsna", "siim", "covid19", "stonybrook_covid", "chexpert_plus", "jsrt")


@pytest.mark.parametrize("key", COPIED)
def test_a_copy_of_the_whole_release_in_a_backup_is_left_alone(tmp_path, key):
    root = fakes.write(key, tmp_path / "release")
    shutil.copytree(root, tmp_path / "copy")
    shutil.move(tmp_path / "copy", root / "backup")
    options = getattr(fakes.load(key), "OPTIONS", {})
    ds = xr.open(key, root, **options)
    paths = [ds.image_source(ds.table.iloc[row]) for row in range(len(ds))]
    assert all("backup" not in path.parts for path in paths)


@pytest.mark.parametrize("key", COPIED)
def test_a_copy_of_the_images_in_a_backup_is_left_alone(tmp_path, key):
    root = fakes.write(key, tmp_path / "release")
    ds = xr.open(key, root)
    (root / "backup").mkdir()
    for row in range(len(ds)):
        path = ds.image_source(ds.table.iloc[row])
        shutil.copy(path, root / "backup" / path.name)
    again = xr.open(key, root)
    assert all("backup" not in again.image_source(again.table.iloc[row]).parts for row in range(len(again)))
