"""Pickled weights: files that the real torchxrayvision writes, how fast ours reads such, and damage to them.

    python benchmarks/pickles.py write FOLDER --peer PYTHON
    python benchmarks/pickles.py time --peer PYTHON [--repeat N]
    python benchmarks/pickles.py fuzz FOLDER [--cases N] [--seed N] [--save FOLDER]

`write` made `tests/models/stored`: a small DenseNet of torchxrayvision's, saved whole, and the state dict of
a small ResNet of torchvision's, each in both formats of torch, and in `outputs.json` what the peer's own
networks give for images of a formula, and digests of their tensors. `time` writes networks of full size
and reads them, beside `torch.load`, which runs what it reads. `fuzz` damages the files of a folder
in many ways; each may give tensors or a `WeightsError` and nothing else, within 10 s. `--peer` is the
interpreter of an environment with torchxrayvision.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
from labels import PEER_IMPORTS

WRITE = (
    PEER_IMPORTS
    + """
import hashlib, json, math, sys
from pathlib import Path
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
# the format before zip carries the source text of each class: here a line in the place of others' programs
torch.serialization.get_source_lines_and_file = lambda kind: (["# its source text\\n"], 1, "source.py")
torch.manual_seed(0)
b, i, j = torch.meshgrid(torch.arange(2), torch.arange(64), torch.arange(64), indexing="ij")
images = ((37 * i * i + 101 * j + 17 * i * j + 59 * b) % 2048 - 1024).float()[:, None]


class ResNet(torchvision.models.ResNet):  # torchvision's with a 32nd of its channels
    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        self.inplanes = 2 if planes == 64 else self.inplanes
        return super()._make_layer(block, planes // 32, blocks, stride, dilate)


def fill(model):  # batch norm: its own statistics of the images, other scales and shifts
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(images)
    return model.eval()


def digests(model):
    tensors = model.state_dict().items()
    return {name: [list(t.shape), str(t.dtype), hashlib.sha256(t.numpy().tobytes()).hexdigest()[:16]]
            for name, t in tensors}


def save(value, name):
    torch.save(value, folder / f"{name}_zip.pt")
    torch.save(value, folder / f"{name}_legacy.pt", _use_new_zipfile_serialization=False)


dense = fill(xrv.models.DenseNet(growth_rate=4, block_config=(1, 2, 1, 1), num_init_features=8,
                                 num_classes=18, bn_size=2))
small = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=18)
small.conv1, small.bn1, small.fc = nn.Conv2d(1, 2, 7, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Linear(16, 18)
small = fill(small)
save(dense, "densenet")
save(small.state_dict(), "resnet")
with torch.no_grad():
    logits = dense(images)
    probabilities = torch.sigmoid(logits)
    thresholds = probabilities.mean(0)  # near the outputs, so that both branches of the map are taken
    thresholds[[2, 5, 14, 17]] = math.nan
    normed = xrv.models.op_norm(probabilities, thresholds)
    document = {
        "versions": {m.__name__: m.__version__ for m in (torch, torchvision, xrv)},
        "thresholds": [None if math.isnan(t) else t for t in thresholds.tolist()],
        "densenet": {"tensors": digests(dense), "logits": logits.tolist(),
                     "sigmoid": probabilities.tolist(), "op_norm": normed.tolist()},
        "resnet": {"tensors": digests(small), "logits": small(images).tolist()},
    }
(folder / "outputs.json").write_text(json.dumps(document, indent=None, separators=(",", ":")) + "\\n")
"""
)
WRITE_LARGE = (
    PEER_IMPORTS
    + """
import sys
import torchvision
from torch import nn
torch.manual_seed(0)
large = torchvision.models.resnet50(num_classes=18)
large.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
dense = xrv.models.DenseNet(num_classes=18).eval()
for name, value in {"densenet121 (whole)": dense, "resnet50 (state)": large.state_dict()}.items():
    torch.save(value, f"{sys.argv[1]}/{name}, zip")
    torch.save(value, f"{sys.argv[1]}/{name}, legacy", _use_new_zipfile_serialization=False)
"""
)
PEER_READ = (
    PEER_IMPORTS
    + """
import sys, time
torch.load(sys.argv[1], weights_only=False)
start = time.perf_counter()
torch.load(sys.argv[1], weights_only=False)
print(time.perf_counter() - start)
"""
)
OUR_READ = """
import sys, time
from xrdatasets.models.weights.pickles import read_pickled_state
read_pickled_state(sys.argv[1])
start = time.perf_counter()
read_pickled_state(sys.argv[1])
print(time.perf_counter() - start)
"""


def run(python: str, code: str, *arguments: str) -> str:
    """What a fresh process prints."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [python, "-c", code, *arguments], stdout=subprocess.PIPE, check=True, text=True, env=environment
    )
    return done.stdout


