"""Models, step 0: what a network is fed: files and arrays to images of its size and range."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xrdatasets.images import Engine, Intensity, RawImage, load_image, prepare
from xrdatasets.images.geometry import check_engine, check_size
from xrdatasets.images.intensity import check_intensity
from xrdatasets.images.pixels import grey
from xrdatasets.models.heads.linear import check_flag

__all__ = ["InputSpec", "check_range"]

# ends of the ranges that `xrdatasets.normalize` gives, and how far rounding in a resize may pass them
RANGES = {"xrv": (-1024.0, 1024.0), "unit": (0.0, 1.0)}
SLACK = 1 / 1024
LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65_535}


@dataclass(frozen=True)
class InputSpec:
    """The images that a network was trained on.

    Attributes:
        size: rows and columns; None for any.
        intensity: ``"xrv"`` (-1024 to 1024) or ``"unit"`` (0 to 1), the range of the images that the
            classifier is given.
        channels: that the network takes, 1 or 3 (three times the same).
        engine: how files and arrays are brought to `size`, see `xrdatasets.resize`.
        crop: whether the central square is cut first.
        mean: what is taken off the images before the network sees them: one number, or one for each channel.
        std: what they are then divided by, likewise.

    Raises:
        ValueError: a field is none of the above.

    Example:
        >>> InputSpec(size=320, intensity="unit", channels=3, mean=(0.485, 0.456, 0.406)).std
        (1.0, 1.0, 1.0)
    """

    size: int | None = 224
    intensity: Intensity = "xrv"
    channels: int = 1
    engine: Engine = "area"
    crop: bool = True
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        check_intensity(self.intensity)
        check_engine(self.engine)
        if self.channels not in (1, 3) or isinstance(self.channels, bool):
            msg = f"channels: expected 1 or 3, got {self.channels!r}."
            raise ValueError(msg)
        check_flag("crop", self.crop)
        for name in ("mean", "std"):
            object.__setattr__(self, name, _per_channel(name, getattr(self, name), self.channels))

    def load(self, source: object, *, max_value: int | None = None) -> Tensor:
        """An image as the network's classifier takes it.

        Args:
            source: a file's path or content (any kind that `xrdatasets.read_image` reads, DICOM too), a
                `RawImage`, an array or tensor of grey values or colours ((H, W), (1, H, W) or (H, W, 1 to 4),
                uint8 or uint16), or a picture of pillow.
            max_value: the value of white in an array, where that is not the type's largest (4,095 of 12
                bits).

        Returns:
            (1, channels, size, size) float32, in the range of `intensity`.

        Raises:
            ImageReadError: the file cannot be read.
            ValueError: the array is of another kind.

        Example:
            >>> import numpy as np
            >>> image = InputSpec(size=32).load(np.full((64, 48), 255, np.uint8))
            >>> image.shape, image.min()
            (torch.Size([1, 1, 32, 32]), tensor(1024.))
        """
        options: Any = {
            "size": self.size, "crop": self.crop, "engine": self.engine, "intensity": self.intensity,
        }  # fmt: skip
        if isinstance(source, (str, Path, bytes)):
            if max_value is not None:
                raise ValueError("max_value: expected None for a file, which says so itself.")
            pixels = load_image(source, **options)
        else:
            pixels = prepare(_raw(source, max_value), **options)
        return torch.from_numpy(pixels)[np.newaxis].expand(1, self.channels, -1, -1)

    def fit(self, images: Tensor) -> Tensor:
        """Images of any size, checked and brought to the network's.

        Args:
            images: (B, 1, H, W) or (B, 3, H, W) float in the range of `intensity`.

        Returns:
            (B, channels, size, size). Of other sizes the central square is cut, where `crop`, and resized,
            bilinear with antialiasing, with a warning. Three channels become one by their mean.

        Raises:
            ValueError: images of another shape or type, or in a range that cannot be `intensity`.
        """
        _check_batch(images)
        if not torch.compiler.is_compiling():
            check_range(images, self.intensity)
        if images.shape[1] != self.channels:
            one = images if images.shape[1] == 1 else images.mean(1, keepdim=True)
            images = one.expand(-1, self.channels, -1, -1)
        if self.size is None or images.shape[2:] == (self.size, self.size):
            return images
        return self._resized(images)

    def scaled(self, images: Tensor) -> Tensor:
        """(images - mean) / std, as the network sees them."""
        if not any(self.mean) and set(self.std) == {1.0}:  # type: ignore[arg-type]
            return images
        mean, std = (images.new_tensor(value).reshape(1, -1, 1, 1) for value in (self.mean, self.std))
        return (images - mean) / std

    def _resized(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if not torch.compiler.is_compiling():
            text = (
                f"images of {height} x {width} are resized to {self.size} x {self.size}, as the network takes"
                " them; preprocess() or load_image(size=) does that better."
            )
            warnings.warn(text, stacklevel=4)
        if self.crop and height != width:
            side = min(height, width)
            top, left = height // 2 - side // 2, width // 2 - side // 2
            images = images[:, :, top : top + side, left : left + side]
        return interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        """All fields, fit for JSON."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def check_range(images: Tensor, intensity: Intensity) -> None:
    """Refuse images in a range that cannot be the one that is expected.

    For ``"xrv"`` that is also a batch that keeps to [-1, 1], as images of another scale do and no radiograph
    on [-1024, 1024] does; one of a single value passes. One that keeps to [0, 255] could be a flat image, and
    is warned of: it is more often one of bytes.

    Args:
        images: (B, C, H, W) float.
        intensity: ``"xrv"`` or ``"unit"``.

    Raises:
        ValueError: a value is outside the range or no number, or the range is too small.

    Warns:
        UserWarning: the images look like bytes.

    Example:
        >>> check_range(torch.linspace(-1024, 1024, 64).reshape(1, 1, 8, 8), "xrv")
        >>> check_range(torch.rand(1, 1, 8, 8), "xrv")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: images: expected values from -1024 to 1024, ... Bring them to it with ...
    """
    if not images.numel():
        return
    low, high = (float(end) for end in torch.aminmax(images.detach()))
    least, most = RANGES[intensity]
    slack = SLACK * (most - least)
    inside = least - slack <= low and high <= most + slack  # not of NaN
    if inside and (intensity == "unit" or low == high or max(-low, high) > 1):
        if intensity == "xrv" and 0 <= low != high <= 255:
            text = f"images: values from {low:g} to {high:g} look like bytes; expected -1024 to 1024."
            warnings.warn(text, stacklevel=5)
        return
    msg = (
        f"images: expected values from {least:g} to {most:g}, got {low:g} to {high:g}. Bring them to it with "
        f"xrdatasets.normalize(…, {intensity!r}), or read files with the classifier's preprocess()."
    )
    raise ValueError(msg)


