"""Packed, step 1: a dataset's images and labels to one file, by many processes, resumed where it stopped."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from xrdatasets.datasets.collection import Collection
from xrdatasets.datasets.files import user_path
from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.datasets.single import Single
from xrdatasets.errors import EmptyDatasetError, PackedFileError
from xrdatasets.images.geometry import check_size
from xrdatasets.packed.card import MAX_VALUES, describe
from xrdatasets.packed.chunks import Chunk, plain, read_chunks
from xrdatasets.packed.journal import Journal, fingerprint, lock, spans
from xrdatasets.packed.layout import Block, Layout, create, layout_of
from xrdatasets.packed.workers import cores, processes

__all__ = ["Damaged", "Pixel", "check_packable", "pack"]

logger = logging.getLogger(__name__)

Pixel = Literal["uint8", "uint16"]
"""Type of the packed pixels."""

Damaged = Literal["error", "drop"]
"""What to do with an image that cannot be read."""

# Bytes of the images of a chunk, and images at most: what a process sends at once.
CHUNK_BYTES, CHUNK_ROWS = 2**23, 128
# Chunks for each worker, at least, where there are images enough.
SHARES = 4
# Workers that an executor is taken to have: with more, some of them wait at times.
UNTOLD = 16


def pack(
    dataset: Collection,
    target: str | Path,
    *,
    size: int | None = None,
    dtype: Pixel = "uint8",
    workers: int | None = None,
    executor: Executor | None = None,
    damaged: Damaged = "error",
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Pack a dataset's images, labels and table into one file, from which they are read as from memory.

    It stores codes and source terms, not targets: any policy and label space can be chosen when the file is
    opened, and new mapping tables need no packing anew. Interrupted at any moment (a kill, a full disk, a
    damaged image), the same call goes on where it stopped; the file has its name only when it is whole, and
    its bytes do not depend on workers or interruptions.

    Args:
        dataset: one dataset, with the rows that are wanted; several are packed one by one, and opened
            together.
        target: the file to be written, for example ``nih.h5``.
        size: height and width of the images in pixels; None for the dataset's own.
        dtype: ``uint8`` (256 grey steps; half a step is 4 of the 2,048 of the range [-1024, 1024]) or
            ``uint16``.
        workers: processes that read images; None for one for each core, 0 to read in this one. Of an
            `executor`: how many it has, so that all of them are kept busy.
        executor: where images are read instead, for example a dask cluster's ``Client.get_executor()``; each
            of its workers has to see the image files under the same paths. It is left open.
        damaged: ``error`` stops at an image that cannot be read, ``drop`` leaves it out: it is logged, and
            not there when the file is opened.
        overwrite: replace a file that is there, and what is left of another job.
        progress: whether to show a bar; None where the output is a terminal.

    Returns:
        The file.

    Raises:
        PackedFileError: the file is there, another process writes it, it cannot be written, or a worker died.
        ImageReadError: an image is damaged.
        DatasetNotFoundError: an image is missing.
        ValueError: an argument is none of the above, or the dataset has masks, a transform or several parts.

    Example:
        >>> import xrdatasets as xr
        >>> file = xr.pack(xr.Phantom(8), TMP / "small.h5", size=32, workers=0)
        >>> xr.open(file, policy=xr.U_ZEROS)[0]["img"].shape
        torch.Size([1, 32, 32])
    """
    single, size = check_packable("pack", dataset, size, dtype)
    if damaged not in get_args(Damaged):
        msg = f"damaged: expected {' or '.join(map(repr, get_args(Damaged)))}, got {damaged!r}."
        raise ValueError(msg)
    workers = _workers(workers, executor)
    check_flag("overwrite", overwrite)
    path = _free(target, overwrite)
    card, arrays = describe(single, size=size, dtype=dtype)
    shape = (len(single), size, size)
    part, noted = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.journal")
    with (
        _explained(path),
        contextlib.closing(
            _journal(noted, fingerprint(card, arrays, shape, dtype, _source(single)), shape[0], overwrite)
        ) as journal,
    ):
        _free(path, overwrite)  # another process may have finished it before the journal was ours
        layout = _part(part, journal, card, arrays, shape, dtype)
        images = plain(single, size)
        images.warm_up()
        with part.open("r+b") as file, _executor(executor, workers, journal) as pool:
            chunks = read_chunks(
                images,
                _parts(journal.done, layout, workers),
                dtype,
                drop=damaged == "drop",
                executor=pool,
                workers=workers,
            )
            _write(chunks, file.fileno(), layout, journal, progress, single.facts.key)
            _finish(file.fileno(), layout, journal)
        _into_place(part, path)
        noted.unlink()
    return path


