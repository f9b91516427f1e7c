"""Packed: a dataset's images and labels in one file, read like memory."""

from xrdatasets.packed.dataset import PackedDataset
from xrdatasets.packed.device import to_float
from xrdatasets.packed.shards import export_shards, read_shards
from xrdatasets.packed.writer import pack

__all__ = ["PackedDataset", "export_shards", "pack", "read_shards", "to_float"]
