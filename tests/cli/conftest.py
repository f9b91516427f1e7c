from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from xrdatasets.cli.main import main

HOME = Path(__file__).resolve().parents[2]


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys) -> Callable[..., Result]:
    """Run a command in this process."""

    def call(*words: object) -> Result:
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(run) -> Callable[..., str]:
    """Run a command that is a mistake: one line on stderr, nothing on stdout, exit code 2."""

    def call(*words: object) -> str:
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").rstrip("\n")

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with these words in another process, as a user would; options are of `subprocess.run`."""

    def call(*words: object, **options):
        environment = os.environ | {"PYTHONPATH": str(HOME)} | options.pop("env", {})
        given = {"capture_output": True, "text": True, "timeout": 120, "check": False} | options
        return subprocess.run([sys.executable, *map(str, words)], env=environment, **given)

    return call
