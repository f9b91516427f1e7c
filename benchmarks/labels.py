"""Label building against torchxrayvision, in one run: CPU time and memory of a CheXpert-shaped table.

    python benchmarks/labels.py [--rows 223414 1000000] [--peer PYTHON] [--repeat 5]

Writes a table of the shape of CheXpert's train.csv (images, patients, studies and blanks in its
proportions; Irvin 2019), then builds the labels of all views in fresh processes, ours and the peer's by
turns, and prints the medians and their ratio. `--peer` is the interpreter of an environment with
torchxrayvision; without it only our figures are printed. torchvision has no CPU build of its compiled
operators: where they are missing, two operator schemas are declared before it is imported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
)  # fmt: skip
IMAGES_PER_PATIENT = 223_414 / 64_540
SAME_STUDY = 1 - 187_641 / 223_414
FRONTAL = 191_027 / 223_414
AP = 161_590 / 191_027
CELLS, SHARES = ("", "1.0", "-1.0", "0.0"), (0.77, 0.16, 0.045, 0.025)

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
OURS = MEASURE.format(
    before="import numpy, pandas, xrdatasets as xr; xr.CheXpert",
    build="xr.CheXpert(sys.argv[1], views='*', missing='keep')",
)
PEER = MEASURE.format(
    before="""
import torch
from torch import library
try:
    torch.ops.torchvision.nms
except AttributeError:
    schemas = library.Library('torchvision', 'DEF')
    schemas.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    schemas.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
import torchxrayvision as xrv
views = ['PA', 'AP', 'L', 'LL', 'RL', 'UNKNOWN']
""",
    build="xrv.datasets.CheX_Dataset(imgpath=sys.argv[1], csvpath=sys.argv[1] + '/train.csv', "
    "views=views, unique_patients=False)",
)


def write_table(folder: Path, rows: int) -> None:
    """A table of CheXpert's shape."""
    rng = np.random.default_rng(0)
    images = rng.geometric(1 / IMAGES_PER_PATIENT, rows)
    patient = np.repeat(np.arange(1, rows + 1), images)[:rows]
    again = np.append(False, patient[1:] == patient[:-1]) & (rng.random(rows) < SAME_STUDY * 1.4)
    first = np.flatnonzero(np.append(True, patient[1:] != patient[:-1]))
    starts = np.repeat(first, np.diff(np.append(first, rows)))
    study = np.cumsum(~again) - np.cumsum(~again)[starts] + 1
    opened = np.flatnonzero(~again)
    view = np.arange(rows) - np.repeat(opened, np.diff(np.append(opened, rows))) + 1
    frontal, ap = rng.random(rows) < FRONTAL, rng.random(rows) < AP
    age, male = rng.integers(18, 91, rows), rng.random(rows) < 0.59
    cells = np.array(CELLS)[rng.choice(4, p=SHARES, size=(rows, len(LABELS)))]
    with (folder / "train.csv").open("w") as file:
        file.write("Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LABELS) + "\n")
        for i in range(rows):
            side = "frontal" if frontal[i] else "lateral"
            path = (
                f"CheXpert-v1.0-small/train/patient{patient[i]:05d}/study{study[i]}/view{view[i]}_{side}.jpg"
            )
            position = f"{side.capitalize()},{('AP' if ap[i] else 'PA') if frontal[i] else ''}"
            file.write(f"{path},{'Male' if male[i] else 'Female'},{age[i]},{position},{','.join(cells[i])}\n")


def measure(python: str, code: str, folder: Path) -> dict[str, float]:
    done = subprocess.run([python, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[223_414, 1_000_000])
    parser.add_argument("--peer", help="python of an environment with torchxrayvision")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'rows':>9}  {'':12}{'CPU s':>7}{'spread':>14}{'MiB kept':>10}")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "CheXpert-v1.0-small"
            folder.mkdir()
            write_table(folder, rows)
            runs: dict[str, list[dict[str, float]]] = {"xrdatasets": [], "peer": []}
            for _ in range(arguments.repeat):
                runs["xrdatasets"].append(measure(sys.executable, OURS, folder))
                if arguments.peer:
                    runs["peer"].append(measure(arguments.peer, PEER, folder))
        for name, found in runs.items():
            if found:
                seconds = sorted(run["seconds"] for run in found)
                spread = f"{seconds[0]:.2f}-{seconds[-1]:.2f}"
                cpu, memory = median(found, "seconds"), median(found, "mib")
                print(f"{rows:>9,}  {name:12}{cpu:>7.2f}{spread:>14}{memory:>10.0f}")
        if runs["peer"]:
            faster = median(runs["peer"], "seconds") / median(runs["xrdatasets"], "seconds")
            memory = median(runs["xrdatasets"], "mib") / median(runs["peer"], "mib")
            print(f"{rows:>9,}  ratio       {faster:>6.2f}x faster, {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
