"""Packed, step 1: the processes that read images, which end with the one that packs, however that ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from xrdatasets.errors import PackedFileError

__all__ = ["cores", "processes"]


@contextlib.contextmanager
def processes(count: int, held: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of this machine, until the block ends.

    Args:
        count: how many.
        held: descriptor of the locked journal. A forked process has a copy of it, which would keep the lock
            after the process that packs was killed; so it is closed there.
    """
    method = _start_method()
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context(method),
        initializer=_begin,
        initargs=(held if method == "fork" else None,),
    )
    try:
        _start(pool, method)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Cores that this process may use: on a cluster fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_method() -> str:
    """How processes begin: as copies of this one where that is safe, else anew.

    A copy has what is imported already, and its thread alone: what other threads held locked stays locked.
    The thread with which tqdm watches its bars is none of those.
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


def _start(pool: ProcessPoolExecutor, method: str) -> None:
    """Start the processes: forked ones all at once, others as they are needed.

    Raises:
        PackedFileError: none can be started.
    """
    try:
        if method != "fork":
            pool.submit(os.getpid).result()
            return
        with warnings.catch_warnings():  # no other thread is there to miss one
            # Python 3.12 and newer count the threads of libraries, too: OpenBLAS has its own care for forks
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        msg = (
            "the processes that read images could not start; stderr has their own words. In a script, pack "
            'below `if __name__ == "__main__":`, because they begin by importing it; or pass workers=0.'
        )
        raise PackedFileError(msg) from error


def _begin(held: int | None) -> None:
    """What a new process does first."""
    if held is not None:
        os.close(held)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that packs
    # libraries that make their threads when they are first used: here the processes are the threads
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End when the process that packs has ended; a pool's processes would wait for ever."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
