"""The one door: a dataset by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdatasets.datasets.registry import class_of

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["open"]


def open(name: str, root: str | Path, **options: Any) -> Single:
    """Open a dataset by its key.

    Args:
        name: key (``nih_google``) or class name (``NIHGoogle``), in any case.
        root: the folder of the download; of the Phantom, its hospital.
        options: of the dataset's class.

    Returns:
        The dataset.

    Raises:
        DatasetNotFoundError: no dataset is called so, or its files are missing.

    Example:
        >>> import xrdatasets as xr
        >>> len(xr.open("nih", NIH_ROOT)) == len(xr.NIH(NIH_ROOT))
        True
    """
    return class_of(name).at(root, **options)
