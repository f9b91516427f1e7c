"""Batches of packed datasets: whole, raw, in the order that samples would come."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import xrdatasets as xr
from tests import fakes
from xrdatasets.images.intensity import rescale
from xrdatasets.packed import to_float

SIZE = 16


@pytest.fixture
def nih(tmp_path):
    return xr.NIH(fakes.write("nih", tmp_path / "nih"), size=SIZE)


@pytest.fixture
def packed(nih, tmp_path):
    return xr.open(xr.pack(nih, tmp_path / "nih.h5", workers=0))


@pytest.fixture
def other(tmp_path):
    ds = xr.Kermany(fakes.write("kermany", tmp_path / "kermany"), size=SIZE)
    return xr.open(xr.pack(ds, tmp_path / "kermany.h5", workers=0))


def alike(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(
            torch.as_tensor(value).nan_to_num(-9), torch.as_tensor(other[name]).nan_to_num(-9)
        ), name


def by_samples(dataset, *arguments, **options):
    """The same loader, which puts samples together."""
    from xrdatasets.datasets.loading import collate

    return xr.loader(dataset, *arguments, collate_fn=collate, **options)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_whole_batches_are_those_that_samples_make(packed, shuffle, drop_last):
    options = {"workers": 0, "shuffle": shuffle, "seed": 4, "drop_last": drop_last}
    whole = list(xr.loader(packed, 2, **options))
    parts = list(by_samples(packed, 2, **options))
    assert len(whole) == len(parts) == (2 if drop_last else 3)
    for one, two in zip(whole, parts, strict=True):
        alike(one, two)


def test_the_order_of_a_seed_is_the_same_packed_or_not(nih, packed):
    def order(dataset):
        loader = xr.loader(dataset, 2, workers=0, shuffle=True, seed=7)
        return [i for _ in range(2) for batch in loader for i in batch["idx"].tolist()]

    assert order(nih) == order(packed)


def test_joined_packed_datasets(packed, other):
    both = xr.concat([packed, other])
    order = {"workers": 0, "shuffle": True, "seed": 1}
    mixed = False
    for one, two in zip(xr.loader(both, 3, **order), by_samples(both, 3, **order), strict=True):
        alike(one, two)
        mixed |= len(one["source"].unique()) > 1
    assert mixed


def test_joined_readers(tmp_path):
    root = fakes.write("nih_google", tmp_path / "g")
    parts = [xr.open(xr.pack(cls(root, size=SIZE, missing="drop"), tmp_path / f"{cls.__name__}.h5",
             workers=0)) for cls in (xr.NIHGoogle, xr.NIH)]  # fmt: skip
    joined = xr.join(*parts)
    for one, two in zip(xr.loader(joined, 2, workers=0), by_samples(joined, 2, workers=0), strict=True):
        alike(one, two)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_the_same_batches(packed, other, context):
    both = xr.concat([packed, other])
    here = list(xr.loader(both, 4, workers=0))
    there = xr.loader(both, 4, workers=2, multiprocessing_context=context)
    for _ in range(2):  # the workers stay
        for one, two in zip(here, there, strict=True):
            alike(one, two)


def test_a_map_that_was_open_before_the_fork(packed):
    here = [sample["img"] for sample in packed]
    for batch in xr.loader(packed, 1, workers=2, multiprocessing_context="fork"):
        assert torch.equal(batch["img"][0], here[batch["idx"][0]])


@pytest.mark.parametrize("intensity", ["xrv", "unit"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_raw_pixels_become_the_same_bits(nih, tmp_path, dtype, intensity):
    file = xr.pack(nih, tmp_path / "a.h5", workers=0, dtype=dtype)
    ds = xr.open(file, intensity=intensity)
    for raw, ready in zip(xr.loader(ds, 2, workers=0, raw=True), xr.loader(ds, 2, workers=0), strict=True):
        assert raw["img"].dtype == getattr(torch, dtype)
        assert torch.equal(to_float(raw["img"], intensity), ready["img"])
        assert torch.equal(raw["idx"], ready["idx"])


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 255), ("uint16", 65_535)])
def test_the_arithmetic_is_that_of_normalize(dtype, largest):
    """Against float64 by hand, and bit by bit against the numpy path."""
    values = np.linspace(0, largest, 999).astype(dtype)
    tensor = torch.from_numpy(values)
    by_hand = (2 * values.astype(np.float64) / largest - 1) * 1024
    np.testing.assert_allclose(to_float(tensor).numpy(), by_hand, atol=2e-4)
    np.testing.assert_allclose(to_float(tensor, "unit").numpy(), values / np.float64(largest), atol=1e-7)
    for intensity in ("xrv", "unit"):
        np.testing.assert_array_equal(
            to_float(tensor, intensity).numpy(), rescale(values, largest, intensity=intensity)
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_the_device():
    values = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(to_float(values.cuda()).cpu(), to_float(values), rtol=0, atol=2e-4)
    fine = torch.arange(65_536, dtype=torch.int32).to(torch.uint16)
    torch.testing.assert_close(to_float(fine.cuda()).cpu(), to_float(fine), rtol=0, atol=2e-4)


def test_to_float_of_something_else():
    with pytest.raises(ValueError, match=r"images: expected uint8 or uint16.*got torch\.float32"):
        to_float(torch.zeros(3))
    with pytest.raises(ValueError, match=r"intensity: expected"):
        to_float(torch.zeros(3, dtype=torch.uint8), "dark")


def test_raw_of_what_is_not_packed(nih, packed, other, tmp_path):
    with pytest.raises(
        ValueError, match=r"raw: expected False.*be packed \(xrdatasets\.pack\), and have no transform"
    ):
        xr.loader(nih, 2, raw=True)
    with pytest.raises(ValueError, match=r"raw: expected False.*be packed"):
        xr.loader(xr.open(packed.path, transform=lambda sample: sample), 2, raw=True)
    larger = xr.open(xr.pack(xr.Kermany(tmp_path / "kermany"), tmp_path / "large.h5", size=32, workers=0))
    with pytest.raises(ValueError, match=r"raw: expected False.*have one size"):
        xr.loader(xr.concat([packed, larger]), 2, raw=True)
    deep = xr.open(
        xr.pack(xr.Kermany(tmp_path / "kermany", size=SIZE), tmp_path / "d.h5", dtype="uint16", workers=0)
    )
    joined = xr.concat([packed, deep])
    with pytest.raises(ValueError, match=r"raw: expected False.*have one type of pixels \(uint8 or uint16\)"):
        xr.loader(joined, 2, raw=True)
    for one, two in zip(xr.loader(joined, 4, workers=0), by_samples(joined, 4, workers=0), strict=True):
        alike(one, two)
    with pytest.raises(ValueError, match=r"raw: expected True or False, got 1"):
        xr.loader(packed, 2, raw=1)


def test_a_transform_sees_samples_not_batches(packed):
    shapes = []
    ds = xr.open(packed.path, transform=lambda sample: shapes.append(sample["img"].shape) or sample)
    batch = next(iter(xr.loader(ds, 3, workers=0)))
    assert batch["img"].shape == (3, 1, SIZE, SIZE)
    assert set(shapes) == {(1, SIZE, SIZE)}


def test_a_batch_may_be_edited_without_touching_dataset_or_file(packed):
    labels = packed.labels.copy()
    for batch in xr.loader(packed, 2, workers=0, raw=True):
        batch["img"].zero_()
        batch["lab"].zero_()
    np.testing.assert_array_equal(packed.labels, labels)
    assert packed[0]["img"].max() > -1024


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_large_files_are_read_piece_by_piece_and_never_mapped(nih, tmp_path, monkeypatch, dtype):
    from xrdatasets.packed import pixels

    file = xr.pack(nih, tmp_path / "large-or-not.h5", workers=0, dtype=dtype)
    maps = Path("/proc/self/maps")
    mapped = xr.open(file)
    order = {"workers": 0, "shuffle": True}
    wanted = list(xr.loader(mapped, 2, **order, raw=True))
    assert not maps.exists() or file.name in maps.read_text()
    del mapped
    monkeypatch.setattr(pixels, "MAPPED", 0)
    read = xr.open(file)
    for one, two in zip(wanted, xr.loader(read, 2, **order, raw=True), strict=True):
        alike(one, two)
    assert not maps.exists() or file.name not in maps.read_text()
    os.truncate(file, 2_000)
    with pytest.raises(xr.PackedFileError, match=r"was cut since the dataset was opened"):
        _ = read[0]


def test_no_file_stays_open(packed):
    import gc

    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the system does not tell which files are open")

    def count():
        gc.collect()
        return sum(os.path.realpath(link) == str(packed.path) for link in folder.iterdir())

    ds = xr.open(packed.path)
    _ = ds[0]
    assert count() > 0
    del ds
    assert count() == 0


def test_rows_as_torch_asks_for_one(packed):
    from xrdatasets.datasets.batches import Batches

    batches = Batches(packed, raw=False)
    assert len(batches) == 5
    assert batches[3]["img"].shape == (1, 1, SIZE, SIZE)
