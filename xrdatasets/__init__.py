"""Public chest X-ray datasets, opened as downloaded, with one harmonised label matrix.

Names are resolved when they are first used: ``import xrdatasets`` imports neither numpy nor torch.

Example:
    >>> import xrdatasets as xr
    >>> ds = xr.NIH(NIH_ROOT, space="nih14", size=64)
    >>> ds[0]["lab"].shape
    torch.Size([14])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xrdatasets.datasets import (
        BRAX,
        COVID19,
        JSRT,
        MIMICCXR,
        NIH,
        RSNA,
        SIIM,
        TBX11K,
        ChestXDet,
        CheXlocalize,
        CheXpert,
        CheXpertPlus,
        Collection,
        Combined,
        CXRDataset,
        Hannover,
        Kermany,
        Montgomery,
        NIHGoogle,
        ObjectCXR,
        OpenI,
        PadChest,
        Phantom,
        Shenzhen,
        StonyBrookCOVID,
        TableDataset,
        VinDr,
        concat,
        covariate,
        join,
        loader,
        overlap,
    )
    from xrdatasets.downloading import download
    from xrdatasets.errors import (
        DatasetNotFoundError,
        DecoderNotFoundError,
        DownloadError,
        EmptyDatasetError,
        ImageReadError,
        LabelNotFoundError,
        MappingError,
        MappingWarning,
        OverlapWarning,
        PackedFileError,
        SplitNotFoundError,
        TableError,
        WeightsError,
        WeightsNotFoundError,
        XRDatasetsError,
    )
    from xrdatasets.images import RawImage, center_crop, load_image, normalize, read_image, resize
    from xrdatasets.labels import (
        U_IGNORE,
        U_ONES,
        U_ONES_LSR,
        U_ZEROS,
        U_ZEROS_LSR,
        Finding,
        LabelMatrix,
        LabelSpace,
        LabelTable,
        Match,
        Policy,
        Provenance,
        finding,
        lookup,
    )
    from xrdatasets.opening import open
    from xrdatasets.packed import PackedDataset, export_shards, pack, read_shards
    from xrdatasets.reports import Verification, stats, verify

__version__ = "0.1.0"

_ROOMS = {
    "datasets": (
        "BRAX", "COVID19", "CXRDataset", "CheXlocalize", "CheXpert", "CheXpertPlus", "ChestXDet",
        "Collection", "Combined", "Hannover", "JSRT", "Kermany", "MIMICCXR", "Montgomery", "NIH",
        "NIHGoogle", "ObjectCXR", "OpenI", "PadChest", "Phantom", "RSNA", "SIIM", "Shenzhen",
        "StonyBrookCOVID", "TBX11K", "TableDataset", "VinDr", "concat", "covariate", "join",
        "loader", "overlap",
    ),
    "downloading": ("download",),
    "errors": (
        "DatasetNotFoundError", "DecoderNotFoundError", "DownloadError", "EmptyDatasetError",
        "ImageReadError", "LabelNotFoundError", "MappingError", "MappingWarning", "OverlapWarning",
        "PackedFileError", "SplitNotFoundError", "TableError", "WeightsError", "WeightsNotFoundError",
        "XRDatasetsError",
    ),
    "images": ("RawImage", "center_crop", "load_image", "normalize", "read_image", "resize"),
    "labels": (
        "Finding", "LabelMatrix", "LabelSpace", "LabelTable", "Match", "Policy", "Provenance", "U_IGNORE",
        "U_ONES", "U_ONES_LSR", "U_ZEROS", "U_ZEROS_LSR", "finding", "lookup",
    ),
    "opening": ("open",),
    "packed": ("PackedDataset", "export_shards", "pack", "read_shards"),
    "reports": ("Verification", "stats", "verify"),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
# rooms that are used by their own name: xr.models.load(…)
_OPEN_ROOMS = ("evaluation", "models", "training", "transforms")

# `open` is public as `xr.open`, but `from xrdatasets import *` must not shadow the builtin
__all__ = ["__version__", *(name for name in _ROOM_OF if name != "open")]


def __getattr__(name: str) -> object:
    if name in _OPEN_ROOMS:
        return importlib.import_module(f"xrdatasets.{name}")
    if name not in _ROOM_OF:
        msg = f"module 'xrdatasets' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"xrdatasets.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_OPEN_ROOMS})
