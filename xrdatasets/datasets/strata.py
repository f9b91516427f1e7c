"""Datasets, step 5: patients dealt to parts so that each part gets its share of every finding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["stratified"]

Numbers = npt.NDArray[np.float64]
Parts = npt.NDArray[np.intp]

# The exchange stops by itself, as a rule after some hundred moves. It looks at so many patients of each
# finding: with 500, parts of a hundredth of NIH's 30,805 patients missed their shares by up to 24 images,
# with 2,000 by 1.
MOST_MOVES, LOOKED_AT = 5000, 2000
SIZES = 0.25  # what images and patients count for: one of them too many is no harm


def stratified(counts: Numbers, sizes: npt.NDArray[np.intp], draws: Numbers) -> Parts:
    """(M,) part of each patient.

    First the patients are dealt: those with the rarest finding first, among them those with most images of
    it, then those with the next rarest of the rest, and so on, to each part in turn as its size demands. Then
    single patients move to other parts as long as that brings the numbers nearer to what they should be (in
    the sum of squares over what is expected, as in Pearson's chi-squared; images and patients as such count
    a quarter, so that a part takes one too many rather than miss a finding, and gives back one without).

    Args:
        counts: (K, M) images of each patient with each finding; the last row counts all its images.
        sizes: (P,) patients of each part, adding up to M.
        draws: (M,) random number of each patient, which orders those who are alike.
    """
    having = counts > 0
    rarity = np.argsort(having.sum(axis=1), kind="stable")
    rarest = having[rarity].argmax(axis=0)
    most = counts[rarity][rarest, np.arange(len(draws))]
    order = np.lexsort((draws, -most, rarest))
    part = np.empty(len(draws), dtype=np.intp)
    part[order] = _dealt(sizes)
    looked = _looked_at(having, draws)
    share = sizes / sizes.sum()
    per_patient = np.append(counts, np.ones((1, counts.shape[1])), axis=0)
    expected = per_patient.sum(axis=1)[:, np.newaxis] * share
    there = np.stack([np.bincount(part, row, len(sizes)) for row in per_patient])
    useful = expected[:, 0] > 0
    part[looked] = _exchanged(part[looked], per_patient[useful][:, looked], there[useful], expected[useful])
    return part


def _dealt(sizes: npt.NDArray[np.intp]) -> Parts:
    """Numbers of parts, each as often as its size, spread as evenly as can be over any stretch.

    Each part asks for its patients at even distances of time; whoever asks next gets the next patient.
    """
    times = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    parts = np.repeat(np.arange(len(sizes)), sizes)
    return parts[np.argsort(times, kind="stable")]


def _looked_at(having: npt.NDArray[np.bool_], draws: Numbers) -> Parts:
    """The patients that may move: of each finding, and of all, the first by their draws; in that order."""
    order = np.argsort(draws, kind="stable")
    chosen = [order[np.flatnonzero(group[order])[:LOOKED_AT]] for group in having]
    looked = np.unique(np.concatenate(chosen))
    return looked[np.argsort(draws[looked], kind="stable")]


def _exchanged(part: Parts, counts: Numbers, there: Numbers, expected: Numbers) -> Parts:
    """Parts of the patients after the moves: in each the patient and the part that gain most.

    Args:
        part: (C,) of the patients that may move.
        counts: (K, C) what each of them brings.
        there: (K, P) what each part has.
        expected: (K, P) what it should have.
    """
    part, there = part.copy(), there.copy()
    everyone = np.arange(len(part))
    weight = np.where(np.arange(len(counts)) < len(counts) - 2, 1, SIZES)[:, np.newaxis] / expected
    squares = _weighed(counts * counts, weight)  # (P, C)
    slopes = _weighed(counts, 2 * (there - expected) * weight)
    for _ in range(MOST_MOVES):
        change = slopes + squares + (squares - slopes)[part, everyone]
        change[part, everyone] = 0
        change[:, there[-1, part] <= 1] = 0  # the last patient of a part stays
        target, who = np.unravel_index(np.argmin(change), change.shape)
        if change[target, who] >= -1e-9:
            break
        both = [part[who], target]
        there[:, both] += counts[:, [who]] * [-1, 1]
        part[who] = target
        slopes[both] = _weighed(counts, (2 * (there - expected) * weight)[:, both])
    return part


def _weighed(counts: Numbers, weights: Numbers) -> Numbers:
    """(P, C) sums of counts by weights (K, P), term by term: the same on every machine."""
    out = np.zeros((weights.shape[1], counts.shape[1]))
    for count, weight in zip(counts, weights, strict=True):
        out += weight[:, np.newaxis] * count
    return out
