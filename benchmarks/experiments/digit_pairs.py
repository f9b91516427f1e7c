"""Data-Assemble, Table 8 (MNIST-multi): trained on single digits, tested on two side by side.

``python -m benchmarks.experiments.digit_pairs``: 2,000 training digits, as they are (``plain``) or squeezed
to 28 x 14 and put to the left or the right of a blank half (``half``): the paper does not say which. Tested
on 5,000 pairs of test digits: mean AUC of the ten. With a linear layer and with class queries of either
initialisation. The folder that XRDATASETS_DATA names has the idx files in ``mnist``.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.experiments.assemble_digits import LINEAR, PAPER, SCALED
from benchmarks.experiments.loops import Recipe, Sources, train
from benchmarks.experiments.mnist import DIGITS, Digits, draw, folder, one_hot, pairs, read_digits
from benchmarks.experiments.networks import digit_network, scores
from benchmarks.experiments.results import Claim, Results
from benchmarks.experiments.views import digit_views
from xrdatasets.evaluation import auc

FILE, SEEDS = "digit_pairs.csv", 5
IMAGES, TEST = 2000, 5000
RECIPE = Recipe(epochs=10, each=64, rate=2e-3)
HEADS = {"linear": LINEAR, "adapter (paper)": PAPER, "adapter (linear)": SCALED}
RUNS = {
    f"{reading}: {name}": (reading, head) for reading in ("plain", "half") for name, head in HEADS.items()
}
CLAIMS = tuple(
    Claim(f"{reading}: {name}", f"{reading}: linear", "all", safe=False, source="Data-Assemble, Table 8")
    for reading in ("plain", "half")
    for name in HEADS
    if name != "linear"
)


def halves(images: Tensor, seed: int) -> Tensor:
    """Each image squeezed to half its width, left or right of a blank half."""
    narrow = F.avg_pool2d(images, (1, 2))
    left = torch.randint(2, (len(images), 1, 1, 1), generator=torch.Generator().manual_seed(seed)).bool()
    blank = torch.zeros_like(narrow)
    return torch.cat([torch.where(left, narrow, blank), torch.where(left, blank, narrow)], dim=3)


def dataset(digits: Digits, reading: str, seed: int, images: int = IMAGES) -> Sources:
    """Single digits, labelled for all."""
    chosen = draw(digits, [images], seed)[0]
    shown = halves(chosen.images, seed) if reading == "half" else chosen.images
    return Sources(shown, one_hot(chosen.labels), (images,))


def main(seeds: int = SEEDS) -> None:
    """All runs of all seeds."""
    torch.set_num_threads(1)
    digits, results = read_digits(folder(), "train"), Results(FILE)
    images, truth = pairs(read_digits(folder(), "test"), TEST, seed=0)
    for seed in range(seeds):
        for run, (reading, (kind, options)) in RUNS.items():
            if not results.done(seed, run):
                network = digit_network(seed, kind, DIGITS, **options)
                train(network, dataset(digits, reading, seed), RECIPE, seed, *digit_views())
                results.add(seed, run, all=np.mean(auc(truth.numpy(), scores(network, images).numpy())))


if __name__ == "__main__":
    main()
