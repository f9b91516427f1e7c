"""Training: losses for partial labels, and a plain loop."""

from xrdatasets.training.fitting import fit, predict_scores
from xrdatasets.training.losses import (
    Over,
    Reduction,
    masked_bce_with_logits,
    positive_weights,
    task_weights_cohen,
)

__all__ = [
    "Over",
    "Reduction",
    "fit",
    "masked_bce_with_logits",
    "positive_weights",
    "predict_scores",
    "task_weights_cohen",
]