def check_packable(name: str, dataset: Collection, size: int | None, dtype: str) -> tuple[Single, int]:
    """The dataset and the size of its packed images.

    Args:
        name: of the function, for messages.
        dataset: what the user passed.
        size: of the images, None for the dataset's own.
        dtype: of the pixels.

    Raises:
        ValueError: what cannot be packed.
        EmptyDatasetError: there is no image.
    """
    if not isinstance(dataset, Single):
        joined = len(getattr(dataset, "parts", ()))
        several = "several datasets joined" if joined else repr(dataset)
        msg = (
            f"{name}: expected one dataset, got {several}. Take each by itself, and join or concat "
            "what you open."
        )
        raise ValueError(msg)
    if dtype not in MAX_VALUES:
        msg = f"dtype: expected {' or '.join(map(repr, MAX_VALUES))}, got {dtype!r}."
        raise ValueError(msg)
    options = dataset.options
    if options.masks or options.transform:
        msg = (
            f"{name}: expected a dataset without masks and transform, which are not packed. Open it "
            "without them."
        )
        raise ValueError(msg)
    size = options.size if size is None else check_size(size)
    if size is None:
        raise ValueError(
            "size: expected a size, because the dataset has none, got None. For example size=224."
        )
    if dataset.in_memory and size != options.size:
        msg = (
            f"size: expected {options.size}, that of the packed images, got {size}. Pack the release itself."
        )
        raise ValueError(msg)
    if not len(dataset):
        msg = f"{name}: the dataset has no images."
        raise EmptyDatasetError(msg)
    return dataset, size


def _workers(workers: int | None, executor: Executor | None) -> int:
    if workers is None:
        # an executor does not tell how many workers it has
        return UNTOLD if executor is not None else cores()
    check_count("workers", workers, least=0)
    if executor is not None and not (hasattr(executor, "submit") and workers):
        msg = (
            f"executor: expected a concurrent.futures.Executor with workers, got {executor!r} and "
            f"workers={workers}."
        )
        raise ValueError(msg)
    return workers


def _free(target: str | Path, overwrite: bool) -> Path:
    """The target's whole path.

    Raises:
        PackedFileError: it is there already, or its folder is not.
    """
    path = user_path(target, name="target").absolute()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {str(path.parent)!r}, which is no folder"
        msg = f"target: {str(path)!r} {what}. Expected a file in a folder that is there."
        raise PackedFileError(msg)
    if path.exists() and not overwrite:
        msg = f"target: {str(path)!r} is there already. Pass another name, or overwrite=True."
        raise PackedFileError(msg)
    return path


def _journal(path: Path, mark: str, rows: int, overwrite: bool) -> Journal:
    """The journal of this job, new or as it was left.

    Raises:
        PackedFileError: another process has it, or it is of another job and may not be overwritten.
    """
    try:
        return Journal(path, mark, rows)
    except PackedFileError:
        # one that is in use is not unlinked: its lock is tried first
        if not overwrite or _in_use(path):
            raise
    path.unlink()
    return Journal(path, mark, rows)


def _source(dataset: Single) -> str:
    """Where the images are read: two copies of a release may have one table, and other pixels.

    Of the job alone: the packed file names no place.
    """
    place = getattr(dataset, "root", None) or getattr(dataset, "path", None)
    return dataset._where() if place is None else str(Path(place).resolve())


def _in_use(path: Path) -> bool:
    with path.open("a+b") as file:
        try:
            lock(file, path)
        except PackedFileError:
            return True
    return False


