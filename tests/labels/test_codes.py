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


def test_every_byte_has_a_code():
    states = [getattr(codes, name) for name in BY_STATE]
    assert sorted(states) == list(range(len(states)))
    assert len(CODES) == 256
    assert CODES.dtype == np.float32


def test_shares_of_readers_are_uncertain_and_the_other_bytes_unknown():
    shares = np.arange(codes.SHARE + 1, codes.SHARE + codes.SHARES)
    assert (CODES[shares] == -1).all()
    rest = np.setdiff1d(np.arange(len(BY_STATE), 256), shares)
    assert np.isnan(CODES[rest]).all()


@pytest.mark.parametrize("readers", [2, 3, 4, 5, 6, 8, 10, 12])
def test_shares_of_few_readers_are_exact(readers):
    assert codes.SHARES % readers == 0


def test_a_fresh_array_of_states_is_unknown():
    assert np.isnan(CODES[np.zeros(1, np.uint8)]).all()
    assert codes.UNKNOWN == 0


def test_frozen_is_the_same_array_read_only():
    array = np.zeros(2)
    assert frozen(array) is array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
