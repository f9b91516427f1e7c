"""Bootstrap intervals against a loop over scikit-learn, in one run: CPU time on a test set of NIH's shape.

    python benchmarks/evaluation.py [--replicates 1000] [--by-hand 3] [--turns 2] [--metric auc]

25,596 images (the official test list of NIH ChestX-ray14) of 2,797 patients and 14 findings, codes and
scores made at random with shares of positives like the release's. Both draw the same patients and run by
turns; the loop runs a few replicates, which are scaled to as many as ours. The two must give the same values.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from xrdatasets.evaluation import bootstrap

IMAGES, PATIENTS, FINDINGS = 25_596, 2_797, 14
REFERENCE: dict[str, Callable[..., float]] = {"auc": roc_auc_score, "ap": average_precision_score}


def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scores and patients; every patient has an image."""
    generator = np.random.default_rng(0)
    shares = np.geomspace(0.2, 0.003, FINDINGS)
    codes = (generator.random((IMAGES, FINDINGS)) < shares).astype(float)
    codes[generator.random(codes.shape) < 0.1] = np.nan
    scores = generator.normal(size=codes.shape) + np.nan_to_num(codes)
    more = generator.integers(PATIENTS, size=IMAGES - PATIENTS)
    return codes, scores, np.concatenate([np.arange(PATIENTS), more])


def by_hand(
    codes: np.ndarray, scores: np.ndarray, patients: np.ndarray, replicates: int, metric: str
) -> np.ndarray:
    """Draw patients, gather their images, ask scikit-learn finding by finding."""
    order = np.argsort(patients, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(patients))[:-1])
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(replicates):
        rows = np.concatenate([rows_of[number] for number in generator.integers(PATIENTS, size=PATIENTS)])
        known = ~np.isnan(codes[rows])
        samples.append(
            [
                REFERENCE[metric](codes[rows[used], finding], scores[rows[used], finding])
                for finding, used in enumerate(known.T)
            ]
        )
    return np.array(samples)


def seconds(run: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--by-hand", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--metric", choices=["auc", "ap"], default="auc")
    asked = parser.parse_args()
    codes, scores, patients = make()
    ours, theirs = [], []
    for _ in range(asked.turns):
        spent, found = seconds(
            lambda: bootstrap(
                codes, scores, groups=patients, replicates=asked.replicates, metric=asked.metric
            )
        )
        ours.append(spent)
        spent, want = seconds(lambda: by_hand(codes, scores, patients, asked.by_hand, asked.metric))
        theirs.append(spent * asked.replicates / asked.by_hand)
        np.testing.assert_allclose(found.samples[: asked.by_hand], want, rtol=0, atol=1e-12)
    mine, loop = statistics.median(ours), statistics.median(theirs)
    print(f"{IMAGES} images of {PATIENTS} patients, {FINDINGS} findings, {asked.replicates} replicates")
    print(f"metric                       {asked.metric:>8}")
    print(f"bootstrap                    {mine:8.1f} s of CPU")
    print(f"scikit-learn loop, scaled    {loop:8.1f} s of CPU ({asked.by_hand} replicates measured)")
    print(f"ratio                        {loop / mine:8.1f}")


if __name__ == "__main__":
    main()
