"""The plain path against torchxrayvision: speed by turns in one run, and pixels.

    python benchmarks/images.py speed [--peer PYTHON] [--rounds N] FOLDER ...
    python benchmarks/images.py parity --peer PYTHON [--images N] FOLDER ...

`speed` prints images per second of CPU time of one core, file to float32 (1, 224, 224), medians over the
rounds, and ratios to the peer's default (scikit-image), its cv2 engine and decoding alone. Its own code
runs, in `--peer`, the interpreter of an environment with torchxrayvision (and opencv). `parity` compares the
pixels of the engines `gaussian` and `area` with the peer's. Folders are searched for PNG and JPEG. What a
DataLoader makes of it is measured in `image_loading.py`.
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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from image_jobs import DECODER, OURS, PEER, TABLE
from labels import PEER_IMPORTS

SUFFIXES = {".png", ".jpg", ".jpeg"}
HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)
HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    '"OriginalImage[Width","Height]","OriginalImagePixelSpacing[x","y]"'
)
VERSIONS = ["torchxrayvision", "scikit-image", "opencv-python-headless", "numpy", "scipy", "torch"]
VERSIONS += ["imageio", "pillow", "kornia_rs", "xrdatasets"]
FRAME = 4  # pixels from the border that the peer's zero padding may reach


class Worker:
    """An interpreter that does jobs of `image_jobs.py`, with one thread for every library."""

    def __init__(self, python: str, imports: str = "") -> None:
        self.process = subprocess.Popen(
            [python, str(HERE / "image_jobs.py"), imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD,
        )

    def ask(self, task: str, **options: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps({"task": task} | options) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):  # not what a library prints
                return json.loads(line)
        msg = f"a worker ended while it was asked for {task!r} {options}"
        raise SystemExit(msg)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def workers(peer: str | None) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        found = {"ours": Worker(sys.executable)}
        if peer:
            found["peer"] = Worker(peer, PEER_IMPORTS)
        for worker in found.values():
            stack.callback(worker.close)
        yield found


def images_below(folder: Path, most: int) -> list[Path]:
    """At most so many images, spread over the folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        msg = f"no PNG or JPEG below '{folder}'"
        raise SystemExit(msg)
    return found[:: max(1, -(-len(found) // most))]


def lay_out(paths: Sequence[Path], root: Path) -> None:
    """NIH's release with these images, as links."""
    (root / "images").mkdir(parents=True)
    rows = [HEAD]
    for number, path in enumerate(paths):
        name = f"{number:08}_000{path.suffix.lower()}"
        (root / "images" / name).symlink_to(path.absolute())
        rows.append(f"{name},No Finding,0,{number},57,M,PA,2682,2749,0.143,0.143")
    (root / TABLE).write_text("\n".join(rows) + "\n")


def speed(arguments: argparse.Namespace) -> None:
    with workers(arguments.peer) as asked:
        describe(asked)
        for folder in arguments.folders:
            with tempfile.TemporaryDirectory() as temporary:
                paths = images_below(folder, arguments.images)
                root = Path(temporary) / "nih"
                lay_out(paths, root)
                task = {"root": str(root), "paths": [str(path) for path in paths], "size": arguments.size}
                jobs = [(job, asked["ours"]) for job in OURS]
                jobs += [(job, asked["peer"]) for job in PEER] if "peer" in asked else []
                seconds: dict[str, list[float]] = {job: [] for job, _ in jobs}
                for _ in range(arguments.rounds):
                    for job, worker in jobs:
                        answer = worker.ask("timed", job=job, **task)
                        if answer["seconds"] is None:
                            print(f"{job} refuses: {answer['refused']}")
                        else:
                            seconds[job].append(answer["seconds"] / len(paths))
                    jobs = [(job, worker) for job, worker in jobs if seconds[job]]
            print(f"\n{folder}: {len(paths)} images, to {arguments.size}, {arguments.rounds} rounds by turns")
            show({job: runs for job, runs in seconds.items() if runs})


def show(seconds: dict[str, list[float]]) -> None:
    """Rates, and ratios to each thing that the issue of speed is about, each a median over the rounds."""
    bases = {"x skimage": "peer: NIH_Dataset[i], skimage", "x cv2": "peer: NIH_Dataset[i], cv2"}
    bases = {head: job for head, job in bases.items() if job in seconds} | {"of decoding": DECODER}
    print(f"  {'':34}{'/s':>8}{'ms':>8}{'spread ms':>16}" + "".join(f"{head:>13}" for head in bases))
    for job, runs in seconds.items():
        spread = f"{min(runs) * 1e3:.2f}-{max(runs) * 1e3:.2f}"
        middle = statistics.median(runs)
        by_round = [zip(seconds[base], runs, strict=True) for base in bases.values()]
        ratios = [statistics.median(base / own for base, own in pairs) for pairs in by_round]
        cells = "".join(f"{ratio:>13.2f}" for ratio in ratios)
        print(f"  {job:34}{1 / middle:>8.0f}{middle * 1e3:>8.2f}{spread:>16}{cells}", flush=True)


def parity(arguments: argparse.Namespace) -> None:
    size = arguments.size
    with workers(arguments.peer) as asked, tempfile.TemporaryDirectory() as temporary:
        describe(asked)
        print(f"\ndifferences to the peer, to {size}, of -1024 to 1024, over {FRAME} pixels from the border")
        print(
            f"{'folder':34}{'images':>7}{'gaussian: largest':>19}{'area: mean':>12}{'p99':>8}{'largest':>9}"
        )
        for folder in arguments.folders:
            paths = [str(path) for path in images_below(folder, arguments.images)]
            chunks = (paths[at : at + 50] for at in range(0, len(paths), 50))
            found = [row for chunk in chunks for row in compare(asked, chunk, size, Path(temporary))]
            rows = np.array([row[2:] for row in found if row[1] == "compared"]).reshape(-1, 4)
            worst, mean, p99, most = rows[:, 0].max(), *rows[:, 1:3].mean(axis=0), rows[:, 3].max()
            name = str(folder)[-33:]
            print(f"{name:34}{len(rows):>7}{worst:>19.5f}{mean:>12.3f}{p99:>8.2f}{most:>9.1f}", flush=True)
            for path, what, value, *_ in found:
                if what != "compared" or value > arguments.limit:
                    print(f"    {what}, gaussian off by {value:.3f}: {path}")


def compare(asked: dict[str, Worker], paths: list[str], size: int, folder: Path) -> list[tuple[Any, ...]]:
    """Path, what came of it, and the largest, mean, p99 and largest differences of up to 50 images."""
    made, told = {}, {}
    for job, who in (("peer", "peer"), ("gaussian", "ours"), ("area", "ours")):
        out = str(folder / f"{job}.npy")
        told[job] = asked[who].ask("pixels", job=job, paths=paths, size=size, out=out)
        made[job] = np.load(out)[:, FRAME:-FRAME, FRAME:-FRAME].reshape(len(paths), -1)
    rows = []
    for number, path in enumerate(paths):
        refused = [who for who, job in (("peer", "peer"), ("us", "gaussian")) if path in told[job]["refused"]]
        what = "tinted (ours is luma, the peer's red)" if told["peer"]["tinted"][number] else "compared"
        what = f"refused by {' and '.join(refused)}" if refused else what
        exact, fast = (np.abs(made[job][number] - made["peer"][number]) for job in ("gaussian", "area"))
        rows.append((path, what, exact.max(), fast.mean(), np.percentile(fast, 99), fast.max()))
    return rows


def describe(asked: dict[str, Worker]) -> None:
    """The machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor()
    print(f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread")
    for who, worker in asked.items():
        found = worker.ask("versions", names=VERSIONS)
        print(f"{who}: " + ", ".join(f"{name} {version}" for name, version in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function, images in ((speed, 50), (parity, 400)):
        command = commands.add_parser(function.__name__)
        command.set_defaults(run=function)
        command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
        command.add_argument("--peer", required=function is parity, help="python that has torchxrayvision")
        command.add_argument("--images", type=int, default=images, help="at most so many of a folder")
        command.add_argument("--size", type=int, default=224)
        command.add_argument("--rounds", type=int, default=9, help="of speed")
        command.add_argument("--limit", type=float, default=0.01, help="of parity: what is named beyond it")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