def _per_channel(name: str, value: Any, channels: int) -> tuple[float, ...]:
    values: tuple[Any, ...] = (
        tuple(value) if isinstance(value, (Sequence, np.ndarray)) else (value,) * channels
    )
    fine = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values)
    if len(values) != channels or not fine or not all(math.isfinite(each) for each in values):
        msg = f"{name}: expected a number, or one for each of {channels} channels, got {value!r}."
        raise ValueError(msg)
    if name == "std" and min(values) <= 0:
        msg = f"std: expected numbers above 0, got {value!r}."
        raise ValueError(msg)
    return tuple(float(each) for each in values)


def _raw(source: Any, max_value: int | None) -> RawImage:
    """An array, tensor or picture as an image that was read."""
    if isinstance(source, RawImage):
        return source
    array = np.asarray(source.cpu() if isinstance(source, Tensor) else _unpacked(source))
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))
    if array.dtype not in LARGEST or not shaped or 0 in array.shape:
        msg = (
            "source: expected a path, a file's content, or grey values or colours, (H, W) or (H, W, 1 to 4) "
            f"of uint8 or uint16, got {type(source).__name__} {array.shape} of {array.dtype}."
        )
        raise ValueError(msg)
    pixels = grey(array)
    largest = LARGEST[array.dtype] if max_value is None else max_value
    if type(largest) is not int or not pixels.max() <= largest:
        msg = (
            f"max_value: expected a whole number that no pixel is above ({pixels.max()}), got {max_value!r}."
        )
        raise ValueError(msg)
    if largest < 1:
        msg = f"max_value: expected at least 1, got {max_value!r}."
        raise ValueError(msg)
    return RawImage(pixels, largest)


def _unpacked(picture: Any) -> Any:
    """A picture of pillow whose pixels are indices or bits, as colours; all else as it is."""
    if getattr(picture, "mode", None) in ("1", "P", "PA", "CMYK", "YCbCr") and hasattr(picture, "convert"):
        return picture.convert("L" if picture.mode == "1" else "RGB")
    return picture


def _check_batch(images: object) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        msg = f"images: expected a float tensor, got {getattr(images, 'dtype', type(images).__name__)}."
        raise ValueError(msg)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        msg = f"images: expected the shape (B, 1, H, W) or (B, 3, H, W), got {tuple(images.shape)}."
        raise ValueError(msg)
