"""Directives that show the mapping tables, read when the docs are built.

``mapping-table`` shows columns of a table; ``dataset-facts`` the row of a dataset in ``datasets.csv``;
``contributions`` what every dataset contributes to each finding; ``label-spaces`` every label space in order;
``command-help`` what a command says of itself.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

from xrdatasets.cli.main import main
from xrdatasets.facts import dataset_keys
from xrdatasets.labels import LabelSpace, LabelTable, space_names
from xrdatasets.resources import mappings

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FACTS = {
    "title": "Title",
    "release": "Release",
    "images": "Images",
    "patients": "Patients",
    "licence": "Licence",
    "url": "To be had from",
    "absent": "A finding that is not mentioned is",
    "frontal_only": "A view that is not stated passes as frontal",
    "image_family": "Image family",
    "reference": "Reference",
}


RELATIONS = ("exact", "narrower", "broader", "negates", "related")


def read(name: str) -> list[dict[str, str]]:
    """Rows of a mapping table."""
    with (mappings() / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> nodes.table:
    """A table of plain cells: nothing in them is markup."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    if any(head):
        group += nodes.thead("", line(head))
    group += nodes.tbody("", *(line(row) for row in rows))
    return nodes.table("", group)


def line(cells: Sequence[str]) -> nodes.row:
    """One line of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *content(cell))) for cell in cells))


def content(cell: str) -> list[nodes.Node]:
    """A cell's text; an address becomes a link."""
    if cell.startswith("https://") and " " not in cell:
        return [nodes.reference("", cell, refuri=cell)]
    return [nodes.Text(cell)]


class MappingTable(Directive):
    """Columns of a mapping table: ``labels/nih.csv``."""

    required_arguments = 1
    option_spec: ClassVar = {"columns": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The table."""
        rows = read(self.arguments[0])
        if not rows:
            return [nodes.paragraph("", "None is known.")]
        columns = self.options.get("columns", "").split() or list(rows[0])
        return [table(columns, [[row[name] for name in columns] for row in rows])]


class DatasetFacts(Directive):
    """What ``datasets.csv`` says of a dataset."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, one fact a line."""
        facts = next(row for row in read("datasets.csv") if row["key"] == self.arguments[0])
        return [table(["", ""], [[title, facts[name] or "not known"] for name, title in FACTS.items()])]


class Contributions(Directive):
    """For each finding, the datasets that speak of it, by which terms, with their known counts."""

    def run(self) -> list[nodes.Node]:
        """A section for each finding."""
        return [self.section(row) for row in read("findings.csv")]

    def section(self, finding: dict[str, str]) -> nodes.section:
        """One finding: its definition, and a line for each dataset and relation."""
        name = finding["finding"]
        section = nodes.section("", nodes.title("", name), ids=[nodes.make_id(f"finding-{name}")])
        section += nodes.paragraph("", finding["definition"])
        lines = [line for key in dataset_keys() for line in self.lines(key, name)]
        section += table(["dataset", "relation", "terms", "positive", "negative", "uncertain"], lines)
        return section

    def lines(self, key: str, finding: str) -> list[list[str]]:
        """What one dataset says of a finding: a line for each relation, counts at the first."""
        rules = [rule for rule in LabelTable.load(key).rules if rule.target == finding]
        by_relation: dict[str, list[str]] = {}
        for rule in rules:
            by_relation.setdefault(str(rule.relation), []).append(rule.term.name)
        known = self.counts(key, finding)
        lines = []
        for relation in RELATIONS:
            if relation in by_relation:
                lines.append([key, relation, ", ".join(by_relation[relation]), *known])
                known = ["", "", ""]
        return lines

    @staticmethod
    def counts(key: str, finding: str) -> list[str]:
        """Positive, negative and uncertain images of the release, as far as they are known."""
        name = f"counts/{key}.csv"
        rows = read(name) if (mappings() / name).is_file() else []
        found = next((row for row in rows if row["finding"] == finding), {})
        return [found.get(column, "") for column in ("positive", "negative", "uncertain")]


class LabelSpaces(Directive):
    """Every label space."""

    def run(self) -> list[nodes.Node]:
        """A section for each, with its findings in order."""
        return [self.section(name) for name in space_names()]

    def section(self, name: str) -> nodes.section:
        """One label space."""
        labels = LabelSpace.load(name).labels
        section = nodes.section("", nodes.title("", name), ids=[nodes.make_id(f"space-{name}")])
        section += nodes.paragraph("", f"{len(labels)} labels.")
        items = [nodes.list_item("", nodes.paragraph("", label)) for label in labels]
        section += nodes.enumerated_list("", *items, enumtype="arabic", prefix="", suffix=".")
        return section


class CommandHelp(Directive):
    """The help of a command, as it is printed."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A literal block."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            main([self.arguments[0], "--help"])
        return [nodes.literal_block("", printed.getvalue().strip(), language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known."""
    app.add_directive("mapping-table", MappingTable)
    app.add_directive("dataset-facts", DatasetFacts)
    app.add_directive("contributions", Contributions)
    app.add_directive("label-spaces", LabelSpaces)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
