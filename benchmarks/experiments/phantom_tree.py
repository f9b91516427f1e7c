"""Pham 2019 on hospital C of the Phantom: what uncertain is to mean, with and without conditional training.

``python -m benchmarks.experiments.phantom_tree``: 600 images at 64 pixels with the labels of C's reports:
13 findings of CheXpert in the tree of its paper, some uncertain, parents of positive children mostly blank.
Blank counts as negative. Five policies, each ``flat`` and ``CT``: closure upward, then per-edge masks in two
stages (8 epochs of all layers, 4 of the last one; flat: 12 of all). Of U-Ones also the closure without the
rest, what the paper says literally (stage 1 on images with all parents positive, stage 2 without a mask), CT
without the closure, CT without a mask in stage 2, and the cross-entropy of the product along the tree. Tested
on 1,000 other images against the truth: mean AUC of all findings, of the six that have a parent, of the five
of CheXpert's competition; and how often a child comes out more likely than its parent (percent).
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import xrdatasets as xr
from benchmarks.experiments.networks import scores
from benchmarks.experiments.results import Claim, Results
from benchmarks.experiments.views import phantom_views
from xrdatasets.evaluation import auc
from xrdatasets.models import ConditionalHead, LinearHead, Mini, Network
from xrdatasets.training import (
    EqualShares,
    TwoStages,
    close_upward,
    conditional_loss,
    masked_bce_with_logits,
)

FILE, SEEDS = "phantom_tree.csv", 5
FINDINGS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion")
SIZE, TRAIN, TEST, TEST_SEED = 64, 600, 1000, 20_000
WIDTH, BATCH, RATE = 4, 50, 4e-3
PARENTS = ConditionalHead.for_space(1, FINDINGS).parents
STAGES = TwoStages(first=8, second=4)
POLICIES = {
    "U-Ignore": xr.U_IGNORE, "U-Zeros": xr.U_ZEROS, "U-Ones": xr.U_ONES,
    "U-Zeros+LSR": xr.U_ZEROS_LSR, "U-Ones+LSR": xr.U_ONES_LSR,
}  # fmt: skip


class Way(NamedTuple):
    """How a policy's targets are trained on: closed upward or not, and the loss of either stage.

    ``flat`` is plain cross-entropy, on all layers in both stages; the others are forms of `conditional_loss`.
    """

    closed: bool
    first: str
    second: str
    mask: str = "edge"


WAYS = {
    "flat": Way(False, "flat", "flat"),
    "CT": Way(True, "masked", "masked"),
}
ABLATIONS = {
    "CT, literal": Way(True, "masked", "plain", "all_parents"),
    "flat+closure": Way(True, "flat", "flat"),
    "product": Way(True, "product", "product"),
    "CT, plain stage 2": Way(True, "masked", "plain"),
    "CT, no closure": Way(False, "masked", "masked"),
}
POLICY_RUNS = {f"{policy}: {way}": (policy, how) for policy in POLICIES for way, how in WAYS.items()}
OTHER_RUNS = {f"U-Ones: {way}": ("U-Ones", how) for way, how in ABLATIONS.items()}
RUNS = POLICY_RUNS | OTHER_RUNS
_TABLE = "Pham, Table 1"
CLAIMS = (
    *(Claim(f"{policy}: CT", f"{policy}: flat", "children", source=_TABLE) for policy in POLICIES),
    *(Claim(f"{policy}: CT", f"{policy}: flat", "five", safe=False, source=_TABLE) for policy in POLICIES),
    Claim("U-Ones: CT", "U-Ones: flat+closure", "children", safe=False, source="the closure alone"),
    Claim("U-Ones: flat+closure", "U-Ones: flat", "children", safe=False, source="the closure alone"),
    Claim("U-Ones: product", "U-Ones: CT", "children", safe=False, source="Chen et al., MIDL 2019"),
    Claim("U-Ones: CT", "U-Ones: CT, literal", "children", source="Pham, section 3.2, read literally"),
    Claim("U-Ones: CT", "U-Ones: CT, plain stage 2", "children", safe=False, source="the same"),
    Claim("U-Ones: CT", "U-Ones: CT, no closure", "children", safe=False, source="our reading"),
    Claim("U-Zeros+LSR: flat", "U-Zeros: flat", "all", source=_TABLE),
    Claim("U-Zeros+LSR: CT", "U-Zeros: CT", "all", source=_TABLE),
    Claim("U-Ones+LSR: flat", "U-Ones: flat", "all", safe=False, source=_TABLE),
    Claim("U-Ones+LSR: CT", "U-Ones: CT", "all", safe=False, source=_TABLE),
    Claim("U-Ones: flat", "U-Zeros: flat", "all", safe=False, source=_TABLE),
)


def targets(images: int, seed: int, policy: str) -> Tensor:
    """(N, 13) what a policy makes of C's reports; blank is negative."""
    chosen = POLICIES[policy].with_unmentioned(0.0)
    return torch.tensor(xr.Phantom(images, "C", FINDINGS, seed=seed, policy=chosen, size=SIZE).labels)


