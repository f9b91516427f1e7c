"""The command line's output: tables for people, JSON for machines, files that are whole or not there.

All JSON is one object: ``version`` (1; it rises when a field changes its meaning or goes), ``command``,
and the fields that the command's module lists. Unknown numbers are null.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = [
    "check_target", "emit", "finish", "make_folder", "progress", "reporting", "table", "to_json", "warn",
    "width", "write_file",
]  # fmt: skip

VERSION = 1
# no line of a table is broken where the reader is a file or another program
ENDLESS = 100_000
Cell = str | int | float | None


def to_json(command: str, **fields: object) -> None:
    """Write the JSON object of a command; ASCII, so that no locale can break it."""
    document = {"version": VERSION, "command": command, **fields}
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def width() -> int:
    """Columns of the terminal; endless where stdout is none."""
    from rich.console import Console

    return Console(file=sys.stdout).width if sys.stdout.isatty() else ENDLESS


def emit(*parts: RenderableType) -> None:
    """Write texts and tables, all at once."""
    from rich.console import Console

    console = Console(file=sys.stdout, width=width(), markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        for part in parts:
            console.print(_filled(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()  # a step that is done is read now, also through a pipe


def _filled(text: str) -> str:
    """Text in lines that fit, unless a word (a path, an address) is longer than a line."""
    lines = text.splitlines()
    return "\n".join(
        textwrap.fill(line, width(), break_long_words=False, break_on_hyphens=False) for line in lines
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """A table whose columns of numbers stand to the right, thousands separated.

    Args:
        heads: head of each column.
        rows: cells; a whole number gets separators, other numbers three decimals, None stays empty.
    """
    from rich import box
    from rich.table import Table

    texts = [[_cell(cell) for cell in row] for row in rows]
    longest = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    roomy = sum(longest) + 2 * len(heads) - 2 <= width()
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, int(roomy), 0, 0))
    for number, head in enumerate(heads):
        right = bool(rows) and all(not isinstance(row[number], str) for row in rows)
        made.add_column(head, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for line in texts:
        made.add_row(*line)
    return made


def _cell(cell: Cell) -> str:
    match cell:
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:.3f}"
        case _:
            return cell or ""


def check_target(path: Path) -> None:
    """Refuse a file that could not be written, before the work begins.

    Raises:
        ValueError: it is a folder or no ordinary file, or its folder does not exist.
    """
    if path.is_dir():
        msg = f"--csv: {str(path)!r} is a folder. Expected the name of a file."
        raise ValueError(msg)
    if path.exists() and not path.is_file():
        msg = f"--csv: {str(path)!r} is no ordinary file. Expected the name of a file."
        raise ValueError(msg)
    if not path.resolve().parent.is_dir():
        msg = f"--csv: no folder {str(path.resolve().parent)!r}. Make it first."
        raise ValueError(msg)


def make_folder(path: Path) -> None:
    """Make the folder of a command's files, if it is not there.

    Raises:
        ValueError: it is something else than a folder.
        OSError: it cannot be made.
    """
    if path.exists() and not path.is_dir():
        msg = f"--out: {str(path)!r} is no folder. Expected a folder, or a name that is free."
        raise ValueError(msg)
    path.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file so that it is whole or not there: beside it first, then in its place.

    Raises:
        OSError: it cannot be written; what stood there is untouched.
    """
    target = path.resolve()  # a link stays a link
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def warn(word: str, message: object) -> None:
    """Write one line on stderr: ``warning: …``, ``error: …``."""
    text = re.sub(r"\s*[\r\n]+\s*", " ", str(message)).strip()
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{word}: {text}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Say what is going on, where stderr is a terminal; rich keeps warnings above that line."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False, highlight=False, emoji=False).status(text):
        yield


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Inside, warnings of the library and of Python are one line each on stderr."""
    logger, handler = logging.getLogger("xrdatasets"), _Lines(logging.WARNING)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: warn("warning", message)
            yield
    finally:
        logger.removeHandler(handler)


def finish() -> None:
    """Hand everything written to the reader; if that fails, keep Python from trying again at its end.

    Raises:
        OSError: the reader is gone, or the disk is full.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise


class _Lines(logging.Handler):
    """One line on stderr for each record."""

    def emit(self, record: logging.LogRecord) -> None:
        warn("warning", record.getMessage())
