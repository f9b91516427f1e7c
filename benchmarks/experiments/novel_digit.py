"""Data-Assemble, Table 7: can a network tell a digit that it never saw from those that it knows?

``python -m benchmarks.experiments.novel_digit``: 600 training images without their zeros (about 540),
labelled for 1 to 9; tested on the 10,000 test images: AUC of zero against the rest, by three scores
(`novelty_scores`): one minus the largest answer, minus the sum of answers, and their entropy; and the mean
AUC of the nine known digits. With a linear layer and with class queries of either initialisation. The folder
that XRDATASETS_DATA names has the idx files in ``mnist``.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.experiments.assemble_digits import LINEAR, PAPER, SCALED
from benchmarks.experiments.loops import Recipe, Sources, train
from benchmarks.experiments.mnist import Digits, draw, folder, one_hot, read_digits
from benchmarks.experiments.networks import digit_network, scores
from benchmarks.experiments.results import Claim, Results
from benchmarks.experiments.views import digit_views
from xrdatasets.evaluation import auc
from xrdatasets.training import novelty_scores

FILE, SEEDS = "novel_digit.csv", 8
NOVEL, KNOWN = 0, range(1, 10)
IMAGES = 600
RECIPE = Recipe(epochs=40, each=64, rate=2e-3)
RUNS = {"linear": LINEAR, "adapter (paper)": PAPER, "adapter (linear)": SCALED}
KINDS = {"max": "1 - max", "sum": "- sum", "entropy": "entropy"}
_TABLE = "Data-Assemble, Table 7"
CLAIMS = (
    Claim("adapter (paper)", "linear", "1 - max", safe=False, source=_TABLE),
    Claim("adapter (linear)", "linear", "1 - max", safe=False, source=_TABLE),
    Claim("adapter (paper)", "linear", "- sum", safe=False, source=_TABLE),
    Claim("adapter (linear)", "linear", "- sum", safe=False, source=_TABLE),
)


def dataset(digits: Digits, seed: int, images: int = IMAGES) -> Sources:
    """Training images without the novel digit, labelled for all others."""
    chosen = draw(digits, [images], seed)[0]
    kept = chosen.labels != NOVEL
    return Sources(chosen.images[kept], one_hot(chosen.labels[kept], KNOWN), (int(kept.sum()),))


def measured(said: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """AUC of the novel digit by each score, and the mean AUC of the known ones."""
    novel = (labels == NOVEL).float().numpy()
    found = {name: auc(novel, novelty_scores(said, kind=kind).numpy()) for kind, name in KINDS.items()}
    return found | {"known": np.mean(auc(one_hot(labels, KNOWN).numpy(), said.numpy()))}


def main(seeds: int = SEEDS) -> None:
    """All runs of all seeds."""
    torch.set_num_threads(1)
    digits, test = (read_digits(folder(), which) for which in ("train", "test"))
    results = Results(FILE)
    for seed in range(seeds):
        sources = dataset(digits, seed)
        for run, (kind, options) in RUNS.items():
            if not results.done(seed, run):
                network = digit_network(seed, kind, len(KNOWN), **options)
                train(network, sources, RECIPE, seed, *digit_views())
                results.add(seed, run, **measured(scores(network, test.images), test.labels))


if __name__ == "__main__":
    main()
