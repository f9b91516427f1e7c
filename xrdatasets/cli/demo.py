"""The command ``demo``: the whole path of the data on three drawn hospitals, in under a minute.

It writes five files: ``statistics.csv`` (as `xrdatasets.stats` gives it), ``labels.csv`` (a row per image:
ids, view, sex and age, then the code of each finding), ``policies.csv`` (what each policy makes of hospital
C: counts and mean targets), ``auc.csv`` (``trained_on, tested_on, finding, auc, positive, negative``) and
``contact-sheet.png``.

JSON: ``images`` (of each hospital), ``seed``, ``seconds``, ``known`` (share of the cells of the joint matrix
that have a code), ``explained`` (the provenance of one cell), ``auc`` and ``files``. Each row of ``auc`` has
``trained_on``, ``tested_on`` (mean AUC by hospital, over the findings that all hospitals label) and
``all_findings`` (over all; null where a network was taught only some of them). A finding of which a
hospital's test patients have one class alone is in neither mean.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType
    from torch import Tensor

    from xrdatasets.datasets import Combined, Phantom
    from xrdatasets.labels import Provenance
    from xrdatasets.models import Network

    Hospitals = Mapping[str, Phantom]

__all__ = ["HELP", "command"]

HELP = """Walk the whole path on three drawn hospitals, in under a minute.

Three hospitals with labels of their own are drawn (no download), counted, brought into one matrix, put under
each policy, learned by a small network, alone and together, and tested on each other's patients, whose truth
is known. The numbers are computed, not stored; a network of this size and time shows the way, no more.

\b
Examples:
  xrdatasets demo
  xrdatasets demo --out /tmp/demo --images 2000 --seed 1
