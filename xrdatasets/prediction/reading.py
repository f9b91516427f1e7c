"""Prediction, step 3: images are read ahead of the network, by processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import XRDatasetsError

__all__ = ["Loader", "Outcome", "cores", "read_ahead"]

# images that travel between processes at a time, and how many are too few for processes
CHUNK, FEW = 8, 64
# chunks that wait for the network, for each process: 16 images of 224 x 224 are 3 MB
AHEAD = 2
DIED = "the process that read it died: out of memory, or a decoder that does not survive it"

Outcome = npt.NDArray[np.float32] | str


class Loader(Protocol):
    """What reads one image: an `xrdatasets.models.InputSpec`."""

    def load(self, source: str) -> Any:
        """A (1, C, H, W) tensor."""


def read_ahead(
    loader: Loader, paths: Sequence[str], *, workers: int | None = None
) -> Generator[Outcome, None, None]:
    """Read images in order, as many ahead as keep the processes busy.

    Processes, not threads: of NIH's 1024 x 1024 PNGs two threads read as many images a second as one (0.8 to
    1.1 times), two processes 1.4 times as many (0.8 to 1.7), on two cores that had other work. Of JPEGs of
    which one process reads 1,500 a second, two read half as many: handing them over then costs more.

    Args:
        loader: reads one image; it travels to the processes.
        paths: names of files.
        workers: processes; 0 reads in this one, None is one for each core, or 0 for few images.

    Yields:
        For each path (C, H, W) float32, or why it cannot be read.

    Raises:
        XRDatasetsError: processes cannot be started.
    """
    if workers is None:
        workers = 0 if len(paths) <= FEW else cores()
    if not workers:
        yield from (_read(loader, path) for path in paths)
        return
    chunks = [list(paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    done = 0
    while done < len(chunks):
        with contextlib.suppress(BrokenProcessPool):
            for outcomes in _from_processes(loader, chunks[done:], workers):
                yield from outcomes
                done += 1
            return
        # one of the images that were being read killed its process: they are read anew, one by one
        lost = chunks[done : done + workers * AHEAD + 1]
        yield from _one_by_one(loader, [path for chunk in lost for path in chunk])
        done += len(lost)


def cores() -> int:
    """Cores that this process may use: on a cluster fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(loader: Loader, path: str) -> Outcome:
    """An image, or why there is none."""
    try:
        array: npt.NDArray[np.float32] = np.ascontiguousarray(loader.load(path)[0].numpy())
    except Exception as error:  # one strange file of a hundred thousand must not end the rest
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        return reason.removeprefix(f"cannot read '{path}': ") or type(error).__name__
    return array


def _from_processes(loader: Loader, chunks: list[list[str]], workers: int) -> Iterator[list[Outcome]]:
    waiting: deque[Future[list[Outcome]]] = deque()
    with _processes(workers, loader) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(_read_here, chunk))
            if len(waiting) > workers * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _one_by_one(loader: Loader, paths: Sequence[str]) -> Iterator[Outcome]:
    """Images, each read by a process that may die of it."""
    done = 0
    while done < len(paths):
        try:
            with _processes(1, loader) as pool:
                for path in paths[done:]:
                    yield pool.submit(_read_here, [path]).result()[0]
                    done += 1
        except BrokenProcessPool:
            yield DIED
            done += 1


@contextlib.contextmanager
def _processes(count: int, loader: Loader) -> Iterator[ProcessPoolExecutor]:
    """Processes until the block ends."""
    method = _start_method()
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(loader,))
    try:
        _start(pool)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(pool: ProcessPoolExecutor) -> None:
    """Start the processes: forked ones all at once, others as they are needed.

    Raises:
        XRDatasetsError: none can be started, which is no image's fault.
    """
    try:
        with warnings.catch_warnings():
            # Python 3.12 and newer count the threads of libraries, too; the new process uses none of them
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        msg = (
            "the processes that read images could not start; stderr has their own words. In a script, "
            'predict below `if __name__ == "__main__":`, because they import it first; or pass workers=0.'
        )
        raise XRDatasetsError(msg) from error


def _start_method() -> str:
    """How processes begin: as copies of this one where that is safe, else anew.

    A copy has its thread alone: what other threads held locked stays locked. The thread with which tqdm
    watches its bars is none of those.
    """
    there = multiprocessing.get_all_start_methods()
    others = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and not type(thread).__module__.startswith("tqdm")
    ]
    if "fork" in there and sys.platform != "darwin" and not others:
        return "fork"
    return "forkserver" if "forkserver" in there else "spawn"


# the loader of a process that reads, so that it travels there once
_here: dict[str, Loader] = {}


def _begin(loader: Loader) -> None:
    """What a new process does first."""
    _here["loader"] = loader
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that predicts
    # libraries that make their threads when they are first used: here the processes are the threads
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End when the process that predicts has ended, however that was."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _read_here(paths: list[str]) -> list[Outcome]:
    return [_read(_here["loader"], path) for path in paths]
