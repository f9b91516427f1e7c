"""Datasets, step 4: how the images of a dataset come out, checked before any file is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xrdatasets.images.frame import Frame
from xrdatasets.images.geometry import Engine, check_engine, check_size
from xrdatasets.images.intensity import Intensity, check_intensity
from xrdatasets.images.pipeline import pixels_needed, prepare

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from xrdatasets.images.pixels import RawImage
    from xrdatasets.typing import Compat, Transform

__all__ = ["ImageOptions", "check_compat", "check_count", "check_flag"]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How images come out.

    Attributes:
        size: height and width in pixels, None for the native size.
        crop: cut to the centre square before resizing.
        intensity: ``xrv`` for [-1024, 1024], ``unit`` for [0, 1].
        engine: ``area``, ``gaussian`` or ``xrv``.
        masks: whether samples carry masks.
        transform: called with each sample, last.
        reduced: decode JPEG 2000 at the resolution level that `size` needs.

    Raises:
        ValueError: an option is none of these.
    """

    size: int | None = None
    crop: bool = True
    intensity: Intensity = "xrv"
    engine: Engine = "area"
    masks: bool = False
    transform: Transform | None = None
    reduced: bool = True

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(self.size)
        check_flag("crop", self.crop)
        check_flag("masks", self.masks)
        check_flag("reduced", self.reduced)
        check_intensity(self.intensity)
        check_engine(self.engine)
        _check_callable("transform", self.transform)

    @property
    def at_least(self) -> int | None:
        """Pixels that the shorter side of an image needs; None for all. Masks need all: they are native."""
        return pixels_needed(self.size, self.engine) if self.reduced and not self.masks else None

    def prepare(self, raw: RawImage) -> npt.NDArray[np.float32]:
        """(1, H, W) float32 of an image that was read."""
        return prepare(raw, size=self.size, crop=self.crop, engine=self.engine, intensity=self.intensity)

    def frame(self, shape: tuple[int, int]) -> Frame:
        """Where the pixels of an image of (H, W) go."""
        return Frame.of(shape, size=self.size, crop=self.crop)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False; ``"no"`` would count as True.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, bool):
        msg = f"{name}: expected True or False, got {value!r}."
        raise ValueError(msg)


def check_compat(value: object) -> Compat | None:
    """The same word.

    Raises:
        ValueError: it is neither ``xrv`` nor None.
    """
    if value is None:
        return None
    if value == "xrv":
        return "xrv"
    msg = f"compat: expected 'xrv' or None, got {value!r}."
    raise ValueError(msg)


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number, or too small.

    Raises:
        ValueError: it is either.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{name}: expected a whole number of at least {least}, got {value!r}."
        raise ValueError(msg)


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        msg = f"{name}: expected something to call, or None, got {value!r}."
        raise ValueError(msg)
