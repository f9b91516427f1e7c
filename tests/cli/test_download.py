from __future__ import annotations

import hashlib
import json
import os

import pytest

from tests.serving import serving, status, whole
from xrdatasets import downloading, fetching
from xrdatasets.facts import Facts

BODY = b"PK\x03\x04" + os.urandom(29_996)
DIGEST = hashlib.sha256(BODY).hexdigest()
network = pytest.mark.network  # of this machine alone


@pytest.fixture
def server(monkeypatch):
    """A server that has the files of Kermany's."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "_sleep", lambda _: None)
    with serving() as running:
        running.answers = [whole(BODY)]
        sources = (
            downloading.Source(
                "kermany", "a.zip", "", running.url("/a.zip"), 30_000, f"sha256:{DIGEST}", "x"
            ),
            downloading.Source("kermany", "b.csv", "", running.url("/b.csv"), None, "", "x"),
            downloading.Source("kermany", "c.txt", "", "", None, "", "x"),
        )
        monkeypatch.setattr(downloading, "_all_sources", lambda: sources)
        yield running


@network
def test_a_release(run, server, tmp_path):
    code, out, err = run("download", "Kermany", tmp_path / "new")
    facts = Facts.load("kermany")
    assert code == 0
    assert err.splitlines() == [
        f"warning: b.csv: no checksum of it is known yet; sha256 {DIGEST} is recorded in b.csv.sha256",
        f"warning: kermany: get c.txt by hand, from {facts.url}",
    ]
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith(f"{facts.title}: CC BY 4.0\n{facts.url}\n")
    assert ["a.zip", "30,000", "whole", "sha256"] in lines
    assert ["b.csv", "30,000", "whole"] in lines
    assert ["c.txt", "by", "hand"] in lines
    assert out.endswith(f"\nkermany in {tmp_path / 'new'}\n")
    assert (tmp_path / "new" / "a.zip").read_bytes() == BODY


@network
def test_a_release_as_json(run, server, tmp_path):
    code, out, _ = run("download", "kermany", tmp_path, "--file", "a.zip", "--json")
    document = json.loads(out)
    facts = Facts.load("kermany")
    assert code == 0
    assert document == {
        "version": 1,
        "command": "download",
        "dataset": "kermany",
        "root": str(tmp_path),
        "licence": facts.licence,
        "url": facts.url,
        "dry_run": False,
        "files": [
            {
                "file": "a.zip",
                "url": server.url("/a.zip"),
                "bytes": 30_000,
                "checksum": f"sha256:{DIGEST}",
                "path": str(tmp_path / "a.zip"),
            }
        ],
    }
    assert [path for path, _ in server.requests] == ["/a.zip"]


@network
def test_a_dry_run_asks_nobody_and_writes_nothing(run, server, tmp_path):
    code, out, err = run("download", "kermany", tmp_path / "new", "--dry-run")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["a.zip", "30,000", "open", "sha256"] in lines
    assert out.endswith(f"kermany would be downloaded to {tmp_path / 'new'}: 30,000 bytes or more\n")
    document = json.loads(run("download", "kermany", tmp_path / "new", "--dry-run", "--json").out)
    assert document["dry_run"] is True
    assert [(file["file"], file["path"]) for file in document["files"]] == [
        ("a.zip", None), ("b.csv", None), ("c.txt", None),
    ]  # fmt: skip
    assert document["files"][2]["url"] is None
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@network
def test_a_server_that_fails(refused, server, tmp_path):
    server.answers = [status(503)]
    message = refused("download", "kermany", tmp_path, "--retries", "1", "--timeout", "1")
    assert message.startswith("a.zip: 'http://127.0.0.1:")
    assert message.endswith(
        "failed 2 times in a row (503 Service Unavailable). Nothing came; try again later."
    )
    assert len(server.requests) == 2


@network
def test_an_archive_that_is_none(refused, server, tmp_path):
    message = refused("download", "kermany", tmp_path, "--unpack", "--file", "a.zip")
    assert message.startswith("a.zip: expected a whole zip or tar archive, got one that cannot be read (")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["chexpert"],
            "chexpert: not open to a program: it wants a login, or has no lasting address. Its terms: ",
        ),
        (["phantom"], "phantom: it is made by this package and needs no download."),
        (["nihh"], "no dataset is called 'nihh'. Expected one of: "),
        (["kermany", "--file", "x"], "kermany: no file is called 'x'. Expected one of: ChestXRay2017.zip."),
        (["kermany", "--retries", "-1"], "retries: expected a whole number of at least 0, got -1."),
        (["kermany", "--timeout", "0"], "timeout: expected seconds, more than 0, got 0.0."),
    ],
)
def test_mistakes_are_one_line(refused, tmp_path, words, message):
    name, *options = words
    assert refused("download", name, tmp_path / "new", *options).startswith(message)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--dry-run", "--json"]])
@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("/dev/null", "'/dev/null' is no folder. Expected a folder, or a name that is free."),
        ("x" * 300, f"'{'x' * 300}': File name too long. Expected a folder that can be read and written to;"),
    ],
)
def test_a_root_that_is_no_folder(refused, root, message, more):
    assert refused("download", "kermany", root, *more).startswith(message)


def test_without_a_root(refused):
    assert refused("download", "kermany") == "Missing argument 'ROOT'. See: xrdatasets download --help"


def test_help(run):
    code, out, _ = run("download", "--help")
    assert code == 0
    assert "\n    xrdatasets download " in out
    assert max(map(len, out.splitlines())) <= 80
    assert "Raises" not in out
