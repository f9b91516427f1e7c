"""Tables as CSV: heads, cut and damaged lines, ids of any length."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets.csvtables import check_paths, may_leave, read_csv, read_csv_blocks


def read(path, **options):
    return read_csv(path, dataset="own", **options)


@pytest.fixture(params=["t.csv", "t.csv.gz"])
def write(request, tmp_path):
    def write(*lines):
        path, data = tmp_path / request.param, ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return write


def test_types_are_given_by_the_name_without_blanks(write):
    path = write(" id , n\t", "007,1", "7,2")
    assert read(path, dtype={"id": "str", "gone": "int8"})["id"].tolist() == ["007", "7"]
    assert read(path, dtype={"id": "str"}, usecols=["id", "gone"]).to_dict("list") == {"id": ["007", "7"]}
    assert list(read(path, usecols=lambda name: name == "n")) == ["n"]
    blocks = [*read_csv_blocks(path, dataset="own", rows=1, dtype={"id": "str"})]
    assert [block["id"].item() for block in blocks] == ["007", "7"]


def test_heads_that_are_alike_are_numbered(write):
    assert list(read(write("a,a , a, b , b ,c .1", "1,2,3,4,5,6"))) == ["a", "a.1", "a.2", "b", "b.1", "c .1"]


@pytest.mark.parametrize("options", [{}, {"usecols": ["id"]}, {"usecols": lambda name: name == "id"}])
def test_a_comma_at_the_end_of_the_lines_alone(write, options):
    path = write("id,n", "007,1,", "7,2,")
    assert read(path, dtype={"id": "str"}, **options)["id"].tolist() == ["007", "7"]
    blocks = [*read_csv_blocks(path, dataset="own", rows=1, dtype={"id": "str"}, **options)]
    assert [block["id"].item() for block in blocks] == ["007", "7"]


@pytest.mark.parametrize("options", [{}, {"usecols": ["id"]}])
def test_more_cells_than_names(write, options):
    path = write("id,n", "row,007,1", "row,7,2")
    with pytest.raises(xr.TableError, match=r"own: '.*t.csv.*' has lines of more cells than column names"):
        read(path, **options)
    with pytest.raises(xr.TableError, match=r"has lines of more cells than column names"):
        next(read_csv_blocks(path, dataset="own", rows=1, **options))


@pytest.mark.parametrize("last", ["3", '"3"', "3\n\n"])
def test_a_last_row_cut_to_its_first_cell(write, last):
    path = write("id,n,m", "1,5,6", last)
    with pytest.raises(xr.TableError, match=r"is cut: its last line has one cell, .*3.*. Expected 3 cells"):
        read(path)
    with pytest.raises(xr.TableError, match=r"is cut"):
        [*read_csv_blocks(path, dataset="own", rows=1)]


@pytest.mark.parametrize("last", ["3,,", "3,", ",,", "3,,5"])
def test_a_last_row_of_blanks_is_not_cut(write, last):
    assert len(read(write("id,n,m", "1,5,6", last))) == 2


def test_a_table_of_one_column_is_not_cut(write):
    assert read(write("id", "1", "2"))["id"].tolist() == [1, 2]


def test_a_number_that_is_too_large_for_its_type(write):
    with pytest.raises(xr.TableError, match=r"holds a number that is too large"):
        read(write("id,n", "9" * 20 + ",1"), dtype={"id": "int32"})


def test_whole_numbers_beyond_64_bits_are_text(write):
    path = write("id,n", f"{'9' * 400},1", "1,")
    assert read(path)["id"].tolist() == ["9" * 400, "1"]


def test_a_look_at_all_paths_at_once():
    for bad in ("/a", "~a", "c:a", "a\\b", "..", "a/../b", " /a"):
        assert may_leave(np.array(["a/b", bad], dtype=object)), bad
    assert not may_leave(np.array(["a/b", "c", "1.2.840", "a b"], dtype=object))
    assert not may_leave(np.array([], dtype=object))


def test_the_row_of_a_path_that_leaves_is_named():
    paths = pd.Series([None, "a..b", "a/b", "..\\c"], index=[9, 9, 9, 9])
    with pytest.raises(xr.TableError, match=r"row 4 of the data: .* points outside"):
        check_paths(paths, path=Path("t.csv"), dataset="own")
    assert check_paths(paths[:3], path=Path("t.csv"), dataset="own").tolist()[1:] == ["a..b", "a/b"]


def test_patients_007_and_7_are_two(tmp_path):
    root = fakes.write("hannover", tmp_path)
    path = root / "data.csv"
    head, *lines = path.read_text().splitlines()
    patient = head.split(",").index("patient_id")
    for number, line in enumerate(lines):
        cells = line.split(",")
        lines[number] = ",".join([*cells[:patient], "007" if number else "7", *cells[patient + 1 :]])
    fakes.write_table(path, head.replace(",", " , "), *lines)
    assert xr.Hannover(root).table["patient_id"].tolist()[:2] == ["7", "007"]
