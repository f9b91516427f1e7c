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
        NIH,
        CheXpert,
        Collection,
        Combined,
        CXRDataset,
        Hannover,
        Kermany,
        NIHGoogle,
        Phantom,
        TableDataset,
        concat,
        join,
        loader,
    )
    from xrdatasets.errors import (
        DatasetNotFoundError,
        DecoderNotFoundError,
        EmptyDatasetError,
        ImageReadError,
        LabelNotFoundError,
        MappingError,
        OverlapWarning,
        SplitNotFoundError,
        TableError,
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
    from xrdatasets.reports import stats

__version__ = "0.1.0"

_ROOMS = {
    "datasets": (
        "CXRDataset", "CheXpert", "Collection", "Combined", "Hannover", "Kermany", "NIH", "NIHGoogle",
        "Phantom", "TableDataset", "concat", "join", "loader",
    ),
    "errors": (
        "DatasetNotFoundError", "DecoderNotFoundError", "EmptyDatasetError", "ImageReadError",
        "LabelNotFoundError", "MappingError", "OverlapWarning", "SplitNotFoundError", "TableError",
        "XRDatasetsError",
    ),
    "images": ("RawImage", "center_crop", "load_image", "normalize", "read_image", "resize"),
    "labels": (
        "Finding", "LabelMatrix", "LabelSpace", "LabelTable", "Match", "Policy", "Provenance", "U_IGNORE",
        "U_ONES", "U_ONES_LSR", "U_ZEROS", "U_ZEROS_LSR", "finding", "lookup",
    ),
    "opening": ("open",),
    "reports": ("stats",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

# `open` is public as `xr.open`, but `from xrdatasets import *` must not shadow the builtin
__all__ = ["__version__", *(name for name in _ROOM_OF if name != "open")]


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        msg = f"module 'xrdatasets' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"xrdatasets.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
