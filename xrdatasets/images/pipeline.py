"""All steps at once: a file to the float32 (1, H, W) that a dataset gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdatasets.images.geometry import Engine, center_crop, check_engine, check_size, resize
from xrdatasets.images.intensity import Intensity, check_intensity, normalize, rescale
from xrdatasets.images.pixels import RawImage
from xrdatasets.images.reader import read_image

__all__ = ["load_image", "pixels_needed", "prepare"]


def load_image(
    source: str | Path | bytes,
    *,
    size: int | None = None,
    crop: bool = True,
    engine: Engine = "area",
    intensity: Intensity = "xrv",
    dataset: str | None = None,
    reduced: bool = True,
) -> NDArray[np.float32]:
    """Read an image and bring it to a model's size and range.

    Args:
        source: path of the file, or the file's content.
        size: rows and columns of the result; None keeps the native image, uncropped.
        crop: cut the central square first; False squeezes both axes to `size`.
        engine: ``"area"`` (fast), ``"gaussian"`` (torchxrayvision's pixels) or ``"xrv"`` (with its frame),
            see `resize`.
        intensity: ``"xrv"`` (-1024 to 1024) or ``"unit"`` (0 to 1), see `normalize`.
        dataset: name of the dataset, for the error message.
        reduced: decode JPEG 2000 at the lowest resolution level that `size` needs, if `engine` is ``area``
            (see `pixels_needed`); False decodes every pixel.

    Returns:
        (1, H, W) float32.

    Raises:
        ImageReadError: the file cannot be read, see `read_image`.
        DecoderNotFoundError: the file is DICOM of a kind whose decoder is not installed.
        ValueError: an argument is none of the above.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (300, 200), 255).save(file, "PNG")
        >>> img = load_image(file.getvalue(), size=64)
        >>> img.shape, img.max()
        ((1, 64, 64), np.float32(1024.0))
    """
    check_engine(engine)
    check_intensity(intensity)
    if size is not None:
        check_size(size)
    _check_reduced(reduced)
    raw = read_image(source, dataset=dataset, at_least=pixels_needed(size, engine) if reduced else None)
    return prepare(raw, size=size, crop=crop, engine=engine, intensity=intensity)


def pixels_needed(size: int | None, engine: Engine = "area") -> int | None:
    """How many pixels the shorter side of an image needs before it is cropped and resized.

    JPEG 2000 keeps an image in levels, each half as wide as the last; decoding stops at the level that
    still has these pixels. That is a low-pass of wavelets in place of the mean of an area: an NIH radiograph
    enlarged to 2500 x 2048 comes out at 224 with a mean difference of 7.6 from the full decode, 126 at most,
    on the scale of [-1024, 1024], thirty times as fast; four of 1024 x 1024 with 9 to 11, and up to 530 at
    the edges of letters (``benchmarks/dicom.py``). The two engines that reproduce torchxrayvision's pixels
    need all of them.

    Args:
        size: as for `load_image`.
        engine: as for `load_image`.

    Returns:
        For `read_image`'s `at_least`: `size`, or None for the full image.

    Example:
        >>> pixels_needed(224), pixels_needed(224, "gaussian"), pixels_needed(None)
        (224, None, None)
    """
    return int(size) if size is not None and engine == "area" else None


def prepare(
    raw: RawImage,
    *,
    size: int | None = None,
    crop: bool = True,
    engine: Engine = "area",
    intensity: Intensity = "xrv",
) -> NDArray[np.float32]:
    """Crop, resize and normalise an image that has been read.

    The range is changed last: both engines are linear with weights that sum to 1, so the result is
    the same, and there are fewer pixels.

    Args:
        raw: the image as read.
        size: as for `load_image`.
        crop: as for `load_image`.
        engine: as for `load_image`.
        intensity: as for `load_image`.

    Returns:
        (1, H, W) float32.

    Raises:
        ValueError: an argument has no meaning.

    Example:
        >>> import numpy as np
        >>> prepare(RawImage(np.full((4, 6), 255, np.uint8), 255), size=2, intensity="unit")
        array([[[1., 1.],
                [1., 1.]]], dtype=float32)
    """
    check_engine(engine)
    if size is None:
        return normalize(raw, intensity)
    check_intensity(intensity)
    if engine == "xrv":
        return _as_the_peer(raw, size, crop=crop, intensity=intensity)
    pixels = resize(center_crop(raw.pixels) if crop else raw.pixels, size, engine=engine)
    pixels.clip(0, raw.max_value, out=pixels)  # float32 weights sum to 1 but for rounding
    return rescale(pixels, raw.max_value, intensity=intensity, out=pixels)[np.newaxis]


def _as_the_peer(raw: RawImage, size: int, *, crop: bool, intensity: Intensity) -> NDArray[np.float32]:
    """Range first, then size, because the frame that is drawn is 0 *in the range of* torchxrayvision."""
    native = normalize(raw, "xrv")
    native = center_crop(native) if crop else native
    pixels = resize(native, size, engine="xrv").clip(native.min(), native.max())
    if intensity == "unit":
        pixels = (pixels / np.float32(1024) + 1) / 2
    return pixels.astype(np.float32, copy=False)


def _check_reduced(value: object) -> None:
    if not isinstance(value, bool):
        msg = f"reduced: expected True or False, got {value!r}."
        raise ValueError(msg)
