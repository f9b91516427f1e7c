from __future__ import annotations

import csv
import importlib.resources
from pathlib import Path

import pytest

import xrdatasets
from xrdatasets.errors import MappingError
from xrdatasets.resources import Row, mappings, read_rows

CHECKOUT = Path(xrdatasets.__file__).resolve().parent.parent / "mappings"


@pytest.fixture
def table(tmp_path):
    def write(body):
        file = tmp_path / "t.csv"
        file.write_bytes(body if isinstance(body, bytes) else body.encode())
        return file

    return write


def test_installed_the_tables_are_a_package(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(importlib.resources, "files", lambda name: asked.append(name) or tmp_path)
    assert mappings() == tmp_path
    assert asked == ["xrdatasets.mappings"]


def test_in_a_checkout_they_are_the_folder_beside_the_package(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.resources, "files", missing)
    assert mappings() == CHECKOUT


@pytest.mark.parametrize("name", ["findings.csv", "hierarchy.csv", "datasets.csv", "views.csv"])
def test_the_tables_are_there(name):
    assert (mappings() / name).is_file()


@pytest.mark.parametrize(
    "file", sorted(CHECKOUT.rglob("*.csv")), ids=lambda file: file.relative_to(CHECKOUT).as_posix()
)
def test_every_table_is_plain_csv(file):
    data = file.read_bytes()
    with file.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines, strict=True)
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    assert data.endswith(b"\n")
    assert [line for line, row in enumerate(rows, 2) if len(row) != len(header)] == []
    assert [cell for row in rows for cell in row if cell != cell.strip()] == []
    assert [row.cells for row in read_rows(file, header)] == [
        dict(zip(header, row, strict=True)) for row in rows
    ]


def test_rows_have_file_line_and_stripped_cells(table):
    file = table("b,a\n 2 ,1\n\n4,\n")
    assert read_rows(file, ("a", "b")) == [
        Row(str(file), 2, {"a": "1", "b": "2"}),
        Row(str(file), 4, {"a": "", "b": "4"}),
    ]


def test_quoted_cells_may_hold_commas_quotes_and_lines(table):
    first, second = read_rows(table('a,b\n"x, ""y""\nz",1\n2,3\n'), ("a", "b"))
    assert first.cells == {"a": 'x, "y"\nz', "b": "1"}
    assert (second.line, second.cells) == (4, {"a": "2", "b": "3"})


@pytest.mark.parametrize("body", ["a,b\n", "a,b", "\na,b\n\n", b"\xef\xbb\xbfa,b\r\n"])
def test_a_header_alone_has_no_rows(table, body):
    assert read_rows(table(body), ("a", "b")) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", r"t\.csv, line 1: expected the columns a, b; missing: \['a', 'b'\]\.$"),
        ("a\n1\n", r"line 1: expected the columns a, b; missing: \['b'\]\.$"),
        ("a,b,c\n", r"line 1: expected the columns a, b; unknown: \['c'\]\.$"),
        ("a,b,a\n", r"line 1: expected the columns a, b; repeated: \['a'\]\.$"),
        ("A,b\n", r"line 1: expected the columns a, b; unknown: \['A'\]; missing: \['a'\]\.$"),
        ("a,b\n1\n", r"line 2: expected 2 cells \(a, b\), got '1'\.$"),
        ("a,b\n1,2\n1,2,\n", r"line 3: expected 2 cells \(a, b\), got '1,2,'\.$"),
        ("a,b\n1,2\n\n 1,2 \n", r"line 4: expected each row once \(line 2 says the same\), got '1,2'\.$"),
        ('a,b\n1,"2\n', r"line 2: expected CSV, got unexpected end of data\.$"),
        ('a,b\n1,"2"x\n', r"line 2: expected CSV, got .*"),
        (
            "a,b\n1,2\né,3\n".encode("latin-1"),
            r"line 3: expected UTF-8, got the byte b'\\xe9'\. Save the file",
        ),
        ("a,b\n".encode("utf-16"), r"line 1: expected UTF-8, got the byte b'\\xff'"),
    ],
)
def test_a_wrong_table_is_refused_with_file_and_line(table, body, message):
    with pytest.raises(MappingError, match=message):
        read_rows(table(body), ("a", "b"))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(
        MappingError, match=r"none\.csv: cannot be read \(No such file or directory\)\. Expected a"
    ):
        read_rows(tmp_path / "none.csv", ("a",))
    with pytest.raises(MappingError, match=r"cannot be read \(Is a directory\)"):
        read_rows(tmp_path, ("a",))


def test_the_error_of_a_row_says_where_what_and_instead_of_what():
    error = Row("x/y.csv", 7, {}).error("a number", "seven")
    assert str(error) == "x/y.csv, line 7: expected a number, got 'seven'."
    assert isinstance(error, MappingError)
