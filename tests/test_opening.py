"""The one door."""

import pytest

import xrdatasets as xr
from tests import fakes


@pytest.mark.parametrize("name", ["nih", "NIH", "Nih"])
def test_any_spelling(tmp_path, name):
    root = fakes.write("nih", tmp_path)
    assert len(xr.open(name, root, views="PA")) == 3


def test_class_name_and_key():
    from xrdatasets.datasets.registry import class_of

    assert class_of("nih_google") is class_of("NIHGoogle") is xr.NIHGoogle


def test_unknown_name(tmp_path):
    with pytest.raises(xr.DatasetNotFoundError, match=r"no dataset is called 'nhi'.*Did you mean 'nih'"):
        xr.open("nhi", tmp_path)


def test_star_import_leaves_the_builtin_open():
    names = {}
    exec("from xrdatasets import *", names)
    assert "open" not in names
    assert names["NIH"] is xr.NIH