def _part(
    part: Path,
    journal: Journal,
    card: str,
    arrays: dict[str, npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: str,
) -> Layout:
    """The unfinished file, as it was left or new."""
    if not journal.fresh and part.is_file():
        with contextlib.suppress(PackedFileError):  # cut or damaged: begin anew
            layout = layout_of(part)
            logger.info(
                "%s: %d of %d images are there already", part.name, journal.done.sum(), len(journal.done)
            )
            return layout
    layout = create(part, card, arrays, shape, dtype)
    with part.open("rb") as file:
        os.fsync(file.fileno())  # before the journal says that it is there
    journal.begin()
    return layout


def _parts(done: npt.NDArray[np.bool_], layout: Layout, workers: int) -> Iterator[npt.NDArray[np.intp]]:
    """The rows that are to be written, chunk by chunk."""
    missing = np.flatnonzero(~done)
    share = -(-len(missing) // (SHARES * max(workers, 1)))  # so that a few images keep all workers busy, too
    step = max(1, min(CHUNK_ROWS, CHUNK_BYTES // layout.images.row_bytes, share))
    return (missing[start : start + step] for start in range(0, len(missing), step))


@contextlib.contextmanager
def _executor(executor: Executor | None, workers: int, journal: Journal) -> Iterator[Executor | None]:
    """Where images are read: the given executor, new processes, or None for this one."""
    left = int((~journal.done).sum())
    if executor is not None or workers == 0 or left < 2:
        yield executor
        return
    with processes(min(workers, left), journal.fileno()) as pool:
        yield pool


def _write(
    chunks: Iterator[Chunk],
    descriptor: int,
    layout: Layout,
    journal: Journal,
    progress: bool | None,
    key: str,
) -> None:
    """Write the chunks as they come, and note them."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    hide = None if progress is None else not progress
    count, block = len(journal.done), layout.images
    with tqdm(
        desc=f"{key}: packing", total=count, initial=int(journal.done.sum()), unit="image", disable=hide
    ) as bar:
        try:
            for chunk in chunks:
                _write_chunk(descriptor, chunk, block)
                journal.note(chunk.rows, list(chunk.damaged), descriptor)
                for reason in chunk.damaged.values():
                    logger.warning("left out: %s", reason)
                bar.update(len(chunk.rows))
        finally:
            journal.flush(descriptor)


def _write_chunk(descriptor: int, chunk: Chunk, block: Block) -> None:
    """Write images, those that follow one another at once: the system keeps them in larger pieces then."""
    done = 0
    for start, stop in spans(chunk.rows):
        data = chunk.pixels[done : done + stop - start].data.cast("B")
        _write_all(descriptor, data, block.offset + start * block.row_bytes)
        done += stop - start


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of the bytes: the system may take some of them only."""
    while data:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, data, offset)
        else:  # Windows
            os.lseek(descriptor, offset, os.SEEK_SET)
            written = os.write(descriptor, data)
        data, offset = data[written:], offset + written


def _finish(descriptor: int, layout: Layout, journal: Journal) -> None:
    if not journal.readable.any():
        msg = "none of the images could be read, so there is nothing to pack. The log names the reasons."
        raise PackedFileError(msg)
    flags = journal.readable.astype(np.uint8).tobytes()
    _write_all(descriptor, memoryview(flags), layout.readable.offset)
    os.fsync(descriptor)


def _into_place(part: Path, path: Path) -> None:
    """Give the finished file its name, so that it is there after a loss of power, too."""
    part.replace(path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What goes wrong with files and processes, in words that help."""
    try:
        yield
    except Exception as error:
        # dask's own word for workers that died is no BrokenExecutor, and dask is not imported for it
        if isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__name__ == "KilledWorker":
            msg = (
                f"a process that read images for {str(path)!r} died; the system may have run out of memory. "
                "What is written is kept: pack again with the same arguments, with fewer workers, to go on."
            )
            raise PackedFileError(msg) from error
        if not isinstance(error, OSError) or isinstance(error, PackedFileError) or error.errno is None:
            raise
        msg = (
            f"{str(path)!r} cannot be written ({error.strerror}). What is written is kept: make room, then "
            "pack again with the same arguments to go on."
        )
        raise PackedFileError(msg) from error
