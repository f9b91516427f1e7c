"""The processes that read images: they end with the one that packs, and keep nothing of its own."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from xrdatasets.packed import workers
from xrdatasets.packed.workers import processes

HOME = Path(__file__).resolve().parents[2]

PACKING = """
    import signal, sys, time
    # a shell starts what it runs in the background with interrupts ignored, and children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import xrdatasets as xr
    from xrdatasets.packed import writer, journal
    writer.CHUNK_ROWS, journal.SECONDS = 2, 0.0
    real = xr.Phantom.read
    def slow(self, row, space):
        time.sleep(float(sys.argv[2]))
        return real(self, row, space)
    xr.Phantom.read = slow
    xr.pack(xr.Phantom(24, size=32), sys.argv[1], workers=2, progress=False)
"""


def packing(target, seconds):
    environment = os.environ | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", textwrap.dedent(PACKING), str(target), str(seconds)]
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def begun(child, target):
    """Wait until rows are noted; the processes that read them."""
    journal = target.with_name(f"{target.name}.journal")
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    return Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_process_that_packs_is_killed_its_workers_end_and_hold_no_lock(tmp_path, end):
    target = tmp_path / "a.h5"
    child = packing(target, 0.1)
    readers = begun(child, target)
    assert readers
    child.send_signal(end)
    child.communicate()
    again = packing(target, 0)  # at once, while the readers are ending
    _, errors = again.communicate(timeout=60)
    assert (again.returncode, errors) == (0, "")
    assert target.exists()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in readers):
        assert time.monotonic() < until
        time.sleep(0.02)


@linux
def test_ctrl_c_is_told_once_and_leaves_a_part(tmp_path):
    target = tmp_path / "a.h5"
    child = packing(target, 0.1)
    begun(child, target)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all
    _, errors = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5.journal", "a.h5.part"]


def test_where_other_threads_run_processes_begin_anew():
    held, done = threading.Lock(), threading.Event()
    before = workers._start_method()
    thread = threading.Thread(target=lambda: held.acquire() and done.wait())
    thread.start()
    try:
        assert before in ("fork", "forkserver", "spawn")
        assert workers._start_method() in ("forkserver", "spawn")
    finally:
        done.set()
        thread.join()


def test_a_new_process_reads_with_a_descriptor_that_is_none_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_start_method", lambda: "spawn")
    with (tmp_path / "a").open("wb") as file, processes(1, file.fileno()) as pool:
        assert pool.submit(int, "3").result() == 3


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import xrdatasets as xr\n"
        "from xrdatasets.packed import workers\n"
        "workers._start_method = lambda: 'spawn'\n"
        f"xr.pack(xr.Phantom(9, size=16), {str(tmp_path / 'a.h5')!r}, workers=1)\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(HOME)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert "PackedFileError: the processes that read images could not start" in done.stderr
    assert "below `if __name__" in done.stderr
