"""Every registered dataset stands the conformance suite; one without a fake fails here."""

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
