"""Draws against an implementation in plain Python, and stored numbers that must never change."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from xrdatasets.labels.draws import hash_keys, mix, uniform

MASK = (1 << 64) - 1
NIH_KEY = "00000001_000.png"


def rotate(x, bits):
    return ((x << bits) | (x >> (64 - bits))) & MASK


def siphash24(data, key=b"0123456789123456"):
    """Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012)."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def finalise(z):
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def key_hash(key):
    """What pandas' `hash_array` documents for text: SipHash with a fixed key, then redistributed."""
    return finalise(siphash24(key.encode()))


def stream(label, seed, epoch):
    text = f"{seed}\0{epoch}\0{label}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def one(key, label, *, seed=0, epoch=0):
    return float(uniform(hash_keys([key]), label=label, seed=seed, epoch=epoch)[0])


def test_the_reference_is_siphash():
    # the paper's appendix A: key 00…0f, input 00…0e
    assert siphash24(bytes(range(15)), bytes(range(16))) == 0xA129CA6149BE45E5


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        ("a", 13950350942979735504),
        (NIH_KEY, 18051944544639466426),
        ("é", 16908809132758853863),
    ],
)
def test_the_hash_of_a_key_never_changes(key, stored):
    assert hash_keys([key]).tolist() == [stored] == [key_hash(key)]


def test_keys_hash_the_same_in_any_container():
    keys = ["b", "a", "b"]
    expected = [key_hash(key) for key in keys]
    for held in (keys, tuple(keys), np.array(keys), np.array(keys, dtype=object)):
        found = hash_keys(held)
        assert (found.tolist(), found.dtype) == (expected, np.uint64)
    assert hash_keys([]).tolist() == []


@pytest.mark.parametrize("output", range(5))
def test_the_mixing_is_that_of_splitmix64(output):
    # the first outputs of SplitMix64 seeded with 1234567, as published with the generator
    published = (
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    )  # fmt: skip
    state = (1234567 + (output + 1) * 0x9E3779B97F4A7C15) & MASK
    assert finalise(state) == published[output]
    assert mix(np.array([state], dtype=np.uint64)).tolist() == [published[output]]
    key = np.array([state ^ stream("Edema", 0, 0)], dtype=np.uint64)
    assert uniform(key, label="Edema", seed=0, epoch=0)[0] == (published[output] >> 11) / 2**53


@pytest.mark.parametrize("seed", [0, 1, -1, 2**70])
@pytest.mark.parametrize("epoch", [0, 7])
@pytest.mark.parametrize("label", ["Edema", "Pleural_Thickening"])
def test_a_draw_is_the_formula(seed, epoch, label):
    keys = ["a", NIH_KEY, "é", "12345"]
    found = uniform(hash_keys(keys), label=label, seed=seed, epoch=epoch)
    mixed = [finalise(key_hash(key) ^ stream(label, seed, epoch)) for key in keys]
    assert found.tolist() == [(z >> 11) / 2**53 for z in mixed]
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("seed", "epoch", "key", "label", "stored"),
    [
        (0, 0, NIH_KEY, "Edema", 0.6945571957229775),
        (0, 1, NIH_KEY, "Edema", 0.9205891771892785),
        (1, 0, NIH_KEY, "Edema", 0.2160472840833625),
        (0, 0, NIH_KEY, "Effusion", 0.6613301519441703),
        (0, 0, "a", "Edema", 0.17060086715625966),
    ],
)
def test_a_draw_never_changes(seed, epoch, key, label, stored):
    assert one(key, label, seed=seed, epoch=epoch) == stored


def test_the_parts_of_the_key_do_not_run_together():
    assert one("a", "Edema", seed=1, epoch=11) != one("a", "Edema", seed=11, epoch=1)
    assert one("a", "Edema", seed=1, epoch=0) != one("a", "0Edema", seed=1, epoch=0)


def test_draws_are_uniform_and_independent_of_each_other():
    hashes = hash_keys(np.arange(20_000).astype(str))
    draws = {
        (label, seed, epoch): uniform(hashes, label=label, seed=seed, epoch=epoch)
        for label, seed, epoch in (("Edema", 0, 0), ("Mass", 0, 0), ("Edema", 1, 0), ("Edema", 0, 1))
    }
    for values in draws.values():
        assert 0 <= values.min() < 0.001
        assert 0.999 < values.max() < 1
        # standard error of the mean 0.002, of a tenth's share 0.0021
        assert abs(values.mean() - 0.5) < 0.01
        np.testing.assert_allclose(np.histogram(values, 10, (0, 1))[0] / 20_000, 0.1, atol=0.011)
    correlation = np.corrcoef(list(draws.values())) - np.eye(4)
    assert np.abs(correlation).max() < 0.04  # standard error 0.007
