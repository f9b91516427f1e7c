"""Tables of what was measured, as they stand in ``docs/experiments.md``.

``python -m benchmarks.experiments.report``: for each experiment the mean and standard deviation over seeds of
each run, then each expectation with the paired difference, its standard error, and whether it holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.experiments import (
    assemble_digits,
    digit_pairs,
    luo_digits,
    novel_digit,
    phantom_hospitals,
    phantom_tree,
)
from benchmarks.experiments.results import Claim, Results, difference, spread

__all__ = ["EXPERIMENTS", "appears", "claims_table", "holds", "means_table"]

_HOSPITALS = tuple(claim for claims in phantom_hospitals.CLAIMS.values() for claim in claims)
EXPERIMENTS: dict[str, tuple[str, Sequence[Claim]]] = {
    "luo_digits": (luo_digits.FILE, luo_digits.CLAIMS),
    **{
        f"assemble_digits {name}": (each.file, each.claims)
        for name, each in assemble_digits.PROTOCOLS.items()
    },
    "phantom_hospitals": (phantom_hospitals.FILE, _HOSPITALS),
    "phantom_tree": (phantom_tree.FILE, phantom_tree.CLAIMS),
    "novel_digit": (novel_digit.FILE, novel_digit.CLAIMS),
    "digit_pairs": (digit_pairs.FILE, digit_pairs.CLAIMS),
}
"""File of results and expectations of each experiment."""


def holds(mean: float, error: float, tolerance: float) -> bool:
    """Whether a difference is at least -tolerance, within two standard errors."""
    return mean + 2 * error >= -tolerance


def appears(mean: float, error: float) -> str:
    """Which direction a difference has, and whether it is beyond two standard errors."""
    direction = "yes" if mean > 0 else "no"
    return f"{direction}{'' if abs(mean) > 2 * error else ', within 2 SE'}"


def means_table(results: Results) -> list[str]:
    """Rows of markdown: run, then mean ± standard deviation of each measure."""
    measures = list(dict.fromkeys(measure for _, measure in results.values))
    lines = [f"| run | {' | '.join(measures)} | seeds |", "| --- |" + " --- |" * (len(measures) + 1)]
    for run in results.runs:
        found = [spread(results, run, measure) for measure in measures]
        shown = [f"{mean:.2f} ± {sd:.2f}" if count else "" for mean, sd, count in found]
        lines.append(f"| {run} | {' | '.join(shown)} | {max(count for *_, count in found)} |")
    return lines


def claims_table(results: Results, claims: Sequence[Claim]) -> list[str]:
    """Rows of markdown: expectation, difference ± standard error, whether it appears, whether it holds."""
    lines = [
        "| expected | of | difference ± SE | appears | safe assertion holds | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for claim in claims:
        mean, error, count = difference(results, claim.better, claim.worse, claim.measure)
        slack = f" - {claim.tolerance:g}" if claim.tolerance else ""
        text = f"{claim.better} ≥ {claim.worse}{slack}"
        if count < 2:
            lines.append(f"| {text} | {claim.measure} | not run | | | {claim.source} |")
            continue
        safe = ("yes" if holds(mean, error, claim.tolerance) else "**no**") if claim.safe else "none made"
        shown = f"{mean:+.2f} ± {error:.2f}"
        lines.append(
            f"| {text} | {claim.measure} | {shown} | {appears(mean, error)} | {safe} | {claim.source} |"
        )
    return lines


def main() -> None:
    """Print all tables."""
    for name, (file, claims) in EXPERIMENTS.items():
        results = Results(file)
        print(f"\n## {name}\n")
        print("\n".join([*means_table(results), "", *claims_table(results, claims)]))


if __name__ == "__main__":
    main()
