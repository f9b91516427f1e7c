"""Models, step 3: a weight vector for each dataset and finding: what a dataset means by a finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xrdatasets.models.heads.base import Head
from xrdatasets.models.heads.linear import add_linear, check_features, check_output

__all__ = ["PerDatasetHead"]


class PerDatasetHead(Head):
    """One logit for each dataset and finding: each dataset has its own notion of a finding.

    An image of dataset d is trained on row d alone. How far the weight vectors of a finding lie apart is how
    far the datasets' notions do (`weight_vectors`), and a penalty on that brings them together. What the head
    says of a finding is the mean over the datasets that it was trained on.

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        datasets: D names, in the order of the rows.
        trained: (D, L) bool, whether the dataset labels the finding; None: all.
        bias: whether each row has a number of its own added.

    Attributes:
        datasets: as given, a tuple.
        weight: (D, L, F), initialised as `torch.nn.Linear`; flattened, its rows lie as in Cohen 2020's code,
            all findings of a dataset together.
        bias: (D, L), None without.
        trained: (D, L) bool, saved with the weights.

    Raises:
        ValueError: a number is no whole number of at least 1, datasets that are not different names, or a
            mask of another shape or type.

    Source:
        Cohen et al., MIDL 2020, and its code (ieee8023/xray-generalization), whose penalty on the distances
        reads the weights and no bias.

    Example:
        >>> trained = [[True, True], [True, False]]
        >>> head = PerDatasetHead(1024, 2, datasets=["nih", "padchest"], trained=trained)
        >>> head(torch.zeros(3, 1024)).shape
        torch.Size([3, 2, 2])
        >>> head.logits(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))  # the second finding: of nih alone
        tensor([[2., 2.]])
    """

    kind: ClassVar[str] = "per_dataset"
    weight: nn.Parameter
    bias: nn.Parameter | None
    trained: Tensor

    def __init__(
        self,
        in_features: int,
        outputs: int,
        *,
        datasets: Sequence[str],
        trained: Tensor | npt.ArrayLike | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(in_features, outputs)
        self.datasets = _names(datasets)
        shape = (len(self.datasets), outputs)
        add_linear(self, shape, bias=bias)
        self.register_buffer("trained", _mask(trained, shape))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of images by every dataset's notion.

        Args:
            features: (B, F) float.

        Returns:
            (B, D, L).

        Raises:
            ValueError: features of another shape or type.
        """
        check_features(features, self.in_features)
        bias = None if self.bias is None else self.bias.flatten()
        rows = F.linear(features, self.weight.flatten(0, 1), bias)
        return rows.reshape(-1, len(self.datasets), self.outputs)

    def logits(self, output: Tensor) -> Tensor:
        """Log-odds of each finding: the mean logit over the datasets that it was trained on.

        Args:
            output: (B, D, L), what `forward` gave. Rows that were not trained are not read.

        Returns:
            (B, L); 0, which says nothing, for a finding that no dataset has. A `Classifier` whose `trained`
            leaves it out gives NaN for it.

        Raises:
            ValueError: output of another shape.
        """
        check_output(output, (len(self.datasets), self.outputs))
        share = self.trained / self.trained.sum(0).clamp(min=1)
        return (torch.where(self.trained, output, 0.0) * share.to(output.dtype)).sum(1)

    def weight_vectors(self) -> Tensor:
        """The weights of each dataset and finding.

        Returns:
            (D, L, F): the parameter itself, so that a penalty on it has a gradient.
        """
        return self.weight

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        own = {"datasets": list(self.datasets), "trained": self.trained.tolist()}
        return super().config() | own | {"bias": self.bias is not None}


def _names(datasets: object) -> tuple[str, ...]:
    if (
        isinstance(datasets, str)
        or not isinstance(datasets, Sequence)
        or not datasets
        or not all(isinstance(name, str) and name for name in datasets)
        or len(set(datasets)) != len(datasets)
    ):
        msg = f"datasets: expected at least one name, each once, got {datasets!r}."
        raise ValueError(msg)
    return tuple(datasets)


def _mask(trained: Tensor | npt.ArrayLike | None, shape: tuple[int, int]) -> Tensor:
    if trained is None:
        return torch.ones(shape, dtype=torch.bool, device="cpu")
    try:
        mask = trained.clone() if isinstance(trained, Tensor) else torch.tensor(trained, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:  # what torch makes of a ragged or odd list
        msg = f"trained: expected a bool array of shape {shape}, got {trained!r}."
        raise ValueError(msg) from error
    if mask.dtype != torch.bool or mask.shape != shape:
        got = f"{str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}"
        msg = f"trained: expected a bool array of shape {shape}, datasets by findings, got {got}."
        raise ValueError(msg)
    return mask
