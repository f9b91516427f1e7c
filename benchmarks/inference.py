"""Inference of DenseNet-121 on processors, against torchxrayvision's, by turns in one run.

    python benchmarks/inference.py [--peer PYTHON] [--batch 16 1] [--rounds 9] [--compile] [--busy]

Both have the same weights and get the same images of 224 x 224; with all cores, unless `--threads` says
otherwise. `--peer` is the interpreter of an environment with torchxrayvision: its network answers in a
process of its own, once as its README calls it and once without gradients. For each way there are images per
second (the median over the rounds, and the slowest and fastest round), the ratios to the peer's two ways
(medians of each round's), the share of what a large product of matrices reaches here (in float32, by the
operations of the unfolded network), and the greatest difference of a probability to the first of the ways.
Weights are random, and the last layer is scaled so that logits have a standard deviation of 1 over images
that are alike: differences of bfloat16 and int8 are larger than a trained network's. `--busy` is for a
machine on which others work: one thread, and seconds of its processor in place of the wall's clock.
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
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from labels import PEER_IMPORTS
from torch.utils.flop_counter import FlopCounterMode

from xrdatasets.models import Classifier, Network
from xrdatasets.models.inference.answering import Answer
from xrdatasets.models.inference.onnx_export import sample
from xrdatasets.models.inference.session import Session

SIZE = 224
FINDINGS = 18
CALIBRATION = 32
GRADIENTS, PLAIN = "torchxrayvision as its README calls it", "torchxrayvision without gradients"
PEER = """
import contextlib, json, sys, time
{imports}
import numpy as np
folder, threads, clock = sys.argv[1], int(sys.argv[2]), getattr(time, sys.argv[3])
torch.set_num_threads(threads)
model = xrv.models.DenseNet(weights=None, apply_sigmoid=True).eval()
model.load_state_dict(torch.load(folder + '/state.pt'), strict=False)
images = dict()
for line in sys.stdin:
    task = json.loads(line)
    count = task['count']
    if count not in images:
        images[count] = torch.from_numpy(np.load(folder + '/images.npy')[:count])
    context = contextlib.nullcontext() if task['gradients'] else torch.no_grad()
    start = clock()
    with context:
        found = model(images[count])
    seconds = clock() - start
    np.save(folder + '/peer.npy', found.detach().numpy())
    del found
    print(json.dumps(dict(seconds=seconds, versions=[xrv.__version__, torch.__version__])), flush=True)
