"""What was measured: one CSV for each experiment, a row for each seed, run and measure, written at once.

A difference is paired: of each seed the one run minus the other, on the same data, from the same weights.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["FOLDER", "Claim", "Results", "difference", "spread"]

FOLDER = Path(__file__).parent / "results"
_HEADER = ("seed", "run", "measure", "value")


class Results:
    """The rows of a file; runs that stand there already are not done again.

    Values are in percent (100 times an AUC).
    """

    def __init__(self, file: str | Path) -> None:
        self.file = FOLDER / file if isinstance(file, str) else file
        self.values: dict[tuple[str, str], dict[int, float]] = {}
        if self.file.exists():
            with self.file.open(newline="") as stream:
                for row in csv.DictReader(stream):
                    self._keep(int(row["seed"]), row["run"], row["measure"], float(row["value"]))

    def done(self, seed: int, run: str) -> bool:
        """Whether the run of this seed is there."""
        return any(name == run and seed in found for (name, _), found in self.values.items())

    def add(self, seed: int, run: str, **measures: float) -> None:
        """Write a run down: AUC from 0 to 1 by the name of the measure."""
        new = not self.file.exists()
        with self.file.open("a", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            if new:
                writer.writerow(_HEADER)
            for measure, value in measures.items():
                percent = round(100 * float(value), 3)
                writer.writerow((seed, run, measure, percent))
                self._keep(seed, run, measure, percent)
        shown = ", ".join(f"{name} {100 * float(value):.2f}" for name, value in measures.items())
        print(f"seed {seed}: {run}: {shown}", flush=True)

    @property
    def runs(self) -> list[str]:
        """Names in the order of the file."""
        return list(dict.fromkeys(run for run, _ in self.values))

    def _keep(self, seed: int, run: str, measure: str, value: float) -> None:
        self.values.setdefault((run, measure), {})[seed] = value


@dataclass(frozen=True)
class Claim:
    """What is expected: one run is at least as good as another, up to a tolerance in points of AUC.

    Attributes:
        better: name of a run.
        worse: name of another.
        measure: which is compared.
        tolerance: points by which the first may be worse.
        safe: whether it was expected to hold here, too; else it is only looked for.
        source: the paper and its table.
    """

    better: str
    worse: str
    measure: str
    tolerance: float = 0.0
    safe: bool = True
    source: str = ""


def spread(results: Results, run: str, measure: str) -> tuple[float, float, int]:
    """Mean, standard deviation and number of seeds."""
    values = np.array(list(results.values.get((run, measure), {}).values()))
    if not len(values):
        return float("nan"), float("nan"), 0
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"), len(values)


def difference(results: Results, better: str, worse: str, measure: str) -> tuple[float, float, int]:
    """Mean of the paired difference, its standard error, and the number of seeds that have both."""
    one, other = (results.values.get((run, measure), {}) for run in (better, worse))
    seeds: Sequence[int] = sorted(set(one) & set(other))
    gaps = np.array([one[seed] - other[seed] for seed in seeds])
    if len(gaps) < 2:
        return float("nan"), float("nan"), len(gaps)
    return float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps))), len(gaps)
