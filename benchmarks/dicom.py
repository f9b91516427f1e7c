"""DICOM by transfer syntax: our decoding against pydicom's `pixel_array`, and JPEG 2000 by resolution levels.

    python benchmarks/dicom.py [FOLDER] [--repeats N] [--size S]

The image has 2500 x 2048 pixels of 12 bits: the first PNG below FOLDER, enlarged, with noise in the lowest
bits; without FOLDER one is drawn. It is packed in every transfer syntax that an encoder is at hand for
(imagecodecs; pydicom for RLE). `pixel_array` is what torchxrayvision's `read_xray_dcm` calls; it decodes with
whatever plugins are installed (pylibjpeg-openjpeg, pyjpegls), and some syntaxes not at all. Ours gives the
picture with window and inversion, its numbers alone. Both are timed by turns, in CPU time of this process;
printed are medians and their ratio. For JPEG 2000, the time to float32 (1, S, S) follows, from the resolution
level that S needs and from the full image, and how far the two are apart on the scale of [-1024, 1024].
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import encapsulate

from xrdatasets.images import load_image, read_image

SHAPE, BITS = (2500, 2048), 12
HTJ2K = uid.UID("1.2.840.10008.1.2.4.201")


def picture(folder: Path | None) -> np.ndarray:
    """(2500, 2048) uint16 of 12 bits."""
    from PIL import Image

    rng = np.random.default_rng(0)
    if folder is None:
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 300
        base = 0.5 + 0.2 * np.sin(x) * np.cos(y) + 0.1 * np.sin(9 * x + 4 * y) + 0.05 * np.sin(40 * y)
        base = base * 2**BITS
    else:
        path = next(path for path in sorted(folder.rglob("*.png")) if min(Image.open(path).size) >= 512)
        print(f"image: {path.name}")
        grey = Image.fromarray(
            (read_image(path).pixels / read_image(path).max_value * 255).astype(np.float32)
        )
        base = np.asarray(grey.resize(SHAPE[::-1], Image.Resampling.BICUBIC)) * 16
    noisy = base + rng.normal(0, 4, SHAPE)
    return noisy.clip(0, 2**BITS - 1).round().astype(np.uint16)


def encoders() -> dict[uid.UID, object]:
    """Codestreams of the image, by transfer syntax."""
    import imagecodecs as codecs

    return {
        uid.JPEGLosslessSV1: lambda a: codecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=BITS),
        uid.JPEGLSLossless: codecs.jpegls_encode,
        uid.JPEG2000Lossless: lambda a: j2k(a, reversible=True),
        uid.JPEG2000: lambda a: j2k(a, level=60),
        HTJ2K: lambda a: codecs.htj2k_encode(a << 4, reversible=True),
        uid.JPEGExtended12Bit: lambda a: codecs.jpeg8_encode(a, 95, bitspersample=BITS),
        uid.JPEGBaseline8Bit: lambda a: codecs.jpeg8_encode((a >> 4).astype(np.uint8), 95),
    }


def j2k(pixels: np.ndarray, **options: object) -> bytes:
    import imagecodecs as codecs

    return codecs.jpeg2k_encode(pixels, codecformat="j2k", bitspersample=BITS, resolutions=6, **options)


def write(pixels: np.ndarray, syntax: uid.UID, frame: bytes | None) -> bytes:
    """A DICOM file."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = uid.SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    # imagecodecs' HTJ2K has 16 bits: the image is shifted up
    bits = {uid.JPEGBaseline8Bit: 8, HTJ2K: 16}.get(syntax, BITS)
    file.BitsAllocated, file.BitsStored, file.HighBit = 8 if bits == 8 else 16, bits, bits - 1
    file.PixelData = encapsulate([frame]) if frame else pixels.astype("<u2").tobytes()
    file["PixelData"].VR = "OB" if frame else "OW"
    file["PixelData"].is_undefined_length = bool(frame)
    if syntax == uid.RLELossless:
        file.compress(syntax, encoding_plugin="pydicom")
    file.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    file.save_as(target, enforce_file_format=True)
    return target.getvalue()


def seconds(functions: list[object], repeats: int) -> list[float]:
    """Median CPU seconds of each, by turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, own in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            own.append(time.process_time() - start)
    return [statistics.median(own) for own in times]


def theirs(data: bytes) -> np.ndarray | None:
    try:
        return pydicom.dcmread(io.BytesIO(data)).pixel_array
    except (RuntimeError, NotImplementedError, ValueError, AttributeError):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="of a real PNG; without it one is drawn")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument(
        "--size", type=int, default=224, help="to which JPEG 2000 is made smaller (default 224)"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pixels, packers = picture(options.folder), encoders()
    files = {
        syntax: write(pixels, syntax, packers[syntax](pixels) if syntax in packers else None)
        for syntax in (
            uid.ExplicitVRLittleEndian,
            uid.DeflatedExplicitVRLittleEndian,
            uid.RLELossless,
            *packers,
        )
    }
    print(f"{'full decode, ms of CPU':52}{'ours':>8}{'pydicom':>9}{'ratio':>7}")
    for syntax, data in files.items():
        jobs = [lambda data=data: read_image(data)]
        jobs += [lambda data=data: theirs(data)] if theirs(data) is not None else []
        ours, *peer = seconds(jobs, options.repeats)
        rest = f"{peer[0] * 1000:9.1f}{peer[0] / ours:7.2f}" if peer else "     none"
        print(f"{syntax.name[:50]:52}{ours * 1000:8.1f}{rest}")
    head = f"JPEG 2000 to {options.size}, ms of CPU"
    print(f"\n{head:52}{'level':>8}{'full':>9}{'ratio':>7}  mean, max apart")
    for syntax in (uid.JPEG2000Lossless, uid.JPEG2000, HTJ2K):
        data = files[syntax]
        jobs = [
            lambda data=data, how=how: load_image(data, size=options.size, reduced=how)
            for how in (True, False)
        ]
        low, full = seconds(jobs, options.repeats)
        apart = np.abs(jobs[0]() - jobs[1]())
        print(
            f"{syntax.name[:50]:52}{low * 1000:8.1f}{full * 1000:9.1f}{full / low:7.1f}"
            f"  {apart.mean():.1f}, {apart.max():.0f}"
        )


if __name__ == "__main__":
    main()