"""


class Peer:
    """torchxrayvision's network in another interpreter."""

    def __init__(self, python: str, folder: Path, threads: int, clock: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [python, "-c", PEER.format(imports=PEER_IMPORTS), str(folder), str(threads), clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, count: int, *, gradients: bool) -> tuple[float, np.ndarray]:
        self.process.stdin.write(json.dumps({"count": count, "gradients": gradients}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):  # not what a library prints
                self.versions = json.loads(line)["versions"]
                return json.loads(line)["seconds"], np.load(self.folder / "peer.npy")
        msg = "the peer's process ended; see above"
        raise SystemExit(msg)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def classifier() -> Classifier:
    """Random weights, with norms that do something and answers that are neither 0 nor 1."""
    torch.manual_seed(0)
    model = Classifier(Network("densenet121", FINDINGS), "xrv18")
    generator = torch.Generator().manual_seed(1)
    images = sample(model.inputs, SIZE, 8, seed=3)
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.uniform_(-0.2, 0.2, generator=generator)
        norm.train()
        norm.momentum = None  # statistics of these images
    with torch.no_grad():
        model.network(images)
        for norm in norms:
            norm.momentum = 0.1
        model.eval()
        model.network.head.weight /= model.logits(images).std(dim=0).mean()
    return model


def state(model: Classifier) -> dict[str, torch.Tensor]:
    """Under the names that torchxrayvision has too."""
    names = {name.removeprefix("backbone."): value for name, value in model.network.state_dict().items()}
    return {name.replace("head.", "classifier."): value for name, value in names.items()}


def timed(run: Callable[[], object], clock: str = "perf_counter") -> tuple[float, np.ndarray]:
    start = getattr(time, clock)()
    found = run()
    return getattr(time, clock)() - start, np.asarray(found)


def ways(
    model: Classifier, images: np.ndarray, sessions: dict[str, Session], *, compiled: object, clock: str
) -> dict:
    """Name to a function without arguments, that gives seconds and probabilities."""
    tensor, folded = torch.from_numpy(images), model.for_inference()

    def in_bfloat16() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return folded(tensor)

    found = {
        "xrdatasets": lambda: model(tensor),
        "xrdatasets for_inference()": lambda: folded(tensor),
        "xrdatasets for_inference(), bfloat16": in_bfloat16,
    }
    if compiled is not None:
        found["xrdatasets torch.compile"] = lambda: compiled(tensor)
    found |= {
        f"xrdatasets {name}": lambda session=session: session(images) for name, session in sessions.items()
    }
    return {name: lambda run=run: timed(run, clock) for name, run in found.items()}


def compare(jobs: dict[str, Callable[[], tuple[float, np.ndarray]]], rounds: int) -> tuple[dict, dict]:
    """Seconds of each round, and the greatest difference to the first job's answers, by turns."""
    answers = {name: run()[1] for name, run in jobs.items()}  # the first run of each is not counted
    first = next(iter(answers.values()))
    errors = {name: float(np.abs(answer - first).max()) for name, answer in answers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, run in jobs.items():
            seconds[name].append(run()[0])
    return seconds, errors


def peak(clock: str) -> float:
    """Operations per second of a product of matrices in float32."""
    matrix = torch.randn(2048, 2048)
    seconds = min(timed(lambda: matrix @ matrix, clock)[0] for _ in range(12))
    return 2 * 2048**3 / seconds


def operations(model: Classifier) -> int:
    """Of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(torch.zeros(1, 1, SIZE, SIZE))
    return counter.get_total_flops()


def show(seconds: dict[str, list[float]], errors: dict[str, float], count: int, share: float) -> None:
    bases = [base for base in (GRADIENTS, PLAIN) if base in seconds]
    heads = {GRADIENTS: "x README", PLAIN: "x no_grad"}
    print(f"\nbatch {count}")
    print(
        f"  {'':42}{'images/s':>9}{'slowest-fastest':>17}{'of peak':>9}"
        + "".join(f"{heads[base]:>11}" for base in bases)
        + f"{'difference':>12}"
    )
    for name, runs in seconds.items():
        spread = f"{count / max(runs):.1f}-{count / min(runs):.1f}"
        rate = count / statistics.median(runs)
        cells = "".join(
            f"{statistics.median(base / own for base, own in zip(seconds[base], runs, strict=True)):>11.2f}"
            for base in bases
        )
        print(
            f"  {name:42}{rate:>9.1f}{spread:>17}{rate * share:>9.0%}{cells}{errors[name]:>12.1e}", flush=True
        )


def compiled_answer(model: Classifier, images: np.ndarray) -> object:
    """The classifier in machine code, or None where that fails."""
    answer = torch.compile(Answer(model.for_inference()), fullgraph=True)
    try:
        answer(torch.from_numpy(images))
    except Exception as error:  # a compiler can fail in any way, and the rest is to be measured
        print(f"torch.compile failed: {error}")
        return None
    return answer


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    numbers = [line.split(":")[1].strip() for line in lines if line.startswith(("cpu family", "model\t"))]
    kind = f" (family {numbers[0]}, model {numbers[1]})" if len(numbers) > 1 else ""
    return f"{names[0] if names else platform.processor()}{kind}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="python of an environment with torchxrayvision")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 1])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile too: it takes minutes to compile"
    )
    parser.add_argument("--busy", action="store_true", help="one thread, timed by its processor")
    arguments = parser.parse_args()
    clock = "process_time" if arguments.busy else "perf_counter"
    arguments.threads = 1 if arguments.busy else arguments.threads
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    with ExitStack() as stack, torch.inference_mode():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with torch.inference_mode(mode=False):
            model = classifier()
            options = {"threads": arguments.threads}
            calibration = sample(model.inputs, SIZE, CALIBRATION, seed=7)
            sessions = {
                "session()": Session(model, **options),
                "session(precision='int8')": Session(
                    model, precision="int8", calibration=calibration, **options
                ),
            }
        images = sample(model.inputs, SIZE, max(arguments.batch), seed=9).numpy()
        torch.save(state(model), folder / "state.pt")
        np.save(folder / "images.npy", images)
        peer = Peer(arguments.peer, folder, arguments.threads, clock) if arguments.peer else None
        if peer:
            stack.callback(peer.close)
        highest, each = peak(clock), operations(model)
        import onnxruntime

        print(f"{machine()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}, {clock}")
        print(
            f"Python {platform.python_version()}, torch {torch.__version__}, "
            f"onnxruntime {onnxruntime.__version__}"
        )
        print(f"{each / 1e9:.2f} GFLOP an image; float32 product of matrices: {highest / 1e9:.0f} GFLOP/s")
        for count in arguments.batch:
            jobs: dict[str, Callable[[], tuple[float, np.ndarray]]] = {}
            if peer:
                jobs[PLAIN] = lambda count=count: peer.ask(count, gradients=False)
                jobs[GRADIENTS] = lambda count=count: peer.ask(count, gradients=True)
            compiled = compiled_answer(model, images[:count]) if arguments.compile else None
            jobs |= ways(model, images[:count], sessions, compiled=compiled, clock=clock)
            seconds, errors = compare(jobs, arguments.rounds)
            show(seconds, errors, count, each / highest)
        if peer:
            print(f"\npeer: torchxrayvision {peer.versions[0]}, torch {peer.versions[1]}")


if __name__ == "__main__":
    sys.exit(main())
