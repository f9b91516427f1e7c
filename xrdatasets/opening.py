"""The one door: a dataset by its name, or a packed file, or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdatasets.datasets.registry import class_of
from xrdatasets.errors import DatasetNotFoundError

if TYPE_CHECKING:
    from xrdatasets.datasets.collection import Collection

__all__ = ["open"]

FILES = (".h5", ".hdf5")
"""How the names of packed files end, where there is none yet to look into."""


def open(
    name: str | Path | Sequence[str | Path], root: str | Path | None = None, **options: Any
) -> Collection:
    """Open a dataset by its key, or a packed file, or several packed files as one.

    Args:
        name: key (``nih_google``) or class name (``NIHGoogle``), in any case, with a `root`; or a packed
            file; or a list of packed files, which are put one below the other (`concat`).
        root: the folder of the download; of the Phantom, its hospital; None for packed files.
        options: of the dataset's class (of packed files: `PackedDataset`).

    Returns:
        The dataset.

    Raises:
        DatasetNotFoundError: no dataset is called so, or its files are missing.
        PackedFileError: a packed file is missing or damaged.
        ValueError: a packed file with a `root`, or a list without files.

    Example:
        >>> import xrdatasets as xr
        >>> len(xr.open("nih", NIH_ROOT)) == len(xr.NIH(NIH_ROOT))
        True
        >>> file = xr.pack(xr.NIH(NIH_ROOT), TMP / "nih.h5", size=64, workers=0)
        >>> xr.open(file, space="nih14", policy=xr.U_ONES)[0]["lab"].shape
        torch.Size([14])
    """
    if not isinstance(name, str | Path):
        return _together(name, root, options)
    if root is not None:
        return class_of(str(name)).at(root, **options)
    if not _is_file(name):
        msg = (
            f"open: {str(name)!r} is no packed file. Expected a file that xrdatasets.pack wrote, or the "
            "name of a dataset "
            "and its root, as in xr.open('nih', '/data/nih')."
        )
        raise DatasetNotFoundError(msg)
    from xrdatasets.packed.dataset import PackedDataset

    return PackedDataset(name, **options)


def _together(names: Sequence[str | Path], root: str | Path | None, options: dict[str, Any]) -> Collection:
    from xrdatasets.datasets.combine import concat

    if root is not None or not names:
        msg = f"open: expected packed files in a list, and no root, got {list(names)!r} and root={root!r}."
        raise ValueError(msg)
    return concat([open(name, **options) for name in names])


def _is_file(name: str | Path) -> bool:
    """Whether a name means a packed file: one that is there, or one that would be called so."""
    path = Path(name)
    try:
        return path.is_file() or path.suffix.lower() in FILES
    except (OSError, ValueError):  # too long, or with a NUL
        return False
