"""Label building against torchxrayvision, in one run: CPU time and memory on tables of a release's shape.

    python benchmarks/labels.py [--dataset chexpert padchest mimic_cxr] [--rows N ...] [--peer PYTHON]

The peer reads no table of splits, so MIMIC-CXR-JPG is measured without one and with one.

Writes tables of the shape of CheXpert's, PadChest's and MIMIC-CXR-JPG's (`shapes.py`), then builds the
labels of all views in fresh processes, ours and the peer's by turns, and prints the medians and their ratio.
`--peer` is the interpreter of an environment with torchxrayvision; without it only our figures are printed.
torchvision has no CPU build of its compiled operators: where they are missing, two operator schemas are
declared before it is imported. `--padchest FILE` takes a real table in place of a made one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import shapes

MEASURE = """
import gc, json, sys, time
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20
{before}
start, clock = rss(), time.process_time()
ds = {build}
seconds = time.process_time() - clock
gc.collect()
print(json.dumps(dict(seconds=seconds, mib=rss() - start, rows=len(ds))))
"""
PEER_IMPORTS = """
import torch
from torch import library
try:
    torch.ops.torchvision.nms
except AttributeError:
    schemas = library.Library('torchvision', 'DEF')
    schemas.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    schemas.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
import torchxrayvision as xrv
"""


@dataclass(frozen=True)
class Case:
    """A release: its class here and there, and how its tables are made.

    Attributes:
        name: our class.
        peer: the peer's constructor; ``F`` stands for the folder.
        write: writes the tables below a folder.
        rows: how many rows, unless told.
    """

    name: str
    peer: str
    write: Callable[[Path, int], None]
    rows: tuple[int, ...]


MIMIC = (
    "xrv.datasets.MIMIC_Dataset(imgpath=F, csvpath=F + '/mimic-cxr-2.0.0-chexpert.csv.gz', "
    "metacsvpath=F + '/mimic-cxr-2.0.0-metadata.csv.gz', views='*', unique_patients=False)"
)
CASES = {
    "chexpert": Case(
        "CheXpert",
        "xrv.datasets.CheX_Dataset(imgpath=F, csvpath=F + '/train.csv', "
        "views=['PA', 'AP', 'L', 'LL', 'RL', 'UNKNOWN'], unique_patients=False)",
        shapes.write_chexpert,
        (223_414, 1_000_000),
    ),
    "padchest": Case(
        "PadChest",
        "xrv.datasets.PC_Dataset(imgpath=F, "
        "csvpath=F + '/PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz', "
        "views='*', unique_patients=False)",
        shapes.write_padchest,
        (shapes.PADCHEST_IMAGES,),
    ),
    "mimic_cxr": Case(
        "MIMICCXR",
        MIMIC,
        shapes.write_mimic,
        (shapes.MIMIC_IMAGES,),
    ),
    "mimic_cxr_with_split": Case(
        "MIMICCXR",
        MIMIC,
        lambda folder, rows: shapes.write_mimic(folder, rows, split=True),
        (shapes.MIMIC_IMAGES,),
    ),
}


def measure(python: str, before: str, build: str, folder: Path) -> dict[str, float]:
    """CPU seconds, MiB kept and rows of one constructor in a fresh process."""
    code = MEASURE.format(before="import sys; F = sys.argv[1]\n" + before, build=build)
    done = subprocess.run([python, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def compare(case: Case, rows: int, folder: Path, *, peer: str | None, repeat: int) -> None:
    """Both by turns, and their ratio."""
    ours = (
        f"import numpy, pandas, xrdatasets as xr; xr.{case.name}",
        f"xr.{case.name}(F, views='*', missing='keep')",
    )
    runs: dict[str, list[dict[str, float]]] = {"xrdatasets": [], "peer": []}
    for _ in range(repeat):
        runs["xrdatasets"].append(measure(sys.executable, *ours, folder))
        if peer:
            runs["peer"].append(measure(peer, PEER_IMPORTS, case.peer, folder))
    for name, found in runs.items():
        if found:
            seconds = sorted(run["seconds"] for run in found)
            spread = f"{seconds[0]:.2f}-{seconds[-1]:.2f}"
            cpu, memory = median(found, "seconds"), median(found, "mib")
            print(f"{case.name:9}{rows:>10,}  {name:12}{cpu:>7.2f}{spread:>14}{memory:>10.0f}", flush=True)
    if runs["peer"]:
        faster = median(runs["peer"], "seconds") / median(runs["xrdatasets"], "seconds")
        memory = median(runs["xrdatasets"], "mib") / median(runs["peer"], "mib")
        print(
            f"{case.name:9}{rows:>10,}  ratio       {faster:>6.2f}x faster, {memory:.2f} of the memory",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--rows", type=int, nargs="+", help="rows of each table; those of the releases if not given"
    )
    parser.add_argument("--peer", help="python of an environment with torchxrayvision")
    parser.add_argument(
        "--padchest", type=Path, help="a real PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    )
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'dataset':9}{'rows':>10}  {'':12}{'CPU s':>7}{'spread':>14}{'MiB kept':>10}")
    for key in arguments.dataset:
        for rows in arguments.rows or CASES[key].rows:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / ("CheXpert-v1.0-small" if key == "chexpert" else key)
                folder.mkdir()
                if key == "padchest" and arguments.padchest:
                    shutil.copy(arguments.padchest, folder)
                else:
                    CASES[key].write(folder, rows)
                compare(CASES[key], rows, folder, peer=arguments.peer, repeat=arguments.repeat)


if __name__ == "__main__":
    main()
