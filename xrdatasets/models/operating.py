"""Models, step 4: probabilities on the scale of their operating points."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["apply_operating_points"]


def apply_operating_points(probabilities: Tensor, points: Tensor) -> Tensor:
    """Move each finding's operating point to 0.5, by two straight lines.

    Args:
        probabilities: (…, L) float in [0, 1].
        points: (L,) float in [0, 1], NaN for none.

    Returns:
        (…, L) of the type of `probabilities`: p / 2t below the point t, 1 - (1 - p) / 2(1 - t) from there on;
        p itself where there is none. It rises with p, so that no ranking changes. With t = 0 only the upper
        line is left, with t = 1 only the lower one.

    Source:
        Cohen et al., "On the limits of cross-domain generalization in automated X-ray prediction", MIDL 2020,
        equation 1.

    Example:
        >>> apply_operating_points(torch.tensor([[0.0], [0.1], [0.2], [0.6], [1.0]]), torch.tensor([0.2])).T
        tensor([[0.0000, 0.2500, 0.5000, 0.7500, 1.0000]])
    """
    points = points.to(probabilities.dtype)
    known = ~points.isnan()
    # of a branch that is not taken, too, the gradient must be finite
    below = torch.where(known & (points > 0), points, 0.5)
    above = torch.where(known & (points < 1), points, 0.5)
    lower = probabilities / (2 * below)
    upper = 1 - (1 - probabilities) / (2 * (1 - above))
    # at t = 1 the lower line also holds at 1 itself, where there is no upper one
    mapped = torch.where((probabilities < points) | (points == 1), lower, upper)
    return torch.where(known, mapped, probabilities)
