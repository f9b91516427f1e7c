"""Batches with equal shares: what is in them, passes of the smaller datasets, processes, and epochs."""

import subprocess
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, strategies as st

import xrdatasets as xr
from xrdatasets.training import EqualShares

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def part_of(index, sizes):
    for part, size in enumerate(sizes):
        if index < size:
            return part
        index -= size
    raise AssertionError("beyond the last dataset")


@given(SIZES, st.integers(1, 7), st.integers(1, 3))
def test_each_batch_has_the_same_share_of_each_dataset(sizes, each, world):
    for rank in range(world):
        shares = EqualShares(sizes, each, rank=rank, world=world)
        batches = list(shares)
        assert len(batches) == len(shares)
        for batch in batches:
            assert Counter(part_of(index, sizes) for index in batch) == dict.fromkeys(range(len(sizes)), each)


@given(SIZES, st.integers(1, 7), st.integers(1, 3))
def test_an_epoch_has_every_image_and_none_much_more_often_than_another(sizes, each, world):
    counts = Counter()
    for rank in range(world):
        for batch in EqualShares(sizes, each, rank=rank, world=world):
            counts.update(batch)
    start = 0
    for size in sizes:
        times = [counts[index] for index in range(start, start + size)]
        assert min(times) >= 1
        assert max(times) - min(times) <= 1
        start += size


def test_a_small_dataset_goes_on_where_the_epoch_before_ended():
    shares = EqualShares([8, 5], 4)
    seen = Counter(index for _ in range(5) for batch in shares for index in batch)
    assert {seen[index] for index in range(8, 13)} == {8}  # 5 epochs of 8 are 8 passes of 5


def test_processes_share_one_epoch():
    whole = [batch for batch in EqualShares([12, 6], 4, seed=3)]  # noqa: C416
    halves = [list(EqualShares([12, 6], 2, seed=3, rank=rank, world=2)) for rank in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert batch == [*first[:2], *second[:2], *first[2:], *second[2:]]


def test_epochs_differ_and_can_be_chosen():
    shares = EqualShares([30], 10)
    first, second = list(shares), list(shares)
    assert first != second
    assert shares.epoch == 2
    shares.set_epoch(0)
    assert list(shares) == first
    assert list(EqualShares([30], 10, seed=1)) != first


def test_the_order_does_not_depend_on_the_process():
    code = "from xrdatasets.training import EqualShares; print(list(EqualShares([9, 4], 3, seed=5)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(list(EqualShares([9, 4], 3, seed=5)))


def test_the_global_generator_is_not_used():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    list(EqualShares([9, 4], 3))
    assert torch.equal(torch.rand(1), wanted)


def test_a_loader_takes_it():
    joined = xr.concat([xr.Phantom(6, "A", size=16), xr.Phantom(3, "B", size=16)])
    batches = EqualShares([6, 3], 2)
    options = {"batch_size": 1, "shuffle": None, "sampler": None, "batch_sampler": batches}
    for batch in xr.loader(joined, workers=0, **options):
        assert batch["source"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sizes": []}, "sizes"),
        ({"sizes": [0]}, "sizes"),
        ({"each": 0}, "each"),
        ({"seed": -1}, "seed"),
        ({"rank": 2, "world": 2}, "rank"),
        ({"world": 0}, "world"),
    ],
)
def test_wrong_arguments_are_named(options, name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        EqualShares(**{"sizes": [3], "each": 2, **options})
