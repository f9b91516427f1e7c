"""The command ``train``: a recipe and datasets to a classifier.

JSON: ``recipe`` (every value), ``plan`` (the fields of `xrdatasets.training.plan.Plan`: datasets, findings
with counts and weights, pieces of the loss, parameters, steps, learning rates) and ``trained``: null with
``--dry-run``, else ``out``, ``weights`` (path of the classifier), ``auc`` (mean over the findings that have
one), ``aucs`` (by finding, null where undefined), ``best_epoch``, ``epochs`` and ``seconds`` (of this call).
"""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xrdatasets.cli import output, sources

if TYPE_CHECKING:
    from rich.table import Table

    from xrdatasets.training.plan import Plan
    from xrdatasets.training.recipe import Recipe
    from xrdatasets.training.run import Trained

__all__ = ["HELP", "command"]

HELP = """Train a classifier on one dataset or several, each of which labels some of the findings.

The recipe says how: xrdatasets list recipes, or a TOML file of your own. The first --data is the dataset
that the classifier is for. RUN then has the classifier, every value of the recipe, and the figures of each
epoch; an interrupted training goes on with --resume. For research: no number is a diagnosis.

\b
Examples:
  xrdatasets train --recipe luo2020 --data nih=/data/nih --data chexpert=/data/chexpert --out run --dry-run
  xrdatasets train --recipe luo2020 --data nih=nih.h5 --data chexpert=chexpert.h5 --out run --size 224
  xrdatasets train --recipe luo2020 --data nih=nih.h5 --out run --set adversarial.strength=0 --epochs 4
  xrdatasets predict film.png --weights run
"""


