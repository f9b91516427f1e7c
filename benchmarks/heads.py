"""Class branches against one linear layer: seconds of a training step of DenseIBN-121.

    python benchmarks/heads.py [--rounds N] [--batch B] [--size S]

A step is forward, masked loss, backward and Adam, on random images and targets of which half are unknown.
Both networks stand in one process, and each round takes one step of each, the first and the second by turns.
Printed are medians, the least and the greatest over the rounds, and the ratio of medians, of the least, which
other work on the machine moves least, and within a round; the same in CPU time; then the same of each head
alone, without a backbone; and what that adds to a step. At most 1.10 is what the branches may cost.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from xrdatasets.models import BranchHead, LinearHead, Network, backbone
from xrdatasets.models.heads.base import Head
from xrdatasets.training import masked_bce_with_logits

FEATURES = 1024  # of DenseNet-121
ALONE = 20  # steps of a head alone


def step_of(module: nn.Module, logits: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, targets):
    """One training step, as a function without arguments."""
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        masked_bce_with_logits(logits(inputs), targets).backward()
        optimiser.step()

    return step


def measured(step: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def by_turns(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """What each step takes, in an order that turns round from one round to the next."""
    for step in steps.values():
        step()  # memory, and Adam's state
    seconds = {name: [] for name in steps}
    for turn in range(rounds):
        for name in list(steps)[:: 1 if turn % 2 == 0 else -1]:
            seconds[name].append(measured(steps[name]))
    return seconds


def report(title: str, seconds: dict[str, list[tuple[float, float]]]) -> None:
    linear, branches = seconds
    print(title)
    for kind, clock in enumerate(("wall", "CPU")):
        taken = {name: [pair[kind] for pair in pairs] for name, pairs in seconds.items()}
        for name, values in taken.items():
            middle, least, most = statistics.median(values), min(values), max(values)
            print(f"  {clock:<5} {name:<9} {middle:9.4f} s  ({least:.4f} to {most:.4f})")
        ratios = [many / one for one, many in zip(taken[linear], taken[branches], strict=True)]
        middle = statistics.median(taken[branches]) / statistics.median(taken[linear])
        within = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        least = min(taken[branches]) / min(taken[linear])
        print(
            f"  {clock:<5} ratio     {middle:9.3f} of medians, {least:.3f} of the least, {within} in a round"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--findings", type=int, default=20)
    parser.add_argument("--width", type=int, default=128, help="of a finding's vector")
    parser.add_argument("--backbone", default="denseibn121")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.empty(options.batch, 1, options.size, options.size).uniform_(-1024, 1024)
    targets = torch.randint(2, (options.batch, options.findings)).float()
    targets[torch.rand(targets.shape) < 0.5] = torch.nan
    vectors = torch.randn(options.batch, FEATURES)

    def heads(features: int) -> dict[str, Head]:
        branches = BranchHead(features, options.findings, width=options.width)
        return {"linear": LinearHead(features, options.findings), "branches": branches}

    whole, alone = {}, {}
    features = backbone(options.backbone).out_features
    for name, head in heads(features).items():
        network = Network(backbone(options.backbone), head).train()
        whole[name] = step_of(network, network, images, targets)
    for name, head in heads(FEATURES).items():
        alone[name] = step_of(head, lambda inputs, head=head: head.logits(head(inputs)), vectors, targets)
    shape = f"{options.batch} images of {options.size} x {options.size}, {options.findings} findings"
    print(f"{shape}, {torch.get_num_threads()} threads, {options.rounds} rounds")
    steps, heads_alone = by_turns(whole, options.rounds), by_turns(alone, ALONE)
    report(f"one step of {options.backbone}", steps)
    report("one step of the head alone", heads_alone)
    for of, which in (("medians", statistics.median), ("the least", min)):
        linear, branches = (which(wall for wall, _ in pairs) for pairs in heads_alone.values())
        step = which(wall for wall, _ in steps["linear"])
        print(f"the branches add {(branches - linear) / step:.2%} to a step ({of}, wall)")


if __name__ == "__main__":
    main()
