"""Packed, step 1: where the bytes of a packed file lie; the file without its pixels, and the check of one."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xrdatasets.errors import PackedFileError

if TYPE_CHECKING:
    import h5py

__all__ = ["FORMAT", "SIGNATURE", "VERSION", "Block", "Layout", "create", "is_packed", "layout_of", "reading"]

FORMAT = "xrdatasets-packed"
VERSION = 1
# HDF5 File Format Specification 3.0, II.A: the first eight bytes of the superblock
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Arrays of a page of memory or more begin at a multiple of it.
PAGE = 4096
DTYPES = {"uint8": "<u1", "uint16": "<u2"}


@dataclass(frozen=True, slots=True)
class Block:
    """An array that lies in the file as it would lie in memory.

    Attributes:
        offset: its first byte in the file.
        shape: (N, …), rows one after the other.
        dtype: of its items, little-endian.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.offset + self.shape[0] * self.row_bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the two blocks lie that are written after the rest.

    Attributes:
        readable: (N,) uint8: 1 where there is an image, 0 where its file was damaged.
        images: (N, S, S) uint8 or uint16.
    """

    readable: Block
    images: Block


def create(
    path: Path, card: str, arrays: dict[str, npt.NDArray[Any]], shape: tuple[int, ...], dtype: str
) -> Layout:
    """Write a packed file whose images and `readable` are zeros still; all their space is taken now.

    The same arguments give the same bytes.

    Args:
        path: the file; one that is there is overwritten.
        card: what is said of the dataset, as JSON.
        arrays: the arrays by their path in the file.
        shape: (N, S, S) of the images.
        dtype: ``uint8`` or ``uint16``.

    Raises:
        OSError: the file cannot be written, or the disk has no space for it.
    """
    import h5py

    from xrdatasets import __version__

    # the oldest form of HDF5 has no times and no flag that stays when a process is killed
    options = {"libver": "earliest", "alignment_threshold": PAGE, "alignment_interval": PAGE}
    with _full_disk(), h5py.File(path, "w", **options) as file:
        file.attrs["format"], file.attrs["version"], file.attrs["package"] = FORMAT, VERSION, __version__
        for name, array in arrays.items():
            packing = {"compression": "gzip", "shuffle": True} if array.nbytes >= PAGE else {}
            file.create_dataset(name, data=array, track_times=False, **packing)
        # text of any length: an attribute holds 64 KiB
        file.create_dataset("card", data=np.frombuffer(card.encode(), np.uint8), track_times=False)
        _reserve(file, "readable", shape[:1], "uint8")
        _reserve(file, "images", shape, dtype)
    layout = layout_of(path, whole=False)
    with path.open("r+b") as raw:
        # space that is missing is missed now, not after hours
        _allocate(raw.fileno(), layout.images.end)
    return layout


def layout_of(path: Path, *, whole: bool = True) -> Layout:
    """The blocks of a packed file.

    Args:
        path: the file.
        whole: whether all bytes of the blocks have to be there.

    Raises:
        PackedFileError: it is none, is of a newer version, or is cut.
    """
    with reading(path) as file:
        layout = Layout(*(_block(file, name, path) for name in ("readable", "images")))
    size = path.stat().st_size
    if whole and size < max(layout.readable.end, layout.images.end):
        msg = (
            f"{str(path)!r} is cut: it has {size:,} bytes, its images need {layout.images.end:,}. Copy it "
            "again, or pack the dataset again."
        )
        raise PackedFileError(msg)
    return layout


def is_packed(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """A packed file, open to be read; whatever goes wrong inside is the file's fault.

    Raises:
        PackedFileError: it is no packed file, is of a newer version, or is damaged.
    """
    import h5py

    if not path.is_file():
        msg = f"no file {str(path)!r}. Expected a file that xrdatasets.pack wrote."
        raise PackedFileError(msg)
    if not is_packed(path):
        msg = f"{str(path)!r} is no HDF5 file. Expected a file that xrdatasets.pack wrote."
        raise PackedFileError(msg)
    try:
        # no lock: it is only read, and network file systems may have none
        with h5py.File(path, "r", locking=False) as file:
            _check_version(file, path)
            yield file
    except PackedFileError:
        raise
    # what h5py and numpy raise over damaged bytes
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        IndexError,
        AttributeError,
        MemoryError,
    ) as error:
        msg = f"{str(path)!r} is damaged ({error}). Copy it again, or pack the dataset again."
        raise PackedFileError(msg) from error


@contextmanager
def _full_disk() -> Iterator[None]:
    """A disk that is full when HDF5 closes the file is no OSError; here it is."""
    try:
        yield
    except RuntimeError as error:
        if not (found := re.search(r"errno = (\d+)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _check_version(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        msg = f"{str(path)!r} is an HDF5 file of another kind. Expected a file that xrdatasets.pack wrote."
        raise PackedFileError(msg)
    version = int(file.attrs["version"])
    if version > VERSION:
        msg = (
            f"{str(path)!r} has version {version} of the format, written by xrdatasets "
            f"{file.attrs.get('package', '(unknown)')}; this package reads up to {VERSION}. Install that one."
        )
        raise PackedFileError(msg)


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """An array without values, in one piece, whose place in the file is fixed now."""
    from h5py import h5d, h5p, h5s, h5t

    plan = h5p.create(h5p.DATASET_CREATE)
    plan.set_layout(h5d.CONTIGUOUS)
    plan.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)
    items = h5t.py_create(np.dtype(DTYPES[dtype]))
    h5d.create(file.id, name.encode(), items, h5s.create_simple(shape), plan)


def _block(file: h5py.File, name: str, path: Path) -> Block:
    array = file[name]
    offset = array.id.get_offset()
    if array.chunks is not None or offset is None or array.dtype.str not in ("|u1", "<u2"):
        msg = (
            f"{str(path)!r} is damaged: {name} is not in one piece of whole numbers. Pack the dataset again."
        )
        raise PackedFileError(msg)
    return Block(int(offset), tuple(array.shape), array.dtype)


def _allocate(descriptor: int, size: int) -> None:
    """Take the space on the disk, where the system can; else at least its length."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
