"""Reports: a contact sheet, one picture for each finding and dataset, to look at before believing numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xrdatasets.datasets.options import check_count
from xrdatasets.labels.findings import finding

if TYPE_CHECKING:
    from PIL import Image

    from xrdatasets.datasets.collection import Collection

__all__ = ["contact_sheet"]

Pixels = npt.NDArray[np.uint8]

CAPTION = 14  # height of a line of text, in pixels
NONE = "(nothing)"
GREYS = {"xrv": (-1024.0, 2048.0), "unit": (0.0, 1.0)}  # least value and range of each intensity


def contact_sheet(
    datasets: Mapping[str, Collection],
    findings: Sequence[str] | None = None,
    *,
    size: int = 160,
    across: int = 8,
) -> Pixels:
    """Pictures of the findings of several datasets.

    For each finding a column, with one picture from each dataset below the other: the image on which the
    finding is positive and the fewest others are, the first of these. Where a dataset has none, the place
    stays black. The first column shows images without any positive finding.

    Args:
        datasets: by the title that they get; opened with a ``size``.
        findings: which ones; None for those of the first dataset's space.
        size: side of a picture in pixels.
        across: columns side by side, before the next row of columns begins.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: no dataset, or a size or number that is none.
        LabelNotFoundError: there is no such finding.

    Example:
        >>> import xrdatasets as xr
        >>> sheet = contact_sheet({"NIH": xr.NIH(NIH_ROOT, size=64)}, ["Hernia"], size=64)
        >>> sheet.shape, sheet.dtype
        ((92, 512), dtype('uint8'))
    """
    from PIL import Image

    if not datasets:
        raise ValueError("datasets: expected at least one, got none.")
    check_count("size", size, least=8)
    check_count("across", across, least=1)
    names = next(iter(datasets.values())).pathologies if findings is None else tuple(map(finding, findings))
    titles = [NONE, *map(str, names)]
    band = CAPTION + len(datasets) * (CAPTION + size)
    sheet = Image.new("L", (across * size, -(-len(titles) // across) * band))
    for row, (title, dataset) in enumerate(datasets.items()):
        for place, index in enumerate(_examples(dataset, names)):
            left, top = place % across * size, place // across * band
            sheet.paste(_caption(titles[place], size, 255), (left, top))
            top += CAPTION + row * (CAPTION + size)
            sheet.paste(_caption(title, size, 160), (left, top))
            if index is not None:
                sheet.paste(_picture(dataset, index, size), (left, top + CAPTION))
    return np.array(sheet)


def _examples(dataset: Collection, names: Sequence[str]) -> list[int | None]:
    """Row of an image without a positive finding, then one for each finding; None where there is none."""
    positive = dataset.relabel(names).codes == 1
    everything = dataset.codes == 1
    others = np.maximum(positive.sum(axis=1), everything.sum(axis=1))
    found = [np.flatnonzero(others == 0), *(np.flatnonzero(column) for column in positive.T)]
    return [int(rows[others[rows].argmin()]) if len(rows) else None for rows in found]


def _caption(text: str, width: int, grey: int) -> Image.Image:
    """A line of text, cut where its column ends."""
    from PIL import Image as pillow, ImageDraw

    line = pillow.new("L", (width, CAPTION))
    ImageDraw.Draw(line).text((2, 1), text, fill=grey)
    return line


def _picture(dataset: Collection, index: int, size: int) -> Image.Image:
    from PIL import Image as pillow

    image = dataset[index]["img"][0].numpy()
    least, span = GREYS[dataset.parts[0].options.intensity]
    grey = ((image - least) * (255 / span) + 0.5).clip(0, 255).astype(np.uint8)
    return pillow.fromarray(grey).resize((size, size))
