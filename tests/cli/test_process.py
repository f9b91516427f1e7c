"""What only another process shows: exit codes, streams, pipes, signals, imports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from xrdatasets import __version__

COMMAND = ("-m", "xrdatasets")
# runs a command, then tells on stderr which heavy packages it imported
SPY = (
    "import sys; from xrdatasets.cli.main import main; code = main(sys.argv[1:]); "
    "heavy = {'torch', 'pandas', 'numpy', 'rich.table'}; "
    "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
)


def test_the_command_runs(process):
    done = process(*COMMAND, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"xrdatasets {__version__}\n", "")


def test_a_mistake_is_one_line(process):
    done = process(*COMMAND, "stats", "nih")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: expected NAME=ROOT, got 'nih'. For example: nih=/data/nih\n"


def test_json_is_all_there_is_on_stdout_and_torch_is_not_imported(process, fake):
    done = process("-W", "error", "-c", SPY, "stats", f"nih={fake('nih')}", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["datasets"][0]["images"] == 5
    assert done.stderr == "['numpy', 'pandas']\n"


@pytest.mark.parametrize("words", [("list", "datasets"), ("lookup", "edema"), ("stats", "nih={root}")])
def test_no_command_imports_torch(process, fake, words):
    done = process("-c", SPY, *(word.format(root=fake("nih")) if "{" in word else word for word in words))
    assert done.returncode == 0
    assert "torch" not in done.stderr


def test_help_imports_nothing_heavy_and_is_fast(process):
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        done = process("-c", SPY, "--help")
        durations.append(time.perf_counter() - start)
    assert done.stderr == "[]\n"
    # 60 ms where it was written; room for slow machines
    assert min(durations) < 1.0


def test_a_reader_that_leaves_is_quiet():
    words = [sys.executable, *COMMAND, "list", "spaces"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


def test_a_full_disk_is_one_line(process):
    try:
        full = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115
    except OSError:
        pytest.skip("there is no /dev/full")
    with full:
        done = process(*COMMAND, "list", "spaces", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_an_interrupt_is_quiet(process):
    code = (
        "import signal, sys; from xrdatasets.cli import main, sources\n"
        # a shell starts what it runs in the background with interrupts ignored, and children inherit that
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sources.parse = lambda words: signal.raise_signal(signal.SIGINT)\n"
        "sys.exit(main.main(['stats', 'nih=x']))"
    )
    done = process("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert signal.SIGINT == 2


def test_a_bug_shows_where_it_is(process):
    code = (
        "import sys; from xrdatasets.cli import main, sources\n"
        "sources.parse = lambda words: 1 / 0\n"
        "sys.exit(main.main(['stats', 'nih=x']))"
    )
    done = process("-c", code)
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_terminal_of_80_columns(fake):
    pty = pytest.importorskip("pty")
    import os

    parent, child = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    words = [sys.executable, *COMMAND, "stats", f"chexpert={fake('chexpert')}", "--cooccurrence"]
    with subprocess.Popen(words, stdout=child, stderr=subprocess.PIPE, env=environment) as running:
        os.close(child)
        text = b""
        while True:
            try:
                block = os.read(parent, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not block:
                break
            text += block
        assert running.stderr.read() == b""
    os.close(parent)
    lines = text.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    shown = [line for line in lines if not line.startswith("chexpert: ")]  # a path may be longer
    assert max(map(len, shown)) <= 80
    assert any(line.startswith("Enlarged Cardiomediastinum ") for line in shown)
