"""Labels, step 3: source terms become findings, by the relations of the mapping file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.facts import Absent, Facts
from xrdatasets.labels.codes import (
    ABSENT,
    NEGATED,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    UNKNOWN,
    UNMENTIONED,
    States,
    frozen,
)
from xrdatasets.labels.findings import all_findings
from xrdatasets.labels.hierarchy import Tree
from xrdatasets.labels.matrix import LabelMatrix
from xrdatasets.labels.provenance import Provenance, trace
from xrdatasets.labels.rules import LIST, Rule, Term, read_rules
from xrdatasets.labels.spaces import LabelSpace, native_space
from xrdatasets.labels.terms import BLANK, TermMatrix, TermReader, reader_of
from xrdatasets.resources import mappings

__all__ = ["LabelTable"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelTable:
    """The rules by which a dataset's terms become findings.

    A relation speaks of the source term and says in which direction evidence passes:

    =========  ==========================  =======  ===========================================  =======
    relation   means                       1 gives  0 gives                                      -1 gives
    =========  ==========================  =======  ===========================================  =======
    exact      the same                    1        0                                            -1
    narrower   source is a kind of target  1        0, if all terms of the target are 0 and the  -1
                                                    release lists all it saw
    broader    target is a kind of source  nothing  0                                            nothing
    negates    source excludes target      0        nothing                                      nothing
    related    documentation               nothing  nothing                                      nothing
    overrules  (``compat`` alone)          0        nothing                                      nothing
    =========  ==========================  =======  ===========================================  =======

    Positive beats uncertain beats negative; 1 and -1 beat ``negates``. A finding is *covered* where an
    ``exact`` or ``narrower`` row reaches it; ``negates`` acts on covered findings only. ``overrules`` beats
    all: torchxrayvision's No Finding, which our own tables never use.

    Attributes:
        dataset: key of the dataset, or a name of one's own.
        rules: the rows of the mapping file.
        absent: what a blank means: ``negative`` (the release lists what it saw), ``unmentioned`` (the
            report is silent: a policy may fill it) or ``unknown`` (it says nothing).

    Example:
        >>> import pandas as pd
        >>> table = LabelTable.load("nih")
        >>> matrix = table.apply(pd.Series(["Effusion|Hernia", "No Finding"], name="Finding Labels"))
        >>> matrix.relabel(["Nodule", "Effusion", "Fracture"]).codes
        array([[ 0.,  1., nan],
               [ 0.,  0., nan]], dtype=float32)
    """

    dataset: str
    rules: tuple[Rule, ...]
    absent: Absent = "unknown"

    def __post_init__(self) -> None:
        if self.absent not in BLANK:
            msg = f"absent: expected {', '.join(BLANK)}, got {self.absent!r}."
            raise ValueError(msg)

    @classmethod
    def load(cls, dataset: str, *, compat: str | None = None) -> LabelTable:
        """The table of a dataset of this package (``mappings/labels/<dataset>.csv``).

        Args:
            dataset: its key.
            compat: ``xrv`` for torchxrayvision's rules where they differ (``mappings/compat/<dataset>.csv``),
                wrong ones among them; None for ours.

        Raises:
            DatasetNotFoundError: no dataset has this key.
            MappingError: the mapping file is wrong: file, line and what was expected.
        """
        return _load(dataset, compat is not None)

    @classmethod
    def read(
        cls, file: str | Path | Traversable, *, dataset: str, absent: Absent = "unmentioned"
    ) -> LabelTable:
        """A table from a mapping file of one's own.

        Args:
            file: CSV with the columns ``column, source, target, relation, note, reference``.
            dataset: a name for messages.
            absent: what a blank cell means.

        Raises:
            MappingError: the file is wrong: file, line and what was expected.
        """
        return cls(dataset, read_rules(Path(file) if isinstance(file, str) else file), absent)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The source terms, each once, in the order of the file."""
        return tuple(dict.fromkeys(rule.term for rule in self.rules))

    @property
    def covered(self) -> tuple[str, ...]:
        """The findings that the dataset labels, in the order of ``findings.csv``."""
        return self._targets("exact", "narrower")

    @property
    def native(self) -> LabelSpace:
        """The space of the covered findings and devices ("No Finding" is neither)."""
        return native_space(self.covered)

    def apply(
        self, source: pd.DataFrame | pd.Series | TermMatrix, *, keys: Sequence[str] | None = None
    ) -> LabelMatrix:
        """Label every row of a source.

        Args:
            source: the release's table, its one column of lists, or terms that were read already.
            keys: a name for each row, on which random targets depend; the row numbers if None.

        Returns:
            Labels over all findings, in the `native` space.

        Raises:
            TableError: a column is missing, or a cell holds what no code is.
            MappingError: the source has a term that the mapping file lacks.
            ValueError: another number of keys than of rows.
        """
        terms = source if isinstance(source, TermMatrix) else self.read_terms(source)
        reached = self._targets("exact", "narrower", "broader", "negates", "overrules")
        said = TermMatrix(terms.terms, terms.said)  # images that say the same are resolved once
        states = np.zeros((len(reached), len(said)), dtype=np.uint8)
        for row, target in zip(states, reached, strict=True):
            self._resolve(target, said, row)
        if terms.rows is not None:
            states = states[:, terms.rows]
        names = np.arange(len(terms)).astype(str) if keys is None else keys
        if len(names) != len(terms):
            msg = f"keys: expected one for each of the {len(terms):,} rows, got {len(names):,}."
            raise ValueError(msg)
        return LabelMatrix(frozen(states), reached, self.covered, names, self.native)

    def read_terms(self, source: pd.DataFrame | pd.Series, *, reader: TermReader | None = None) -> TermMatrix:
        """What the source says, term by term (`apply` does this for a frame)."""
        # a series without a name would make a column called 0
        frame = source.to_frame(str(source.name or "list")) if isinstance(source, pd.Series) else source
        reader = reader or reader_of(self.terms, frame)
        return reader.read(frame, self.terms, absent=self.absent, where=self.dataset)

    def explain(
        self, row: Mapping[str, object] | pd.Series | TermMatrix, label: str, *, tree: Tree | None = None
    ) -> Provenance:
        """Where the code of one image and finding comes from.

        Args:
            row: the image's row of the release's table, or its terms.
            label: the finding, by canonical name or synonym.
            tree: the hierarchy that closed the matrix, if any.

        Raises:
            LabelNotFoundError: there is no such finding.

        Example:
            >>> row = dict.fromkeys(["Fracture", "Pneumothorax", "Airspace opacity"], "NO")
            >>> row["Nodule or mass"] = "YES"
            >>> found = LabelTable.load("nih_google").explain(row, "Nodule")
            >>> found.relation, found.code, found.reason
            ('broader', nan, 'Nodule or mass=YES is wider than Nodule: it may be this or something else')
        """
        terms = row if isinstance(row, TermMatrix) else self.read_terms(pd.DataFrame([dict(row)]))
        matrix = self.apply(terms)
        state = int((matrix.close(tree) if tree else matrix).column(label)[0])
        found = trace(self, terms, label, state=state, tree=tree)
        return found if isinstance(row, TermMatrix) else replace(found, value=_cell(row, found))

    def rules_of(self, target: str, *relations: str) -> tuple[Rule, ...]:
        """The rules that lead to a finding by these relations."""
        return tuple(rule for rule in self.rules if rule.target == target and rule.relation in relations)

    def _targets(self, *relations: str) -> tuple[str, ...]:
        named = {rule.target for rule in self.rules if rule.relation in relations}
        return tuple(name for name in all_findings() if name in named)

    def _resolve(self, target: str, terms: TermMatrix, out: States) -> None:
        """Write the (N,) states of one finding: weakest evidence first, the strongest overwrites."""
        exact, narrower, broader, negates, overrules = (
            [terms.state(rule.term) for rule in self.rules_of(target, relation)]
            for relation in ("exact", "narrower", "broader", "negates", "overrules")
        )
        direct = [*exact, *narrower]
        vague = _any(broader, POSITIVE, UNCERTAIN) if broader else np.zeros(len(out), dtype=bool)
        if direct:
            self._write_nothing_said(direct, vague, out)
            if negates:
                out[_any(negates, POSITIVE)] = NEGATED
        if broader:
            out[_any(broader, ABSENT) & ~vague] = ABSENT
        if exact or broader:
            out[_any([*exact, *broader], NEGATIVE)] = NEGATIVE
        if direct:
            out[_any(direct, UNCERTAIN)] = UNCERTAIN
            out[_any(direct, POSITIVE)] = POSITIVE
        if overrules:
            out[_any(overrules, POSITIVE)] = NEGATED

    def _write_nothing_said(self, direct: list[States], vague: Mask, out: States) -> None:
        """What a covered finding is where no term speaks: unmentioned, absent, or unknown."""
        if self.absent == "unmentioned":
            out[_not_all(direct, UNKNOWN) & ~vague] = UNMENTIONED
        elif self.absent == "negative":
            silent = np.ones(len(out), dtype=bool)
            for state in direct:
                silent &= (state == ABSENT) | (state == NEGATIVE)
            out[silent & ~vague] = ABSENT


@cache
def _load(dataset: str, compat: bool) -> LabelTable:
    facts = Facts.load(dataset)
    other = mappings() / "compat" / f"{dataset}.csv"
    file = other if compat and other.is_file() else mappings() / "labels" / f"{dataset}.csv"
    return LabelTable(dataset, read_rules(file), facts.absent)


def _cell(row: Mapping[str, object] | pd.Series, found: Provenance) -> object:
    """What the row itself says in the column that decided."""
    cells = dict(row)
    if found.column == LIST and len(cells) == 1:
        return next(iter(cells.values()))
    return cells.get(found.column, found.value)


def _any(states: Iterable[States], *wanted: int) -> Mask:
    """(N,) bool: whether any of the terms is in one of the wanted states."""
    found: Mask = np.logical_or.reduce([state == value for state in states for value in wanted])
    return found


def _not_all(states: Iterable[States], value: int) -> Mask:
    found: Mask = np.logical_or.reduce([state != value for state in states])
    return found
