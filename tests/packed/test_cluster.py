"""Packing on a dask cluster, of which a worker is killed in the middle."""

import os
import signal
import threading

import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.packed import writer

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.network  # the workers talk to the scheduler on this machine's own address


@pytest.fixture
def cluster(tmp_path):
    import dask

    quiet = {"distributed.admin.log-format": "%(message)s", "temporary-directory": str(tmp_path)}
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_killed_worker_changes_nothing(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_ROWS", 4)
    ds = xr.Phantom(160, size=48)
    alone = xr.pack(ds, tmp_path / "alone.h5", workers=0)
    pids = list(cluster.run(os.getpid).values())
    killed = []

    def kill():
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    real = writer.read_chunks

    def chunks(*args, **options):
        for number, chunk in enumerate(real(*args, **options)):
            if number == 5:
                threading.Thread(target=kill).start()
            yield chunk

    monkeypatch.setattr(writer, "read_chunks", chunks)
    file = xr.pack(ds, tmp_path / "together.h5", executor=cluster.get_executor(), workers=2)
    assert killed
    assert file.read_bytes() == alone.read_bytes()


def test_a_release_through_the_command(cluster, tmp_path):
    from xrdatasets.cli.main import main

    root, file = fakes.write("nih", tmp_path / "nih"), tmp_path / "nih.h5"
    address = cluster.scheduler.address
    assert main(["pack", f"nih={root}", str(file), "--size", "16", "--dask", address]) == 0
    same = xr.pack(xr.NIH(root, size=16), tmp_path / "alone.h5", workers=0)
    assert file.read_bytes() == same.read_bytes()