def drawn(images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 64, 64) in [-1024, 1024], and the truth (N, 13)."""
    dataset = xr.Phantom(images, "C", FINDINGS, seed=seed, size=SIZE)
    pixels = torch.stack([torch.as_tensor(dataset[row]["img"]) for row in range(images)])
    return pixels, torch.tensor(dataset.truth)


def trained(seed: int, images: Tensor, wanted: Tensor, way: Way, stages: TwoStages = STAGES) -> Network:
    """A network trained in two stages."""
    torch.manual_seed(seed)
    backbone = Mini(width=WIDTH)
    options = {} if way.first == "flat" else {"parents": PARENTS}
    kind = ConditionalHead if options else LinearHead
    network = Network(backbone, kind(backbone.out_features, len(FINDINGS), **options))
    wanted = close_upward(wanted, PARENTS) if way.closed else wanted
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    shares, generator = EqualShares([len(images)], BATCH, seed=seed), torch.Generator().manual_seed(seed)
    weak, _ = phantom_views()
    for epoch in range(1, stages.epochs + 1):
        network.train()
        if options:
            stages.begin(network, epoch)
        for rows in map(torch.tensor, shares):
            form = way.first if stages.stage(epoch) == 1 else way.second
            loss = cost(network(weak(images[rows], generator=generator)), wanted[rows], form, way.mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def cost(logits: Tensor, wanted: Tensor, form: str, mask: str) -> Tensor:
    """The loss of a batch."""
    if form == "flat":
        return masked_bce_with_logits(logits, wanted)
    return conditional_loss(logits, wanted, PARENTS, form=form, kind=mask)


def measured(said: Tensor, truth: Tensor) -> dict[str, float]:
    """Mean AUC of three groups, and the share of children that are more likely than their parent."""
    areas = np.asarray(auc(truth.numpy(), said.numpy()))
    children = [finding for finding, parent in enumerate(PARENTS) if parent >= 0]
    above = said[:, children] > said[:, [PARENTS[child] for child in children]]
    five = [FINDINGS.index(name) for name in COMPETITION]
    return {
        "all": areas.mean(),
        "children": areas[children].mean(),
        "five": areas[five].mean(),
        "upside down": float(above.float().mean()),
    }


def main(seeds: int = SEEDS) -> None:
    """All runs of all seeds."""
    torch.set_num_threads(1)
    results, (unseen, truth) = Results(FILE), drawn(TEST, TEST_SEED)
    # the policies of all seeds come first
    for runs, seed in product((POLICY_RUNS, OTHER_RUNS), range(seeds)):
        images, _ = drawn(TRAIN, seed)
        for run, (policy, way) in runs.items():
            if not results.done(seed, run):
                network = trained(seed, images, targets(TRAIN, seed, policy), way)
                results.add(seed, run, **measured(scores(network, unseen), truth))


if __name__ == "__main__":
    main()
