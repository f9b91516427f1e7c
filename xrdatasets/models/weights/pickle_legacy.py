"""Models, pickled weights, step 3b: torch's files before 1.6: five pickles, and behind them the numbers.

The pickles are a magic number, a version, facts on the machine, the saved object, and the list of storages.
For each storage, in the order of that list, follow the count of its elements (8 bytes) and the elements.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from torch import Tensor

from xrdatasets.errors import WeightsError
from xrdatasets.models.weights.pickle_machine import PickleStream, unpickle
from xrdatasets.models.weights.pickle_records import Kind, Storage, StorageKind, is_count, refuse, short
from xrdatasets.models.weights.pickle_zip import Contents, fill

__all__ = ["read_legacy"]

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # torch.serialization's MAGIC_NUMBER and PROTOCOL_VERSION
MOST = 1 << 48


def read_legacy(file: BinaryIO, size: int) -> Contents:
    """Read a file of torch before 1.6, or one that a newer torch saved without zip.

    Args:
        file: opened to read bytes, at its start.
        size: its bytes.

    Returns:
        The saved object, and what reads the storages; the file has to stay open for that.

    Raises:
        WeightsError: it is no such file, or was made to do harm.
        ValueError, LookupError: it is damaged.
    """
    parts = _Parts(file, size)
    for expected, name in ((MAGIC, "magic number"), (VERSION, "version")):
        found = parts.read()
        if type(found) is not int or found != expected:
            refuse(f"it is a pickle, but without torch's {name}")
    machine = parts.read()
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise WeightsError("its numbers are not little-endian. Save it again on a little-endian machine.")
    tree = parts.read(parts.stored)
    places = _places(file, size, parts.read(), parts.storages)

    def load(storage: Storage) -> Tensor:
        start, count = places[storage.key]
        file.seek(start)
        return fill(file, count)

    return Contents(tree, load)


class _Parts:
    """The pickles of a file, one after the other, and the storages that they refer to."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.storages: dict[str, Storage] = {}

    def read(self, persistent: Any = None) -> Any:
        return unpickle(PickleStream(self.file, self.size - self.file.tell()), persistent)

    def stored(self, which: Any) -> Storage | Kind:
        """What a reference stands for.

        ``("module", class, file, source text)`` is the class; its text is of no use. ``("storage", type, key,
        device, count, part)`` is a storage, or a part of one: ``(key of its own, start, count)``.
        """
        if type(which) is not tuple or not which or type(which[0]) is not str:
            refuse("it refers to something that is no storage")
        if which[0] == "module" and len(which) == 4 and type(which[1]) is Kind:
            return which[1]
        if which[0] != "storage" or len(which) != 6:
            refuse("it refers to something that is no storage")
        _, kind, key, _, numel, part = which
        if type(kind) is not StorageKind or type(key) is not str or not is_count(numel, most=MOST):
            refuse("it refers to something that is no storage")
        storage = self.storages.setdefault(key, Storage(key, kind.dtype, numel))
        if (storage.dtype, storage.numel) != (kind.dtype, numel):
            refuse(f"storage {short(key)} has two types or lengths")
        return storage if part is None else self._part(storage, part)

    @staticmethod
    def _part(storage: Storage, part: Any) -> Storage:
        if type(part) is not tuple or len(part) != 3:
            refuse("it refers to something that is no storage")
        _, start, numel = part
        if not is_count(start, most=storage.numel) or not is_count(numel, most=storage.numel - start):
            refuse(f"a part of storage {short(storage.key)} reaches outside of it")
        return Storage(storage.key, storage.dtype, numel, start)


def _places(file: BinaryIO, size: int, keys: Any, storages: dict[str, Storage]) -> dict[str, tuple[int, int]]:
    """Where in the file each storage begins, and how many bytes it has."""
    if type(keys) is not list or not all(type(key) is str for key in keys):
        refuse("its list of storages is none")
    if len(keys) != len(storages) or set(keys) != set(storages):
        refuse("its list of storages is not that of its tensors")
    places = {}
    for key in keys:
        numel = int.from_bytes(file.read(8), "little", signed=True)
        start, count = file.tell(), storages[key].numel * storages[key].dtype.itemsize
        if numel != storages[key].numel:
            refuse(f"storage {short(key)} is of another length than its tensors say")
        if count > size - start:
            refuse("it ends within its numbers")
        places[key] = start, count
        file.seek(count, 1)
    return places
