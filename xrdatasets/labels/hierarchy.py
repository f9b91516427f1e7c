"""Labels, step 1: which finding is a kind of which, by published trees (``hierarchy.csv``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from xrdatasets.errors import LabelNotFoundError
from xrdatasets.labels.findings import all_findings, near, read_finding
from xrdatasets.resources import mappings, read_rows

__all__ = ["Edge", "Tree"]

COLUMNS = ("tree", "child", "parent", "source")


@dataclass(frozen=True, slots=True)
class Edge:
    """A child that is a kind of its parent, and who says so."""

    child: str
    parent: str
    source: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A published hierarchy of findings.

    Attributes:
        name: ``irvin2019`` (the tree of the CheXpert paper) or ``luo2020`` (its sub-class remarks).
        edges: child and parent, one finding at most one parent.

    Example:
        >>> Tree.load("irvin2019").ancestors("Pneumonia")
        ('Consolidation', 'Lung Opacity')
    """

    name: str
    edges: tuple[Edge, ...]

    @classmethod
    def load(cls, name: str) -> Tree:
        """The tree with this name.

        Raises:
            LabelNotFoundError: there is no such tree; the message lists those there are.
        """
        trees = _trees()
        if str(name) not in trees:
            hint = near(str(name), trees)
            msg = f"no hierarchy is called {name!r}. Expected one of: {', '.join(trees)}. {hint}"
            raise LabelNotFoundError(msg.rstrip())
        return trees[str(name)]

    @property
    def parents(self) -> dict[str, str]:
        """Parent of each child."""
        return {edge.child: edge.parent for edge in self.edges}

    @property
    def members(self) -> tuple[str, ...]:
        """All findings of the tree, in the order of ``findings.csv``."""
        named = {name for edge in self.edges for name in (edge.child, edge.parent)}
        return tuple(name for name in all_findings() if name in named)

    def ancestors(self, label: str) -> tuple[str, ...]:
        """Parent, its parent, … of a finding; empty for a root."""
        parents, path = self.parents, []
        while (label := parents.get(label, "")) and label not in path:
            path.append(label)
        return tuple(path)

    def descendants(self, label: str) -> tuple[str, ...]:
        """Every finding that has this one among its ancestors."""
        return tuple(name for name in self.members if label in self.ancestors(name))


@cache
def _trees() -> dict[str, Tree]:
    edges: dict[str, list[Edge]] = {}
    for row in read_rows(mappings() / "hierarchy.csv", COLUMNS):
        tree = edges.setdefault(row.cells["tree"], [])
        child, parent = read_finding(row, "child"), read_finding(row, "parent")
        if any(edge.child == child for edge in tree):
            raise row.error("one parent for each child", child)
        if child in (parent, *Tree("", tuple(tree)).ancestors(parent)):
            raise row.error("a tree without circles", f"{child} below {parent}")
        tree.append(Edge(child, parent, row.cells["source"]))
    return {name: Tree(name, tuple(tree)) for name, tree in edges.items()}
