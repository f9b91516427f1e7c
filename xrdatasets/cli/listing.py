"""The command ``list``: which datasets, label spaces and policies there are.

JSON: ``what`` (the word after ``list``) and ``items``. A dataset has the fields of
`xrdatasets.facts.Facts`, ``class`` and ``findings`` (its native space); a space ``name`` and ``findings``; a
policy ``name``, ``uncertain`` (a number, a list of low and high, or null) and ``unmentioned``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xrdatasets.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xrdatasets.labels import Policy

__all__ = ["HELP", "command"]

HELP = """List datasets, label spaces or policies.

\b
Examples:
  xrdatasets list datasets
  xrdatasets list spaces --json
"""
Item = dict[str, object]


def command(
    what: Annotated[str, typer.Argument(metavar="datasets|spaces|policies", help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """List datasets, label spaces or policies.

    Raises:
        ValueError: another word.
    """
    lists = {"datasets": _datasets, "spaces": _spaces, "policies": _policies}
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


def _said(policy: Policy) -> str:
    match policy.uncertain:
        case None:
            return "unknown"
        case (low, high):
            return f"a number drawn from {low:g} to {high:g}"
        case value:
            return f"{value:g}"
