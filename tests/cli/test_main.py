from __future__ import annotations

import errno
import logging
import warnings

import numpy as np
import pytest

import xrdatasets
from xrdatasets.cli import main as module, sources
from xrdatasets.cli.main import main


@pytest.fixture
def failing(monkeypatch):
    """Make the opening of datasets fail."""

    def install(error):
        def fail(*_args, **_options):
            raise error

        monkeypatch.setattr(sources, "open_all", fail)

    return install


def test_version(run):
    assert run("--version") == (0, f"xrdatasets {xrdatasets.__version__}\n", "")


def test_help_of_the_program_and_of_no_words_at_all(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for word in ("list", "lookup", "stats", "--version", "Examples:", "xrdatasets stats nih=/data/nih"):
        assert word in out
    assert run() == (code, out, err)


@pytest.mark.parametrize("command", ["list", "lookup", "stats"])
def test_every_command_has_help_with_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"\n    xrdatasets {command} " in out
    assert "--json" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "Raises" not in out


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        (["nonsense"], "No such command 'nonsense'", "See: xrdatasets --help"),
        (["--nonsense"], "No such option", "See: xrdatasets --help"),
        (["stats", "--nonsense"], "No such option", "See: xrdatasets stats --help"),
        (
            ["list"],
            "Missing argument 'datasets|spaces|policies|weights|recipes'",
            "See: xrdatasets list --help",
        ),
        (["list", "datasets", "more"], "Got unexpected extra argument", "See: xrdatasets list --help"),
        (["lookup"], "Missing argument '[DATASET] TERM'", "See: xrdatasets lookup --help"),
        (["stats"], "Missing argument 'NAME=ROOT'", "See: xrdatasets stats --help"),
        (["stats", "nih=x", "--space"], "Option '--space' requires an argument", "--help"),
        (["stats", "nih=x", "--json=1"], "Option '--json' does not take a value", "--help"),
    ],
)
def test_mistakes_in_the_call(refused, words, start, end):
    message = refused(*words)
    assert message.startswith(start)
    assert message.endswith(end)
    assert ".." not in message


def test_a_message_of_several_lines_becomes_one(refused, failing):
    failing(ValueErrorOfThePackage("one\n  two\r\nthree"))
    assert refused("stats", "nih=x") == "one two three"


class ValueErrorOfThePackage(xrdatasets.XRDatasetsError, ValueError):
    pass


def test_a_value_error_from_elsewhere_is_a_bug(failing):
    failing(ValueError("shapes do not match"))
    with pytest.raises(ValueError, match="shapes do not match"):
        main(["stats", "nih=x"])


def test_a_value_error_of_numpy_is_a_bug(monkeypatch):
    monkeypatch.setattr(sources, "open_all", lambda *_, **__: np.zeros(2) + np.zeros(3))
    with pytest.raises(ValueError, match="broadcast"):
        main(["stats", "nih=x"])


def test_any_other_error_is_a_bug(failing):
    failing(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["stats", "nih=x"])


def test_an_error_that_was_never_raised_is_not_the_users():
    assert module._mistake(ValueError("x")) is None


def test_an_error_of_the_system_names_the_file(refused, failing):
    failing(PermissionError(errno.EACCES, "Permission denied", "/data/nih"))
    assert refused("stats", "nih=x") == "'/data/nih': Permission denied"


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError(errno.EIO, "Input/output error"), "Input/output error"), (OSError("odd"), "odd")],
)
def test_an_error_of_the_system_without_a_file(refused, failing, error, message):
    failing(error)
    assert refused("stats", "nih=x") == message


def test_an_interrupt_is_quiet(run, failing):
    failing(KeyboardInterrupt())
    assert run("stats", "nih=x") == (130, "", "")


def test_a_reader_that_left_is_quiet(run, failing):
    failing(BrokenPipeError())
    assert run("stats", "nih=x") == (141, "", "")


def test_warnings_of_the_library_are_one_line_each(run, monkeypatch):
    def grumble(*_args, **_options):
        logging.getLogger("xrdatasets.datasets").warning("%d rows\nare odd", 3)
        logging.getLogger("xrdatasets.datasets").info("not worth a line")
        warnings.warn("shared images", xrdatasets.OverlapWarning, stacklevel=1)
        raise xrdatasets.TableError("no table")

    monkeypatch.setattr(sources, "open_all", grumble)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = run("stats", "nih=x")
    assert (code, out) == (2, "")
    assert err == "warning: 3 rows are odd\nwarning: shared images\nerror: no table\n"


def test_afterwards_the_logger_is_as_it_was(run):
    logger = logging.getLogger("xrdatasets")
    before, shown = list(logger.handlers), warnings.showwarning
    run("list", "policies")
    run("nonsense")
    assert logger.handlers == before
    assert warnings.showwarning is shown
