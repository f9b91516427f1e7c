"""How long ``import xrdatasets`` and ``xrdatasets --help`` take in a fresh process.

``python benchmarks/import_time.py [RUNS]`` prints medians beside the limits that hold on a desktop core. The
start of Python itself is printed too; it is part of both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "python": (["-c", "pass"], None),
    "import xrdatasets": (["-c", "import xrdatasets"], 100),
    "xrdatasets --help": (["-m", "xrdatasets", "--help"], 300),
}


def median_ms(arguments: list[str], runs: int) -> float:
    """Median wall time of a fresh process in milliseconds; the first run, which fills caches, is left out."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])


def main(runs: int = 15) -> int:
    """Print a line for each case; 1 if a limit is broken."""
    broken = 0
    for name, (arguments, limit) in CASES.items():
        found = median_ms(arguments, runs)
        verdict = "" if limit is None else f"  limit {limit} ms: {'kept' if found < limit else 'BROKEN'}"
        broken += limit is not None and found >= limit
        print(f"{name:20}{found:7.0f} ms{verdict}")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
