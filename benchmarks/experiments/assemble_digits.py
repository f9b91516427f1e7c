"""Data-Assemble on MNIST: two datasets whose labels overlap or do not, and how sharp pseudo labels should be.

``python -m benchmarks.experiments.assemble_digits overlap``: Table 12. D0 is labelled for 1 to 5, D1 for 3
to 7, 100 images each. ``odd_even``: Table 2. D0 is labelled for the odd digits, D1 for the even ones.
``sharp``: Table 11. The temperature t of pseudo labels, on the data of ``overlap``. Tested on the 10,000 test
images: mean AUC of the labelled digits. Each run makes 160 steps of 32 images of each dataset. The folder
that XRDATASETS_DATA names has the idx files in ``mnist``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments.loops import Recipe, Sources, joined, train
from benchmarks.experiments.mnist import Digits, draw, folder, hidden, one_hot, read_digits
from benchmarks.experiments.networks import digit_network, scores
from benchmarks.experiments.results import Claim, Results
from benchmarks.experiments.views import digit_views
from xrdatasets.evaluation import auc
from xrdatasets.models import ClassQueryHead, LinearHead

SEEDS, IMAGES = 5, 100

JOINT = Recipe(epochs=40, each=32, rate=2e-3, warm_up=6)
BOTH = replace(JOINT, pseudo=1.0, consistency=1.0)
LINEAR = (LinearHead, {})
PAPER, SCALED = ((ClassQueryHead, {"init": init}) for init in ("paper", "linear"))


class Protocol(NamedTuple):
    """Which digits there are, which of them D0 and D1 label, the runs, and what is expected."""

    file: str
    digits: tuple[int, ...]
    known: tuple[tuple[int, ...], tuple[int, ...]]
    runs: dict[str, tuple[Recipe, tuple]]
    claims: tuple[Claim, ...]


_TABLE12, _TABLE2, _TABLE11 = ("Data-Assemble, Table " + number for number in ("12", "2", "11"))
OVERLAP = Protocol(
    "assemble_overlap.csv",
    (1, 2, 3, 4, 5, 6, 7),
    ((1, 2, 3, 4, 5), (3, 4, 5, 6, 7)),
    {
        "D0": (JOINT, LINEAR),
        "D1": (JOINT, LINEAR),
        "joint": (JOINT, LINEAR),
        "+P": (replace(JOINT, pseudo=1.0), LINEAR),
        "+C": (replace(JOINT, consistency=1.0), LINEAR),
        "+P+C": (BOTH, LINEAR),
        "+A (paper)": (JOINT, PAPER),
        "+A (linear)": (JOINT, SCALED),
        "+A+P+C (paper)": (BOTH, PAPER),
        "+A+P+C (linear)": (BOTH, SCALED),
        "full": (JOINT, LINEAR),
    },
    (
        Claim("joint", "D0", "shared", source=_TABLE12),
        Claim("joint", "D1", "shared", source=_TABLE12),
        Claim("+C", "joint", "all", source=_TABLE12),
        Claim("+P+C", "full", "all", tolerance=0.2, source=_TABLE12),
        Claim("+P", "joint", "all", safe=False, source=_TABLE12),
        Claim("+P+C", "joint", "all", safe=False, source=_TABLE12),
        Claim("+A+P+C (paper)", "+P+C", "all", safe=False, source=_TABLE12),
        Claim("+A+P+C (linear)", "+P+C", "all", safe=False, source=_TABLE12),
        Claim("+A (linear)", "+A (paper)", "all", safe=False, source="our initialisation"),
        Claim("full", "joint", "all", safe=False, source=_TABLE12),
    ),
)
ODD_EVEN = Protocol(
    "assemble_odd_even.csv",
    tuple(range(10)),
    ((1, 3, 5, 7, 9), (0, 2, 4, 6, 8)),
    {
        "separate": (JOINT, LINEAR),
        "joint": (JOINT, LINEAR),
        "+P+C": (BOTH, LINEAR),
        "+A (paper)": (JOINT, PAPER),
        "+A (linear)": (JOINT, SCALED),
        "full": (JOINT, LINEAR),
    },
    (
        Claim("joint", "separate", "all", tolerance=0.3, source=_TABLE2),
        Claim("+P+C", "joint", "all", tolerance=0.3, source=_TABLE2),
        Claim("full", "joint", "all", safe=False, source=_TABLE2),
        Claim("+A (linear)", "joint", "all", safe=False, source=_TABLE2),
    ),
)
SHARP = Protocol(
    "assemble_sharp.csv",
    OVERLAP.digits,
    OVERLAP.known,
    {f"t = {t:g}": (replace(BOTH, temperature=t), LINEAR) for t in (1.0, 2.0, 4.0, 8.0, math.inf)}
    | {"t = 4, not detached": (replace(BOTH, detach=False), LINEAR)},
    (
        *(Claim(f"t = {t}", "t = 1", "all", tolerance=0.3, source=_TABLE11) for t in ("2", "4", "8", "inf")),
        Claim("t = 4", "t = 4, not detached", "all", source="our reading"),
        *(Claim("t = 4", f"t = {t}", "all", safe=False, source=_TABLE11) for t in ("2", "8", "inf")),
    ),
)
PROTOCOLS = {"overlap": OVERLAP, "odd_even": ODD_EVEN, "sharp": SHARP}


def datasets(digits: Digits, protocol: Protocol, seed: int, images: int = IMAGES) -> tuple[Sources, Sources]:
    """D0 and D1 with their own labels, and the same images with all."""
    parts = draw(digits, (images, images), seed)
    full = [(part.images, one_hot(part.labels, protocol.digits)) for part in parts]
    columns = [[protocol.digits.index(digit) for digit in known] for known in protocol.known]
    partial = [(x, hidden(y, known)) for (x, y), known in zip(full, columns, strict=True)]
    return joined(*partial), joined(*full)


def part(sources: Sources, number: int) -> Sources:
    """One of the datasets."""
    chosen = (tensor.split(sources.sizes)[number] for tensor in sources[:2])
    return Sources(*chosen, (sources.sizes[number],))


def trained(seed: int, sources: Sources, recipe: Recipe, head: tuple, outputs: int, images: Tensor) -> Tensor:
    """(N, L) probabilities of test images by a network that is trained on these sources."""
    kind, options = head
    network = digit_network(seed, kind, outputs, **options)
    return scores(train(network, sources, recipe, seed, *digit_views()), images)


def measured(run: str, areas: np.ndarray, protocol: Protocol) -> dict[str, float]:
    """Mean AUC of what the run was trained on, and of the digits that both label."""
    first, second = (set(known) for known in protocol.known)
    chosen = {"D0": first, "D1": second}.get(run, first | second)
    of = lambda wanted: float(areas[[protocol.digits.index(digit) for digit in sorted(wanted)]].mean())  # noqa: E731
    shared = first & second
    return {"all": of(chosen)} | ({"shared": of(shared)} if shared else {})


def run_seed(
    results: Results, protocol: Protocol, seed: int, digits: Digits, test: Digits, images: int = IMAGES
) -> None:
    """All runs of a seed that are not there yet."""
    partial, full = datasets(digits, protocol, seed, images)
    truth, outputs = one_hot(test.labels, protocol.digits).numpy(), len(protocol.digits)
    for run, (recipe, head) in protocol.runs.items():
        if results.done(seed, run):
            continue
        single = {"D0": [0], "D1": [1], "separate": [0, 1]}.get(run)
        of = [full if run == "full" else partial] if single is None else [part(partial, i) for i in single]
        said = [trained(seed, each, recipe, head, outputs, test.images) for each in of]
        if run == "separate":
            columns = torch.tensor([digit in protocol.known[0] for digit in protocol.digits])
            said = [torch.where(columns, *said)]
        results.add(seed, run, **measured(run, np.asarray(auc(truth, said[0].numpy())), protocol))


def main(names: Sequence[str], seeds: int = SEEDS) -> None:
    """All runs of all seeds of some protocols."""
    torch.set_num_threads(1)
    digits, test = (read_digits(folder(), which) for which in ("train", "test"))
    for name in names:
        results = Results(PROTOCOLS[name].file)
        for seed in range(seeds):
            run_seed(results, PROTOCOLS[name], seed, digits, test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("protocol", nargs="+", choices=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"default {SEEDS}")
    given = parser.parse_args()
    main(given.protocol, given.seeds)
