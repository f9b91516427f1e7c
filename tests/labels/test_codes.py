from __future__ import annotations

import numpy as np
import pytest

from xrdatasets.labels import codes
from xrdatasets.labels.codes import CODES, frozen

BY_STATE = {
    "UNKNOWN": np.nan,
    "UNMENTIONED": np.nan,
    "NEGATIVE": 0,
    "POSITIVE": 1,
    "UNCERTAIN": -1,
    "ABSENT": 0,
    "NEGATED": 0,
    "DERIVED_POSITIVE": 1,
    "DERIVED_NEGATIVE": 0,
}


@pytest.mark.parametrize("state", BY_STATE)
def test_each_state_has_its_code(state):
    np.testing.assert_equal(float(CODES[getattr(codes, state)]), BY_STATE[state])


def test_states_are_as_many_as_codes_and_fit_a_byte():
    states = [getattr(codes, name) for name in BY_STATE]
    assert sorted(states) == list(range(len(CODES)))
    assert CODES.dtype == np.float32


def test_a_fresh_array_of_states_is_unknown():
    assert np.isnan(CODES[np.zeros(1, np.uint8)]).all()
    assert codes.UNKNOWN == 0


def test_frozen_is_the_same_array_read_only():
    array = np.zeros(2)
    assert frozen(array) is array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
