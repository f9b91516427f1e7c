"""Packed images in random order, against a plain memory map, and against torchxrayvision's reading of PNG.

    python benchmarks/packed.py speed [--images N] [--peer PYTHON --pngs FOLDER]
    python benchmarks/packed.py memory [--images N ...]

`speed` makes a packed file of N images of random grey values (224 x 224 bytes) and an array file of the same,
then reads batches of 64 in random order in each way, by turns, and prints images per second (wall clock, one
process and one thread unless workers are named), medians and ratios. `--peer` is the interpreter of an
environment with torchxrayvision; its default transform (centre crop, skimage resize to 224) reads the PNG
files of `--pngs`, an NIH download, in one thread.

`memory` reads every image of packed files of several sizes once, in random order, each in a process of its
own, and prints the most memory that the process had.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from labels import PEER_IMPORTS

SIZE, BATCH = 224, 64
PEER = """
import json, sys, time, glob
{imports}
torch.set_num_threads(1)
import torchvision
transform = torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer({size})])
ds = xrv.datasets.NIH_Dataset(
    imgpath=sys.argv[1], csvpath=sys.argv[2], views=["PA", "AP"], unique_patients=False, transform=transform
)
ds[0]
start = time.perf_counter()
for i in range(len(ds)):
    ds[i]
print(json.dumps(len(ds) / (time.perf_counter() - start)))
"""
MEMORY = """
import json, resource, sys, xrdatasets as xr
ds = xr.open(sys.argv[1])
first = None
for number, batch in enumerate(xr.loader(ds, 64, workers=0, shuffle=True)):
    if number == 100:
        first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([first / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def write(folder: Path, count: int) -> tuple[Path, Path]:
    """A packed file of random images, and the same as a bare array."""
    import xrdatasets as xr
    from xrdatasets.packed.card import describe
    from xrdatasets.packed.layout import create

    rules = (
        "column,source,target,relation,note,reference",
        "Label,yes,Effusion,exact,,made",
        "Label,no,,,,made",
    )
    (folder / "map.csv").write_text("\n".join(rules))
    rng = np.random.default_rng(0)
    ids = [f"{number:08d}" for number in range(count)]
    table = pd.DataFrame({"image_id": ids, "Label": rng.choice(["yes", "no"], count)})
    table.to_csv(folder / "table.csv", index=False)
    ds = xr.TableDataset(folder, table="table.csv", mapping="map.csv", missing="keep", size=SIZE)
    packed, array = folder / f"{count}.h5", folder / f"{count}.bin"
    layout = create(packed, *describe(ds, size=SIZE, dtype="uint8"), (count, SIZE, SIZE), "uint8")
    with packed.open("r+b") as file, array.open("wb") as plain:
        file.seek(layout.readable.offset)
        file.write(b"\1" * count)
        file.seek(layout.images.offset)
        for start in range(0, count, 1000):
            block = rng.integers(0, 256, (min(1000, count - start), SIZE, SIZE), np.uint8).tobytes()
            file.write(block)
            plain.write(block)
    return packed, array


def mapped(array: Path, count: int) -> Callable[[], Iterator[object]]:
    """Batches from numpy's memory map of the bare array."""
    images = np.memmap(array, np.uint8, "r", shape=(count, SIZE, SIZE))

    def batches() -> Iterator[object]:
        order = np.random.default_rng(0).permutation(count)
        for start in range(0, count, BATCH):
            yield images[order[start : start + BATCH]]

    return batches


def rate(batches: Callable[[], Iterator[object]], count: int) -> float:
    """Images per second of one pass."""
    start = time.perf_counter()
    for _ in batches():
        pass
    return count / (time.perf_counter() - start)


def speed(arguments: argparse.Namespace, folder: Path) -> None:
    import torch

    import xrdatasets as xr

    torch.set_num_threads(1)
    count = arguments.images
    packed, array = write(folder, count)
    ds = xr.open(packed, space=["Effusion"])

    def loader(workers: int, *, raw: bool) -> Callable[[], Iterator[object]]:
        made = xr.loader(ds, BATCH, workers=workers, shuffle=True, raw=raw)
        return lambda: iter(made)

    ways = {
        "numpy memory map, uint8": mapped(array, count),
        "loader, raw": loader(0, raw=True),
        "loader, float32": loader(0, raw=False),
        "loader, 2 workers, raw": loader(2, raw=True),
        "loader, 2 workers, float32": loader(2, raw=False),
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for batches in ways.values():
        rate(batches, count)  # files into the cache, workers up
    for _ in range(arguments.repeats):
        for name, batches in ways.items():
            runs[name].append(rate(batches, count))
        if arguments.peer:
            runs.setdefault("torchxrayvision, PNG", []).append(peer(arguments.peer, arguments.pngs))
    print(f"{count:,} images of {SIZE} x {SIZE}, batches of {BATCH}; medians of {arguments.repeats} by turns")
    ceiling = statistics.median(runs["numpy memory map, uint8"])
    base = statistics.median(runs["torchxrayvision, PNG"]) if arguments.peer else 0
    for name, found in runs.items():
        middle = statistics.median(found)
        against = f"{middle / base:>10,.0f} x the peer" if base else ""
        print(f"  {name:<28}{middle:>10,.0f} /s{middle / ceiling:>8.2f} of the map{against}")


def peer(python: str, pngs: Path) -> float:
    """Images per second of torchxrayvision's default transform, one thread, no workers."""
    present = {path.name: path for path in pngs.rglob("*.png")}
    rows = pd.read_csv(next(pngs.glob("Data_Entry_2017*.csv")))
    code = PEER.format(imports=PEER_IMPORTS, size=SIZE)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as flat:
        for name, path in present.items():
            (Path(flat) / name).symlink_to(path.resolve())
        rows[rows["Image Index"].isin(present)].to_csv(Path(flat) / "table.csv", index=False)
        command = [python, "-c", code, flat, f"{flat}/table.csv"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1]))


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    print("most memory of a process that reads every image once (resident, MiB)")
    for count in arguments.images:
        packed, array = write(folder, count)
        array.unlink()
        command = [sys.executable, "-c", MEMORY, str(packed)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        early, most = json.loads(done.stdout)
        size = packed.stat().st_size / 2**20
        told = f"{early:>6,.0f} after 100 batches, {most:>6,.0f} at the end"
        print(f"  {count:>9,} images, file of {size:>7,.0f}: {told}")
        packed.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where files of gigabytes are made [default: temporary]")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed")
    one.add_argument("--images", type=int, default=20_000)
    one.add_argument("--repeats", type=int, default=5)
    one.add_argument("--peer", help="python of an environment with torchxrayvision")
    one.add_argument("--pngs", type=Path, help="an NIH download of original PNG files")
    two = commands.add_parser("memory")
    two.add_argument("--images", type=int, nargs="+", default=[25_000, 100_000])
    arguments = parser.parse_args()
    if arguments.command == "speed" and bool(arguments.peer) != bool(arguments.pngs):
        parser.error("--peer and --pngs go together")
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        (speed if arguments.command == "speed" else memory)(arguments, Path(folder))


if __name__ == "__main__":
    main()
