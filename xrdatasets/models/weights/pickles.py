"""Models, pickled weights, step 4: the tensors of a file of torch's by name, without running what is in it.

torchxrayvision's published weights are whole networks, pickled: Python's reader runs whatever such a file
says, and torch's careful one (``weights_only=True``) refuses networks.
"""

from __future__ import annotations

import errno
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from xrdatasets.errors import WeightsError, WeightsNotFoundError
from xrdatasets.models.weights.pickle_legacy import read_legacy
from xrdatasets.models.weights.pickle_records import Members, Names, Record, Storage, Window, refuse, short
from xrdatasets.models.weights.pickle_zip import Contents, read_zip

__all__ = ["read_pickled_state"]

KEYS = ("state_dict", "model", "model_state_dict")  # where training scripts put weights beside other things
STATE = "Expected a state dict of tensors, or a network saved whole; save its state dict alone."
MOST_WORK = 50_000  # names and modules; DenseNet-201 has some 3,000
MOST_NAME = 300  # letters; DenseNet-201's longest has 59
MOST_COPIES = 4  # times the file: what is shared in the file is not shared any more
DAMAGED = (
    zipfile.BadZipFile, struct.error, EOFError, ValueError, LookupError, OverflowError, MemoryError,
    NotImplementedError,
)  # fmt: skip


def read_pickled_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote, and run nothing of it.

    The file holds a state dict, by itself or under ``"state_dict"``, ``"model"`` or ``"model_state_dict"``;
    or a network made of classes of torch, torchvision and torchxrayvision, none of which is imported. Both
    formats of torch are read, zip (since 1.6) and the one before.

    Args:
        path: of the file.

    Returns:
        Parameters and persistent buffers by name, in the order of ``state_dict()``: contiguous tensors on the
        CPU, of the file's types, each with memory of its own.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsError: it is empty, damaged or none of torch's; it asks for a function, a class or a step that
            weights have no need of; its tensors reach outside of their numbers.

    Example:
        >>> torch.save(torch.nn.Linear(2, 1), TMP / "whole.pt")
        >>> {name: tuple(tensor.shape) for name, tensor in read_pickled_state(TMP / "whole.pt").items()}
        {'weight': (1, 2), 'bias': (1,)}
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read_whole(file, os.fstat(file.fileno()).st_size)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        msg = f"{path}: no such file. Expected one that torch.save wrote; check the path."
        raise WeightsNotFoundError(msg) from error
    except WeightsError as error:
        msg = f"{path}: {error}"
        raise WeightsError(msg) from error


def _read_whole(file: BinaryIO, size: int) -> dict[str, Tensor]:
    """The tensors; what goes wrong on the way through a damaged file is said in words."""
    try:
        return _read(file, size)
    except DAMAGED as error:
        if isinstance(error, WeightsError):
            raise
        refuse(f"it is damaged ({type(error).__name__}: {str(error)[:200]})")
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a disk's or a network's; else a place that is none
            raise
        refuse(f"it is damaged ({error})")


def _read(file: BinaryIO, size: int) -> dict[str, Tensor]:
    contents = _contents(file, size)
    windows = _windows(contents.tree)
    bytes_needed = sum(window.numel * window.storage.dtype.itemsize for window in windows.values())
    if bytes_needed > MOST_COPIES * size:
        refuse("its tensors are far larger than the file")
    return _tensors(windows, contents.load)


def _contents(file: BinaryIO, size: int) -> Contents:
    """By the first bytes; what else might lie there is named."""
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return read_zip(file, size)
    if head.startswith(b"\x80"):
        return read_legacy(file, size)
    if not head:
        refuse("it is empty")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        refuse("it is a web page, which came in place of the file")
    if head.isascii() and b"\0" not in head:
        refuse("it is a text")
    if head[257:262] == b"ustar":
        refuse("it is a tar archive, the oldest torch's or another's")
    refuse("it is no file of torch's")


