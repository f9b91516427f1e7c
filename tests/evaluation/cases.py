"""Codes of all four kinds and scores, for the tests of this room."""

import numpy as np

NAN = np.nan


def random_case(seed, shape, *, levels=None):
    """Codes and probabilities that know something of them; ties if there are few levels."""
    generator = np.random.default_rng(seed)
    codes = generator.choice([1.0, 0.0, -1.0, NAN], size=shape, p=[0.2, 0.5, 0.1, 0.2])
    logits = generator.normal(size=shape) * 2 + np.nan_to_num(codes)
    scores = 1 / (1 + np.exp(-logits))
    scores = scores if levels is None else np.round(scores * levels) / levels
    scores[generator.random(shape) < 0.03] = NAN
    return codes, scores


def known(codes, scores):
    """(truth, scores) of each finding, without what is left out."""
    for code, score in zip(codes.T, scores.T, strict=True):
        used = (code >= 0) & ~np.isnan(score)
        yield code[used], score[used]
