"""What `images.py` runs in interpreters of their own: torchxrayvision's image path, ours, and decoding alone.

    python benchmarks/image_jobs.py IMPORTS

reads a line of JSON (a job), does it, and answers with a line of JSON, until its input ends. IMPORTS is code
that is run first: what the peer needs. A folder is laid out as NIH's release, so that both open it as such.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

TABLE = "Data_Entry_2017_v2020.csv"


@lru_cache
def peer_dataset(root: str, size: int, engine: str) -> Any:
    import torchvision.transforms
    import torchxrayvision as xrv

    steps = [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(size, engine=engine)]
    return xrv.datasets.NIH_Dataset(
        f"{root}/images",
        csvpath=f"{root}/{TABLE}",
        views=["PA", "AP"],
        unique_patients=False,
        transform=torchvision.transforms.Compose(steps),
    )


def peer_image(path: str, size: int) -> np.ndarray:
    """The peer's advice for single images: `utils.load_image`, crop and resize."""
    import torchxrayvision as xrv

    crop, resize = xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(size)
    return resize(crop(xrv.utils.load_image(path)))


@lru_cache
def our_dataset(root: str, size: int, engine: str) -> Any:
    import xrdatasets as xr

    return xr.NIH(root, size=size, engine=engine, views="*")


def our_image(path: str, size: int, engine: str) -> np.ndarray:
    from xrdatasets.images import load_image

    return load_image(path, size=size, engine=engine)


def kornia_alone(path: str) -> Any:
    """The fastest exact decoder, file to array, as its own functions do it: no check but its own."""
    import kornia_rs.io as kornia

    data = Path(path).read_bytes()
    if data.startswith(b"\xff\xd8"):
        return kornia.decode_image_jpegturbo(data, "mono")
    # width, height, depth, colour type: bytes 16 to 25 of every PNG
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    mode = {0: "mono", 2: "rgb", 6: "rgba"}[data[25]]
    decode = kornia.decode_image_png_u16 if data[24] == 16 else kornia.decode_image_png_u8
    return decode(data, (height, width), mode)


def read_only(path: str) -> Any:
    from xrdatasets.images import read_image

    return read_image(path)


def _items(open_: Callable[[str, int, str], Any], engine: str) -> Callable[..., object]:
    def run(root: str, paths: Sequence[str], size: int) -> None:
        dataset = open_(root, size, engine)
        for index in range(len(paths)):
            dataset[index]

    return run


def _files(function: Callable[[str, int], object]) -> Callable[..., object]:
    def run(root: str, paths: Sequence[str], size: int) -> None:
        for path in paths:
            function(path, size)

    return run


PEER = {
    "peer: NIH_Dataset[i], skimage": _items(peer_dataset, "skimage"),
    "peer: NIH_Dataset[i], cv2": _items(peer_dataset, "cv2"),
    "peer: utils.load_image, skimage": _files(peer_image),
}
DECODER = "decoder alone: kornia_rs"
OURS = {
    "ours: NIH[i], area": _items(our_dataset, "area"),
    "ours: NIH[i], gaussian": _items(our_dataset, "gaussian"),
    "ours: load_image, area": _files(lambda path, size: our_image(path, size, "area")),
    "ours: load_image, gaussian": _files(lambda path, size: our_image(path, size, "gaussian")),
    "ours: read_image": _files(lambda path, _: read_only(path)),
    DECODER: _files(lambda path, _: kornia_alone(path)),
}


def timed(job: str, root: str, paths: Sequence[str], size: int) -> dict[str, Any]:
    """CPU seconds of all threads for one pass over the images; None if the first is refused."""
    run = (PEER | OURS)[job]
    try:
        run(root, paths[:1], size)
    except Exception as error:  # whatever the peer raises, of which there is no list
        return {"seconds": None, "refused": repr(error)}
    start = time.process_time()
    run(root, paths, size)
    return {"seconds": time.process_time() - start}


def tinted(path: str) -> bool:
    """Whether a file's channels differ: ours is luma, the peer takes red."""
    import imageio.v3

    stored = imageio.v3.imread(path)
    return stored.ndim == 3 and bool((stored[..., :3] != stored[..., :1]).any())


def pixels(job: str, paths: Sequence[str], size: int, out: str) -> dict[str, Any]:
    """Save what becomes of the images, (N, size, size) float32; those that are refused are NaN."""
    made = np.full((len(paths), size, size), np.nan, np.float32)
    refused = {}
    for number, path in enumerate(paths):
        try:
            img = peer_image(path, size) if job == "peer" else our_image(path, size, job)
            made[number] = img[0]
        except Exception as error:  # whatever the peer raises, of which there is no list
            refused[path] = repr(error)
    np.save(out, made)
    return {"refused": refused, "tinted": [tinted(path) for path in paths]}


def versions(names: Sequence[str]) -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    exec(sys.argv[1])
    if "cv2" in versions(["opencv-python-headless", "opencv-python"]):
        import cv2

        cv2.setNumThreads(1)
    tasks = {"timed": timed, "pixels": pixels, "versions": versions}
    for line in sys.stdin:
        task = json.loads(line)
        answer = tasks[task.pop("task")](**task)
        print(json.dumps(answer), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
