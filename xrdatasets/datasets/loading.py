"""Datasets, step 6: batches for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xrdatasets.datasets.batches import Batches
from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.errors import EmptyDatasetError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from xrdatasets.typing import Sample

__all__ = ["loader"]


def loader(
    dataset: Collection,
    batch_size: int = 64,
    *,
    workers: int = 2,
    shuffle: bool = False,
    seed: int = 0,
    raw: bool = False,
    **options: Any,
) -> DataLoader[Sample]:
    """A torch DataLoader over a dataset.

    Packed datasets without a transform give whole batches, read in one go; all others give samples, which are
    put together. Both come in the same order.

    Args:
        dataset: the images; they need one size, so give the dataset a `size`.
        batch_size: images in a batch; the last batch may have fewer.
        workers: processes that read images; 0 reads in this one.
        shuffle: a new order in every epoch, the same for the same seed.
        seed: of the order.
        raw: pixels as they are packed, uint8 or uint16, a quarter or half of the bytes, to be brought into
            range on the device (`xrdatasets.packed.to_float`).
        options: of `torch.utils.data.DataLoader`.

    Returns:
        Yields dicts: ``img`` (B, 1, H, W) float32, ``lab`` (B, L) float32 with NaN unknown, ``idx`` (B,)
        int64, and what else the samples have (``source``, ``mask``, ``mask_known``).

    Raises:
        EmptyDatasetError: the dataset has no images.
        ValueError: an argument is none of the above, or `raw` of a dataset that is not packed or has a
            transform; while iterating: images of different sizes.

    Example:
        >>> import xrdatasets as xr
        >>> batch = next(iter(xr.loader(xr.NIH(NIH_ROOT, size=32), batch_size=2, workers=0)))
        >>> batch["img"].shape, batch["lab"].shape, batch["idx"].tolist()
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 18]), [0, 1])
    """
    import torch
    from torch.utils.data import DataLoader, RandomSampler

    check_datasets("loader", [dataset])
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0), ("seed", seed, 0)):
        check_count(name, value, least=least)
    check_flag("raw", raw)
    if not len(dataset):
        raise EmptyDatasetError("loader: the dataset has no images.")
    _ = dataset.labels  # here, once, not once in every worker; so are the files
    for part in dataset.parts:
        part.warm_up()
    # a generator for the order alone: the loader draws from its own, more or less often with workers
    order = torch.Generator().manual_seed(seed)
    sampler = RandomSampler(dataset, generator=order) if shuffle else None
    whole = Batches.of(dataset, raw=raw) if raw or "collate_fn" not in options else None
    settings: dict[str, Any] = {
        "sampler": sampler,
        "collate_fn": collate if whole is None else as_it_is,
        "generator": torch.Generator().manual_seed(seed),
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
    } | options
    source: Any = dataset if whole is None else whole
    return DataLoader(source, batch_size=batch_size, num_workers=workers, **settings)


def as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    """The same batch: it was made whole."""
    return batch


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples to a batch.

    Raises:
        ValueError: the images have different sizes.
    """
    from torch.utils.data import default_collate

    shapes = {tuple(sample["img"].shape[1:]) for sample in samples}
    if len(shapes) > 1:
        sizes = ", ".join(f"{height}x{width}" for height, width in sorted(shapes)[:4])
        msg = f"a batch needs images of one size, got {sizes}. Open the dataset with a size (size=224)."
        raise ValueError(msg)
    batch: dict[str, Any] = default_collate(list(samples))
    return batch
