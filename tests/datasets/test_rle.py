"""COCO's compressed run lengths: answers worked out by hand."""

import numpy as np
import pytest

from xrdatasets.datasets.releases.rle import read_runs_word, run_lengths
from xrdatasets.datasets.runs import decode_runs


def compress(counts):
    """The same as in COCO's C code, number by number and letter by letter."""
    word = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            word += chr(48 + (bits | (0x20 if more else 0)))
    return word


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("0", [0]),
        ("112", [1, 1, 2]),
        ("`0", [16]),  # 16 = 10000: its top bit would be the sign, so a second letter follows
        ("o0", [31]),
        ("P1", [32]),
        ("ifdl3", [2021 * 2021]),  # an empty mask: 25 + 22 * 32 + 20 * 1024 + 28 * 32768 + 3 * 1048576
        ("1230", [1, 2, 3, 2]),  # the fourth is the second and 0
        ("123O", [1, 2, 3, 1]),  # O = 011111: -1
        ("12340N", [1, 2, 3, 6, 3, 4]),  # 2 + 4, 3 + 0, 6 - 2
    ],
)
def test_known_words(word, expected):
    assert read_runs_word(word).tolist() == expected


def test_random_masks_come_back():
    rng = np.random.default_rng(7)
    for scale in (3, 100, 100_000, 10_000_000):
        counts = rng.integers(0, scale, 51).tolist()
        assert read_runs_word(compress(counts)).tolist() == counts


def test_a_word_and_its_list_are_the_same_mask():
    counts = [3, 2, 6, 1]
    word = compress(counts)
    assert run_lengths(word, [4, 3]).tolist() == run_lengths(counts, [4, 3]).tolist() == counts
    expected = [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert decode_runs(run_lengths(word, [4, 3]), (4, 3)).tolist() == expected


@pytest.mark.parametrize("word", ["", "11 2", "1Q", "1\x7f", "1é"])
def test_words_that_are_none(word):
    with pytest.raises(ValueError, match=r"counts: expected run lengths as COCO compresses them, got"):
        read_runs_word(word)


@pytest.mark.parametrize("counts", [None, 5, ["1", "3"], [1.5, 2.5], {"a": 1}])
def test_counts_that_are_none(counts):
    with pytest.raises(ValueError, match=r"counts: expected a word or a list of lengths, got"):
        run_lengths(counts, [2, 2])


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([1, 2], [2, 2]),
        ([5], [2, 2]),
        ([6, -2], [2, 2]),
        ([4], [4]),
        ([4], None),
        ([4], ["2", "2"]),
        ([], [0, 0]),
    ],
)
def test_lengths_that_do_not_fill_the_mask(counts, size):
    with pytest.raises(ValueError, match=r"counts: expected lengths that fill a mask of"):
        run_lengths(counts, size)


@pytest.mark.parametrize(
    ("counts", "size"), [([10**400], [2, 2]), ([4], [10**200, 10**200]), ([10**12], [10**6, 10**6])]
)
def test_numbers_beyond_any_image(counts, size):
    with pytest.raises(ValueError, match=r"counts: expected lengths that fill a mask of"):
        run_lengths(counts, size)
