"""Mapping files of one's own, written by hand."""

from __future__ import annotations

import pytest

from xrdatasets.labels import LabelTable

HEAD = "column,source,target,relation,note,reference\n"


@pytest.fixture
def own(tmp_path):
    """Make a table of rules ``column,source,target,relation``."""

    def make(*rules, absent="unmentioned"):
        file = tmp_path / "own.csv"
        file.write_text(HEAD + "".join(f"{rule},,\n" for rule in rules), encoding="utf-8")
        return LabelTable.read(file, dataset="own", absent=absent)

    return make


@pytest.fixture
def mapping(tmp_path):
    """Write the bytes or the text of a mapping file below its header."""

    def write(body, *, head=HEAD):
        file = tmp_path / "own.csv"
        file.write_bytes(body if isinstance(body, bytes) else (head + body).encode())
        return file

    return write
