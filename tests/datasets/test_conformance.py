"""Every registered dataset stands the conformance suite; one without a fake fails here."""

import pytest

from tests.datasets.conformance import DatasetConformance
from tests.fakes import KEYS, chexpert, hannover, kermany, nih, nih_google, table
from xrdatasets.datasets.registry import CLASSES
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
    tested = {cls.key for cls in DatasetConformance.__subclasses__()}
    assert tested == {*CLASSES, "table"} == set(KEYS)


def test_registry_and_facts_name_the_same_datasets():
    assert set(CLASSES) == set(dataset_keys())


@pytest.mark.parametrize("key", CLASSES)
def test_the_docstring_is_a_data_card(key):
    from xrdatasets.datasets.registry import class_of

    card = class_of(key).__doc__
    for heading in ("Layout:", "Labels:", "Views:", "Splits:", "Traps:", "Licence:", "Citation:", "Example:"):
        assert heading in card, heading
