"""What an answer says of a file, and how files begin."""

from __future__ import annotations

import pytest

from xrdatasets.answers import Notes, misfit

TAR = bytes(257) + b"ustar" + bytes(250)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.zip", b"PK\x03\x04 and more"),
        ("a.ZIP", b"PK\x05\x06"),  # an empty one
        ("a.tgz", b"\x1f\x8b\x08"),
        ("a.csv.gz", b"\x1f\x8b\x08"),
        ("a.tar", TAR),
        ("a.tar.xz", b"\xfd7zXZ\0"),
        ("a.tar.bz2", b"BZh9"),
        ("a.csv", b"Image Index,Finding Labels"),
        ("a.csv", b"\xef\xbb\xbfa,b"),
        ("a.txt", b"00000001_000.png"),
        ("a.json", b'[{"a": "<b>"}]'),
        ("a.json", b"{}"),
        ("a.html", b"<html>"),
        ("a.xml", b"<?xml?>"),
        ("a.png", b"\x89PNG"),
        ("a", b"<"),
    ],
)
def test_what_begins_as_its_name_says(name, head):
    assert misfit(name, head) == ""


@pytest.mark.parametrize(
    ("name", "head", "got"),
    [
        ("a.zip", b"", "the first bytes of a .zip, got b''"),
        ("a.zip", b"PK", "the first bytes of a .zip, got b'PK'"),
        ("a.tar.gz", b"<html>", "the first bytes of a .gz, got b'<html>'"),
        ("a.tgz", b"PK\x03\x04", "the first bytes of a .tgz, got b'PK"),
        ("a.tar", TAR[1:], "the first bytes of a .tar, got b'"),
        ("a.csv", b" \r\n<html>", "the first bytes of a .csv, got b' "),
        ("a.csv", b'{"error": 1}', "the first bytes of a .csv, got b'{"),
        ("a.txt", b"\xef\xbb\xbf<Error>", "the first bytes of a .txt, got b"),
        ("a.json", b"<Error>", "the first bytes of a .json, got b"),
        ("a.png", b"<!doctype HTML>", "a file, got a web page, b"),
    ],
)
def test_what_does_not_begin_as_its_name_says(name, head, got):
    assert misfit(name, head).startswith(f"expected {got}")


def test_notes_are_read_as_they_were_written(tmp_path):
    notes = Notes("https://example.org/ä", '"ö"', "Tue, 01 Jan 2019 00:00:00 GMT", 5, "x-gzip")
    notes.write(tmp_path / "notes")
    assert Notes.read(tmp_path / "notes") == notes
    assert Notes.read(tmp_path / "none") == Notes.read(tmp_path) == Notes()
