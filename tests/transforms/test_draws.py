"""Chance: SplitMix64 as published, uniform and normal numbers, seeds that belong to an image."""

import pytest
import scipy.stats
import torch

from xrdatasets.transforms import image_seeds
from xrdatasets.transforms.draws import (
    draw_bits,
    draw_coarse,
    draw_normal,
    draw_seeds,
    draw_uniform,
    split_seeds,
)

# the first outputs of the reference program (prng.di.unimi.it/splitmix64.c), started at 0
PUBLISHED = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
WRAP = 2**64


def splitmix64(state, count):
    """The generator in Python's whole numbers, which never overflow."""
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % WRAP
        value = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WRAP
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % WRAP
        yield value ^ (value >> 31)


def test_bits_are_splitmix64s():
    assert [bits % WRAP for bits in draw_bits(torch.tensor([0]), 3)[0].tolist()] == PUBLISHED
    for seed in (1, -1, 2**63 - 1, -(2**63), 123_456_789):
        drawn = draw_bits(torch.tensor([seed]), 20)[0].tolist()
        assert [bits % WRAP for bits in drawn] == list(splitmix64(seed % WRAP, 20))


def test_uniform_numbers_have_the_upper_53_bits():
    drawn = draw_uniform(torch.tensor([7, -7]), 100)
    for row, seed in zip(drawn.tolist(), (7, -7), strict=True):
        assert row == [(bits >> 11) / 2**53 for bits in splitmix64(seed % WRAP, 100)]


def test_coarse_numbers_have_two_times_24_bits_of_64():
    drawn, bits = draw_coarse(torch.tensor([9]), 7)[0], list(splitmix64(9, 4))
    expected = [(value >> 40) / 2**24 for value in bits] + [(value >> 8) % 2**24 / 2**24 for value in bits]
    assert drawn.tolist() == expected[:7]


@pytest.mark.parametrize("axis", [0, 1], ids=["over seeds", "within one"])
def test_numbers_are_uniform_and_normal(axis):
    seeds = torch.arange(20_000) if axis == 0 else torch.tensor([5])
    count = 1 if axis == 0 else 20_000
    assert scipy.stats.kstest(draw_uniform(seeds, count).flatten().numpy(), "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(draw_coarse(seeds, count).flatten().numpy(), "uniform").pvalue > 1e-3
    normal = draw_normal(seeds, count).flatten().numpy()
    assert scipy.stats.kstest(normal, "norm").pvalue > 1e-3
    assert abs(normal).max() < 6


def test_neighbours_are_independent():
    normal = draw_normal(torch.arange(500), 1000)
    for near, far in ((normal[1:], normal[:-1]), (normal[:, 1:], normal[:, :-1])):
        assert abs((near * far).mean()) < 4 / near.numel() ** 0.5
    # both halves come from the same bits
    assert abs((normal[:, :500] * normal[:, 500:]).mean()) < 4 / 250_000**0.5


def test_an_odd_count_is_a_part_of_the_even_one_s_numbers():
    seeds = torch.tensor([1, 2])
    assert draw_normal(seeds, 5).shape == (2, 5)
    assert torch.equal(draw_normal(seeds, 5)[:, :3], draw_normal(seeds, 6)[:, :3])


def test_no_images_are_no_numbers():
    none = torch.empty(0, dtype=torch.int64)
    assert draw_normal(none, 3).shape == draw_uniform(none, 3).shape == (0, 3)
    assert [part.shape for part in split_seeds(none, 2)] == [(0,), (0,)]


def test_the_row_of_seeds_does_not_depend_on_how_it_is_cut(draw):
    whole, parts = draw(3), draw(3)
    cut = torch.cat([draw_seeds(count, parts) for count in (1, 5, 0, 2)])
    assert torch.equal(draw_seeds(8, whole), cut)
    assert torch.equal(whole.get_state(), parts.get_state())


def test_without_a_generator_every_call_is_another():
    assert not torch.equal(draw_seeds(2, None), draw_seeds(2, None))


def test_an_image_has_its_own_seed_in_every_epoch():
    idx = torch.arange(200_000)
    seeds = image_seeds(idx, seed=1, epoch=2)
    assert seeds.unique().numel() == idx.numel()
    shuffled = torch.randperm(len(idx), generator=torch.Generator().manual_seed(0))
    assert torch.equal(image_seeds(shuffled.int(), seed=1, epoch=2), seeds[shuffled])
    others = [image_seeds(idx, seed=2, epoch=1), image_seeds(idx, seed=1, epoch=3), image_seeds(idx)]
    for other in others:
        assert torch.cat([seeds, other]).unique().numel() == 2 * idx.numel()


def test_large_and_negative_seeds_are_seeds():
    idx = torch.tensor([0])
    assert len({image_seeds(idx, seed=seed).item() for seed in (0, -1, 2**63, 2**64 - 2)}) == 4


@pytest.mark.parametrize("idx", [3, [1, 2], torch.tensor(3), torch.zeros(2), torch.zeros(2, 2).long()])
def test_a_wrong_idx_is_named(idx):
    with pytest.raises(ValueError, match="idx: expected a tensor of B integers, got"):
        image_seeds(idx)


@pytest.mark.parametrize("name", ["seed", "epoch"])
@pytest.mark.parametrize("value", [1.5, "1", None])
def test_a_wrong_seed_or_epoch_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a whole number, got"):
        image_seeds(torch.tensor([1]), **{name: value})


@pytest.mark.parametrize("generator", [0, "cpu", torch.default_generator.get_state()])
def test_a_wrong_generator_is_named(generator):
    with pytest.raises(ValueError, match=r"generator: expected a torch\.Generator on the CPU, got"):
        draw_seeds(2, generator)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_numbers_are_the_same_on_a_gpu():
    seeds = torch.arange(50)
    assert torch.equal(draw_uniform(seeds.cuda(), 100).cpu(), draw_uniform(seeds, 100))
    torch.testing.assert_close(draw_normal(seeds.cuda(), 100).cpu(), draw_normal(seeds, 100))
    with pytest.raises(
        ValueError, match=r"generator: expected a torch\.Generator on the CPU, got one on cuda"
    ):
        draw_seeds(2, torch.Generator("cuda"))
