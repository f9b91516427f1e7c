"""Training: which images make a batch, when datasets of unlike size are to have the same share in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from xrdatasets.models.heads.base import check_count

__all__ = ["EqualShares"]


class EqualShares(Sampler[list[int]]):
    """Batches with the same number of images from each dataset.

    An epoch is one pass over the largest dataset; the smaller ones are gone through again and again, each
    time in a new order, so that no image comes twice before all have come once. The images of a joined
    dataset are counted through: its first part has the first `sizes[0]` indices, and so on.

    It is a batch sampler: ``DataLoader(ds, batch_sampler=EqualShares(...))``. In a process group every
    process takes its own part of the same epoch (`rank`, `world`), and all have the same number of batches;
    do not let a trainer put another sampler in its place (Lightning: ``use_distributed_sampler=False``).

    Args:
        sizes: images of each dataset, at least 1.
        each: images of each dataset in a batch (of each process).
        seed: of the order.
        rank: of this process, from 0.
        world: number of processes.

    Attributes:
        epoch: from 0; `set_epoch` sets it, and it rises by one after each pass.

    Raises:
        ValueError: an argument is none of the above.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, section IV-B: "we sample equal number of images from each dataset";
        what an epoch is there is open, and this is our reading.

    Example:
        >>> shares = EqualShares([4, 2], 2)
        >>> [len(batch) for batch in shares]
        [4, 4]
        >>> all(sum(index < 4 for index in batch) == 2 for batch in shares)
        True
    """

    def __init__(
        self, sizes: Sequence[int], each: int, *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.sizes = tuple(sizes)
        if not self.sizes:
            raise ValueError("sizes: expected at least one dataset, got none.")
        for size in self.sizes:
            check_count("sizes", size, least=1)
        check_count("each", each, least=1)
        check_count("seed", seed, least=0)
        check_count("rank", rank, least=0)
        check_count("world", world, least=1)
        if rank >= world:
            msg = f"rank: expected less than {world}, the number of processes, got {rank}."
            raise ValueError(msg)
        self.each, self.seed, self.rank, self.world = each, seed, rank, world
        self.epoch = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-max(self.sizes) // (self.each * self.world))

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of this process in the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        length, starts = len(self) * self.each * self.world, [0]
        for size in self.sizes:
            starts.append(starts[-1] + size)
        rows = [
            self._order(part, epoch, length).reshape(-1, self.world, self.each)[:, self.rank] + start
            for part, start in enumerate(starts[:-1])
        ]
        yield from torch.cat(rows, dim=1).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that comes next: the same one is the same order in every process.

        Args:
            epoch: from 0.

        Raises:
            ValueError: it is no whole number of at least 0.
        """
        check_count("epoch", epoch, least=0)
        self.epoch = epoch

    def _order(self, part: int, epoch: int, length: int) -> torch.Tensor:
        """(length,) indices of a dataset in an epoch: as if its passes ran on from epoch to epoch."""
        size = self.sizes[part]
        first = epoch * length if size < max(self.sizes) else epoch * size
        begin, end = first // size, -(-(first + length) // size)
        passes = [self._pass(part, number) for number in range(begin, end)]
        return torch.cat(passes)[first - begin * size :][:length]

    def _pass(self, part: int, number: int) -> torch.Tensor:
        """One whole pass over a dataset, in its own order."""
        generator = torch.Generator()
        # one number of three, so that no two passes have the same order but by chance
        mixed = np.random.SeedSequence([self.seed, part, number]).generate_state(1, np.uint64)
        generator.manual_seed(int(mixed[0]) >> 1)
        return torch.randperm(self.sizes[part], generator=generator)
