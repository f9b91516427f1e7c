"""The command line's entry point, and the one place where a mistake becomes one line.

Exit codes: 0 done, 1 ``verify`` found a difference or ``predict`` a file that cannot be read, 2 a mistake in
the call or in the data, 130 interrupted, 141 the reader of a pipe left.
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from xrdatasets import __version__
from xrdatasets.cli import demo, download, listing, lookup, output, pack, predict, stats, train, verify
from xrdatasets.errors import XRDatasetsError

__all__ = ["app", "main"]

HELP = """Public chest X-ray datasets, opened as downloaded, with one harmonised label matrix.

\b
Examples:
  xrdatasets demo
  xrdatasets list datasets
  xrdatasets lookup effusion
  xrdatasets stats nih=/data/nih --missing keep
  xrdatasets verify nih=/data/nih --decode
  xrdatasets pack nih=/data/nih nih.h5 --size 224
  xrdatasets predict /data/films --weights densenet121-res224-all --out films.csv
  xrdatasets train --recipe luo2020 --data nih=nih.h5 --data chexpert=chexpert.h5 --out run
"""
# what the library calls its arguments, and what they are called here
OPTIONS = (
    (r"missing='(\w+)'", r"--missing \1"),
    (r"views=\('([^)]*?)',?\) leave no row", lambda found: f"--views {_joined(found[1])} leaves no row"),
    (r"^views: ", "--views: "),
    (r"overwrite=True", "--overwrite"),
    (r"resume=False", "--overwrite"),
    (r"resume=True", "--resume"),
    (r"^out: ", "--out: "),
    (r"Open it with size=\d+, or override data\.size\.", "Pass --size."),
    (r" Else use split_by_patient\(\)\.", ""),
)
# BadParameter, UsageError, ClickException: newer releases of typer carry a copy of click of their own
MISUSE: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("demo", help=demo.HELP)(demo.command)
app.command("download", help=download.HELP)(download.command)
app.command("list", help=listing.HELP)(listing.command)
app.command("lookup", help=lookup.HELP)(lookup.command)
app.command("pack", help=pack.HELP)(pack.command)
app.command("predict", help=predict.HELP)(predict.command)
app.command("stats", help=stats.HELP)(stats.command)
app.command("train", help=train.HELP)(train.command)
app.command("verify", help=verify.HELP)(verify.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: words after the program's name; those of the process if None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with output.reporting():
        try:
            code = _run(words or ["--help"])
            output.finish()
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            with contextlib.suppress(OSError):
                output.finish()
            return 141
        except Exception as error:
            message = _mistake(error)
            if message is None:
                raise
            output.warn("error", message)
            with contextlib.suppress(OSError):
                output.finish()
            return 2
    return code


def _run(words: list[str]) -> int:
    """Run a command; unlike calling the app, this leaves all exceptions to `main`."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("xrdatasets", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return int(end.exit_code)
    return 0


def _mistake(error: Exception) -> str | None:
    """What the user should read, None for a bug."""
    if isinstance(error, MISUSE):
        return _usage(error)
    if isinstance(error, OSError) and not isinstance(error, XRDatasetsError) and error.strerror:
        return f"{error.filename!r}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (XRDatasetsError, OSError)) or _is_check(error):
        return _phrased(str(error))
    return None


def _usage(error: Exception) -> str:
    """A mistake in the call itself, and where to read on."""
    context = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    return f"{message}. See: {context.command_path if context else 'xrdatasets'} --help"


def _is_check(error: Exception) -> bool:
    """Whether a ValueError was raised by this package itself; from elsewhere it is a bug."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    home = frames[-1].f_globals.get("__name__", "") if frames else ""
    return isinstance(error, ValueError) and home.partition(".")[0] == "xrdatasets"


def _phrased(message: str) -> str:
    """A message of the library, in the words of the command line."""
    for pattern, words in OPTIONS:
        message = re.sub(pattern, words, message)
    return message


def _joined(words: str) -> str:
    return words.replace("', '", ",")


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"xrdatasets {__version__}\n")
        raise typer.Exit


@app.callback(help=HELP)
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that stand before a command."""
