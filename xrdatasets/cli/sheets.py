"""What ``stats`` found in one dataset, as tables, JSON and rows of a CSV file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from xrdatasets.cli import output
from xrdatasets.reports import cooccurrence, images_by, policy_counts, stats

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xrdatasets.cli.sources import Source
    from xrdatasets.datasets.single import Single
    from xrdatasets.labels import Policy

__all__ = ["Sheet", "to_csv", "to_json"]

CODES = ("positive", "negative", "uncertain", "unmentioned", "unlabelled")
TARGETS = ("positive", "negative", "unknown", "mean")
Policies = Mapping[str, "Policy"]
Fields = dict[str, int | float | None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All counts of one dataset.

    Attributes:
        source: the release and its folder.
        images: number of images.
        patients: number of patients, None if not known.
        counts: one row per finding (`xrdatasets.stats`).
        targets: one row per policy and finding: ``policy, finding`` and `TARGETS`.
        groups: images by value, by attribute.
        pairs: findings by findings, None if not asked for.
    """

    source: Source
    images: int
    patients: int | None
    counts: pd.DataFrame
    targets: pd.DataFrame
    groups: dict[str, dict[str, int]]
    pairs: pd.DataFrame | None

    @classmethod
    def of(cls, dataset: Single, *, source: Source, policies: Policies, pairs: bool) -> Self:
        """Count a dataset.

        Args:
            dataset: the dataset, in the label space to be shown.
            source: where it came from.
            policies: policy by name.
            pairs: whether to count findings that are positive together.
        """
        found = images_by(dataset)
        groups = {
            str(attribute): dict(zip(part["value"], part["images"].tolist(), strict=True))
            for attribute, part in found.groupby("attribute", sort=False)
        }
        return cls(
            source=source,
            images=len(dataset),
            patients=int(dataset.table["patient_id"].nunique()) or None,
            counts=stats(dataset),
            targets=policy_counts(dataset, policies).rename(
                columns=lambda name: name.removeprefix("target_")
            ),
            groups=groups,
            pairs=cooccurrence(dataset) if pairs else None,
        )

    def shown(self, policies: Policies) -> list[RenderableType]:
        """The tables, for people."""
        people = f" of {_plural(self.patients, 'patient')}" if self.patients else ""
        head = f"{self.source.key}: {_plural(self.images, 'image')}{people} in {self.source.root}"
        known = self.counts[self.counts["unlabelled"] < self.images]
        rows = known[["finding", *CODES]].to_numpy(dtype=object).tolist()
        parts: list[RenderableType] = ["", head, "", output.table(("Finding", *map(str.title, CODES)), rows)]
        silent = [name for name in self.counts["finding"] if name not in set(known["finding"])]
        parts += ["", f"Not labelled: {', '.join(silent)}."] if silent else []
        parts += ["", *self._shown_targets(known["finding"].tolist(), policies)] if rows else []
        parts += ["", self._shown_groups()]
        return parts if self.pairs is None else [*parts, "", *self._shown_pairs(self.pairs)]

    def _shown_targets(self, findings: list[str], policies: Policies) -> list[RenderableType]:
        """Targets: one table if the policies agree, else one for each kind of target."""
        by_name = {name: self._targets_of(name) for name in policies}
        first, *others = by_name.values()
        if all(first == other for other in others):
            title = f"Targets under {', '.join(map(str, policies.values()))}"
            title += " (alike: nothing is uncertain)" if others else ""
            rows = [[finding, *first[finding].values()] for finding in findings]
            return [title, "", output.table(("Finding", *map(str.title, TARGETS)), rows)]
        parts: list[RenderableType] = []
        for kind in TARGETS[:3]:
            rows = [[finding, *(part[finding][kind] for part in by_name.values())] for finding in findings]
            parts += ["", output.table((f"{kind.title()} targets", *policies), rows)]
        return parts[1:]

    def _targets_of(self, policy: str) -> dict[str, Fields]:
        """Targets under one policy, by finding; None where a mean is not defined."""
        part = self.targets[self.targets["policy"] == policy]
        return {
            str(row["finding"]): {name: None if pd.isna(row[name]) else row[name] for name in TARGETS}
            for row in part.to_dict("records")
        }

    def _shown_groups(self) -> RenderableType:
        heads = [head for attribute in self.groups for head in (attribute.title(), "Images")]
        lines = zip_longest(*(group.items() for group in self.groups.values()), fillvalue=("", None))
        return output.table(heads, [[cell for pair in line for cell in pair] for line in lines])

    def _shown_pairs(self, pairs: pd.DataFrame) -> list[RenderableType]:
        """The square table, columns by number, in as many pieces as the terminal needs."""
        seen = [name for name in pairs.index if pairs.loc[name, name]]
        if not seen:
            return ["Positive on the same image: no finding is positive."]
        names = [f"{number} {name}" for number, name in enumerate(seen, start=1)]
        cells = pairs.loc[seen, seen].to_numpy().tolist()
        room = output.width() - max(map(len, names))
        longest = max(len(f"{cell:,}") for line in cells for cell in line)
        step = max(1, room // (max(longest, len(str(len(seen)))) + 2))
        parts: list[RenderableType] = ["Positive on the same image (without findings that never are)"]
        for start in range(0, len(seen), step):
            heads = ["Finding", *(str(n + 1) for n in range(start, min(start + step, len(seen))))]
            rows = [[name, *line[start : start + step]] for name, line in zip(names, cells, strict=True)]
            parts += ["", output.table(heads, rows)]
        return parts

    def to_json(self, policies: Policies) -> dict[str, Any]:
        """The counts, for machines."""
        by_name = {name: self._targets_of(name) for name in policies}
        findings = [
            {"finding": row["finding"], **{code: row[code] for code in CODES}}
            | {"targets": {name: part[row["finding"]] for name, part in by_name.items()}}
            for row in self.counts.to_dict("records")
        ]
        made: dict[str, Any] = {
            "dataset": self.source.key, "root": self.source.root, "images": self.images,
            "patients": self.patients, "findings": findings, "images_by": self.groups,
        }  # fmt: skip
        if self.pairs is not None:
            made["cooccurrence"] = {
                "findings": list(self.pairs.index),
                "counts": self.pairs.to_numpy().tolist(),
            }
        return made

    def to_frame(self, policies: Policies) -> pd.DataFrame:
        """One row per finding, with four columns for each policy."""
        frame = self.counts.assign(dataset=self.source.key)
        frame.insert(1, "root", self.source.root)
        frame.insert(2, "images", self.images)
        for name in policies:
            part = self.targets[self.targets["policy"] == name].set_index("finding")[list(TARGETS)]
            frame = frame.join(part.add_prefix(f"{_column(name)}_"), on="finding")
        return frame


def to_json(sheets: Sequence[Sheet], policies: Policies) -> dict[str, Any]:
    """Policies and datasets, for machines."""
    said = [
        {"name": name, "uncertain": policy.uncertain, "unmentioned": policy.unmentioned}
        for name, policy in policies.items()
    ]
    return {"policies": said, "datasets": [sheet.to_json(policies) for sheet in sheets]}


def to_csv(sheets: Sequence[Sheet], policies: Policies) -> str:
    """The text of the CSV file: all datasets, one below the other."""
    frame = pd.concat([sheet.to_frame(policies) for sheet in sheets], ignore_index=True)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _column(policy: str) -> str:
    return re.sub(r"\W+", "_", policy).lower()
