"""Packing: the same bytes whatever happens on the way, and nothing half-written under the final name."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.packed import writer
from xrdatasets.packed.journal import Journal

HOME = Path(__file__).resolve().parents[2]
ROWS = 60


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_ROWS", 4)


@pytest.fixture(scope="module")
def phantom():
    return xr.Phantom(ROWS, size=32)


@pytest.fixture(scope="module")
def undisturbed(phantom, tmp_path_factory):
    """The bytes of the file that nothing interrupted."""
    return xr.pack(phantom, tmp_path_factory.mktemp("whole") / "a.h5", workers=0).read_bytes()


def left_over(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("workers", [0, 1, 2, None])
def test_any_number_of_workers_writes_the_same_bytes(phantom, undisturbed, tmp_path, workers):
    file = xr.pack(phantom, tmp_path / "a.h5", workers=workers)
    assert file.read_bytes() == undisturbed
    assert left_over(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_writes_the_same_bytes_and_stays_open(phantom, undisturbed, tmp_path, kind):
    with kind(2) as executor:
        assert xr.pack(phantom, tmp_path / "a.h5", executor=executor, workers=2).read_bytes() == undisturbed
        assert executor.submit(int, "3").result() == 3


class Lazy(Executor):
    """Counts the tasks that are under way; each is done when its result is asked for."""

    def __init__(self):
        self.waiting = self.most = 0

    def submit(self, task, /, *args, **options):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        future = Future()
        result = future.result

        def ask(timeout=None):
            self.waiting -= 1
            future.set_result(task(*args, **options))
            return result(timeout)

        future.result = ask
        return future


def test_results_that_wait_do_not_grow_with_the_dataset(phantom, undisturbed, tmp_path):
    executor = Lazy()
    assert xr.pack(phantom, tmp_path / "a.h5", executor=executor, workers=2).read_bytes() == undisturbed
    assert executor.most == 6


def test_a_task_carries_its_own_images_alone(tmp_path):
    import pickle

    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    alone = ds.alone(np.array([2]))
    assert list(alone.files.paths) == [ds.table.image_id[2]]
    assert len(pickle.dumps(alone)) < len(pickle.dumps(ds))
    assert (alone[0]["img"] == ds[2]["img"]).all()


def test_a_task_carries_its_own_members_of_an_archive_alone(tmp_path):
    ds = xr.ObjectCXR(fakes.write("object_cxr", tmp_path / "o"), size=16)
    alone = ds.alone(np.array([1]))
    assert len(alone.files.paths) == 1
    assert (alone[0]["img"] == ds[1]["img"]).all()


class Stops(Exception):
    """Stands for whatever ends a process between two chunks."""


def stopping(monkeypatch, after):
    """Let packing end after so many chunks."""
    real, done = writer.read_chunks, []

    def chunks(*args, **options):
        for chunk in real(*args, **options):
            yield chunk
            done.append(chunk)
            if len(done) == after:
                raise Stops

    monkeypatch.setattr(writer, "read_chunks", chunks)


@pytest.mark.parametrize("after", [1, 7, 14])
def test_it_goes_on_where_it_stopped(phantom, undisturbed, tmp_path, monkeypatch, after):
    with monkeypatch.context() as patch:
        stopping(patch, after)
        with pytest.raises(Stops):
            xr.pack(phantom, tmp_path / "a.h5", workers=0)
    assert left_over(tmp_path) == ["a.h5.journal", "a.h5.part"]
    read = []
    with monkeypatch.context() as patch:
        real = writer.read_chunks
        patch.setattr(
            writer,
            "read_chunks",
            lambda images, parts, *a, **k: real(images, map(seen(read), parts), *a, **k),
        )
        file = xr.pack(phantom, tmp_path / "a.h5", workers=0)
    assert sum(map(len, read)) == ROWS - 4 * after
    assert file.read_bytes() == undisturbed
    assert left_over(tmp_path) == ["a.h5"]


def seen(into):
    def note(rows):
        into.append(rows)
        return rows

    return note


def test_resumed_with_other_chunks_and_workers(phantom, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 5)
        with pytest.raises(Stops):
            xr.pack(phantom, tmp_path / "a.h5", workers=0)
    monkeypatch.setattr(writer, "CHUNK_ROWS", 7)
    assert xr.pack(phantom, tmp_path / "a.h5", workers=2).read_bytes() == undisturbed


def run(code, **options):
    environment = os.environ | {"PYTHONPATH": str(HOME), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True, start_new_session=True, **options,
    )  # fmt: skip


SLOW = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has them ignored
    import xrdatasets as xr
    from xrdatasets.packed import writer, journal
    writer.CHUNK_ROWS, journal.SECONDS = 2, 0.0
    real = xr.Phantom.read
    def slow(self, row, space):
        time.sleep(0.02)
        return real(self, row, space)
    xr.Phantom.read = slow
    ds = xr.Phantom({rows}, size=32)
    print("ready", flush=True)
    xr.pack(ds, sys.argv[1] if len(sys.argv) > 1 else {target!r}, workers={workers})
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_moment(phantom, undisturbed, tmp_path, workers):
    target = tmp_path / "a.h5"
    moments = random.Random(workers)
    rounds = 0
    while not target.exists():
        rounds += 1
        child = run(SLOW.format(rows=ROWS, target=str(target), workers=workers))
        child.stdout.readline()
        try:
            child.wait(moments.uniform(0.02, 0.9) if rounds < 5 else 60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if target.exists():
            break
        assert set(left_over(tmp_path)) <= {"a.h5.journal", "a.h5.part"}
        assert rounds < 8
    assert target.read_bytes() == undisturbed
    if (tmp_path / "a.h5.journal").exists():  # killed between the last two steps
        xr.pack(phantom, target, workers=0, overwrite=True)
    assert left_over(tmp_path) == ["a.h5"]


def test_killed_in_the_very_first_moments(phantom, undisturbed, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(b"\x89HDF\r\n\x1a\n half of a head")
    (tmp_path / "a.h5.journal").write_bytes(b"")
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0).read_bytes() == undisturbed


def test_a_last_line_that_is_cut_does_not_count(phantom, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 6)
        with pytest.raises(Stops):
            xr.pack(phantom, tmp_path / "a.h5", workers=0)
    journal = tmp_path / "a.h5.journal"
    journal.write_bytes(journal.read_bytes()[:-4])
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0).read_bytes() == undisturbed


def test_a_part_that_was_cut_is_begun_anew(phantom, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 6)
        with pytest.raises(Stops):
            xr.pack(phantom, tmp_path / "a.h5", workers=0)
    os.truncate(tmp_path / "a.h5.part", 40_000)
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0).read_bytes() == undisturbed


def test_what_is_left_of_another_job_is_not_mixed_in(phantom, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping(patch, 2)
        with pytest.raises(Stops):
            xr.pack(xr.Phantom(ROWS, seed=1, size=32), tmp_path / "a.h5", workers=0)
    with pytest.raises(xr.PackedFileError, match=r"a\.h5\.journal.* is of another job.*overwrite=True"):
        xr.pack(phantom, tmp_path / "a.h5", workers=0)
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0, overwrite=True).read_bytes() == undisturbed


@pytest.mark.parametrize("text", [b"not a journal\n", b"{}\n", b'{"format": 1}\n[[1]]\n', b"\xff\xfe\n"])
def test_a_journal_that_cannot_be_read(phantom, undisturbed, tmp_path, text):
    (tmp_path / "a.h5.journal").write_bytes(text)
    with pytest.raises(xr.PackedFileError, match=r"is no journal that can be read"):
        xr.pack(phantom, tmp_path / "a.h5", workers=0)
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0, overwrite=True).read_bytes() == undisturbed


def test_two_that_pack_to_one_file(phantom, tmp_path):
    holder = Journal(tmp_path / "a.h5.journal", "another", ROWS)
    holder.begin()
    for overwrite in (False, True):
        with pytest.raises(xr.PackedFileError, match=r"is in use: another process is packing to this file"):
            xr.pack(phantom, tmp_path / "a.h5", workers=0, overwrite=overwrite)
    holder.close()


def test_the_target_is_whole_or_as_it_was(phantom, undisturbed, tmp_path, monkeypatch):
    file = xr.pack(xr.Phantom(3, size=32), tmp_path / "a.h5", workers=0)
    before = file.read_bytes()
    with pytest.raises(xr.PackedFileError, match=r"is there already.*overwrite=True"):
        xr.pack(phantom, file, workers=0)
    with monkeypatch.context() as patch:
        stopping(patch, 3)
        with pytest.raises(Stops):
            xr.pack(phantom, file, workers=0, overwrite=True)
    assert file.read_bytes() == before
    assert xr.pack(phantom, file, workers=0, overwrite=True).read_bytes() == undisturbed


def test_a_disk_without_room_is_told_before_any_work(phantom, tmp_path):
    code = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        import xrdatasets as xr
        try:
            xr.pack(xr.Phantom({ROWS}, size=32), {str(tmp_path / "a.h5")!r}, workers=0)
        except xr.PackedFileError as error:
            print(error)
    """
    out, err = run(code).communicate()
    assert "cannot be written (File too large)" in out, err
    assert "make room, then pack again with the same arguments to go on" in out
    assert not (tmp_path / "a.h5").exists()


