"""Every registered dataset stands the conformance suite; one without a fake fails here."""

import pytest

from tests.datasets.conformance import CollectionConformance, DatasetConformance
from tests.fakes import KEYS, chexpert, hannover, kermany, nih, nih_google, table
from xrdatasets.datasets.base import CXRDataset
from xrdatasets.datasets.registry import CLASSES, class_of
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


def test_every_dataset_is_tested():
    folders = {cls.key for cls in DatasetConformance.__subclasses__()}
    others = {cls.key for cls in CollectionConformance.__subclasses__() if cls is not DatasetConformance}
    assert folders | others == {*CLASSES, "table"}
    # what lies in a folder has a fake and stands the tests of folders too
    lying = {key for key in CLASSES if issubclass(class_of(key), CXRDataset)}
    assert folders == lying | {"table"} == set(KEYS)


def test_registry_and_facts_name_the_same_datasets():
    assert set(CLASSES) == set(dataset_keys())


@pytest.mark.parametrize("key", CLASSES)
def test_the_docstring_is_a_data_card(key):
    card = class_of(key).__doc__
    for heading in ("Layout:", "Labels:", "Views:", "Splits:", "Traps:", "Licence:", "Citation:", "Example:"):
        assert heading in card, heading
