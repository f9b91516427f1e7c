"""Draws against published outputs of SplitMix64 and against scipy's distributions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from xrdatasets.phantom.anatomy import Case
from xrdatasets.phantom.draws import Draws

MASK = (1 << 64) - 1
# the first outputs for the seeds 0 and 1234567, as published with the generator and its ports
PUBLISHED = {
    0: (
        0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B,
    ),
    1234567: (
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ),
}  # fmt: skip
keys = st.integers(0, MASK)


def unshifted(value, shift):
    """The number that `x ^ (x >> shift)` was made of."""
    found = value
    for _ in range(64 // shift):
        found = value ^ (found >> shift)
    return found


def unmixed(value):
    """The inverse of SplitMix64's finaliser."""
    value = unshifted(value, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & MASK
    value = unshifted(value, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & MASK
    return unshifted(value, 30)


def seeded(state, part="a part"):
    """The stream that counts from this state."""
    word = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")
    return Draws(unmixed(state) ^ word, part)


@pytest.mark.parametrize("state", PUBLISHED)
def test_a_stream_is_splitmix64(state):
    expected = [(output >> 11) / 2**53 for output in PUBLISHED[state]]
    one, many = seeded(state), seeded(state, "another part")
    assert [one.uniform(0, 1) for _ in expected] == expected
    assert many.uniforms(0, 1, 5).tolist() == expected


@pytest.mark.parametrize("state", PUBLISHED)
@pytest.mark.parametrize("shape", [(4, 5), (3, 3), (1, 1)])
def test_noise_takes_four_numbers_of_each_output(state, shape):
    count = shape[0] * shape[1]
    words = [output >> bits & 0xFFFF for output in PUBLISHED[state] for bits in (0, 16, 32, 48)][:count]
    expected = stats.norm.ppf((np.array(words) + 0.5) / 65536).reshape(shape)
    found = seeded(state).noise(*shape)
    assert (found.dtype, found.shape) == (np.float32, shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(keys, st.lists(st.integers(0, 5), max_size=8))
def test_one_by_one_is_the_same_as_many_at_once(key, counts):
    one, many = Draws(key, "x"), Draws(key, "x")
    single = [one.uniform(-3, 5) for _ in range(sum(counts))]
    assert np.concatenate([[], *(many.uniforms(-3, 5, count) for count in counts)]).tolist() == single
    one.noise(3, 3)
    many.uniforms(0, 1, 3)  # nine numbers of noise take three outputs
    assert one.uniform(0, 1) == many.uniform(0, 1)


@given(keys)
def test_numpy_keys_are_the_same_as_python_s(key):
    assert Draws(np.uint64(key), "x").uniform(0, 1) == Draws(key, "x").uniform(0, 1)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2.5, 4), (3, -3)])
def test_uniform_numbers_are_uniform(low, high):
    draws = Draws(5, "uniform").uniforms(low, high, 50_000)
    assert ((draws >= min(low, high)) & (draws <= max(low, high))).all()
    assert (draws != high).all()
    shape = stats.uniform(min(low, high), abs(high - low))
    assert stats.kstest(draws, shape.cdf).pvalue > 0.01


@given(keys, st.floats(-5, 5), st.floats(0, 3), st.floats(0.1, 4))
def test_a_normal_number_is_scipy_s_quantile_cut(key, mean, deviation, widest):
    place = Draws(key, "n").uniform(1e-9, 1)
    expected = mean + deviation * np.clip(stats.norm.ppf(place), -widest, widest)
    assert Draws(key, "n").normal(mean, deviation, widest=widest) == pytest.approx(expected, abs=1e-9)


def test_normal_numbers_are_cut_at_two_deviations():
    draws = Draws(3, "normal")
    found = np.array([draws.normal(1, 0.5) for _ in range(10_000)])
    assert (found.min(), found.max()) == (0, 2)
    for end in (0, 2):  # standard error 0.0015
        assert (found == end).mean() == pytest.approx(stats.norm.cdf(-2), abs=0.006)


def test_whole_numbers_chances_and_sides_have_their_shares():
    draws = Draws(11, "shares")
    n = 8000
    numbers = np.bincount([draws.below(5) for _ in range(n)], minlength=5)
    assert len(numbers) == 5
    assert stats.chisquare(numbers).pvalue > 0.01
    # standard error at most 0.0056
    assert np.mean([draws.chance(0.3) for _ in range(n)]) == pytest.approx(0.3, abs=0.02)
    assert not any(draws.chance(0) for _ in range(50))
    assert all(draws.chance(1) for _ in range(50))
    sides = [draws.side() for _ in range(n)]
    assert set(sides) == {-1, 1}
    assert np.mean(sides) == pytest.approx(0, abs=0.04)


def test_noise_is_normal_and_white():
    noise = Draws(2, "noise").noise(300, 300)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    assert abs(noise).max() < stats.norm.isf(0.4 / 65536)
    for lag in (1, 2, 3, 4, 300):  # standard error 0.0033
        assert abs(np.corrcoef(noise.ravel()[lag:], noise.ravel()[:-lag])[0, 1]) < 0.015


def test_streams_of_other_words_and_keys_are_independent():
    near = [(7, "heart"), (8, "heart"), (7, "aorta"), (7, "heart "), (7 + 2**63, "heart"), (0, "")]
    found = np.array([Draws(key, part).uniforms(0, 1, 20_000) for key, part in near])
    # standard error 0.007
    assert np.abs(np.corrcoef(found) - np.eye(len(near))).max() < 0.03
    # and none is another one, some steps later
    assert len(np.unique(found)) == found.size
    first = np.array([[Draws(key, part).uniform(0, 1) for key in range(5000)] for part in ("a", "b")])
    assert np.abs(np.corrcoef([*first, *np.roll(first, 1, axis=1)]) - np.eye(4)).max() < 0.06


def test_branches_are_streams_of_their_own():
    stem, same = Draws(7, "stem"), Draws(7, "stem")
    stem.uniforms(0, 1, 3)  # what was drawn before is no matter
    for part in (0, 1, "twig"):
        assert stem.branch(part).uniform(0, 1) == same.branch(part).uniform(0, 1)
    # a branch takes nothing from its stem
    assert stem.uniform(0, 1) == same.uniforms(0, 1, 4)[3]
    names = [stem.branch(part).uniforms(0, 1, 20_000) for part in (0, 1, 11, "twig")]
    deeper = stem.branch(1).branch(1).uniforms(0, 1, 20_000)
    found = [*names, deeper, same.uniforms(0, 1, 20_000)]
    assert np.abs(np.corrcoef(found) - np.eye(6)).max() < 0.03


def test_a_patient_s_streams_are_the_same_on_all_images():
    one, two = (Case(key, 9, female=True, age=50.0, supine=False, grades={}) for key in (1, 2))
    assert one.of_patient("x").uniform(0, 1) == two.of_patient("x").uniform(0, 1)
    assert one.draws("x").uniform(0, 1) != two.draws("x").uniform(0, 1)
    assert one.draws("x").uniform(0, 1) == Draws(1, "x").uniform(0, 1)