def test_a_disk_that_fills_up_keeps_what_is_written(phantom, undisturbed, tmp_path, monkeypatch):
    real, left = os.pwrite, [7]

    def full(descriptor, data, offset):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(xr.PackedFileError, match=r"No space left on device"):
            xr.pack(phantom, tmp_path / "a.h5", workers=0)
    header, *lines = (tmp_path / "a.h5.journal").read_text().splitlines()
    assert json.loads(header)["format"] == "xrdatasets-packed"
    assert len(lines) == 7  # of 4 rows each
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0).read_bytes() == undisturbed


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small tmpfs needs root on Linux"
)
def test_a_full_tmpfs(phantom, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with pytest.raises(xr.PackedFileError, match=r"No space left on device"):
            xr.pack(phantom, disk / "a.h5", workers=0)
        assert not (disk / "a.h5").exists()
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert xr.pack(phantom, disk / "a.h5", workers=0).read_bytes() == undisturbed
    finally:
        subprocess.run(["umount", disk], check=True)


def test_interrupted_by_ctrl_c(phantom, undisturbed, tmp_path):
    target = tmp_path / "a.h5"
    child = run(SLOW.format(rows=ROWS, target=str(target), workers=2))
    child.stdout.readline()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        journal = tmp_path / "a.h5.journal"
        if journal.exists() and journal.read_bytes().count(b"\n") > 3:
            break
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    assert not target.exists()
    assert xr.pack(phantom, target, workers=0).read_bytes() == undisturbed


def die(*_):
    os._exit(9)


def test_a_worker_that_dies(phantom, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("xrdatasets.packed.chunks.read_chunk", die)
        with pytest.raises(
            xr.PackedFileError, match=r"a process that read images .* died.*with fewer workers"
        ):
            xr.pack(phantom, tmp_path / "a.h5", workers=2)
    assert xr.pack(phantom, tmp_path / "a.h5", workers=0).read_bytes() == undisturbed


def test_a_damaged_image_stops_it_or_is_left_out(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    victim = ds.files.get(ds.table.image_id[3])
    data = victim.read_bytes()
    victim.write_bytes(data[:-40])
    with pytest.raises(xr.ImageReadError, match=rf"nih: cannot read '.*{victim.name}'"):
        xr.pack(ds, tmp_path / "a.h5", workers=2)
    victim.write_bytes(data)
    mended = xr.pack(ds, tmp_path / "a.h5", workers=2)
    assert len(xr.open(mended)) == 5
    for name in ds.files.paths.values():
        Path(name).write_bytes(b"")
    with pytest.raises(xr.PackedFileError, match=r"none of the images could be read"):
        xr.pack(ds, tmp_path / "b.h5", workers=0, damaged="drop")


def test_a_missing_image(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    ds.files.get(ds.table.image_id[0]).unlink()
    with pytest.raises(xr.ImageReadError, match=r"No such file"):
        xr.pack(ds, tmp_path / "a.h5", workers=0)
    other = xr.NIH(tmp_path / "nih", size=16, missing="keep")
    with pytest.raises(xr.DatasetNotFoundError, match=r"nih"):
        xr.pack(other, tmp_path / "b.h5", workers=0)
    assert len(xr.open(xr.pack(other, tmp_path / "b.h5", workers=0, damaged="drop"))) == 4


def test_no_path_of_this_machine_is_in_the_file(tmp_path):
    root = fakes.write("table", tmp_path / "secret-place")
    options = fakes.load("table").OPTIONS
    file = xr.pack(xr.TableDataset(root, **options), tmp_path / "a.h5", size=16, workers=0)
    assert b"secret-place" not in file.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, r"size: expected a positive integer, got 0"),
        ({"size": None}, r"size: expected a size.*size=224"),
        ({"dtype": "float32"}, r"dtype: expected 'uint8' or 'uint16', got 'float32'"),
        ({"workers": -1}, r"workers: expected a whole number of at least 0"),
        ({"workers": True}, r"workers: expected a whole number"),
        ({"executor": 3}, r"executor: expected a concurrent\.futures\.Executor"),
        ({"damaged": "keep"}, r"damaged: expected 'error' or 'drop', got 'keep'"),
        ({"overwrite": "no"}, r"overwrite: expected True or False"),
        ({"target": 3}, r"target: expected a path, got 3"),
    ],
)
def test_wrong_arguments_leave_nothing(tmp_path, change, message):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"))
    given = {"dataset": ds, "target": tmp_path / "a.h5", "size": 16, "workers": 0} | change
    with pytest.raises(ValueError, match=message):
        xr.pack(given.pop("dataset"), given.pop("target"), **given)
    assert left_over(tmp_path) == ["nih"]


def test_what_cannot_be_packed(tmp_path):
    root = fakes.write("nih", tmp_path / "nih")
    ds = xr.NIH(root, size=16)
    file = tmp_path / "a.h5"
    for dataset, message in (
        (xr.NIH(root, size=16, masks=True), r"expected a dataset without masks and transform"),
        (
            xr.NIH(root, size=16, transform=lambda sample: sample),
            r"expected a dataset without masks and transform",
        ),
        (xr.concat([ds.select([0]), ds.select([1])]), r"several datasets joined\. Take each by itself"),
        ("nih", r"expected one dataset, got 'nih'"),
    ):
        with pytest.raises(ValueError, match=message):
            xr.pack(dataset, file)
    with pytest.raises(xr.EmptyDatasetError, match=r"pack: the dataset has no images"):
        xr.pack(ds.select([]), file)
    packed = xr.open(xr.pack(ds, file, workers=0))
    with pytest.raises(ValueError, match=r"size: expected 16, that of the packed images, got 32"):
        xr.pack(packed, tmp_path / "b.h5", size=32)


def test_places_that_cannot_be(phantom, tmp_path):
    for target, message in (
        (tmp_path, r"is a folder"),
        (tmp_path / "gone" / "a.h5", r"lies in '.*gone', which is no folder"),
    ):
        with pytest.raises(xr.PackedFileError, match=message):
            xr.pack(phantom, target, workers=0)


def test_the_journal_says_nothing_before_the_pixels_are_on_the_disk(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append(descriptor))
    journal = Journal(tmp_path / "j", "mark", 10)
    journal.begin()
    order.clear()
    journal.note(np.arange(3), [1], descriptor=77)
    journal.flush(77)
    journal.flush(77)
    assert order == [77, journal._file.fileno()]
    assert (tmp_path / "j").read_text().splitlines()[1:] == ["[[[0, 3]], [1]]"]
    journal.close()
    again = Journal(tmp_path / "j", "mark", 10)
    assert again.done.tolist() == [True, False, True] + [False] * 7  # what has no image is tried again
    assert again.readable.tolist() == [True, False, True] + [False] * 7
    again.close()
