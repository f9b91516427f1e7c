"""Models, pickled weights, step 1: what stands for the objects of a pickle: records that can do nothing.

A pickle names functions and classes of Python, and asks for them to be called. Here a name is only looked up
in a table of our own, and what is found there notes its arguments: nothing is imported, nothing that the file
names is called, and no object of the file becomes an object of Python with behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import torch

from xrdatasets.errors import WeightsError

__all__ = [
    "Builder",
    "Kind",
    "Members",
    "Names",
    "Record",
    "Storage",
    "StorageKind",
    "Window",
    "is_count",
    "look_up",
    "refuse",
    "short",
]

# what torch calls the memory of each type (torch's `_storages`); others have no place in published weights
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MODULES = ("torch.nn.", "torchxrayvision.", "torchvision.models.")
CLASS = re.compile(r"_*[A-Z][A-Za-z0-9_]*")  # functions are written small, attributes have a dot
ADVICE = "Expected a file that torch.save wrote; delete it and download it again."
MOST_AXES = 16
MOST_OF_NOTHING = 1 << 40  # the product of the other sizes of a tensor without elements


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A class that the file names, of which only the name is known."""

    name: str


@dataclass(slots=True, eq=False)
class Record:
    """An object of such a class: what the pickle would have put into it."""

    kind: Kind
    state: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StorageKind:
    """A type of storage."""

    dtype: torch.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A run of numbers elsewhere in the file, or a part of one: `numel` numbers from `start`."""

    key: str
    dtype: torch.dtype
    numel: int
    start: int = 0


class Window(NamedTuple):
    """A tensor: which numbers of a storage, checked to lie within it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    numel: int


class Names(dict[Any, Any]):
    """An OrderedDict; a dict has kept its order since Python 3.7."""


