"""What a DataLoader gives on the plain path: workers, threads, start methods, batch sizes.

    python benchmarks/image_loading.py [--images N] [--rounds N] [--only WORD ...] FOLDER

Prints images per second by the clock, medians and best of the rounds, which go through all cases by turns;
the CPU milliseconds of an image in all processes together, which another job on the machine disturbs less;
and the seconds from the call to the first batch. The images of FOLDER are linked as often as it takes to
have N.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from images import images_below, lay_out

import xrdatasets as xr

TICK = os.sysconf("SC_CLK_TCK")
Batches = Callable[[], Iterator[Any]]


def children(pid: int) -> Iterator[int]:
    """Processes that a process started, and those that they started, as forkserver does."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                yield int(word)
                yield from children(int(word))


def cpu_seconds() -> float:
    """Of this process and its children, dead or alive."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for pid in children(os.getpid()):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(
                int(field) for field in fields[11:15]
            )  # proc(5): utime, stime, and of what they waited for
    return time.process_time() + ended.ru_utime + ended.ru_stime + ticks / TICK


def with_threads(dataset: Any, threads: int, batch: int) -> Iterator[Any]:
    """Batches in order from a pool of threads, as many ahead as two workers of a loader have by default."""
    from torch.utils.data import default_collate

    with ThreadPoolExecutor(threads) as pool:
        chunks = (range(len(dataset))[at : at + batch] for at in range(0, len(dataset), batch))
        pending = [pool.map(dataset.__getitem__, chunk) for chunk in islice(chunks, 2)]
        while pending:
            samples = list(pending.pop(0))
            pending += [pool.map(dataset.__getitem__, chunk) for chunk in islice(chunks, 1)]
            yield default_collate(samples)


def cases(dataset: Any, batch: int) -> dict[str, Callable[[], Batches]]:
    def workers(count: int, batch: int = batch, **options: Any) -> Callable[[], Batches]:
        return lambda: xr.loader(dataset, batch, workers=count, shuffle=True, **options).__iter__

    def threads(count: int) -> Callable[[], Batches]:
        return lambda: partial(with_threads, dataset, count, batch)

    found = {f"workers {count}": workers(count) for count in (0, 1, 2)}
    found |= {f"workers 2, batch {size}": workers(2, size) for size in (8, 256)}
    found |= {
        f"workers 2, {method}": workers(2, multiprocessing_context=method)
        for method in ("fork", "spawn", "forkserver")
    }
    found["workers 2, not persistent"] = workers(2, persistent_workers=False)
    return found | {f"threads {count}": threads(count) for count in (1, 2, 4)}


def measure(make: Callable[[], Batches], images: int) -> dict[str, float]:
    """An epoch by the clock and in CPU time, after one whose first batch is timed."""
    start = time.perf_counter()
    batches = make()
    iterator = iter(batches())
    next(iterator)
    first = time.perf_counter() - start
    for _ in iterator:
        pass
    wall, cpu = time.perf_counter(), cpu_seconds()
    for _ in batches():
        pass
    return {
        "rate": images / (time.perf_counter() - wall),
        "cpu": (cpu_seconds() - cpu) / images,
        "first": first,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=620)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", nargs="+", help="cases whose name holds one of these words")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = list(islice(cycle(images_below(arguments.folder, arguments.images)), arguments.images))
    with tempfile.TemporaryDirectory() as temporary:
        lay_out(paths, Path(temporary) / "nih")
        dataset = xr.NIH(Path(temporary) / "nih", size=224, views="*")
        wanted = {
            name: make
            for name, make in cases(dataset, arguments.batch).items()
            if not arguments.only or any(word in name for word in arguments.only)
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
        for _ in range(arguments.rounds):
            for name, make in wanted.items():
                runs[name].append(measure(make, len(dataset)))
    print(f"{'':28}{'/s':>8}{'best':>8}{'CPU ms':>9}{'first batch s':>15}")
    for name, found in runs.items():
        rates = [run["rate"] for run in found]
        cpu, first = (statistics.median(run[key] for run in found) for key in ("cpu", "first"))
        print(f"{name:28}{statistics.median(rates):>8.0f}{max(rates):>8.0f}{cpu * 1e3:>9.2f}{first:>15.2f}")


if __name__ == "__main__":
    main()