def command(
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="A recipe, or a TOML file of one.")],
    data: Annotated[
        list[str], typer.Option(metavar="NAME=ROOT", help="A dataset, as for stats; repeated, several.")
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the training; it is made.")],
    space: Annotated[
        str | None, typer.Option(metavar="NAME", help="Label space, or union: all that is labelled.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Height and width of the images.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the largest dataset.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any value of the recipe; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of weights, order and views.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="WORD", help="32, bf16 or 16.")] = None,
    devices: Annotated[int, typer.Option(metavar="N", help="Processes, each on its own device.")] = 1,
    accelerator: Annotated[str, typer.Option(metavar="NAME", help="cpu, gpu or auto.")] = "auto",
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes that read images, for each device.")
    ] = 2,
    missing: Annotated[
        str, typer.Option(metavar="WORD", help="Rows without an image on disk: error, or drop them.")
    ] = "error",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where there is one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Train.

    Raises:
        XRDatasetsError: a dataset cannot be opened or read, or has no image to train on.
        ValueError: an option's value is wrong, or the folder has another training.
    """
    if missing not in ("error", "drop"):
        msg = f"--missing: expected error or drop, got {missing!r}."
        raise ValueError(msg)
    places = sources.parse(data)
    from xrdatasets.training.plan import Plan
    from xrdatasets.training.recipe import Recipe

    named = {"data.space": space, "data.size": size, "epochs": epochs, "seed": seed, "precision": precision}
    given = {key: value for key, value in named.items() if value is not None}
    chosen = Recipe.load(recipe).override(given | _settings(changes or []))
    datasets = _opened(places, chosen, missing)
    with output.progress("counting labels"):
        plan = Plan.of(chosen, datasets, devices=devices)
    if dry_run:
        _tell(chosen, plan, None, as_json=as_json)
        return
    from xrdatasets.training.run import train

    start = time.monotonic()
    try:
        trained = train(
            chosen, datasets, out, resume=resume, overwrite=overwrite, devices=devices,
            accelerator=accelerator, workers=workers, progress=sys.stderr.isatty(),
        )  # fmt: skip
    except KeyboardInterrupt:
        output.warn(
            "interrupted", f"what is done is in {out}; the same command with --resume goes on from there."
        )
        raise
    _tell(chosen, plan, trained, seconds=time.monotonic() - start, as_json=as_json)


def _settings(words: Sequence[str]) -> dict[str, Any]:
    """Values by key; what is no number, truth value or list of TOML's is text.

    Raises:
        ValueError: a word without key or value.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not key.strip() or not sign:
            msg = f"--set: expected KEY=VALUE, got {word!r}. For example: --set adversarial.strength=0"
            raise ValueError(msg)
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value.strip()
    return found


def _opened(places: Sequence[sources.Source], recipe: Recipe, missing: str) -> list[Any]:
    """The datasets, in the size, the views and the policy of the recipe; a packed file has its own size."""
    from xrdatasets.packed.layout import is_packed

    options = recipe.opening()
    opened = []
    for place in places:
        own = dict(options)
        if is_packed(Path(place.root).expanduser()):
            del own["size"]
        elif place.key != "phantom":
            own["missing"] = missing
        opened += sources.open_all([place], **own)
    return opened


def _tell(
    recipe: Recipe, plan: Plan, trained: Trained | None, *, as_json: bool, seconds: float = 0.0
) -> None:
    """What would be done, or what was."""
    from xrdatasets.training.provenance import fit_for_json

    if as_json:
        done = None if trained is None else {
            "out": str(trained.out), "weights": str(trained.out / "classifier.safetensors"),
            "auc": trained.score, "aucs": trained.aucs, "best_epoch": trained.best_epoch,
            "epochs": trained.epochs, "seconds": round(seconds, 3),
        }  # fmt: skip
        fields = {"recipe": recipe.as_dict(), "plan": plan.as_dict(), "trained": done}
        output.to_json("train", **fit_for_json(fields))
    elif trained is None:
        output.emit(*_planned(recipe, plan))
    else:
        output.emit(*_done(trained, seconds))


def _planned(recipe: Recipe, plan: Plan) -> list[Any]:
    rates = list(dict.fromkeys(f"{rate:g}" for rate in plan.learning_rates))
    judges = f", {plan.discriminators:,} of discriminators" if plan.discriminators else ""
    held = f" {plan.held_out:,} images of test splits take no part." if plan.held_out else ""
    size = plan.ensemble_bytes / 2**20
    memory = f" Earlier predictions take {size:,.1f} MiB." if plan.ensemble_bytes else ""
    heads = ("Dataset", "Policy", "Training", "Validation", "Findings")
    return [
        f"{plan.recipe}: {recipe.description}",
        f"Loss: {', '.join(plan.pieces)}.{memory}",
        "",
        output.table(heads, [tuple(each.values()) for each in plan.datasets]),
        "",
        f"The classifier is for {plan.internal}.{held}",
        "",
        _finding_table(plan),
        "",
        f"Network: {recipe.model.backbone} and {recipe.model.head}, {plan.parameters:,} parameters{judges}; "
        f"images of {recipe.data.size} x {recipe.data.size}.",
        f"Steps: {plan.epochs:,} x {plan.steps:,} (epochs x steps) of {plan.batch:,} images. "
        f"Learning rate ({plan.schedule}): {', '.join(rates)}.",
    ]


def _finding_table(plan: Plan) -> Table:
    rows = [
        (
            each["name"],
            each["set"],
            sum(each["positive"].values()),
            sum(each["negative"].values()),
            each["task_weight"],
            each["positive_weight"] if isinstance(each["positive_weight"], float) else None,
            "yes" if each["trained"] else "no",
        )
        for each in plan.findings
    ]
    heads = ("Finding", "Set", "Positive", "Negative", "Weight", "Of positives", "Trained")
    return output.table(heads, rows)


def _done(trained: Trained, seconds: float) -> list[Any]:
    rows = [(name, None if auc != auc else auc) for name, auc in trained.aucs.items()]
    mean = "undefined" if trained.score != trained.score else f"{trained.score:.3f}"
    return [
        output.table(("Finding", "AUC, validation"), rows),
        "",
        f"Mean AUC {mean} in epoch {trained.best_epoch} of {trained.epochs}, after {seconds:,.0f} s. "
        f"Written to {trained.out}.",
        f"Use it: xrdatasets predict film.png --weights {trained.out}",
    ]
