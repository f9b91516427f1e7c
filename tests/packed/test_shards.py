"""Shards: the same data through the webdataset library, and back."""

import gc
import io
import json
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import xrdatasets as xr
from tests import fakes

SPACE = ["Effusion", "Nodule", "Support Devices", "Fracture"]

pytest.importorskip("webdataset")

# the library leaves the files that it read to be closed by the collector, which Python tells of
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collected():
    """Those files are closed while the warning is off."""
    yield
    gc.collect()


def samples(index, **options):
    return list(xr.read_shards(index, **options))


def same(one, other):
    assert torch.equal(one["img"], other["img"])
    assert torch.equal(one["lab"].nan_to_num(-9), other["lab"].nan_to_num(-9))
    assert one["idx"] == other["idx"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return xr.open(xr.pack(xr.Phantom(11, "C", size=24, space=SPACE), folder / "a.h5", workers=0))


@pytest.fixture(scope="module")
def index(packed, tmp_path_factory):
    return xr.export_shards(packed, tmp_path_factory.mktemp("shards") / "c", per_shard=4)


def test_what_is_read_back_is_what_was_packed(packed, index):
    found = samples(index)
    assert len(found) == len(packed)
    for one, other in zip(packed, found, strict=True):
        same(one, other)


@pytest.mark.parametrize("policy", [xr.U_ONES_LSR, xr.U_ZEROS.with_unmentioned(0.0)], ids=str)
def test_space_policy_and_range_are_chosen_when_read(packed, index, policy):
    wanted = xr.open(packed.path, space="union21", policy=policy, intensity="unit")
    for one, other in zip(
        wanted, samples(index, space="union21", policy=policy, intensity="unit"), strict=True
    ):
        same(one, other)


def test_16_bits(packed, tmp_path):
    ds = xr.Phantom(3, size=24)
    file = xr.pack(ds, tmp_path / "a.h5", workers=0, dtype="uint16")
    index = xr.export_shards(xr.open(file), tmp_path / "s", dtype="uint16")
    for one, other in zip(xr.open(file), samples(index), strict=True):
        same(one, other)


def test_a_release_that_is_not_packed(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    for one, other in zip(ds, samples(xr.export_shards(ds, tmp_path / "s")), strict=True):
        assert (one["img"] - other["img"]).abs().max() <= 1024 / 255 + 1e-3
        assert torch.equal(one["lab"].nan_to_num(-9), other["lab"].nan_to_num(-9))


def test_another_program_reads_the_tars(packed, index):
    """What is inside, with tarfile, PIL and json alone."""
    stated = json.loads(index.read_text())
    assert [shard["images"] for shard in stated["shards"]] == [4, 4, 3]
    with tarfile.open(index.parent / stated["shards"][1]["name"]) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    assert sorted(members)[:2] == ["000000004.json", "000000004.png"]
    about = json.loads(members["000000004.json"])
    row = packed.table.iloc[4]
    assert about["image_id"] == row.image_id
    assert about["patient_id"] == row.patient_id
    assert about["view"] == row["view"]
    all_codes = packed.relabel("union21")
    codes = dict(zip(all_codes.pathologies, all_codes.codes[4], strict=True))
    for name, code in about["codes"].items():
        assert name == "No Finding" or codes[name] == code
    blank = dict(zip(all_codes.pathologies, all_codes.unmentioned[4], strict=True))
    assert {name for name in about["unmentioned"] if blank.get(name, True)} == set(about["unmentioned"])
    pixels = np.asarray(Image.open(io.BytesIO(members["000000004.png"])))
    raw = next(iter(xr.loader(packed.select([4]), 1, workers=0, raw=True)))["img"]
    np.testing.assert_array_equal(pixels, raw[0, 0])


def test_sums_of_the_shards_are_in_the_index(index):
    import hashlib

    for shard in json.loads(index.read_text())["shards"]:
        assert hashlib.sha256((index.parent / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]


def test_the_same_dataset_gives_the_same_bytes(packed, index, tmp_path):
    again = xr.export_shards(packed, tmp_path / "again", per_shard=4)
    assert again.read_bytes() == index.read_bytes()


def test_workers_share_the_shards(packed, index):
    loader = torch.utils.data.DataLoader(xr.read_shards(index), batch_size=None, num_workers=2)
    found = {sample["idx"]: sample for sample in loader}
    assert sorted(found) == list(range(len(packed)))
    same(packed[5], found[5])


@pytest.mark.parametrize("shuffle", [0, 100])
def test_processes_of_a_training_share_the_shards(packed, index, monkeypatch, shuffle):
    found = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        found.append([sample["idx"] for sample in samples(index, shuffle=shuffle)])
    assert all(found)
    assert sorted(found[0] + found[1]) == list(range(len(packed)))


def test_shuffled_by_the_seed(packed, index):
    def order(seed):
        return [sample["idx"] for sample in samples(index, shuffle=100, seed=seed)]

    assert sorted(order(1)) == list(range(len(packed)))
    assert order(1) == order(1) != list(range(len(packed)))


def test_shards_that_lie_elsewhere(index, tmp_path, packed):
    (tmp_path / "index.json").write_bytes(index.read_bytes())
    same(packed[0], samples(tmp_path / "index.json", at=str(index.parent))[0])


def test_a_folder_that_is_not_empty(packed, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(xr.PackedFileError, match=r"is not empty \(mine\.txt\).*overwrite=True"):
        xr.export_shards(packed, tmp_path)
    xr.export_shards(packed, tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_an_export_that_ends_early_has_no_index(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)
    ds.files.get(ds.table.image_id[4]).write_bytes(b"x")
    with pytest.raises(xr.ImageReadError, match=r"nih: cannot read"):
        xr.export_shards(ds, tmp_path / "s", per_shard=2)
    with pytest.raises(xr.PackedFileError, match=r"is no index of shards"):
        xr.read_shards(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "xrdatasets-shards", "version": 2}'])
def test_a_damaged_index(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(xr.PackedFileError, match=r"index\.json' is no index of shards"):
        xr.read_shards(tmp_path)


def test_a_damaged_image_names_shard_and_image(packed, index, tmp_path):
    shards = xr.export_shards(packed, tmp_path / "s").parent
    (tar,) = shards.glob("*.tar")
    data = tar.read_bytes()
    place = data.index(b"IDAT") + 8
    tar.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(xr.ImageReadError, match=rf"{tar.name}.*{packed.table.image_id[0]}"):
        samples(shards)


def test_wrong_arguments(packed, index, tmp_path):
    with pytest.raises(ValueError, match=r"per_shard: expected a whole number of at least 1, got 0"):
        xr.export_shards(packed, tmp_path, per_shard=0)
    with pytest.raises(ValueError, match=r"export_shards: expected one dataset"):
        xr.export_shards([packed], tmp_path)
    with pytest.raises(ValueError, match=r"intensity: expected"):
        xr.read_shards(index, intensity="dark")
    with pytest.raises(ValueError, match=r"policy"):
        xr.read_shards(index, policy="U-Ones")
    with pytest.raises(ValueError, match=r"shuffle: expected"):
        xr.read_shards(index, shuffle=-1)


def test_without_the_library(packed, index, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    for call in (lambda: xr.export_shards(packed, tmp_path / "s"), lambda: xr.read_shards(index)):
        with pytest.raises(xr.DecoderNotFoundError, match=r"pip install \"xrdatasets\[shards\]\""):
            call()
    assert not (tmp_path / "s").exists()
