"""A download against its release: every difference is found, and nothing else is called one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xrdatasets as xr
from tests import fakes
from xrdatasets.datasets import exclusions
from xrdatasets.facts import Facts
from xrdatasets.reports import verification
from xrdatasets.reports.verification import Verification, verify


@pytest.fixture
def known(tmp_path, monkeypatch):
    """Put other counts in place of those of the tables."""
    (tmp_path / "mappings" / "counts").mkdir(parents=True)
    monkeypatch.setattr(verification, "mappings", lambda: tmp_path / "mappings")

    def write(key, *rows, images=None, patients=None):
        lines = ["finding,positive,negative,uncertain,source", *rows]
        (tmp_path / "mappings" / "counts" / f"{key}.csv").write_text("\n".join(lines) + "\n")
        facts = dataclasses.replace(Facts.load(key), images=images, patients=patients)
        monkeypatch.setattr("xrdatasets.datasets.release.Facts.load", lambda _: facts)

    return write


@pytest.fixture
def excluding(monkeypatch):
    def write(key, **reasons):
        monkeypatch.setattr(exclusions, "_all_excluded", lambda: {key: reasons})

    return write


def rows(found: Verification):
    return [
        tuple(row)
        for row in found.checks[["what", "finding", "expected", "found", "agrees"]].to_numpy(object)
    ]


# -- counts ---------------------------------------------------------------------------------------------


def test_a_part_of_nih_differs(fake):
    found = verify("nih", fake("nih"))
    assert not found.ok
    assert (found.dataset, found.counted_split, found.decoded) == ("nih", None, None)
    assert rows(found)[:4] == [
        ("images", "", 112_120, 5, False),
        ("patients", "", 30_805, 3, False),
        ("positive", "Atelectasis", 11_559, 0, False),
        ("negative", "Atelectasis", 100_561, 5, False),
    ]
    assert len(found.checks) == 2 + 3 * 15  # 14 findings and No Finding
    assert (found.missing, found.doubles, found.exclusions, len(found.damaged)) == ((), (), {}, 0)
    # nothing is uncertain, neither here nor there
    assert found.checks.query("what == 'uncertain'")["agrees"].all()
    assert len(found.differing) == 2 + 2 * 15


def test_a_whole_release_agrees(fake, known):
    known("kermany", "Pneumonia,3,3,0,counted by hand", images=6)
    found = verify("Kermany", fake("kermany"), decode=True, progress=False)
    assert found.ok
    assert found.decoded == 6
    assert found.differing.empty
    assert rows(found)[0] == ("images", "", 6, 6, True)
    assert found.checks["agrees"].isna().tolist() == [False, True, False, False, False]


def test_one_label_that_differs(fake, known):
    known("hannover", "COVID-19,3,,0,x", "Pneumonia,1,0,0,x", images=3, patients=2)
    found = verify("hannover", fake("hannover"))
    assert not found.ok
    assert found.differing[["what", "finding", "expected", "found"]].to_numpy().tolist() == [
        ["positive", "Pneumonia", 1, 0]
    ]
    assert pd.isna(found.checks.query("what == 'negative' and finding == 'COVID-19'")["agrees"].item())


def test_all_views_are_counted(fake, known):
    known("chexpert", "Edema,1,,0,x", images=6)
    root = fake("chexpert")
    found = verify("chexpert", root)
    assert rows(found)[0] == ("images", "", 6, 6, True)
    assert xr.CheXpert(root).table["view"].ne("LATERAL").all()


def test_chexpert_is_counted_in_its_train_split(fake, known):
    """Its counts are those of train.csv: the images of valid.csv are not in them."""
    root = fake("chexpert")
    train = xr.CheXpert(root, views="*", split="train", space=["Effusion"]).totals().loc["Effusion"]
    both = xr.CheXpert(root, views="*", space=["Effusion"]).totals().loc["Effusion"]
    assert train["negative"] != both["negative"]
    known("chexpert", f"Effusion,{train['positive']},{train['negative']},{train['uncertain']},x", images=6)
    found = verify("chexpert", root)
    assert found.ok
    assert found.counted_split == "train"


def test_a_dataset_of_one_s_own_has_nothing_to_compare(fake):
    found = verify(xr.TableDataset(fake("table"), **fakes.load("table").OPTIONS))
    assert found.ok
    assert found.checks["expected"].isna().all()


def test_a_dataset_that_is_open_is_counted_as_it_is(fake):
    ds = xr.NIH(fake("nih"), views="PA")
    found = verify(ds, decode=True, progress=False)
    assert rows(found)[0] == ("images", "", 112_120, 3, False)
    assert found.decoded == 3


def test_a_hospital_of_the_phantom_has_no_files():
    found = verify("phantom", "A", decode=True, progress=False)
    assert found.ok
    assert (found.missing, found.decoded) == ((), len(xr.open("phantom", "A")))


def test_a_count_that_is_no_number(fake, known):
    known("kermany", "Pneumonia,many,3,0,x")
    with pytest.raises(
        xr.MappingError, match=r"kermany\.csv, line 2: expected positive to be a whole number or empty"
    ):
        verify("kermany", fake("kermany"))


def test_no_known_counts_at_all(fake, known, tmp_path):
    known("kermany", images=6)
    (tmp_path / "mappings" / "counts" / "kermany.csv").unlink()
    assert len(verify("kermany", fake("kermany")).checks) == 2


# -- files ----------------------------------------------------------------------------------------------


@pytest.fixture
def hannover(fake, known):
    known("hannover", "COVID-19,3,,0,x", images=3, patients=2)
    return fake("hannover")


def test_a_file_that_is_missing(hannover):
    (hannover / "png" / "b343e657.png").unlink()
    found = verify("hannover", hannover, decode=True, progress=False)
    assert not found.ok
    assert found.differing.empty
    assert found.missing == ("b343e657",)
    assert found.decoded == 2


def test_a_file_that_is_there_twice(hannover):
    """As in two copies of a release below one root: nobody can say which is meant."""
    for copy in ("a", "b"):
        (hannover / copy).mkdir()
        (hannover / copy / "b343e657.png").write_bytes((hannover / "png" / "b343e657.png").read_bytes())
    (hannover / "png" / "b343e657.png").unlink()
    found = verify("hannover", hannover, decode=True, progress=False)
    assert (found.doubles, found.missing, found.decoded, found.ok) == (("b343e657",), (), 2, False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"no image at all", ""), (b"\x89PNG\r\n\x1a\n" + bytes(100), "")],
)
def test_files_that_do_not_open(hannover, content, reason):
    path = hannover / "png" / "b343e657.png"
    path.write_bytes(content)
    found = verify("hannover", hannover, decode=True, progress=False)
    assert not found.ok
    assert found.damaged["image_id"].tolist() == ["b343e657"]
    assert str(path) in found.damaged["reason"].item()
    assert reason in found.damaged["reason"].item()
    assert verify("hannover", hannover).ok  # without opening them, nothing is seen


def test_a_file_that_is_cut_off(hannover):
    path = hannover / "png" / "b343e657.png"
    path.write_bytes(path.read_bytes()[:-40])
    assert verify("hannover", hannover, decode=True, progress=False).damaged["image_id"].tolist() == [
        "b343e657"
    ]


def test_an_excluded_image_counts_but_need_not_open_or_be_there(hannover, excluding):
    excluding("hannover", b343e657="cut off in the release", c9280a30="never was there")
    (hannover / "png" / "b343e657.png").write_bytes(b"half")
    (hannover / "png" / "c9280a30.png").unlink()
    found = verify("hannover", hannover, decode=True, progress=False)
    assert found.ok
    assert found.exclusions == {"b343e657": "cut off in the release", "c9280a30": "never was there"}
    assert (found.missing, found.decoded) == ((), 1)


# -- processes ------------------------------------------------------------------------------------------


def test_several_processes_find_the_same(fake, monkeypatch):
    root = fake("nih")
    (root / "images" / "00000002_000.png").write_bytes(b"x")
    (root / "images" / "00000003_001.png").write_bytes(b"y")
    alone = verify("nih", root, decode=True, workers=1, progress=False)
    monkeypatch.setattr(verification, "FEW", 1)
    monkeypatch.setattr(verification, "CHUNK", 2)
    several = verify("nih", root, decode=True, workers=2, progress=False)
    assert several.damaged.equals(alone.damaged)
    assert alone.damaged["image_id"].tolist() == ["00000002_000", "00000003_001"]


def die(_rows):
    os._exit(1)


def test_a_process_that_dies_is_said(fake, monkeypatch):
    monkeypatch.setattr(verification, "FEW", 1)
    monkeypatch.setattr(verification, "_open_here", die)
    with pytest.raises(
        xr.ImageReadError, match="nih: a process that opened images died: out of memory, or a decoder"
    ):
        verify("nih", fake("nih"), decode=True, workers=2, progress=False)


def test_what_travels_to_a_process_comes_back(fake):
    import pickle

    ds = xr.NIH(fake("nih"))
    verification._take(pickle.loads(pickle.dumps(ds)))
    assert verification._open_here(np.arange(5)) == {}
    verification._here.clear()


def test_a_lack_of_memory_is_a_reason(fake, monkeypatch):
    ds = xr.NIH(fake("nih"))

    def fail(_entry):
        raise MemoryError

    monkeypatch.setattr(ds, "read_raw", fail)
    assert verification._open(ds, np.arange(2)) == {0: "MemoryError", 1: "MemoryError"}


def test_a_bar_is_shown(fake, capsys):
    verify("nih", fake("nih"), decode=True)
    assert "opening nih" in capsys.readouterr().err


def test_there_is_at_least_one_cpu(monkeypatch):
    assert verification._cpus() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert verification._cpus() >= 1


# -- mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("nih",), {}, "verify: expected a dataset, or a name and a root, got 'nih' and None"),
        ((5, "x"), {}, "verify: expected a dataset, or a name and a root, got 5 and 'x'"),
        (("nih", "x"), {"workers": 0}, "workers: expected a whole number of at least 1, got 0"),
        (("nih", "x"), {"decode": "yes"}, "decode: expected True or False, got 'yes'"),
    ],
)
def test_wrong_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        verify(*arguments, **options)


def test_a_dataset_and_a_root(fake):
    root = fake("nih")
    with pytest.raises(ValueError, match="got a dataset and a root"):
        verify(xr.NIH(root), root)


def test_a_root_that_is_not_there():
    with pytest.raises(xr.DatasetNotFoundError, match="root '/nowhere' does not exist"):
        verify("nih", Path("/nowhere"))


# -- real downloads -------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("key", "ok"), [("hannover", True), ("nih", False), ("kermany", False)])
def test_real_folders(key, ok):
    if not os.environ.get("XRDATASETS_DATA"):
        pytest.skip("XRDATASETS_DATA is not set")
    found = verify(key, Path(os.environ["XRDATASETS_DATA"]) / key, decode=True, progress=False)
    assert found.ok is ok
    assert (found.missing, len(found.damaged)) == ((), 0)
    assert (found.differing["found"] < found.differing["expected"]).all()
