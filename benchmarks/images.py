"""Images per second of CPU time, one thread, against torchxrayvision's method and the decoder alone.

Run ``python benchmarks/images.py FOLDER``; every figure is also given as a ratio to the peer's method
measured in the same run, because the figures themselves belong to the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio.v2
import imageio.v3
import numpy as np
import skimage.transform

from xrdatasets.images import center_crop, load_image, normalize, read_image, resize

SUFFIXES = {".png", ".jpg", ".jpeg"}


def peer(path: Path, size: int) -> np.ndarray:
    """Read, normalise, crop and resize in the way of torchxrayvision 1.5.2."""
    img = imageio.v2.imread(path)
    img = (2 * (img.astype(np.float32) / 255) - 1) * 1024
    img = img[None] if img.ndim == 2 else img[None, :, :, 0]
    return skimage_resize(center_crop(img), size)


def skimage_resize(img: np.ndarray, size: int) -> np.ndarray:
    out = skimage.transform.resize(img, (1, size, size), mode="constant", preserve_range=True)
    return out.astype(np.float32)


def rate(function: Callable[[Any], object], items: Sequence[Any], repeats: int) -> float:
    """Items per second of CPU time, the best of `repeats` passes."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            function(item)
        seconds.append(time.process_time() - start)
    return len(items) / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100, help="at most so many files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 512])
    args = parser.parse_args()
    found = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = found[:: max(1, len(found) // args.images)][: args.images]
    if not paths:
        parser.error(f"no PNG or JPEG below '{args.folder}'")
    raws = [read_image(path) for path in paths]
    floats = [normalize(raw) for raw in raws]
    shape = np.median([raw.pixels.shape for raw in raws], axis=0).astype(int)
    print(f"{len(paths)} images, median {shape[0]} x {shape[1]}, best of {args.repeats} passes")

    def show(name: str, value: float, base: float) -> None:
        print(f"  {name:<42} {value:>9,.0f} /s  {value / base:>6.1f} x")

    def measure(function: Callable[[Any], object], items: Sequence[Any]) -> float:
        function(items[0])
        return rate(function, items, args.repeats)

    print("decode (x: against imageio, as the peer)")
    base = measure(imageio.v2.imread, paths)
    show("imageio.v2.imread", base, base)
    decode = measure(read_image, paths)
    show("read_image", decode, base)
    show("read_image + normalize", measure(lambda path: normalize(read_image(path)), paths), base)
    for size in args.sizes:
        print(f"resize alone to {size} (x: against skimage)")
        base = measure(lambda img, s=size: skimage_resize(center_crop(img), s), floats)
        show("skimage on float32", base, base)
        for engine in ("area", "gaussian"):
            function = lambda raw, s=size, e=engine: resize(center_crop(raw.pixels), s, engine=e)  # noqa: E731
            show(engine, measure(function, raws), base)
        print(f"file to float32 (1, {size}, {size}) (x: against the peer's method)")
        base = measure(lambda path, s=size: peer(path, s), paths)
        show("peer's method", base, base)
        for engine in ("area", "gaussian"):
            function = lambda path, s=size, e=engine: load_image(path, size=s, engine=e)  # noqa: E731
            show(engine, measure(function, paths), base)
        show("ceiling: read_image alone", decode, base)


if __name__ == "__main__":
    main()
