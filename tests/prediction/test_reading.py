"""Images are read in order, ahead, and none ends the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.prediction.conftest import write_png
from xrdatasets.models import InputSpec
from xrdatasets.prediction.reading import DIED, read_ahead

SPEC = InputSpec(size=16)


class Deadly(InputSpec):
    """Dies of what is called deadly, as a decoder in C would."""

    def load(self, source, *, max_value=None):
        if "deadly" in source:
            os._exit(9)
        return super().load(source, max_value=max_value)


class Buggy(InputSpec):
    def load(self, source, *, max_value=None):
        raise KeyError(source)


@pytest.fixture
def paths(tmp_path):
    return [str(write_png(tmp_path / f"{number}.png", number)) for number in range(21)]


def assert_read(outcomes, paths):
    outcomes = list(outcomes)
    assert len(outcomes) == len(paths)
    for outcome, path in zip(outcomes, paths, strict=True):
        np.testing.assert_array_equal(outcome, SPEC.load(path)[0].numpy())


@pytest.mark.parametrize("workers", [None, 0, 1, 2])
def test_in_order(paths, workers):
    assert_read(read_ahead(SPEC, paths, workers=workers), paths)


def test_processes_start_anew_where_other_threads_run(paths):
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert_read(read_ahead(SPEC, paths[:2], workers=1), paths[:2])
    finally:
        stop.set()
        other.join()


SCRIPT = """
import sys, threading
from xrdatasets.models import InputSpec
from xrdatasets.prediction.reading import read_ahead
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()  # so that processes start anew
print([*read_ahead(InputSpec(size=16), sys.argv[1:], workers=1)][0].shape)
"""


def test_a_script_without_its_guard_is_told_so(paths, tmp_path):
    """Processes that cannot start are no image's fault: that is one error, not one for each image."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, tmp_path / "script.py", *paths[:3]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "XRDatasetsError: the processes that read images could not start" in done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_has_its_reason_without_the_name(paths, tmp_path, workers):
    (tmp_path / "3.png").write_text("no image")
    (tmp_path / "5.png").unlink()
    outcomes = list(read_ahead(SPEC, paths, workers=workers))
    assert outcomes[3].startswith("it is no image of a known kind")
    assert outcomes[5].startswith("No such file or directory")
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)] == [3, 5]


def test_even_a_bug_of_a_decoder_is_one_images_failure(paths):
    assert set(read_ahead(Buggy(), paths[:1])) == {f"KeyError: {paths[0]!r}"}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_that_kills_its_reader_is_one_images_failure(paths, tmp_path, workers):
    deadly = tmp_path / "deadly.png"
    deadly.write_bytes((tmp_path / "0.png").read_bytes())
    given = [*paths[:9], str(deadly), *paths[9:], str(deadly)]
    outcomes = list(read_ahead(Deadly(size=16), given, workers=workers))
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)] == [9, 22]
    assert outcomes[9] == DIED
    assert_read(outcomes[:9] + outcomes[10:-1], paths)
