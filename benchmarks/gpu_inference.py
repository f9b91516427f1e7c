"""Inference of DenseNet-121 on a GPU: images per second, beside what its arithmetic and its memory allow.

    python benchmarks/gpu_inference.py [--batch 1 8 32 128 512] [--compile] [--device cuda]

For each way and batch size there are images per second (the median over the rounds), the share of two bounds
that are measured on the same device, and the greatest difference of a probability to float32. The compute
bound is what a large product of matrices reaches in the same type, over the operations of the convolutions.
The memory bound is what a large copy reaches, over the bytes that each convolution reads and writes at
least: its input, its output and its weights once, with norms, ReLU and concatenation for nothing. Weights are
random. Without a GPU it says so and ends with status 2; `--device cpu` shows that it works.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from xrdatasets.models import Classifier, Network
from xrdatasets.models.inference.answering import Answer
from xrdatasets.models.inference.onnx_export import sample

SIZE = 224
FINDINGS = 18


@dataclass(frozen=True)
class Way:
    """How the network runs.

    Attributes:
        name: for the table.
        dtype: of weights and maps.
        tf32: whether float32 products may round their factors to 10 bits of fraction.
        last: whether channels come last in memory.
        folded: whether it is the copy for inference.
        graph: whether the launches are recorded once and replayed (CUDA graphs).
        compiled: whether it goes through torch.compile.
    """

    name: str
    dtype: torch.dtype = torch.float32
    tf32: bool = False
    last: bool = False
    folded: bool = False
    graph: bool = False
    compiled: bool = False


WAYS = (
    Way("float32"),
    Way("TF32", tf32=True),
    Way("TF32, channels last", tf32=True, last=True),
    Way("TF32, folded", tf32=True, last=True, folded=True),
    Way("bfloat16", torch.bfloat16),
    Way("bfloat16, channels last", torch.bfloat16, last=True),
    Way("bfloat16, folded", torch.bfloat16, last=True, folded=True),
    Way("bfloat16, folded, graph", torch.bfloat16, last=True, folded=True, graph=True),
    Way("bfloat16, folded, compiled", torch.bfloat16, last=True, folded=True, compiled=True),
)


class Clock:
    """Seconds of what runs on a device."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")

    def __call__(self, run: Callable[[], object], *, repeats: int = 1) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        self._wait()
        return (time.perf_counter() - start) / repeats

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def network() -> Classifier:
    """Random weights whose answers are neither 0 nor 1."""
    torch.manual_seed(0)
    model = Classifier(Network("densenet121", FINDINGS), "xrv18")
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    images = sample(model.inputs, SIZE, 8, seed=3)
    for norm in norms:
        norm.momentum = None  # statistics of these images
        norm.train()
    with torch.no_grad():
        model.network(images)
        model.eval()
        model.network.head.weight /= model.logits(images).std(dim=0).mean()
    return model


def prepared(model: Classifier, way: Way, images: Tensor) -> Callable[[], Tensor]:
    """The network as `way` says, as a function without arguments."""
    answer = Answer(model.for_inference() if way.folded else copy.deepcopy(model))
    answer = copy.deepcopy(answer).to(images.device)
    answer.network.to(way.dtype)
    if way.last:
        answer.network.to(memory_format=torch.channels_last)
    if way.compiled:
        return partial(torch.compile(answer, fullgraph=True, dynamic=False), images)
    return recorded(answer, images) if way.graph else partial(answer, images)


def recorded(answer: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Its launches in a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            answer(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = answer(images)

    def replay() -> Tensor:
        graph.replay()
        return found

    return replay


def compute_bound(clock: Clock, device: str, way: Way, side: int) -> float:
    """Operations per second of a product of matrices."""
    matrix = torch.randn(side, side, device=device, dtype=way.dtype)
    return 2 * side**3 / min(clock(lambda: matrix @ matrix, repeats=5) for _ in range(4))


def memory_bound(clock: Clock, device: str, size: int) -> float:
    """Bytes per second, read and written, of a copy."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / min(clock(lambda: target.copy_(source), repeats=5) for _ in range(4))


def needs(model: Classifier) -> tuple[int, int, int]:
    """Operations of one image, and numbers that its convolutions move: of maps and of weights."""
    folded, moved = model.for_inference().network, []
    for part in folded.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda _, given, made: moved.append(given[0].numel() + made.numel()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        folded(torch.zeros(1, 1, SIZE, SIZE))
    weights = sum(parameter.numel() for parameter in folded.parameters())
    return counter.get_total_flops(), sum(moved), weights


def measure(model: Classifier, arguments: argparse.Namespace) -> None:
    device, clock = arguments.device, Clock(arguments.device)
    operations, maps, weights = needs(model)
    copied = memory_bound(clock, device, arguments.copy << 20)
    print(f"{operations / 1e9:.2f} GFLOP and {maps / 1e6:.1f} million numbers of maps an image (folded)")
    print(f"copy: {copied / 1e9:,.0f} GB/s read and written")
    heads = f"{'images/s':>10}{'ms':>9}{'of compute':>12}{'of memory':>11}{'difference':>12}"
    print(f"\n  {'':28}{'batch':>6}{heads}")
    for way in WAYS:
        if (way.graph and not clock.cuda) or (way.compiled and not arguments.compile):
            continue
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = way.tf32
        product = compute_bound(clock, device, way, arguments.side)
        print(f"  {way.name:28}product of matrices: {product / 1e12:,.2f} TFLOP/s")
        for batch in arguments.batch:
            images = sample(model.inputs, SIZE, batch, seed=9).to(device)
            run = prepared(model, way, images)
            found = run().float().cpu()  # also the first run, in which kernels are chosen
            runs = [clock(run, repeats=arguments.repeats) for _ in range(arguments.rounds)]
            seconds = statistics.median(runs)
            width = torch.finfo(way.dtype).bits // 8
            compute = batch * operations / product / seconds
            memory = width * (batch * maps + weights) / copied / seconds
            check = found[:8] - reference(model, images[:8].cpu())
            print(
                f"  {way.name:28}{batch:>6}{batch / seconds:>10.0f}{seconds * 1e3:>9.2f}{compute:>12.0%}"
                f"{memory:>11.0%}{float(check.abs().max()):>12.1e}",
                flush=True,
            )
            del run


def reference(model: Classifier, images: Tensor) -> Tensor:
    """In float32 on the processor."""
    return Answer(model)(images)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="runs in each round")
    parser.add_argument("--side", type=int, default=8192, help="of the product of matrices")
    parser.add_argument("--copy", type=int, default=1024, help="MiB that the copy has")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile too: it takes minutes to compile"
    )
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "no GPU: torch finds none that it can use. --device cpu shows that this works.", file=sys.stderr
        )
        return 2
    warnings.simplefilter("ignore")
    name = (
        torch.cuda.get_device_name(arguments.device) if arguments.device.startswith("cuda") else "processor"
    )
    print(f"{name}, torch {torch.__version__}, DenseNet-121 at {SIZE}, {arguments.rounds} rounds")
    model = network()
    with torch.inference_mode():
        measure(model, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
