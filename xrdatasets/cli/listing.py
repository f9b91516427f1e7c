"""The command ``list``: which datasets, label spaces, policies, weights and recipes there are.

JSON: ``what`` (the word after ``list``) and ``items``. A dataset has the fields of
`xrdatasets.facts.Facts`, ``class`` and ``findings`` (its native space); a space ``name`` and ``findings``; a
policy ``name``, ``uncertain`` (a number, a list of low and high, or null) and ``unmentioned``; weights have
the columns of ``mappings/weights.csv`` (``trained`` and ``trained_on`` are lists) and ``here``, true where
they need no download; a recipe ``name``, ``description``, ``reference`` and ``recipe`` (every value).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xrdatasets.labels import Policy

__all__ = ["HELP", "command"]

HELP = """List datasets, label spaces, policies, the weights of trained models or recipes of training.

\b
Examples:
  xrdatasets list datasets
  xrdatasets list spaces --json
  xrdatasets list weights
  xrdatasets list recipes
"""
Item = dict[str, object]


def command(
    what: Annotated[
        str, typer.Argument(metavar="datasets|spaces|policies|weights|recipes", help="What to list.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """List datasets, label spaces, policies, weights or recipes.

    Raises:
        ValueError: another word.
    """
    lists = {
        "datasets": _datasets, "spaces": _spaces, "policies": _policies, "weights": _weights,
        "recipes": _recipes,
    }  # fmt: skip
    if what not in lists:
        msg = f"list: expected {', '.join(lists)}, got {what!r}."
        raise ValueError(msg)
    items, shown = lists[what]()
    if as_json:
        output.to_json("list", what=what, items=items)
    else:
        output.emit(*shown)


def _datasets() -> tuple[list[Item], list[RenderableType]]:
    import dataclasses

    from xrdatasets.datasets import CLASSES, table_keys
    from xrdatasets.facts import Facts, dataset_keys
    from xrdatasets.labels import LabelTable

    items: list[Item] = []
    classes = {key: cls for name, cls in CLASSES.items() for key in table_keys(name)}
    for key in dataset_keys():
        findings = list(LabelTable.load(key).native.labels)
        items.append(dataclasses.asdict(Facts.load(key)) | {"class": classes[key], "findings": findings})
    facts = [Facts.load(key) for key in dataset_keys()]
    counts = [len(LabelTable.load(each.key).native) for each in facts]
    rows = [
        (each.key, each.title, each.images, each.patients, count, each.absent)
        for each, count in zip(facts, counts, strict=True)
    ]
    terms = [
        text
        for each in facts
        for text in ("", f"{each.key}: {each.licence}", each.url or "needs no download")
    ]
    heads = ("Name", "Title", "Images", "Patients", "Findings", "A blank is")
    return items, [output.table(heads, rows), *terms]


def _spaces() -> tuple[list[Item], list[RenderableType]]:
    from xrdatasets.labels import LabelSpace, space_names

    spaces = [LabelSpace.load(name) for name in space_names()]
    rows = [(space.name, len(space), ", ".join(space.labels)) for space in spaces]
    items: list[Item] = [{"name": space.name, "findings": list(space.labels)} for space in spaces]
    note = "Also: native, what a dataset itself labels."
    return items, [output.table(("Space", "Size", "Findings, in order"), rows), "", note]


def _policies() -> tuple[list[Item], list[RenderableType]]:
    from xrdatasets.labels import POLICIES

    items: list[Item] = [
        {"name": name, "uncertain": policy.uncertain, "unmentioned": policy.unmentioned}
        for name, policy in POLICIES.items()
    ]
    rows = [(name, _said(policy)) for name, policy in POLICIES.items()]
    note = "What a report does not mention stays unknown; stats --unmentioned 0 makes it negative."
    return items, [output.table(("Policy", "Uncertain becomes"), rows), "", note]


def _weights() -> tuple[list[Item], list[RenderableType]]:
    import dataclasses

    from xrdatasets.models.weights.cache import is_here
    from xrdatasets.models.weights.weights_table import weights_entries

    entries = [(entry, is_here(entry)) for entry in weights_entries()]
    items: list[Item] = [dataclasses.asdict(entry) | {"here": here} for entry, here in entries]
    rows = [
        (
            entry.name,
            entry.alias,
            len(entry.trained),
            entry.size,
            "yes" if here else "on first use",
            ", ".join(entry.trained_on),
        )
        for entry, here in entries
    ]
    terms = [
        text
        for entry, _ in entries
        for text in ("", f"{entry.name}: {entry.licence}", f"{entry.architecture}. {entry.reference}")
    ]
    heads = ("Name", "Alias", "Findings", "Pixels", "Here", "Trained on")
    return items, [output.table(heads, rows), *terms]


def _recipes() -> tuple[list[Item], list[RenderableType]]:
    from xrdatasets.training.provenance import fit_for_json
    from xrdatasets.training.recipe import Recipe, recipe_names

    recipes = [Recipe.load(name) for name in recipe_names()]
    items: list[Item] = [
        {
            "name": each.name,
            "description": each.description,
            "reference": each.reference,
            "recipe": fit_for_json(each.as_dict()),
        }
        for each in recipes
    ]
    rows = [
        (each.name, each.model.backbone, each.model.head, each.data.size, each.epochs, each.description)
        for each in recipes
    ]
    terms = [text for each in recipes for text in ("", f"{each.name}: {each.reference}")]
    heads = ("Name", "Network", "Head", "Pixels", "Epochs", "What it is")
    return items, [output.table(heads, rows), *terms]


def _said(policy: Policy) -> str:
    match policy.uncertain:
        case None:
            return "unknown"
        case (low, high):
            return f"a number drawn from {low:g} to {high:g}"
        case value:
            return f"{value:g}"