def _windows(tree: Any) -> dict[str, Window]:
    """Tensors by name, of a module or of a state dict."""
    for key in KEYS:
        if type(tree) in (dict, Names) and type(tree.get(key)) in (dict, Names, Record):
            tree = tree[key]
            break
    windows: dict[str, Window] = {}
    for name, window in _module_tensors(tree) if type(tree) is Record else _named_tensors(tree):
        if len(name) > MOST_NAME or len(windows) >= MOST_WORK:
            refuse("its names are too long or too many")
        windows[name] = window
    if not windows:
        refuse("it holds no tensor by name", STATE)
    return windows


def _named_tensors(tree: Any) -> Iterator[tuple[str, Window]]:
    if type(tree) not in (dict, Names):
        refuse(f"it holds {_called(tree)} in place of a state dict or a module", STATE)
    for name, value in tree.items():
        if type(name) is not str:
            refuse("its state dict has a name that is no text", STATE)
        if type(value) is not Window:
            refuse(f"its state dict holds {_called(value)} in place of a tensor", STATE)
        yield name, value


def _module_tensors(module: Record) -> Iterator[tuple[str, Window]]:
    """In the order of ``state_dict()``: a module's parameters, its buffers, then its children's.

    A file may hold one module in many places, or inside itself, so that there is no end of names.
    """
    waiting, work = [("", module)], 0
    while waiting:
        prefix, module = waiting.pop()
        parameters, buffers, modules = (
            _part(module, part) for part in ("_parameters", "_buffers", "_modules")
        )
        hidden = _hidden(module)
        work += 1 + len(parameters) + len(buffers) + len(modules) + len(hidden)
        if work > MOST_WORK or len(prefix) > MOST_NAME:
            refuse("its modules have no end")
        left_out = set(hidden)
        for name, value in (*parameters.items(), *buffers.items()):
            if value is None or (name in left_out and name in buffers):
                continue
            if type(value) is not Window:
                refuse(f"its module {short(prefix)} has {_called(value)} in place of a tensor")
            yield prefix + name, value
        children = [(f"{prefix}{name}.", child) for name, child in modules.items() if child is not None]
        if not all(type(child) is Record for _, child in children):
            refuse(f"its module {short(prefix)} has a child that is no module")
        waiting.extend(reversed(children))


def _part(module: Record, part: str) -> dict[str, Any]:
    found = (module.state or {}).get(part)
    if not isinstance(found, dict):
        refuse(f"an object of {short(module.kind.name)} is no module")
    if not all(type(name) is str and name and "." not in name for name in found):
        refuse(f"a module of {short(module.kind.name)} has parts without a proper name")
    return found


def _hidden(module: Record) -> list[str]:
    """Names of the buffers that a state dict leaves out; torch before 1.6 had none."""
    found = (module.state or {}).get("_non_persistent_buffers_set")
    names = found.items if type(found) is Members else []
    if not (found is None or type(found) is Members) or len(names) > MOST_WORK:
        refuse(f"a module of {short(module.kind.name)} has no set of buffers")
    if not all(type(name) is str for name in names):
        refuse(f"a module of {short(module.kind.name)} has no set of buffers")
    return names


def _tensors(windows: dict[str, Window], load: Callable[[Storage], Tensor]) -> dict[str, Tensor]:
    """Each with memory of its own: the storage where it is the first to use the whole of it, else a copy."""
    memory: dict[str, Tensor] = {}
    tensors = {}
    for name, (storage, offset, size, stride, numel) in windows.items():
        if not numel:
            tensors[name] = torch.empty(size, dtype=storage.dtype)
            continue
        first = storage.key not in memory
        if first:
            memory[storage.key] = _typed(load(storage), storage.dtype)
        numbers = memory[storage.key]
        tensor = numbers.as_strided(size, stride, storage.start + offset)
        whole = first and numel == numbers.numel() and tensor.is_contiguous()
        tensors[name] = tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
    return tensors


def _typed(memory: Tensor, dtype: torch.dtype) -> Tensor:
    # any byte but 0 and 1 is no bool, and what follows from one is not defined
    return memory != 0 if dtype == torch.bool else memory.view(dtype)


def _called(value: Any) -> str:
    """What a thing of the file is, for a message; its content is not shown, it may have no end."""
    if type(value) is Record:
        return f"an object of {short(value.kind.name)}"
    return {Window: "a tensor", Names: "a dict", Members: "a set"}.get(
        type(value), f"a {type(value).__name__}"
    )
