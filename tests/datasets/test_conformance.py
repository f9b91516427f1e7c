"""Every registered dataset stands the conformance suite; one without a fake fails here."""

from functools import partial

import pytest

import xrdatasets as xr
from tests.datasets.conformance import CollectionConformance, DatasetConformance
from tests.fakes import KEYS, chexpert, hannover, kermany, nih, nih_google, table
from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.registry import CLASSES, class_of, table_keys
from xrdatasets.facts import dataset_keys


class TestNIH(DatasetConformance):
    key, images = "nih", len(nih.ROWS)


class TestNIHGoogle(DatasetConformance):
    key, images = "nih_google", len(nih_google.ROWS)


class TestCheXpert(DatasetConformance):
    key, images = "chexpert", sum("lateral" not in row[3] for row in chexpert.ROWS)


class TestKermany(DatasetConformance):
    key, images = "kermany", len(kermany.FILES)


class TestHannover(DatasetConformance):
    key, images = "hannover", len(hannover.ROWS)


class TestTable(DatasetConformance):
    key, images, options = "table", 3, table.OPTIONS


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


def test_every_dataset_is_tested():
    folders = {cls.key for cls in DatasetConformance.__subclasses__()}
    others = {cls.key for cls in CollectionConformance.__subclasses__() if cls is not DatasetConformance}
    assert folders | others == {*CLASSES, "table"}
    # what lies in a folder has a fake and stands the tests of folders too
    lying = {key for key in CLASSES if issubclass(class_of(key), CXRDataset)}
    assert folders == lying | {"table"} == set(KEYS)


def test_registry_and_facts_name_the_same_datasets():
    assert sorted(key for name in CLASSES for key in table_keys(name)) == sorted(dataset_keys())


@pytest.mark.parametrize("key", CLASSES)
def test_the_docstring_is_a_data_card(key):
    card = class_of(key).__doc__
    for heading in ("Layout:", "Labels:", "Views:", "Splits:", "Traps:", "Licence:", "Citation:", "Example:"):
        assert heading in card, heading