"""
SIZE = 64  # pixels of a side
SEEDS = 2**32
SHEET = 112  # pixels of a picture on the contact sheet
EPOCHS = 5
WIDTH = 8  # channels of the network's first convolution
TRAIN = 0.75  # of the patients
UNCERTAIN = ("Atelectasis", "Edema", "Pneumonia")  # of hospital C, shown under each policy
TOGETHER, BOUND = "A+B+C", "A+B+C, full truth"
STATISTICS, LABELS, TARGETS = "statistics.csv", "labels.csv", "policies.csv"
AUC, PICTURES = "auc.csv", "contact-sheet.png"


class Steps:
    """What the reader is told, step by step.

    Args:
        quiet: nothing, for JSON.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._began, self._count = quiet, time.monotonic(), 0

    def step(self, text: str, *parts: RenderableType) -> None:
        """One line that says what was done, and what there is to see."""
        self._count += 1
        if not self._quiet:
            space = [""] if parts else []
            output.emit(f"{self._count}. {text}", *space, *parts, *space)

    def seconds(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self._began, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """Images of one hospital in memory, for training or for a test.

    Attributes:
        images: (N, 1, 64, 64) float32.
        labels: (N, 21) float32, what the hospital says, NaN unknown.
        truth: (N, 21) float32.
    """

    images: Tensor
    labels: Tensor
    truth: Tensor


def command(
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the files go; made if it is not there.")
    ] = Path("xrdatasets-demo"),
    images: Annotated[int, typer.Option(metavar="N", help="Images of each hospital, at least 200.")] = 800,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed gives other patients.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Walk the whole path.

    Raises:
        ValueError: too few images, a negative seed, or `out` is no folder.
        OSError: a file cannot be written.
    """
    _check(images, seed)
    output.make_folder(out)
    say = Steps(quiet=as_json)
    hospitals = _open(images, seed, say)
    _count(hospitals, out, say)
    joint, why = _harmonise(hospitals, out, say)
    _choose(hospitals["C"], out, say)
    _look(hospitals, out, say)
    train, test = _draw(hospitals, say)
    models = _fit(train, seed, say)
    rows = _compare(models, test, hospitals, out, say)
    files = [str(out / name) for name in (STATISTICS, LABELS, TARGETS, AUC, PICTURES)]
    say.step(f"{len(files)} files are in {out}; all of it took {say.seconds():.0f} s.")
    if as_json:
        given = {"images": images, "seed": seed, "seconds": say.seconds()}
        output.to_json("demo", **given, known=_known(joint), explained=_plain(why), auc=rows, files=files)


def _check(images: int, seed: int) -> None:
    if images < 200:
        msg = f"--images: expected at least 200, got {images}."
        raise ValueError(msg)
    if not 0 <= seed < SEEDS:
        msg = f"--seed: expected a whole number from 0 to {SEEDS - 1}, got {seed}."
        raise ValueError(msg)


def _open(images: int, seed: int, say: Steps) -> Hospitals:
    from xrdatasets.datasets import Phantom
    from xrdatasets.phantom import HOSPITALS

    opened = {key: Phantom(images, key, seed=seed, size=SIZE) for key in HOSPITALS}
    rows = [
        (
            key, HOSPITALS[key].setting, len(ds), ds.table["patient_id"].nunique(),
            len(ds.relabel("native").pathologies), ds.facts.absent,
        )
        for key, ds in opened.items()
    ]  # fmt: skip
    heads = ("Hospital", "Patients come for", "Images", "Patients", "Findings", "A blank is")
    say.step("Three hospitals, drawn here: nothing is downloaded.", output.table(heads, rows))
    return opened


def _count(hospitals: Hospitals, out: Path, say: Steps) -> None:
    """What each hospital's reports say, beside the truth."""
    from xrdatasets.reports import stats

    frame = stats(hospitals)
    output.write_file(out / STATISTICS, frame.to_csv(index=False))
    positive = frame.pivot_table(index="finding", columns="dataset", values="positive", sort=False)
    covered = {key: set(ds.relabel("native").pathologies) for key, ds in hospitals.items()}
    rows = []
    for column, label in enumerate(hospitals["A"].pathologies):
        said = [int(positive.loc[label, key]) if label in covered[key] else None for key in hospitals]
        there = [int(ds.truth[:, column].sum()) for ds in hospitals.values()]
        rows.append((label, *said, *there))
    heads = ("Positive", *(f"{key} says" for key in hospitals), *(f"{key} truth" for key in hospitals))
    text = "What the reports say, and what was drawn; empty: a hospital never labels it."
    say.step(text, output.table(heads, rows))


def _harmonise(hospitals: Hospitals, out: Path, say: Steps) -> tuple[Combined, Provenance]:
    """One matrix of all images, and where one of its cells comes from."""
    import numpy as np
    import pandas as pd

    from xrdatasets.datasets import concat

    joint = concat(list(hospitals.values()))
    table = joint.table[["image_id", "patient_id", "dataset", "view", "sex", "age"]]
    codes = pd.DataFrame(joint.codes, columns=list(joint.pathologies))
    output.write_file(out / LABELS, pd.concat([table, codes], axis=1).to_csv(index=False))
    text = (
        f"One matrix: {len(joint):,} images x {len(joint.pathologies)} findings, {_known(joint):.0%} of the "
        "cells known; the rest stays unknown, not negative."
    )
    # a cell that shows a rule: in B, a lesion that may be a nodule or a mass
    row = len(hospitals["A"]) + int(np.nanargmax(hospitals["B"].relabel(["Lung Lesion"]).codes[:, 0]))
    why = joint.explain(row, "Nodule")
    said = "unknown" if math.isnan(why.code) else f"{why.code:g}"
    shown = f"   Why is Nodule {said} in {table['image_id'][row]}? {why.reason} ({why.rule})."
    say.step(text, shown)
    return joint, why


def _known(joint: Combined) -> float:
    """Share of the cells that have a code."""
    import numpy as np

    return float((~np.isnan(joint.codes)).mean())


def _choose(hospital: Phantom, out: Path, say: Steps) -> None:
    """What each policy makes of uncertain findings."""
    import numpy as np

    from xrdatasets.labels import POLICIES
    from xrdatasets.reports import policy_counts

    seen = hospital.relabel(UNCERTAIN)
    output.write_file(out / TARGETS, policy_counts({"C": hospital}, POLICIES).to_csv(index=False))
    uncertain = (seen.codes == -1).sum(axis=0)
    rows: list[tuple[str | float | None, ...]] = []
    for name, policy in POLICIES.items():
        targets = seen.with_policy(policy).labels
        rows.append((name, *(float(mean) for mean in np.nanmean(targets, axis=0))))
    # over the same images: those whose report says 1, 0 or -1
    said = np.where(np.isnan(seen.codes), np.nan, seen.truth)
    truth = tuple(float(mean) for mean in np.nanmean(said, axis=0))
    heads = (
        "Mean target",
        *(f"{label} ({n} uncertain)" for label, n in zip(UNCERTAIN, uncertain, strict=True)),
    )
    text = (
        "Policies: what uncertain is to mean in C, chosen late, for each finding if need be; means over the "
        "images whose report speaks of it."
    )
    say.step(text, output.table(heads, [*rows, ("(truth)", *truth)]))


def _look(hospitals: Hospitals, out: Path, say: Steps) -> None:
    """A picture of each finding from each hospital."""
    import io

    from PIL import Image

    from xrdatasets.datasets import Phantom
    from xrdatasets.reports import contact_sheet

    with output.progress("drawing the contact sheet"):
        sharp = {
            f"hospital {key}": Phantom(len(ds), key, seed=ds.seed, size=SHEET).plain().with_truth()
            for key, ds in hospitals.items()
        }
        file = io.BytesIO()
        Image.fromarray(contact_sheet(sharp, size=SHEET)).save(file, "PNG")
        output.write_file(out / PICTURES, file.getvalue())
    say.step(f"Pictures: each finding in each hospital, to look at first, in {out / PICTURES}.")


def _draw(hospitals: Hospitals, say: Steps) -> tuple[dict[str, Part], dict[str, Part]]:
    """Training and test images of each hospital, no patient in both."""
    began = time.monotonic()
    with output.progress("drawing the images"):
        sides = {key: ds.split_by_patient((TRAIN, 1 - TRAIN)) for key, ds in hospitals.items()}
        train, test = ({key: _in_memory(pair[side]) for key, pair in sides.items()} for side in (0, 1))
    count = sum(map(len, hospitals.values()))
    took = time.monotonic() - began
    say.step(
        f"Images: {count:,} of {SIZE} x {SIZE} pixels, {count / took:.0f} a second by two processes, split "
        f"by patient: {TRAIN:.0%} to learn from, the others to be tested on."
    )
    return train, test


def _in_memory(dataset: Phantom) -> Part:
    import torch

    from xrdatasets.datasets import loader

    batches = [batch["img"] for batch in loader(dataset, batch_size=256, workers=2)]
    return Part(torch.cat(batches), *(torch.tensor(each) for each in (dataset.labels, dataset.truth)))


def _fit(train: Mapping[str, Part], seed: int, say: Steps) -> dict[str, Network]:
    """A network for each hospital alone, one for all of them, and one that was told the truth."""
    import torch

    from xrdatasets.models import Mini, Network
    from xrdatasets.training import fit

    images = torch.cat([part.images for part in train.values()])
    sets = {key: (part.images, part.labels) for key, part in train.items()}
    sets[TOGETHER] = images, torch.cat([part.labels for part in train.values()])
    sets[BOUND] = images, torch.cat([part.truth for part in train.values()])
    models, rows = {}, []
    for name, (pixels, targets) in sets.items():
        began = time.monotonic()
        torch.manual_seed(seed)
        models[name] = Network(Mini(width=WIDTH), targets.shape[1])
        with output.progress(f"training on {name}"):
            losses = fit(models[name], pixels, targets, epochs=EPOCHS, batch_size=32, seed=seed)
        known = float((~targets.isnan()).float().mean())
        rows.append((name, len(pixels), f"{known:.0%}", losses[0], losses[-1], time.monotonic() - began))
    heads = ("Trained on", "Images", "Known", "First loss", "Last loss", "Seconds")
    text = f"A small network, {EPOCHS} epochs; what is unknown gives neither loss nor gradient."
    say.step(text, output.table(heads, rows))
    return models


def _compare(
    models: Mapping[str, Network], test: Mapping[str, Part], hospitals: Hospitals, out: Path, say: Steps
) -> list[dict[str, object]]:
    """AUC of each network on each hospital's patients, against the truth."""
    import numpy as np
    import pandas as pd

    from xrdatasets.evaluation import auc
    from xrdatasets.training import predict_scores

    labels = hospitals["A"].pathologies
    covered = {key: set(ds.relabel("native").pathologies) for key, ds in hospitals.items()}
    found = []
    for name, model in models.items():
        known = covered.get(name, set(labels))
        for key, part in test.items():
            truth, scores = part.truth.numpy(), predict_scores(model, part.images).numpy()
            areas = np.asarray(auc(truth, scores))
            found += [
                (name, key, label, float(areas[i]), int(truth[:, i].sum()), int((1 - truth[:, i]).sum()))
                for i, label in enumerate(labels)
                if label in known
            ]
    frame = pd.DataFrame(found, columns=["trained_on", "tested_on", "finding", "auc", "positive", "negative"])
    output.write_file(out / AUC, frame.to_csv(index=False))
    # the same findings in every mean: those with both classes among the test patients of each hospital
    tested = set(labels) - set(frame.loc[frame["auc"].isna(), "finding"])
    common = set.intersection(tested, *covered.values())
    shared = frame[frame["finding"].isin(common)]
    means = shared.pivot_table(index="trained_on", columns="tested_on", values="auc")
    every = frame[frame["finding"].isin(tested)].groupby("trained_on")["auc"].mean()
    overall = {name: None if name in covered else float(every[name]) for name in models}
    cells = [(name, *map(float, means.loc[name]), overall[name]) for name in models]
    heads = ("Trained on", *(f"Tested on {key}" for key in test), f"All {len(tested)} findings")
    text = (
        f"Mean AUC on other patients, against the truth, over the {len(common)} findings that all hospitals "
        "label: compare each hospital at home, elsewhere and together, and with full labels."
    )
    say.step(text, output.table(heads, cells))
    return [
        {"trained_on": name, "tested_on": means.loc[name].to_dict(), "all_findings": overall[name]}
        for name in models
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _plain(why: Provenance) -> dict[str, object]:
    """A provenance as JSON takes it."""
    fields = dataclasses.asdict(why)
    return {name: _number(value) if isinstance(value, float) else value for name, value in fields.items()}
