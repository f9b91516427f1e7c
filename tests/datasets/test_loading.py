"""Batches: order, workers, sizes."""

import pytest
import torch

import xrdatasets as xr
from tests import fakes


@pytest.fixture
def ds(tmp_path):
    return xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_what_the_dataset_gives(ds, context):
    batches = list(xr.loader(ds, batch_size=2, workers=2, multiprocessing_context=context))
    images = torch.cat([batch["img"] for batch in batches])
    assert torch.equal(images, torch.stack([sample["img"] for sample in ds]))
    assert torch.cat([batch["idx"] for batch in batches]).tolist() == list(range(len(ds)))
    assert batches[0]["idx"].dtype == torch.int64
    labels = torch.cat([batch["lab"] for batch in batches])
    assert torch.equal(labels.isnan(), torch.tensor(ds.labels.copy()).isnan())


def test_shuffle_follows_the_seed(ds):
    def order(seed):
        return [
            i for batch in xr.loader(ds, 2, workers=0, shuffle=True, seed=seed) for i in batch["idx"].tolist()
        ]

    assert order(1) == order(1)
    assert sorted(order(1)) == list(range(5))
    assert len({tuple(order(seed)) for seed in range(8)}) > 1


def test_images_of_unlike_size_need_a_size(tmp_path):
    ds = xr.Kermany(fakes.write("kermany", tmp_path / "kermany"))
    with pytest.raises(ValueError, match=r"a batch needs images of one size, got 48x64, .* \(size=224\)"):
        next(iter(xr.loader(ds, workers=0)))


def test_options_reach_torch(ds):
    assert len(list(xr.loader(ds, 2, workers=0, drop_last=True))) == 2


def test_files_and_labels_are_there_before_the_workers(ds, tmp_path):
    other = xr.Hannover(fakes.write("hannover", tmp_path / "hannover"), size=16, missing="keep")
    both = xr.concat([ds.select([0]), other])
    xr.loader(both, workers=2)
    assert "labels" in vars(both)
    assert all("paths" in vars(part.files) for part in both.parts)


def test_masks_are_batched(tmp_path):
    ds = xr.NIH(fakes.write("nih", tmp_path / "nih"), size=16, masks=True)
    batch = next(iter(xr.loader(ds, 5, workers=0)))
    assert batch["mask"].shape == (5, 18, 16, 16)
    assert batch["mask_known"].dtype == torch.bool


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_are_pinned_for_a_gpu(ds):
    batch = next(iter(xr.loader(ds, 2, workers=0)))
    assert batch["img"].is_pinned()
    assert batch["img"].to("cuda", non_blocking=True).device.type == "cuda"


def test_torch_is_imported_by_the_first_image(tmp_path):
    import subprocess
    import sys

    root = fakes.write("nih", tmp_path / "nih")
    code = (
        "import sys, xrdatasets as xr\n"
        f"ds = xr.NIH({str(root)!r}, size=8); ds.labels; ds.explain(0, 'Mass'); xr.concat([ds])\n"
        "assert 'torch' not in sys.modules; ds[0]; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_order_does_not_depend_on_the_workers(ds):
    def order(workers):
        batches = xr.loader(ds, 2, workers=workers, shuffle=True, seed=1)
        return [[i for batch in batches for i in batch["idx"].tolist()] for _ in range(3)]

    assert order(0) == order(2)
    assert order(0)[0] != order(0)[1] or order(0)[1] != order(0)[2]
