"""All steps at once: a file to the float32 (1, H, W) that a dataset gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdatasets.images.geometry import Engine, center_crop, check_engine, check_size, resize
from xrdatasets.images.intensity import Intensity, check_intensity, normalize, rescale
from xrdatasets.images.pixels import RawImage
from xrdatasets.images.reader import read_image

__all__ = ["load_image", "prepare"]


def load_image(
    source: str | Path | bytes,
    *,
    size: int | None = None,
    crop: bool = True,
    engine: Engine = "area",
    intensity: Intensity = "xrv",
    dataset: str | None = None,
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
    raw = read_image(source, dataset=dataset)
    return prepare(raw, size=size, crop=crop, engine=engine, intensity=intensity)


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
