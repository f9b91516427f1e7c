"""Luo 2020 on pairs of digits: a small clean dataset, a large worn one, and findings that one of them lacks.

``python -m benchmarks.experiments.luo_digits``: the internal dataset has 150 clean pairs labelled for 0 to 6,
the external one 900 worn pairs labelled for 3 to 9; 3 to 6 are common. Tested on 5,000 clean pairs: mean AUC
of the common findings, and of 0 to 2, which only the internal dataset labels. Each run makes 420 steps of 30
images of each dataset. The folder that XRDATASETS_DATA names has the idx files in ``mnist``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.experiments.loops import Recipe, Sources, joined, train
from benchmarks.experiments.mnist import DIGITS, Digits, draw, folder, hidden, pairs, read_digits, worn
from benchmarks.experiments.networks import digit_network, scores
from benchmarks.experiments.results import Claim, Results
from xrdatasets.evaluation import auc
from xrdatasets.models import BranchHead

FILE, SEEDS = "luo_digits.csv", 10
INTERNAL, EXTERNAL = range(7), range(3, 10)
COMMON, ONLY = (3, 4, 5, 6), (0, 1, 2)
SIZES, TEST = (150, 900), 5000
WIDTH = 16  # N'

JOINT = Recipe(epochs=14, drop=9, each=30, rate=1e-3, reduction="luo", balance=True)
TW = replace(JOINT, common=3.0)
TAT, UTE = {"adversarial": 0.03}, {"ensemble": 30.0}
RUNS = {
    # 5 steps in an epoch of 150 images, 30 in one of 900: as many steps
    "single": replace(JOINT, epochs=84, drop=54),
    "joint": JOINT,
    "TW": TW,
    "TW+TAT": replace(TW, **TAT),
    "TW+TAT (.3)": replace(TW, adversarial=0.3),
    "TW+UTE": replace(TW, **UTE),
    "TW+TE": replace(TW, **UTE, threshold=0.0),
    "TW+TAT+UTE": replace(TW, **TAT, **UTE),
    "TAT+UTE": replace(JOINT, **TAT, **UTE),
    "TW+TAT+hard": replace(TW, **TAT, hard=True),
}
CLAIMS = (
    Claim("joint", "single", "common", source="Luo, Table III"),
    Claim("joint", "single", "internal-only", source="Luo, Table III"),
    Claim("TW+UTE", "TW", "internal-only", source="Luo, Table VI, e against b"),
    Claim("TW+TAT+UTE", "TW+TAT+hard", "internal-only", source="Luo, Table VI, g against i"),
    Claim("TW+TAT", "TW+TAT (.3)", "common", source="Luo, Figure 4"),
    Claim("TW+TAT", "TW+TAT (.3)", "internal-only", source="Luo, Figure 4"),
    Claim("TW+UTE", "TW+TE", "internal-only", safe=False, source="Luo, Table VI"),
    Claim("TW", "joint", "common", safe=False, source="Luo, Table VI, b against a"),
    Claim("TW+TAT", "TW", "internal-only", safe=False, source="Luo, Table VI, c against b"),
    Claim("TW+TAT", "TW", "common", safe=False, source="Luo, Table VI, c against b"),
    Claim("TW+TAT+UTE", "TAT+UTE", "common", safe=False, source="Luo, Table VI, g against f"),
    Claim("TW+TAT+UTE", "joint", "common", safe=False, source="Luo, Table III"),
    Claim("TW+TAT+UTE", "joint", "internal-only", safe=False, source="Luo, Table III"),
)


def datasets(digits: Digits, seed: int, sizes: tuple[int, int] = SIZES) -> Sources:
    """The internal and the external dataset, of different digits."""
    half = len(digits.labels) // 2
    own, other = draw(digits, (half, half), seed)
    images, targets = pairs(own, sizes[0], seed)
    outside, wanted = pairs(other, sizes[1], seed)
    return joined((images, hidden(targets, INTERNAL)), (worn(outside, seed), hidden(wanted, EXTERNAL)))


def alone(sources: Sources) -> Sources:
    """The internal dataset."""
    size = sources.sizes[0]
    return Sources(sources.images[:size], sources.targets[:size], (size,))


def main(seeds: int = SEEDS) -> None:
    """All runs of all seeds."""
    torch.set_num_threads(1)
    digits, results = read_digits(folder(), "train"), Results(FILE)
    images, truth = pairs(read_digits(folder(), "test"), TEST, seed=0)
    for seed in range(seeds):
        sources = datasets(digits, seed)
        for run, recipe in RUNS.items():
            if results.done(seed, run):
                continue
            network = digit_network(seed, BranchHead, DIGITS, width=WIDTH)
            train(network, alone(sources) if run == "single" else sources, recipe, seed)
            areas = np.asarray(auc(truth.numpy(), scores(network, images).numpy()))
            measured = {"common": areas[list(COMMON)].mean(), "internal-only": areas[list(ONLY)].mean()}
            results.add(seed, run, **measured)


if __name__ == "__main__":
    main()
