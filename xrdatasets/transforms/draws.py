"""Transforms, step 1: chance; a number of its own for each image, from which all that happens to it follows.

Random numbers are SplitMix64's (Steele, Lea & Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) in torch's 64-bit integers, which wrap: the n-th number of a seed is computed from both alone. So
what happens to an image depends neither on the images beside it nor on the device, and no generator of the
process is touched.
"""

from __future__ import annotations

import math
import operator

import torch
from torch import Tensor

__all__ = [
    "draw_bits",
    "draw_coarse",
    "draw_normal",
    "draw_seeds",
    "draw_uniform",
    "image_seeds",
    "split_seeds",
]


def _signed(value: int) -> int:
    """The int64 with the bits of a whole number's lowest 64."""
    return (value & (2**64 - 1)) - ((value & 2**63) << 1)


# the golden gamma and the finaliser (Stafford's variant 13) of SplitMix64
_GAMMA = _signed(0x9E3779B97F4A7C15)
_MIX = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)))
_LAST_SHIFT = 31


def image_seeds(idx: Tensor, *, seed: int = 0, epoch: int = 0) -> Tensor:
    """One seed for each image, from what the image is and not from where it stands in a batch.

    With these an image is changed in the same way on any number of workers, in any order and batch size,
    and in another way in the next epoch.

    Args:
        idx: (B,) integers, the images' positions in the dataset: ``batch["idx"]``.
        seed: of the whole training.
        epoch: the present one.

    Returns:
        (B,) int64 on the CPU, for the argument `seeds` of a transform.

    Raises:
        ValueError: `idx` is no one-dimensional tensor of integers, `seed` or `epoch` no whole number.

    Example:
        >>> image_seeds(torch.tensor([3, 7]), epoch=1)[1] == image_seeds(torch.tensor([7]), epoch=1)[0]
        tensor(True)
    """
    _check_idx(idx)
    state = torch.zeros(1, dtype=torch.int64)
    for name, value in (("seed", seed), ("epoch", epoch)):
        state = _finalised((state ^ _signed(_whole(name, value))) + _GAMMA)
    return _finalised((state ^ idx.to("cpu", torch.int64)) + _GAMMA)


def draw_seeds(count: int, generator: torch.Generator | None) -> Tensor:
    """One seed for each of the next images.

    Args:
        count: B, the images.
        generator: a torch generator on the CPU, which moves on by B numbers; None for a new one that the
            operating system seeds.

    Returns:
        (B,) int64 on the CPU.

    Raises:
        ValueError: the generator is none, or lives on another device.

    Example:
        >>> draw_seeds(2, torch.Generator().manual_seed(0)).shape
        torch.Size([2])
    """
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    _check_generator(generator)
    return torch.empty(count, dtype=torch.int64).random_(generator=generator)


def split_seeds(seeds: Tensor, count: int) -> list[Tensor]:
    """Several independent seeds for each image.

    Args:
        seeds: (B,) int64.
        count: how many.

    Returns:
        `count` tensors, each (B,) int64.

    Example:
        >>> len(split_seeds(torch.tensor([1, 2, 3]), 2))
        2
    """
    return list(draw_bits(seeds, count).unbind(1))


def draw_bits(seeds: Tensor, count: int) -> Tensor:
    """The first numbers of each seed's stream.

    Args:
        seeds: (B,) int64.
        count: numbers for each.

    Returns:
        (B, count) int64, every bit random, on the device of the seeds.

    Example:
        >>> hex(draw_bits(torch.tensor([0]), 1).item() % 2**64)  # the first of SplitMix64, started at 0
        '0xe220a8397b1dcdaf'
    """
    steps = torch.arange(1, count + 1, device=seeds.device)
    return _finalised(seeds[:, None] + steps * _GAMMA)


def draw_uniform(seeds: Tensor, count: int) -> Tensor:
    """Numbers that are uniform in [0, 1).

    Args:
        seeds: (B,) int64.
        count: numbers for each.

    Returns:
        (B, count) float64, of 53 random bits.

    Example:
        >>> draw_uniform(torch.tensor([0]), 2)
        tensor([[0.8833, 0.4315]], dtype=torch.float64)
    """
    return _shifted(draw_bits(seeds, count), 11).double() * 2.0**-53


def draw_coarse(seeds: Tensor, count: int) -> Tensor:
    """Numbers that are uniform in [0, 1), for many at once: two of each 64 bits.

    Args:
        seeds: (B,) int64.
        count: numbers for each.

    Returns:
        (B, count) float32, of 24 random bits, as many as float32 holds; on the device of the seeds.

    Example:
        >>> draw_coarse(torch.tensor([0]), 3).shape
        torch.Size([1, 3])
    """
    return torch.cat(_halves(seeds, count), dim=1)[:, :count]


def draw_normal(seeds: Tensor, count: int) -> Tensor:
    """Numbers of mean 0 and standard deviation 1, by Box and Muller's formula.

    Args:
        seeds: (B,) int64.
        count: numbers for each.

    Returns:
        (B, count) float32 on the device of the seeds, all below 6 in size; devices differ by rounding.

    Example:
        >>> draw_normal(torch.tensor([0]), 3).shape
        torch.Size([1, 3])
    """
    first, second = _halves(seeds, count)
    radius = first.add_(2.0**-25).log_().mul_(-2).sqrt_()
    angle = second.mul_(2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _halves(seeds: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two numbers in [0, 1) of each 64 bits, (B, half of count, rounded up) float32."""
    bits = draw_bits(seeds, -(-count // 2))
    fractions = (_shifted(bits, 40), (bits >> 8) & (2**24 - 1))
    return fractions[0].float().mul_(2.0**-24), fractions[1].float().mul_(2.0**-24)


def _finalised(values: Tensor) -> Tensor:
    for shift, factor in _MIX:
        values = (values ^ _shifted(values, shift)) * factor
    return values ^ _shifted(values, _LAST_SHIFT)


def _shifted(values: Tensor, shift: int) -> Tensor:
    """Shifted right, zeros coming in: torch's shift of int64 repeats the sign."""
    shifted: Tensor = (values >> shift) & (2 ** (64 - shift) - 1)
    return shifted


def _check_idx(idx: object) -> None:
    if not isinstance(idx, Tensor) or idx.ndim != 1 or idx.is_floating_point() or idx.is_complex():
        msg = f"idx: expected a tensor of B integers, got {idx!r}."
        raise ValueError(msg)


def _check_generator(generator: object) -> None:
    if isinstance(generator, torch.Generator) and generator.device.type == "cpu":
        return
    got = f"one on {generator.device}" if isinstance(generator, torch.Generator) else repr(generator)
    msg = (
        f"generator: expected a torch.Generator on the CPU, got {got}. It serves images on every device, "
        "with the same result."
    )
    raise ValueError(msg)


def _whole(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        msg = f"{name}: expected a whole number, got {value!r}."
        raise ValueError(msg) from None
