"""Models, step 3: a branch for each finding: features that belong to that finding alone, and its logit."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.heads.base import Head, check_count
from xrdatasets.models.heads.linear import check_features, check_output

__all__ = ["BranchHead", "BranchOutput"]

_WIDTH = 128  # N' is not given in the paper; for 20 findings this is a third of DenseNet-121


class BranchOutput(NamedTuple):
    """What a `BranchHead` gives.

    Attributes:
        logits: (B, L).
        features: (B, L, N'), the vector of each finding, of which its logit is a linear function.
    """

    logits: Tensor
    features: Tensor


class BranchHead(Head):
    """Class branches: for each finding, two linear layers of its own, F to N' and N' to 1.

    Between them lies a vector that belongs to one finding, on which task-specific adversarial training works.
    All branches are computed as one matrix product: their first layers stacked are one of F to L · N'. A
    finding's logit reads no other finding's branch.

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        width: N', length of a finding's vector. The paper does not give it.
        activation: ``"relu"`` between the two layers, or None, so that the logit is linear in the image's
            vector and the branch only chooses the subspace that is aligned. The paper mentions none. The
            features are those after it.

    Attributes:
        width: as given.
        activation: as given.
        branch_weight: (L, N', F); branch c is initialised as ``torch.nn.Linear(F, N')``.
        branch_bias: (L, N').
        score_weight: (L, N'); branch c is initialised as ``torch.nn.Linear(N', 1)``.
        score_bias: (L,).

    Raises:
        ValueError: a number is no whole number of at least 1, or an activation of another name.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, section III (task-specific adversarial training).

    Example:
        >>> head = BranchHead(1024, 20)
        >>> logits, features = head(torch.zeros(2, 1024))
        >>> logits.shape, features.shape
        (torch.Size([2, 20]), torch.Size([2, 20, 128]))
        >>> sum(parameter.numel() for parameter in head.parameters())
        2626580
    """

    kind: ClassVar[str] = "branch"

    def __init__(
        self,
        in_features: int,
        outputs: int,
        *,
        width: int = _WIDTH,
        activation: Literal["relu"] | None = None,
    ) -> None:
        super().__init__(in_features, outputs)
        check_count("width", width, least=1)
        if activation not in (None, "relu"):
            msg = f"activation: expected None or 'relu', got {activation!r}."
            raise ValueError(msg)
        self.width, self.activation = width, activation
        self.branch_weight = _uniform(outputs, width, in_features, inputs=in_features)
        self.branch_bias = _uniform(outputs, width, inputs=in_features)
        self.score_weight = _uniform(outputs, width, inputs=width)
        self.score_bias = _uniform(outputs, inputs=width)

    def forward(self, features: Tensor) -> BranchOutput:
        """Logits of images, and the vector of each finding.

        Args:
            features: (B, F) float.

        Returns:
            Logits (B, L) and features (B, L, N'). Under autocast the product is computed in half precision,
            and the logits are summed up in float32.

        Raises:
            ValueError: features of another shape or type.
        """
        check_features(features, self.in_features)
        stacked = F.linear(features, self.branch_weight.flatten(0, 1), self.branch_bias.flatten())
        branches = stacked.reshape(-1, self.outputs, self.width)
        if self.activation == "relu":
            branches = F.relu(branches)
        return BranchOutput((branches * self.score_weight).sum(-1) + self.score_bias, branches)

    def logits(self, output: BranchOutput | Tensor) -> Tensor:
        """Log-odds of each finding.

        Args:
            output: what `forward` gave, or the logits of that.

        Returns:
            (B, L).

        Raises:
            ValueError: output of another shape.
        """
        logits = output.logits if isinstance(output, BranchOutput) else output
        check_output(logits, (self.outputs,))
        return logits

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return super().config() | {"width": self.width, "activation": self.activation}


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    """As `torch.nn.Linear` of so many inputs is initialised; nn.init would take L for a part of them."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
