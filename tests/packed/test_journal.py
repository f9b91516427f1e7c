"""What is left of a job goes on as that job alone, and what is there stays."""

import errno
import fcntl
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xrdatasets as xr
from tests import fakes
from xrdatasets.packed import writer


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_ROWS", 1)


def stopped(monkeypatch, dataset, target, **options):
    """Pack all of the images, and end before the file is finished."""

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_finish", stop)
        with pytest.raises(KeyboardInterrupt):
            xr.pack(dataset, target, workers=0, **options)


def test_the_same_table_with_other_images_is_another_job(tmp_path, monkeypatch):
    small, full = (xr.NIH(fakes.write("nih", tmp_path / name), size=16) for name in ("small", "full"))
    for path in full.files.paths.values():
        Image.fromarray(np.full((64, 64), 200, np.uint8)).save(Path(path))
    stopped(monkeypatch, small, tmp_path / "a.h5")
    with pytest.raises(xr.PackedFileError, match=r"is of another job"):
        xr.pack(full, tmp_path / "a.h5", workers=0)
    file = xr.pack(full, tmp_path / "a.h5", workers=0, overwrite=True)
    assert all((image["img"] * 255).round().eq(200).all() for image in xr.open(file, intensity="unit"))


def test_an_image_that_was_left_out_is_tried_again(tmp_path, monkeypatch):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    whole = xr.pack(ds, tmp_path / "whole.h5", workers=0).read_bytes()
    victim = ds.files.get(ds.table.image_id[1])
    data = victim.read_bytes()
    victim.write_bytes(b"x")
    stopped(monkeypatch, ds, tmp_path / "a.h5", damaged="drop")
    with pytest.raises(xr.ImageReadError, match=victim.name):
        xr.pack(ds, tmp_path / "a.h5", workers=0)
    victim.write_bytes(data)
    assert xr.pack(ds, tmp_path / "a.h5", workers=0).read_bytes() == whole


def test_a_file_that_another_process_finished_meanwhile_stays(tmp_path, monkeypatch):
    real, target = writer.describe, tmp_path / "a.h5"

    def late(*args, **options):
        target.write_bytes(b"finished by another process")
        return real(*args, **options)

    monkeypatch.setattr(writer, "describe", late)
    with pytest.raises(xr.PackedFileError, match=r"is there already"):
        xr.pack(xr.Phantom(3, size=16), target, workers=0)
    assert target.read_bytes() == b"finished by another process"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert xr.pack(xr.Phantom(3, size=16), tmp_path / "a.h5", workers=0).exists()


def test_a_few_images_keep_all_workers_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_ROWS", 128)
    parts = []
    real = writer.read_chunks
    monkeypatch.setattr(
        writer, "read_chunks", lambda images, rows, *a, **k: real(images, kept(rows, parts), *a, **k)
    )
    xr.pack(xr.Phantom(31, size=16), tmp_path / "a.h5", workers=2)
    assert len(parts) == 8
    assert max(map(len, parts)) == 4


def kept(rows, into):
    for part in rows:
        into.append(part)
        yield part
