from __future__ import annotations

import errno
import io
import os
import re
import stat

import pytest

from xrdatasets.cli import output


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self):
        return True

    def written(self):
        self.flush()
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.buffer.getvalue().decode(self.encoding))


@pytest.fixture
def terminal(monkeypatch):
    """Make stdout or stderr a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    def make(name="stdout", **options):
        made = Terminal(**options)
        monkeypatch.setattr(f"sys.{name}", made)
        return made

    return make


def test_numbers_stand_to_the_right_with_separators(capsys):
    output.emit(output.table(("Name", "Count", "Mean"), [("a", 1234567, 0.5), ("long name", 1, None)]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Name           Count   Mean"
    assert set(lines[1]) == {"─"}
    assert lines[2:] == ["a          1,234,567  0.500", "long name          1"]


def test_without_a_terminal_nothing_is_cut_or_broken(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    name = "word " * 60
    output.emit(f"a {name}", output.table(("Name", "Count"), [(name, 5)]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert name.strip() in lines[0]
    assert name in lines[3]


def test_on_a_terminal_long_names_are_wrapped_and_numbers_stay_whole(terminal):
    screen = terminal()
    rows = [("Enlarged Cardiomediastinum " * 3, 123456789, 12)]
    output.emit(output.table(("Finding", "Positive", "Negative"), rows))
    text = screen.written()
    assert max(map(len, text.splitlines())) <= 80
    assert "123,456,789" in text
    assert "…" not in text


def test_on_a_terminal_texts_are_wrapped_but_addresses_stay_whole(terminal):
    screen = terminal()
    address = "https://example.org/" + "x-y" * 40
    output.emit("word " * 30, address)
    first, second, third = screen.written().splitlines()
    assert max(len(first), len(second)) <= 80
    assert third == address


def test_a_table_that_just_fits_moves_closer_together(terminal):
    screen = terminal()
    heads = ("Finding", "Positive", "Negative", "Uncertain", "Unmentioned", "Unlabelled")
    output.emit(output.table(heads, [("Enlarged Cardiomediastinum", 1, 2, 3, 4, 5)]))
    lines = screen.written().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80


def test_markup_is_text(capsys):
    output.emit("[1] [bold]x[/bold] :smile:", output.table(("[a]",), [("[red]b",)]))
    out = capsys.readouterr().out
    assert "[1] [bold]x[/bold] :smile:" in out
    assert "[a]" in out
    assert "[red]b" in out


def test_what_an_encoding_lacks_is_escaped(monkeypatch):
    stream = Terminal(encoding="ascii")
    stream.isatty = lambda: False
    monkeypatch.setattr("sys.stdout", stream)
    output.emit("caf\u00e9 \udcff", output.table(("a",), [("b",)]))
    assert stream.written().splitlines()[0] == "caf\\xe9 \\udcff"


def test_a_stream_without_an_encoding(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    output.emit("café")
    assert stream.getvalue() == "café\n"


def test_json_has_no_number_that_json_lacks():
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.to_json("stats", mean=float("nan"))


def test_progress_is_shown_on_a_terminal_alone(terminal, capsys):
    with output.progress("opening nih"):
        pass
    assert capsys.readouterr().err == ""
    screen = terminal("stderr")
    with output.progress("opening nih"):
        output.warn("warning", "3 rows")
    assert "opening nih" in screen.written()
    assert "warning: 3 rows" in screen.written()


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "out.csv"
    output.write_file(path, "a,b\nö,2\n")
    assert path.read_bytes() == "a,b\nö,2\n".encode()
    output.write_file(path, "new\n")
    assert path.read_text() == "new\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "real.csv")
    output.write_file(link, "x")
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text() == "x"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_fails_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail(_descriptor):
        raise error

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(type(error)):
        output.write_file(path, "new")
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_reader_that_left_stderr_is_nobody(monkeypatch):
    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    output.warn("error", "x")
