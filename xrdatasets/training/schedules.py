"""Training, step 4: how the learning rate falls, and when to stop."""

from __future__ import annotations

import math
from typing import Any

from xrdatasets.training.recipe import Recipe

__all__ = ["Waiting", "rate_factor"]


def rate_factor(recipe: Recipe, epoch: int) -> float:
    """What the first learning rate is multiplied by in an epoch, under ``"steps"``.

    The second stage of conditional training begins anew, as a training of its own.

    Args:
        recipe: its section ``optimiser``, and the stages of ``conditional`` for that head.
        epoch: from 0.

    Returns:
        The factor; 1 under the other schedules.

    Example:
        >>> [round(rate_factor(Recipe.load("luo2020"), epoch), 9) for epoch in range(8)]
        [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01]
    """
    plan = recipe.optimiser
    if plan.schedule != "steps":
        return 1.0
    first = recipe.conditional.first if recipe.model.head == "conditional" else 0
    done = epoch - first if 0 < first <= epoch else epoch
    return plan.factor ** sum(milestone <= done for milestone in plan.milestones)


class Waiting:
    """Counts epochs without a rise.

    Args:
        patience: so many epochs without a rise are waited through; the next one is one too many.

    Attributes:
        best: the highest value so far; NaN, where nothing is defined, is none and counts as no rise.
        waited: epochs since then.

    Example:
        >>> waiting = Waiting(1)
        >>> [waiting.over(value) for value in (0.6, 0.5, 0.7, 0.7, 0.6)]
        [False, False, False, False, True]
    """

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.waited = patience, -math.inf, 0

    def over(self, value: float) -> bool:
        """Whether this value is one without a rise too many; then the count begins anew.

        Args:
            value: of this epoch.
        """
        if value > self.best:
            self.best, self.waited = value, 0
            return False
        self.waited += 1
        if self.waited <= self.patience:
            return False
        self.waited = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
