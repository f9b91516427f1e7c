"""Models, pickled weights, step 2: a pickle's commands, of which only those that weights need are followed.

`pickletools`, of the standard library, takes a pickle apart without running it. What Python's own reader
would call, set or import becomes a record (`xrdatasets.models.weights.pickle_records`). Python's reader
would also believe a file: reserve the memory that it names, or hash what takes for ever to hash.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from xrdatasets.models.weights.pickle_records import Builder, Kind, Members, Names, Record, look_up, refuse

__all__ = ["MOST_BYTES", "PickleStream", "unpickle"]

MOST_BYTES = 16 << 20  # of one pickle; DenseNet-201's has 0.3 MiB
MOST_STEPS = 1_000_000  # DenseNet-201 takes 116,000
MOST_LINE = 1_000  # letters of a module's or a class's name
MOST_KEY = 1 << 31
LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip


class PickleStream:
    """A file that gives no more than it has, whatever length is asked for.

    Args:
        file: opened to read bytes, at the start of a pickle.
        size: bytes of the file that are left there.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left, self.ends = file, min(size, MOST_BYTES), size <= MOST_BYTES

    def read(self, count: int) -> bytes:
        """At most so many bytes."""
        return self._counted(self.file.read(min(count, self.left)))

    def readline(self) -> bytes:
        """A line, or its beginning."""
        return self._counted(self.file.readline(min(MOST_LINE, self.left)))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if not self.left and not self.ends:
            refuse(f"its description of the weights is larger than {MOST_BYTES >> 20} MiB")
        return data


def unpickle(stream: PickleStream, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The object of a pickle, made of records and of Python's own numbers, texts, lists, tuples and dicts.

    Args:
        stream: at the start of the pickle; it is left behind its end.
        persistent: gives what stands for the things that are stored beside the pickle; None: it has none.

    Returns:
        The object. It may hold itself, and one thing in many places: walk it with care, and do not show,
        hash or compare it.

    Raises:
        WeightsError: the pickle asks for something that weights have no need of, or is too large.
        ValueError, LookupError: it is damaged.

    Example:
        >>> import io, pickle
        >>> data = pickle.dumps({"a": [1, 2.5]}, protocol=2)
        >>> unpickle(PickleStream(io.BytesIO(data), len(data)))
        {'a': [1, 2.5]}
    """
    machine = _Machine(persistent)
    for step, (command, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
        if command.name == "STOP":
            break
        if step == MOST_STEPS:
            refuse(f"its description of the weights has more than {MOST_STEPS:,} steps")
        if command.name in LITERALS:
            machine.push(argument)
        elif command.name in COMMANDS:
            COMMANDS[command.name](machine, argument)
        else:
            _unneeded(f"the pickle command {command.name}")
    return machine.stack.pop()  # a pickle without a STOP was a ValueError


class _Machine:
    """The stack, what was on it at each mark, and what was noted for later."""

    def __init__(self, persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.persistent = persistent

    def push(self, item: Any) -> None:
        self.stack.append(item)

    def note(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def items(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            msg = "the pickle takes more than it put down"
            raise ValueError(msg)
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.push(look_up(module, name))

    def name_on_stack(self) -> None:
        module, name = self.last(2)
        if type(module) is not str or type(name) is not str:
            _unneeded("a name that is no text")
        self.push(look_up(module, name))

    def call(self) -> None:
        builder, given = self.last(2)
        if type(builder) is not Builder or type(given) is not tuple:
            _unneeded(f"a call of {builder.name if type(builder) is Kind else 'something'}")
        self.push(builder.build(given))

    def make(self) -> None:
        kind, given = self.last(2)
        if type(kind) is not Kind or type(given) is not tuple or given:
            _unneeded("an object that is no module")
        self.push(Record(kind))

    def fill(self) -> None:
        """A module's state; what a state dict has beside its tensors (versions of modules) is left out."""
        (state,) = self.last(1)
        target = self.stack[-1]
        if type(state) is not dict or type(target) not in (Record, Names):
            _unneeded("a state of something that is no module")
        if type(target) is Record:
            if target.state is not None:
                _unneeded("a second state of a module")
            target.state = state

    def put(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, Names) or len(items) % 2:
            _unneeded("keys of something that is no dict")
        target.update(zip(map(_key, items[::2]), items[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            _unneeded("items of something that is no list")
        self.stack[-1].extend(items)

    def join(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Members:
            _unneeded("members of something that is no set")
        self.stack[-1].items.extend(items)

    def outside(self) -> None:
        (which,) = self.last(1)
        if self.persistent is None:
            _unneeded("something that is stored elsewhere")
        self.push(self.persistent(which))


def _key(key: Any) -> Any:
    """A key that takes no time to hash: others were made to stop the reader."""
    if type(key) is str or key is None or (type(key) in (int, bool) and abs(key) < MOST_KEY):
        return key
    _unneeded(f"a key of type {type(key).__name__}")


def _unneeded(what: str) -> NoReturn:
    refuse(f"it asks for {what}, which weights have no need of; nothing of it was run")


def _dict(machine: _Machine) -> None:
    items = machine.items()
    machine.push({})
    machine.put(items)


# Missing are the commands that call or import in other ways (INST, OBJ, NEWOBJ_EX, EXT1, EXT2, EXT4), that
# take memory (LONG4, BYTEARRAY8, buffers), and those of protocols 0 and 1, which torch.save never wrote.
COMMANDS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.last(1),
    "POP_MARK": lambda machine, _: machine.items(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.items())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.items()),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.items()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: _dict(machine),
    "SETITEM": lambda machine, _: machine.put(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.put(machine.items()),
    "EMPTY_SET": lambda machine, _: machine.push(Members([])),
    "FROZENSET": lambda machine, _: machine.push(Members(machine.items())),
    "ADDITEMS": lambda machine, _: machine.join(machine.items()),
    "BINPUT": lambda machine, index: machine.note(index),
    "LONG_BINPUT": lambda machine, index: machine.note(index),
    "MEMOIZE": lambda machine, _: machine.note(None),
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "GLOBAL": lambda machine, name: machine.name(name),
    "STACK_GLOBAL": lambda machine, _: machine.name_on_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.make(),
    "BUILD": lambda machine, _: machine.fill(),
    "BINPERSID": lambda machine, _: machine.outside(),
}