@dataclass(slots=True, eq=False)
class Members:
    """A set, as the list of what it was made of: nothing that a file holds is hashed but short keys."""

    items: list[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Builder:
    """A function that the file may call: one of ours, which gives a record."""

    name: str
    build: Callable[[tuple[Any, ...]], Any]


def look_up(module: str, name: str) -> Builder | Kind | StorageKind | torch.dtype:
    """What stands for a name of Python.

    Args:
        module: as the pickle gives it.
        name: in that module.

    Returns:
        A function of ours, a type, or a class of which only the name is known.

    Raises:
        WeightsError: weights need no such name.

    Example:
        >>> look_up("torch.nn.modules.linear", "Linear")
        Kind(name='torch.nn.modules.linear.Linear')
    """
    known = GLOBALS.get((module, name))
    if known is not None:
        return known
    if module.startswith(MODULES) and CLASS.fullmatch(name):
        return Kind(f"{module}.{name}")
    msg = (
        f"it asks for {short(f'{module}.{name}')}, which weights have no need of; nothing of it was run. "
        "Take weights from a source that you trust, or have the state dict saved alone."
    )
    raise WeightsError(msg)


def refuse(reason: str, advice: str = ADVICE) -> NoReturn:
    """Give a file up.

    Args:
        reason: what is wrong with it.
        advice: what was expected, and what to do.

    Raises:
        WeightsError: always; the reason, what was expected, and what to do.

    Example:
        >>> refuse("it is empty")
        Traceback (most recent call last):
        xrdatasets.errors.WeightsError: it is empty. Expected a file that torch.save wrote; delete it and ...
    """
    msg = f"{reason}. {advice}"
    raise WeightsError(msg)


def is_count(value: object, *, most: int) -> bool:
    """Whether something is a whole number from 0 to `most`.

    Args:
        value: what a file holds.
        most: the largest that is fine.

    Returns:
        False for a bool too.

    Example:
        >>> is_count(3, most=3), is_count(-1, most=3), is_count(True, most=3)
        (True, False, False)
    """
    return type(value) is int and 0 <= value <= most


def short(text: str) -> str:
    """A text of the file, fit for a message.

    Args:
        text: anything.

    Returns:
        At most 80 letters in quotes, what cannot be shown escaped.

    Example:
        >>> short("a" * 100)[-5:]
        "aaa…'"
    """
    return ascii(text) if len(text) <= 80 else ascii(text[:79])[:-1] + "…'"


def _tensor(given: tuple[Any, ...]) -> Window:
    """`torch._utils._rebuild_tensor(storage, offset, size, stride)`."""
    if len(given) != 4:
        _wrong("a tensor")
    storage, offset, size, stride = given
    if type(storage) is not Storage or type(size) is not tuple or type(stride) is not tuple:
        _wrong("a tensor")
    if len(size) != len(stride) or len(size) > MOST_AXES or not is_count(offset, most=storage.numel):
        _outside()
    numel = _elements(size, storage.numel)
    if not numel:
        return Window(storage, 0, size, (0,) * len(size), 0)
    last = offset
    for length, step in zip(size, stride, strict=True):
        if length > 1 and not is_count(step, most=storage.numel):
            _outside()
        last += (length - 1) * step if length > 1 else 0
    if last >= storage.numel:
        _outside()
    # the step along an axis of one element is never taken, and may be any number
    steps = tuple(step if length > 1 else 1 for length, step in zip(size, stride, strict=True))
    return Window(storage, offset, size, steps, numel)


def _elements(size: tuple[Any, ...], available: int) -> int:
    """The product; a tensor that repeats its numbers would take more memory than the file."""
    if not all(is_count(length, most=MOST_OF_NOTHING) for length in size):
        _outside()
    most = MOST_OF_NOTHING if 0 in size else available
    numel = 1
    for length in size:
        numel *= length or 1
        if numel > most:
            _outside()
    return 0 if 0 in size else numel


def _tensor_v2(given: tuple[Any, ...]) -> Window:
    """The same, then `requires_grad`, hooks, and in newer files a dict of marks such as "conjugate"."""
    if len(given) not in (6, 7) or (len(given) == 7 and given[6]):
        _wrong("a tensor")
    return _tensor(given[:4])


def _parameter(given: tuple[Any, ...]) -> Window:
    """`torch._utils._rebuild_parameter(data, requires_grad, hooks)`, and perhaps a state."""
    if len(given) not in (3, 4) or type(given[0]) is not Window:
        _wrong("a parameter")
    return given[0]


def _names(given: tuple[Any, ...]) -> Names:
    if given:
        _wrong("an OrderedDict")
    return Names()


def _members(given: tuple[Any, ...]) -> Members:
    if len(given) > 1 or (given and type(given[0]) is not list):
        _wrong("a set")
    return Members(given[0] if given else [])


def _size(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(given) != 1 or type(given[0]) is not tuple:
        _wrong("a torch.Size")
    return given[0]


def _device(given: tuple[Any, ...]) -> Record:
    return Record(Kind("torch.device"))  # everything is read to the CPU


def _wrong(what: str) -> NoReturn:
    refuse(f"it makes {what} of other things than torch does")


def _outside() -> NoReturn:
    refuse("a tensor reaches outside of the numbers that are stored for it")


GLOBALS: dict[tuple[str, str], Builder | Kind | StorageKind | torch.dtype] = {
    ("collections", "OrderedDict"): Builder("OrderedDict", _names),
    ("__builtin__", "set"): Builder("set", _members),  # protocol 2 has Python 2's names
    ("builtins", "set"): Builder("set", _members),
    ("torch._utils", "_rebuild_tensor"): Builder("tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Builder("tensor", _tensor_v2),
    ("torch._utils", "_rebuild_parameter"): Builder("parameter", _parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Builder("parameter", _parameter),
    ("torch", "Size"): Builder("Size", _size),
    ("torch", "device"): Builder("device", _device),
    **{("torch", name): StorageKind(dtype) for name, dtype in STORAGES.items()},
    **{("torch.cuda", name): StorageKind(dtype) for name, dtype in STORAGES.items()},
    **{("torch", str(dtype).removeprefix("torch.")): dtype for dtype in STORAGES.values()},
}
