"""Tiny downloads: each module writes one release in its official layout, with real file formats.

``write(root)`` makes the folder and returns it, ``IMAGES`` says how many rows its default views have, and
``OPTIONS``, where it is there, how the dataset is opened. Nothing of a real dataset is kept here.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

KEYS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))


def load(key: str) -> ModuleType:
    """The module of a fake."""
    return importlib.import_module(f"tests.fakes.{key}")


def write(key: str, root: Path) -> Path:
    """Write the fake of a dataset below a folder."""
    return load(key).write(Path(root))


def write_image(path: Path, *, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    """Write a grey image of (height, width) in the format of its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_table(path: Path, *lines: str) -> Path:
    """Write a text table, line by line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_dicom(
    path: Path,
    *,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    pixels: np.ndarray | None = None,
    **elements,
) -> Path:
    """Write a grey DICOM file of (height, width); elements by keyword, as ``ViewPosition="PA"``."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    path.parent.mkdir(parents=True, exist_ok=True)
    bits = elements.get("BitsStored", 8 if pixels is None else 8 * pixels.dtype.itemsize)
    if pixels is None:
        draws = np.random.default_rng(seed).integers(0, 2**bits, size)
        pixels = draws.astype(np.uint8 if bits <= 8 else np.uint16)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = f"1.2.3.{seed}"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements that are not as they should be, as in the releases
        for name, value in elements.items():
            setattr(file, name, value)
    file.PixelData = (
        pixels.astype(pixels.dtype.newbyteorder("<"))
        .tobytes()
        .ljust(pixels.nbytes + pixels.nbytes % 2, b"\0")
    )
    file["PixelData"].VR = "OB" if bits <= 8 else "OW"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.save_as(path, enforce_file_format=True)
    return path
