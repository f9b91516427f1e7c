"""The command ``stats``: what datasets hold, and what the policies would make of it.

JSON: ``space``, ``views``, ``split``, ``closure``, ``csv`` (the file, null if none was asked for),
``policies`` (``name``, ``uncertain``, ``unmentioned``) and ``datasets``, each with

- ``dataset`` (key), ``root``, ``images``, ``patients`` (null if not known);
- ``findings``: ``finding``, ``positive``, ``negative``, ``uncertain``, ``unmentioned``, ``unlabelled``, and
  ``targets``: by policy ``positive`` (targets of 0.5 and more), ``negative``, ``unknown``, ``mean`` (null if
  all are unknown);
- ``images_by``: images by ``view``, ``sex``, ``age``, ``split``;
- ``cooccurrence``, if asked for: ``findings`` and ``counts``, their square table, row by row.

The CSV file has one row per dataset and finding: ``dataset, root, images, finding``, the five counts, and
for each policy four columns such as ``u_ones_lsr_positive``, ``_negative``, ``_unknown``, ``_mean``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from xrdatasets.cli import output, sources

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single
    from xrdatasets.labels import LabelSpace, Policy

__all__ = ["HELP", "command"]

HELP = """Count what datasets hold, and what the policies would make of it.

For every dataset and finding: positive, negative, uncertain, unmentioned and unlabelled images, and the
targets that each published policy gives; then images by view, sex, age and split. Without --space, all
datasets have the same rows: every finding that one of them says anything of, "No Finding" among them.

\b
Examples:
  xrdatasets stats nih=/data/nih --missing keep
  xrdatasets stats nih=/data/nih chexpert=/data/chexpert --space nih14
  xrdatasets stats chexpert=/data/chexpert --policy U-Ones --unmentioned 0
  xrdatasets stats nih=/data/nih --views '*' --csv counts.csv --json
"""
LABELLED = "labelled"
Words = list[str]


def command(
    datasets: Annotated[
        Words, typer.Argument(metavar="NAME=ROOT", help="Dataset and the folder of its download; phantom=A.")
    ],
    space: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Label space, findings with commas, 'native' (of each dataset) or 'labelled' (of all).",
        ),
    ] = LABELLED,
    policy: Annotated[
        Words | None,
        typer.Option(metavar="NAME", help="Only this policy; may repeat. [default: all published ones]"),
    ] = None,
    unmentioned: Annotated[
        str,
        typer.Option(
            metavar="TARGET", help="Target of what a report does not mention: 0 to 1, or 'keep' it unknown."
        ),
    ] = "keep",
    views: Annotated[
        Words | None, typer.Option(metavar="WORDS", help="Views, with commas; '*' for all. [default: PA,AP]")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this split of the release: train, val or test.")
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="Rows without an image on disk: 'error', 'drop' them, or 'keep' them (no images needed).",
        ),
    ] = "error",
    closure: Annotated[
        str | None, typer.Option(metavar="NAME", help="Add what a hierarchy implies: irvin2019 or luo2020.")
    ] = None,
    cooccurrence: Annotated[
        bool, typer.Option("--cooccurrence", help="Also how often two findings are positive together.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write counts and targets to this CSV file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON (version 1) instead.")] = False,
) -> None:
    """Count what datasets hold.

    Raises:
        XRDatasetsError: a dataset cannot be opened, or a name is unknown.
        ValueError: an option's value is wrong.
        OSError: the CSV file cannot be written.
    """
    if csv is not None:
        output.check_target(csv)
    named = sources.parse(datasets)
    policies = _policies(policy, unmentioned)
    chosen = _views(views)
    wanted = _space(space)
    _check_missing(missing)
    opened = sources.open_all(named, views=chosen, split=split, missing=missing, closure=closure)
    seen = _relabelled(opened, wanted)
    from xrdatasets.cli import sheets

    with output.progress("counting"):
        made = [
            sheets.Sheet.of(dataset, source=source, policies=policies, pairs=cooccurrence)
            for dataset, source in zip(seen, named, strict=True)
        ]
    if csv is not None:
        output.write_file(csv, sheets.to_csv(made, policies))
    if as_json:
        given = {
            "space": space, "views": list(chosen), "split": split, "closure": closure,
            "csv": None if csv is None else str(csv),
        }  # fmt: skip
        output.to_json("stats", **given, **sheets.to_json(made, policies))
    else:
        head = f"Views {', '.join(chosen)}; {f'split {split}' if split else 'all splits'}; space {space}."
        tail = [] if csv is None else ["", f"Counts written to {csv}"]
        output.emit(head, *(part for sheet in made for part in sheet.shown(policies)), *tail)


def _policies(names: Sequence[str] | None, unmentioned: str) -> dict[str, Policy]:
    """The policies to show, by their published names."""
    from xrdatasets.labels import POLICIES, Policy

    wanted = [Policy.load(name) for name in names] if names else list(POLICIES.values())
    target = None if unmentioned == "keep" else _number(unmentioned)
    return {name: known.with_unmentioned(target) for name, known in POLICIES.items() if known in wanted}


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        msg = f"--unmentioned: expected a number from 0 to 1, or keep, got {word!r}."
        raise ValueError(msg)
    return number


def _views(words: Sequence[str] | None) -> tuple[str, ...]:
    from xrdatasets.datasets.tables import view_words

    parts = [part.strip() for word in words or ["PA,AP"] for part in word.split(",")]
    return view_words("*" if "*" in parts else parts)


def _space(word: str) -> LabelSpace | str:
    """A space; ``labelled`` and ``native`` stay words, because they depend on the datasets."""
    from xrdatasets.errors import LabelNotFoundError
    from xrdatasets.labels import LabelSpace, finding

    if word in (LABELLED, "native"):
        return word
    if "," in word:
        return _findings(word)
    try:
        return LabelSpace.load(word)
    except LabelNotFoundError as error:
        try:
            return LabelSpace("custom", (finding(word),))
        except LabelNotFoundError:
            hint = f"Or {LABELLED}, native, or findings with commas."
            msg = f"{error} {hint}"
            raise LabelNotFoundError(msg) from error


def _findings(words: str) -> LabelSpace:
    from xrdatasets.labels import LabelSpace

    labels = tuple(part for part in words.split(",") if part.strip())
    if not labels:
        msg = f"--space: expected a space or findings, got {words!r}."
        raise ValueError(msg)
    return LabelSpace("custom", labels)


def _check_missing(word: str) -> None:
    """Before the work begins, not after."""
    from xrdatasets.typing import Missing

    if word not in get_args(Missing):
        msg = f"--missing: expected {', '.join(get_args(Missing))}, got {word!r}."
        raise ValueError(msg)


def _relabelled(datasets: Sequence[Single], space: LabelSpace | str) -> list[Single]:
    from xrdatasets.reports import labelled_space

    seen = labelled_space(datasets) if space == LABELLED else space
    return [dataset.relabel(seen) for dataset in datasets]
