"""Models, step 3: findings that are kinds of others: probabilities as products along a tree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from xrdatasets.models.heads.linear import LinearHead, check_output

if TYPE_CHECKING:
    from typing import Self

    from xrdatasets.labels import Tree
    from xrdatasets.labels.spaces import SpaceLike

__all__ = ["ConditionalHead", "parents_in", "path_matrix", "tree_log_complements", "tree_log_probabilities"]

_ROOT = -1


class ConditionalHead(LinearHead):
    """One conditional logit for each finding: how likely it is where its parent is present.

    The probability of a finding is the product of the conditional ones along its path from the root, so that
    a child is never more likely than its parent. Roots stay as they are. `forward` gives the conditional
    logits, on which conditional training computes its loss; `probabilities` and `logits` follow the tree.

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.
        parents: (L,) position of each finding's parent, -1 for a root.
        bias: whether each finding has a number of its own added.

    Attributes:
        parents: as given, a tuple.
        weight: (L, F), as that of `LinearHead`: the weights of either fit the other.
        bias: (L,), None without.
        paths: (L, L) bool, `path_matrix` of the parents; not saved, it follows from them.

    Raises:
        ValueError: a number is no whole number of at least 1, or parents that make no tree.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), Eqs. 3 and 4.

    Example:
        >>> head = ConditionalHead(1024, 3, parents=[-1, 0, 1])  # a chain
        >>> conditional = torch.logit(torch.tensor([[0.9, 0.8, 0.7]]))
        >>> head.probabilities(conditional)
        tensor([[0.9000, 0.7200, 0.5040]])
        >>> ConditionalHead.for_space(1024, "chexpert14").parents
        (-1, -1, 1, -1, 3, 3, 3, 6, 3, -1, -1, -1, -1, -1)
    """

    kind: ClassVar[str] = "conditional"
    paths: Tensor

    def __init__(self, in_features: int, outputs: int, *, parents: Sequence[int], bias: bool = True) -> None:
        super().__init__(in_features, outputs, bias=bias)
        paths = path_matrix(parents)
        if len(paths) != outputs:
            msg = f"parents: expected one for each of the {outputs} outputs, got {len(paths)}."
            raise ValueError(msg)
        self.parents = tuple(int(parent) for parent in parents)
        self.register_buffer("paths", paths, persistent=False)

    @classmethod
    def for_space(
        cls, in_features: int, space: SpaceLike, tree: str | Tree = "irvin2019", *, bias: bool = True
    ) -> Self:
        """The head for the findings of a space.

        Args:
            in_features: length F of an image's vector.
            space: a label space, its name, or findings in order.
            tree: a hierarchy or its name; see `parents_in`.
            bias: whether each finding has a number of its own added.

        Returns:
            A head with as many outputs as the space has findings.

        Raises:
            LabelNotFoundError: there is no such space, finding or hierarchy.
            ValueError: as for the class.
        """
        parents = parents_in(space, tree)
        return cls(in_features, len(parents), parents=parents, bias=bias)

    def logits(self, output: Tensor) -> Tensor:
        """Log-odds of each finding, whatever its parent.

        Args:
            output: (B, L), what `forward` gave.

        Returns:
            (B, L), at least float32: log p - log(1 - p), finite wherever the conditional logits are.

        Raises:
            ValueError: output of another shape.
        """
        check_output(output, (self.outputs,))
        return tree_log_probabilities(output, self.paths) - tree_log_complements(output, self.paths)

    def probabilities(self, output: Tensor) -> Tensor:
        """Probability of each finding: the product along its path.

        Args:
            output: (B, L), what `forward` gave.

        Returns:
            (B, L) in [0, 1], at least float32; a child's is at most its parent's.

        Raises:
            ValueError: output of another shape.
        """
        check_output(output, (self.outputs,))
        return tree_log_probabilities(output, self.paths).exp()

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return super().config() | {"parents": list(self.parents)}


def parents_in(space: SpaceLike, tree: str | Tree = "irvin2019") -> tuple[int, ...]:
    """Where the parent of each finding stands in a space.

    A parent that the space lacks is skipped: the next of its ancestors that is there takes its place, and a
    finding that has none is a root. So is one that the tree does not name.

    Args:
        space: a label space, its name, or findings in order.
        tree: a hierarchy or its name: ``irvin2019`` or ``luo2020``.

    Returns:
        (L,) positions, -1 for a root.

    Raises:
        LabelNotFoundError: there is no such space, finding or hierarchy.

    Example:
        >>> parents_in(["Lung Opacity", "Consolidation", "Pneumonia"])
        (-1, 0, 1)
        >>> parents_in(["Lung Opacity", "Pneumonia"])
        (-1, 0)
    """
    from xrdatasets.labels import LabelSpace, Tree  # here: it brings pandas

    labels = LabelSpace.of(space).labels
    chosen = tree if isinstance(tree, Tree) else Tree.load(tree)
    above = ([name for name in chosen.ancestors(label) if name in labels] for label in labels)
    return tuple(labels.index(names[0]) if names else _ROOT for names in above)


def path_matrix(parents: Sequence[int]) -> Tensor:
    """Which findings lie on the path from the root to each finding, itself included.

    Args:
        parents: (L,) position of each finding's parent, -1 for a root.

    Returns:
        (L, L) bool: [k, j] where j lies on the path to k.

    Raises:
        ValueError: there are none, one is no position, or a finding lies below itself.

    Example:
        >>> path_matrix([-1, 0, 1]).int()
        tensor([[1, 0, 0],
                [1, 1, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    _check_positions(parents)
    rows = []
    for finding in range(len(parents)):
        path, at = [finding], parents[finding]
        while at != _ROOT:
            if at in path:
                msg = f"parents: expected a tree, got a circle: {' below '.join(map(str, [*path, at]))}."
                raise ValueError(msg)
            path.append(at)
            at = parents[at]
        rows.append([other in path for other in range(len(parents))])
    return torch.tensor(rows, device="cpu")  # a matrix of facts, also where modules are made on "meta"


def tree_log_probabilities(logits: Tensor, paths: Tensor) -> Tensor:
    """Log-probability of each finding from conditional logits.

        log p_k = Σ_{j on the path to k} log sigmoid(z_j)

    A child's is at most its parent's.

    Args:
        logits: (..., L) conditional logits z; half precision is computed in float32, in and out of autocast.
        paths: (L, L) bool of `path_matrix`, same device.

    Returns:
        (..., L), at most 0, float32, or float64 where the logits are.

    Raises:
        ValueError: shapes that do not fit, or paths that are not bool.

    Source:
        Pham et al., Neurocomputing 437, 2021 (arXiv 1911.06475), Eqs. 3 and 4.

    Example:
        >>> tree_log_probabilities(torch.full((3,), -50.0), path_matrix([-1, 0, 1]))
        tensor([ -50., -100., -150.])
    """
    return _along(_log_sigmoid(_checked(logits, paths)), paths)


def tree_log_complements(logits: Tensor, paths: Tensor) -> Tensor:
    """Log-probability that a finding is absent, from conditional logits: log(1 - p_k).

    Where p is below 1/2 it is log1p(-p). Where p is near 1 that would be the difference of two equal numbers,
    and log(1 - p) of p = 1 has no finite gradient; so the ways in which a path can break, at its first
    finding, at its second, …, are added up instead, none of which is negative:

        1 - p_k = Σ_{j on the path to k} p_parent(j) · sigmoid(-z_j)

    Args:
        logits: (..., L) conditional logits z; half precision is computed in float32, in and out of autocast.
        paths: (L, L) bool of `path_matrix`, same device.

    Returns:
        (..., L), at most 0, float32, or float64 where the logits are. It and its gradient are finite for
        finite logits.

    Raises:
        ValueError: shapes that do not fit, or paths that are not bool.

    Source:
        Chen et al., MIDL 2019 (PMLR 102:109-120), for the cross-entropy of a product; the sum near 1 is ours.

    Example:
        >>> chain = path_matrix([-1, 0, 1])
        >>> tree_log_complements(torch.full((3,), -50.0, dtype=torch.float64), chain)[2].item()
        -7.175095973164411e-66
        >>> tree_log_complements(torch.full((3,), 200.0), chain)  # -200, + log 2, + log 3
        tensor([-200.0000, -199.3069, -198.9014])
    """
    logits = _checked(logits, paths)
    steps = _log_sigmoid(logits)
    itself = torch.eye(len(paths), dtype=torch.bool, device=paths.device)
    breaks = _along(steps, paths & ~itself) + _log_sigmoid(-logits)
    near_one = torch.where(paths, breaks.unsqueeze(-2), -torch.inf).logsumexp(-1)
    whole = _along(steps, paths)
    small = whole < -math.log(2)
    # the branch that is not taken still has a gradient: a harmless number goes into it
    return torch.where(small, torch.log1p(-torch.where(small, whole, -1.0).exp()), near_one)


def _log_sigmoid(logits: Tensor) -> Tensor:
    """As torch's, which becomes Log(Sigmoid(z)) in ONNX: -inf from z = -104 on."""
    return torch.minimum(logits, torch.zeros_like(logits)) - torch.log1p(torch.exp(-logits.abs()))


def _along(steps: Tensor, paths: Tensor) -> Tensor:
    """Sums along paths: chosen and added, because a matrix product may round to half precision."""
    return torch.where(paths, steps.unsqueeze(-2), 0.0).sum(-1)


def _checked(logits: object, paths: object) -> Tensor:
    if not isinstance(paths, Tensor) or paths.dtype != torch.bool or paths.ndim != 2:
        msg = (
            f"paths: expected what path_matrix gives, a bool tensor of shape (L, L), got {_described(paths)}."
        )
        raise ValueError(msg)
    if (
        not isinstance(logits, Tensor)
        or not logits.is_floating_point()
        or logits.ndim == 0
        or paths.shape != (logits.shape[-1], logits.shape[-1])
    ):
        msg = f"logits: expected a float tensor of shape (..., {len(paths)}), got {_described(logits)}."
        raise ValueError(msg)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _check_positions(parents: object) -> None:
    if isinstance(parents, str) or not isinstance(parents, Sequence) or not parents:
        msg = f"parents: expected one position for each finding, got {parents!r}."
        raise ValueError(msg)
    for finding, parent in enumerate(parents):
        whole = isinstance(parent, int) and not isinstance(parent, bool)
        if not whole or not _ROOT <= parent < len(parents):
            msg = (
                f"parents: expected positions from 0 to {len(parents) - 1}, or -1 for a root, "
                f"got {parent!r} for finding {finding}."
            )
            raise ValueError(msg)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__
