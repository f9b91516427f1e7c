"""Models, pickled weights, step 3a: files of torch 1.6 and newer: a zip archive."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from xrdatasets.errors import WeightsError
from xrdatasets.models.weights.pickle_machine import MOST_BYTES, PickleStream, unpickle
from xrdatasets.models.weights.pickle_records import Storage, StorageKind, is_count, refuse, short

__all__ = ["Contents", "fill", "read_zip"]

PICKLE = re.compile(r"([^/]+/)data\.pkl")
MOST_DIRECTORY = 16 << 20  # bytes of the archive's list of members: some 200,000 of them
BLOCK = 1 << 20


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        tree: the object that was saved, made of records.
        load: gives the bytes of a storage, (N,) uint8.
    """

    tree: Any
    load: Callable[[Storage], Tensor]


def read_zip(file: BinaryIO, size: int) -> Contents:
    """Read a file of torch 1.6 or newer.

    Args:
        file: opened to read bytes.
        size: its bytes.

    Returns:
        The saved object, and what reads the storages; the file has to stay open for that.

    Raises:
        WeightsError: the archive is no such file, or was made to do harm.
        zipfile.BadZipFile, ValueError, LookupError: it is damaged.
    """
    archive = zipfile.ZipFile(_Careful(file))
    members = _members(archive, size)
    top = _top(members)
    _check_order(archive, members, top)
    storages: dict[str, Storage] = {}

    def stored(which: Any) -> Storage:
        storage = _storage(which)
        member = members.get(f"{top}data/{storage.key}")
        if member is None or member.file_size != storage.numel * storage.dtype.itemsize:
            refuse(f"storage {short(storage.key)} is missing, or of another length")
        return _same(storages.setdefault(storage.key, storage), storage)

    def load(storage: Storage) -> Tensor:
        return _content(archive, members[f"{top}data/{storage.key}"])

    data = _content(archive, members[f"{top}data.pkl"]).numpy().tobytes()
    return Contents(unpickle(PickleStream(io.BytesIO(data), len(data)), stored), load)


def fill(stream: Any, count: int) -> Tensor:
    """The next bytes of a stream as a tensor of its own memory.

    Args:
        stream: a file opened to read bytes, or a member of an archive.
        count: bytes, checked before against what the file has.

    Returns:
        (count,) uint8.

    Raises:
        WeightsError: there are fewer bytes.

    Example:
        >>> fill(io.BytesIO(b"abc"), 2)
        tensor([97, 98], dtype=torch.uint8)
    """
    memory = torch.empty(count, dtype=torch.uint8)
    into = memory.numpy().data
    while into:
        got = stream.readinto(into[:BLOCK])
        if not got:
            refuse("it ends within its numbers")
        into = into[got:]
    return memory


class _Careful(io.RawIOBase):
    """The archive's file for `zipfile`, which would read a list of members of any length."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def read(self, count: int = -1) -> bytes:
        if count > MOST_DIRECTORY:
            refuse("its list of members is too long")
        return self.file.read(count)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    """A member's bytes, of which `zipfile` compares the checksum."""
    with archive.open(member) as stream:
        return fill(stream, member.file_size)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Members by name; torch compresses none, so a compressed one is no weights, but may be a bomb."""
    entries = archive.infolist()
    members = {entry.filename: entry for entry in entries}
    if len(members) < len(entries):
        refuse("it has two members of one name")
    for entry in entries:
        plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
        if not plain or entry.compress_size != entry.file_size:
            refuse(f"its member {short(entry.filename)} is compressed or encrypted")
    if sum(entry.file_size for entry in entries) > size:
        refuse("its members are longer than the file")
    return members


def _top(members: dict[str, zipfile.ZipInfo]) -> str:
    """The folder that everything is in, with its slash."""
    tops = [found[1] for name in members if (found := PICKLE.fullmatch(name))]
    if len(tops) != 1:
        refuse(f"a zip archive with {len(tops)} members data.pkl in place of one")
    if f"{tops[0]}constants.pkl" in members:
        refuse("it is a TorchScript program, which is more than weights")
    if members[f"{tops[0]}data.pkl"].file_size > MOST_BYTES:
        refuse(f"its description of the weights is larger than {MOST_BYTES >> 20} MiB")
    return tops[0]


def _check_order(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], top: str) -> None:
    """Older files do not say in which order the bytes of a number are; theirs is little-endian too."""
    member = members.get(f"{top}byteorder")
    if member is not None and (
        member.file_size > 16 or _content(archive, member).numpy().tobytes() != b"little"
    ):
        raise WeightsError("its numbers are big-endian. Save it again on a little-endian machine.")


def _storage(which: Any) -> Storage:
    """``("storage", type, key, device, count)``."""
    if type(which) is not tuple or len(which) != 5 or type(which[0]) is not str or which[0] != "storage":
        refuse("it refers to something that is no storage")
    _, kind, key, _, numel = which
    if type(kind) is not StorageKind or type(key) is not str or not is_count(numel, most=1 << 48):
        refuse("it refers to something that is no storage")
    return Storage(key, kind.dtype, numel)


def _same(known: Storage, storage: Storage) -> Storage:
    if known.dtype != storage.dtype:
        refuse(f"storage {short(storage.key)} has two types")
    return known