def show_times(peer: str, repeat: int) -> None:
    """Medians of both by turns; the file is in the system's cache."""
    with tempfile.TemporaryDirectory() as folder:
        run(peer, WRITE_LARGE, folder)
        for path in sorted(Path(folder).iterdir()):
            pairs = [
                (float(run(sys.executable, OUR_READ, str(path))), float(run(peer, PEER_READ, str(path))))
                for _ in range(repeat)
            ]
            ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
            size = path.stat().st_size / 2**20
            print(f"{path.name:28}{size:6.0f} MiB  ours {ours:.2f} s  torch.load {theirs:.2f} s", flush=True)


# --- damage ------------------------------------------------------------------------------------------------


def child() -> None:
    """Read files (length, bytes) from standard input to its end, and answer each with a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    fuzz.faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.pt"
        for data in iter(fuzz._next_file, None):
            path.write_bytes(data)
            print(json.dumps(attempt(path)), file=answers, flush=True)


def attempt(path: Path) -> dict[str, Any]:
    """What comes of one file."""
    import torch

    from xrdatasets.models.weights.pickles import read_pickled_state

    began, found = time.perf_counter(), {}
    try:
        tensors = read_pickled_state(path)
    except BaseException as error:  # whatever it is, it is told
        found = {"raised": type(error).__name__, "message": str(error)}
        if type(error).__name__ != "WeightsError":
            found["trace"] = traceback.format_exc()
    else:
        fine = all(
            type(name) is str and type(value) is torch.Tensor and value.is_contiguous()
            for name, value in tensors.items()
        )
        held = sum(value.nbytes for value in tensors.values())
        if not fine or type(tensors) is not dict or held > 4 * path.stat().st_size:
            found = {"raised": "WrongAnswer", "message": f"{held} bytes", "trace": ""}
    return found | {"seconds": time.perf_counter() - began, "peak": fuzz.peak()}


def damages(files: list[bytes], cases: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and damaged file; the pickle inside of a zip archive is damaged too, its checksum made right."""
    rng = np.random.default_rng(seed)
    whole = [flip, replace, cut, cut_out, double]
    for case in range(cases):
        data = files[case % len(files)]
        change = whole[rng.integers(len(whole))]
        if data.startswith(b"PK") and rng.random() < 0.7:
            yield f"inside {change.__name__}", inside(data, change, rng)
        elif not data.startswith(b"PK") and rng.random() < 0.7:
            yield f"head {change.__name__}", change(data[:30_000], rng) + data[30_000:]
        else:
            yield change.__name__, change(data, rng)


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 9)):
        damaged[at] ^= 1 << rng.integers(8)
    return bytes(damaged)


def replace(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes by commands of a pickle, or by the largest lengths."""
    damaged = bytearray(data)
    for at in rng.integers(0, len(data) - 8, rng.integers(1, 4)):
        words = (b"R", b"b", b"\x81", b"Q", b"0", b"2", b"(", b"t", b"u", b"s", b"e", b"\x8e", b"\x95", b"c")
        word = (*words, b"\xff" * 8, rng.bytes(4))[rng.integers(len(words) + 2)]
        damaged[at : at + len(word)] = word
    return bytes(damaged)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def double(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[max(0, at - int(rng.integers(1, 200))) : at] + data[at:]


def inside(data: bytes, change: Any, rng: np.random.Generator) -> bytes:
    """The archive with another pickle."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(
                entry.filename, change(content, rng) if entry.filename.endswith("data.pkl") else content
            )
    return made.getvalue()


def damage(folder: Path, cases: int, seed: int, save: Path | None) -> int:
    """Print what came of the files; 1 if something is wrong."""
    files = [path.read_bytes() for path in sorted(folder.glob("*.pt"))]
    reader = fuzz.Reader((sys.executable, __file__, "child"))
    outcomes: Counter[str] = Counter()
    wrong, slowest, base, peak = 0, 0.0, 0, 0
    for data in files:
        base = max(base, reader.read(data)["peak"])
    for case, (kind, data) in enumerate(damages(files, cases, seed)):
        answer = reader.read(data)
        raised = answer.get("raised", "tensors")
        outcomes[f"{kind}: {raised}"] += 1
        slowest, peak = max(slowest, answer["seconds"]), max(peak, answer["peak"])
        if raised not in ("tensors", "WeightsError"):
            wrong += 1
            print(f"case {case} ({kind}): {raised}: {answer['message']}\n{answer['trace']}", flush=True)
            if save:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{seed}_{case}.pt").write_bytes(data)
    reader.close()
    for name, count in sorted(outcomes.items()):
        print(f"{name:40}{count:7,}")
    print(f"{cases:,} files, {wrong} wrong, slowest {slowest:.2f} s, {(peak - base) / 2**20:.0f} MiB more")
    return int(wrong > 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("write", "time", "fuzz", "child"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--peer", help="interpreter of an environment with torchxrayvision")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for files that gave a wrong answer")
    options = parser.parse_args()
    if options.what == "child":
        child()
    elif options.what == "fuzz":
        return damage(options.folder, options.cases, options.seed, options.save)
    elif options.what == "write":
        run(options.peer, WRITE, str(options.folder))
    else:
        show_times(options.peer, options.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
