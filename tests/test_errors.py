from __future__ import annotations

import pickle
import warnings

import pytest

from xrdatasets import errors

ALSO = {
    "DatasetNotFoundError": FileNotFoundError,
    "TableError": ValueError,
    "EmptyDatasetError": ValueError,
    "SplitNotFoundError": ValueError,
    "MappingError": ValueError,
    "LabelNotFoundError": KeyError,
    "DecoderNotFoundError": ImportError,
    "ImageReadError": OSError,
    "DownloadError": OSError,
    "PackedFileError": OSError,
    "WeightsError": ValueError,
    "WeightsNotFoundError": FileNotFoundError,
}


@pytest.mark.parametrize("name", ALSO)
def test_each_error_is_one_of_ours_and_a_case_of_a_standard_one(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.XRDatasetsError)
    assert issubclass(kind, ALSO[name])


@pytest.mark.parametrize("name", ALSO)
def test_the_message_is_shown_as_it_was_written(name):
    message = "nih: no table in '/data'. Expected\nData_Entry_2017_v2020.csv."
    assert str(getattr(errors, name)(message)) == message


@pytest.mark.parametrize("name", ALSO)
def test_an_error_without_a_message_can_be_shown(name):
    assert str(getattr(errors, name)()) == ""


@pytest.mark.parametrize("name", ALSO)
def test_an_error_reaches_another_process_whole(name):
    again = pickle.loads(pickle.dumps(getattr(errors, name)("what 'was' wrong")))
    assert type(again) is getattr(errors, name)
    assert str(again) == "what 'was' wrong"


def test_all_of_them_are_exported():
    assert set(errors.__all__) == {*ALSO, "XRDatasetsError", "MappingWarning", "OverlapWarning"}


def test_overlap_is_a_warning_one_can_filter():
    assert issubclass(errors.OverlapWarning, UserWarning)
    with pytest.warns(errors.OverlapWarning, match="shared"):
        warnings.warn("shared", errors.OverlapWarning, stacklevel=1)
