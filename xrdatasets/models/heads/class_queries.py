"""Models, step 3: findings as queries: a shared layer makes the weights of a finding from its query."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.heads.base import Head, check_count
from xrdatasets.models.heads.linear import check_features

__all__ = ["ClassQueryHead"]

_Init = Literal["linear", "paper"]
_Of = Literal["queries", "weights"]


class ClassQueryHead(Head):
    """Dynamic adapter: each finding is a learnable query, and one layer for all turns queries into weights.

    With queries q (L, L), the identity at the start, and a layer A (F, L) and b (F,) for all, the weights are

        W = q Aᵀ + 1 bᵀ        (L, F)

    and the logits of features e are e Wᵀ. There is no bias for each finding, and nothing depends on the image
    but e. Findings can be added later (`add_findings`), and how alike two of them are is read from their
    queries (`similarity`).

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        init: ``"paper"``: A and b from U(±1/√L), torch's default for this layer, with which the entries of W
            are about 12 times as large as those of a linear layer (L = 14, F = 1024). ``"linear"``: the same
            multiplied by √(L / 2F), with which W varies as the weights of ``torch.nn.Linear(F, L)`` do.

    Attributes:
        init: as given.
        queries: q, (L, L).
        weight: A, (F, L).
        bias: b, (F,).

    Raises:
        ValueError: a number is no whole number of at least 1, or an initialisation of another name.

    Source:
        Kang, Lu, Yuille, Zhou: Label-Assemble, ISBI 2023, and its earlier version, arXiv 2109.12265
        (Data-Assemble). The scale of ``"linear"`` is ours.

    Example:
        >>> head = ClassQueryHead(1024, 14)
        >>> head(torch.zeros(2, 1024)).shape
        torch.Size([2, 14])
        >>> sum(parameter.numel() for parameter in head.parameters())
        15556
        >>> head.add_findings(6).outputs
        20
    """

    kind: ClassVar[str] = "class_query"

    def __init__(self, in_features: int, outputs: int, *, init: _Init = "linear") -> None:
        super().__init__(in_features, outputs)
        if init not in get_args(_Init):
            msg = f"init: expected one of {get_args(_Init)}, got {init!r}."
            raise ValueError(msg)
        self.init = init
        self.queries = nn.Parameter(torch.eye(outputs))
        self.weight = nn.Parameter(torch.empty(in_features, outputs))
        self.bias = nn.Parameter(torch.empty(in_features))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -self._bound(), self._bound())

    def forward(self, features: Tensor) -> Tensor:
        """Logits of images.

        Args:
            features: (B, F) float.

        Returns:
            (B, L).

        Raises:
            ValueError: features of another shape or type.
        """
        check_features(features, self.in_features)
        return F.linear(features, self.weight_vectors())

    def weight_vectors(self) -> Tensor:
        """W, what the queries make: the weights of each finding.

        Returns:
            (L, F), with a gradient to queries and layer.
        """
        return F.linear(self.queries, self.weight, self.bias)

    def add_findings(self, count: int) -> ClassQueryHead:
        """A head with more findings, in which the old ones keep their logits.

        The old queries get a 0 in each new coordinate, a new finding the one-hot query of its own; the layer
        gets a new column for each, initialised as at the start. Old logits stay what they were up to the
        order of a sum.

        This head stays as it is, and so does an optimiser that holds its parameters: parameters that grew in
        place would leave it, unnoticed, with ones that no network uses any more. Put the new head in the old
        one's place (``network.head = network.head.add_findings(2)``) and make a new optimiser.

        Args:
            count: how many findings come behind the old ones.

        Returns:
            A new head on the same device, of the same type and mode; a parameter that was frozen is so in it.

        Raises:
            ValueError: `count` is no whole number of at least 1.

        Example:
            >>> head = ClassQueryHead(8, 2)
            >>> image = torch.ones(1, 8)
            >>> torch.allclose(head.add_findings(1)(image)[:, :2], head(image), atol=1e-6)
            True
        """
        check_count("count", count, least=1)
        grown = ClassQueryHead(self.in_features, self.outputs + count, init=self.init).to(self.weight)
        with torch.no_grad():
            grown.queries[: self.outputs, : self.outputs] = self.queries
            grown.weight[:, : self.outputs] = self.weight
            grown.bias.copy_(self.bias)
        for name, parameter in self.named_parameters():
            grown.get_parameter(name).requires_grad_(parameter.requires_grad)
        return grown.train(self.training)

    @torch.no_grad()
    def similarity(self, of: _Of = "queries") -> Tensor:
        """How alike findings are to the head: the cosine between each two of them.

        Args:
            of: ``"queries"``, which are all at right angles at the start, or ``"weights"``, the rows of W,
                which have b in common.

        Returns:
            (L, L) in [-1, 1], at least float32, without a gradient; 0 where a row is all 0.

        Raises:
            ValueError: `of` is neither.

        Source:
            Kang et al., ISBI 2023, who call the cosine between two queries a distance; larger is more alike.

        Example:
            >>> ClassQueryHead(1024, 3).similarity()
            tensor([[1., 0., 0.],
                    [0., 1., 0.],
                    [0., 0., 1.]])
        """
        if of not in get_args(_Of):
            msg = f"of: expected one of {get_args(_Of)}, got {of!r}."
            raise ValueError(msg)
        with torch.autocast(self.weight.device.type, enabled=False):
            rows = self.queries if of == "queries" else self.weight_vectors()
            rows = F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=1)
            return (rows @ rows.mT).clamp(-1, 1)

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return super().config() | {"init": self.init}

    def _bound(self) -> float:
        bound = 1 / math.sqrt(self.outputs)
        # W has twice the variance of A, and this brings it to that of U(±1/√F)
        return bound if self.init == "paper" else bound * math.sqrt(self.outputs / (2 * self.in_features))
