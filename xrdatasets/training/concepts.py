"""Training: what a network takes a finding to be: by dataset, beside other findings, and when it is new."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy.typing as npt
import torch
from torch import Tensor

from xrdatasets.models.heads.base import check_count
from xrdatasets.training.assemble import check_probabilities
from xrdatasets.training.weights import (
    POSITIVE,
    as_tensor,
    check_choice,
    check_number,
    check_targets,
    described,
)

__all__ = ["Novelty", "Rows", "alignment_penalty", "class_similarity", "expand_targets", "novelty_scores"]

Novelty = Literal["max", "sum", "entropy"]
Rows = Literal["labelled", "all"]


def alignment_penalty(
    weight_vectors: Tensor,
    trained: Tensor | npt.NDArray[Any],
    *,
    strength: float = 0.1,
    rows: Rows = "labelled",
) -> Tensor:
    """How far apart the datasets' notions of a finding are, to be added to the loss of each step.

    With W_dc the weight vector of dataset d for finding c,

        R = strength · Σ_c mean over pairs d < d' of ‖W_dc - W_d'c‖₂

    the Euclidean distance, not its square. A pair whose vectors coincide has a gradient of 0.

    Args:
        weight_vectors: (D, L, F), `PerDatasetHead.weight_vectors()`. Half precision is computed in float32.
        trained: (D, L) bool, whether the dataset labels the finding: `PerDatasetHead.trained`.
        strength: at least 0; 0.1 in the paper's code.
        rows: ``"labelled"``: pairs of which both are trained, and findings without one are skipped;
            ``"all"``: every pair, as the paper's code does, which draws vectors without labels to the others.

    Returns:
        A scalar, float32 or float64 where the vectors are; 0 with a graph where there is no pair.

    Raises:
        ValueError: shapes that do not fit, a strength that is negative or not finite, `rows` of another name.

    Source:
        Cohen et al., MIDL 2020, and its code (ieee8023/xray-generalization).

    Example:
        >>> vectors = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]]])  # two datasets, one finding
        >>> alignment_penalty(vectors, torch.ones(2, 1, dtype=torch.bool))
        tensor(0.5000)
    """
    check_number("strength", strength, least=0.0)
    check_choice("rows", rows, get_args(Rows))
    vectors, mask = _checked(weight_vectors, trained)
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1, device=vectors.device)
    counted = mask[first] & mask[second] if rows == "labelled" else torch.ones_like(mask[first])
    apart = torch.where(counted.unsqueeze(-1), vectors[first] - vectors[second], 0.0).square().sum(-1)
    # the root of 0 has no finite gradient: where vectors coincide a harmless number goes in
    same = apart == 0
    distances = torch.where(same, 0.0, torch.where(same, 1.0, apart).sqrt())
    return strength * (distances.sum(0) / counted.sum(0).clamp(min=1)).sum()


def expand_targets(targets: Tensor, source: Tensor, datasets: int) -> Tensor:
    """Targets of each dataset's own findings: an image of dataset d has a target in row d alone.

    Flattened they are the targets for a head that gives (B, D, L)::

        loss = masked_bce_with_logits(
            head(features).flatten(1), expand_targets(targets, source, datasets).flatten(1), reduction="cohen"
        )

    with column d · L + c for dataset d and finding c, as in the paper's code. A weight of each finding is
    there ``weight.repeat(datasets)``.

    Args:
        targets: (B, L) in [0, 1], NaN unknown.
        source: (B,) whole numbers, the row of the dataset that each image is from; same device. The values
            are checked, except under ``torch.compile``.
        datasets: number D of datasets.

    Returns:
        (B, D, L), float32 or in the type of the targets: NaN in the rows of the other datasets.

    Raises:
        ValueError: shapes or types that do not fit, or a source that is not from 0 to D - 1.

    Source:
        Cohen et al., MIDL 2020, and its code (``label_concat``).

    Example:
        >>> expand_targets(torch.tensor([[0.0, 1.0], [1.0, torch.nan]]), torch.tensor([0, 1]), 2)
        tensor([[[0., 1.],
                 [nan, nan]],
        <BLANKLINE>
                [[nan, nan],
                 [1., nan]]])
    """
    check_count("datasets", datasets, least=1)
    values = _with_nan(targets)
    _check_source(source, len(values), datasets)
    own = source.unsqueeze(1) == torch.arange(datasets, device=source.device)
    return torch.where(own.unsqueeze(-1), values.unsqueeze(1), torch.nan)


def class_similarity(features: Tensor, targets: Tensor | npt.NDArray[Any]) -> Tensor:
    """How alike findings look to a network: the cosine of their mean features, seen from the mean of all.

    With μ_c the mean feature of the images that have finding c, and μ that of all images,

        S_cd = cos(μ_c - μ, μ_d - μ)

    Without the shift all findings are alike, because features of images are.

    Args:
        features: (N, F) float, of all images (`Network.features`).
        targets: (N, L) in [0, 1], NaN unknown; at least 0.5 is positive. A tensor or an array.

    Returns:
        (L, L) float64 in [-1, 1]; NaN for a finding that no image has, or whose mean is that of all.

    Raises:
        ValueError: shapes or types that do not fit.

    Source:
        Data-Assemble (arXiv 2109.12265), section 5.5, which calls it a distance: larger is more alike.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 4.0]])
        >>> targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> class_similarity(features, targets)
        tensor([[ 1., -1.],
                [-1.,  1.]], dtype=torch.float64)
    """
    known = check_targets(as_tensor(targets))
    vectors = _checked_features(features, len(known))
    positive = (known >= POSITIVE).to(vectors.device)
    centre = vectors.mean(0, dtype=torch.float64)
    means = [vectors[of_class].mean(0, dtype=torch.float64) - centre for of_class in positive.T]
    shifted = torch.stack(means) if means else vectors.new_zeros((0, vectors.shape[1]), dtype=torch.float64)
    unit = shifted / shifted.norm(dim=1, keepdim=True)
    cosines: Tensor = unit @ unit.T
    return cosines.clamp(-1, 1)


def novelty_scores(probabilities: Tensor, *, kind: Novelty = "max") -> Tensor:
    """How likely an image has what the network was never taught: high where it is sure of nothing.

    With the probabilities a_c of an image:

    =========== ============================================ ==============================
    kind        score                                        high where
    =========== ============================================ ==============================
    ``max``     1 - max_c a_c                                no finding is likely
    ``sum``     -Σ_c a_c                                     few findings are likely
    ``entropy`` -Σ_c [a_c ln a_c + (1 - a_c) ln(1 - a_c)]    many findings are in doubt
    =========== ============================================ ==============================

    The AUC of a novel finding is that of these scores: ``xrdatasets.evaluation.auc(novel, scores)``.

    Args:
        probabilities: (N, L) in [0, 1]; NaN, an output that was never trained, is left out.
        kind: see the table. The papers do not say which score they take.

    Returns:
        (N,), float32 or float64; NaN where all are NaN.

    Raises:
        ValueError: no such tensor, or a kind of another name.

    Source:
        Data-Assemble (arXiv 2109.12265), for the task; the scores are ours.

    Example:
        >>> from xrdatasets.evaluation import auc
        >>> scores = novelty_scores(torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.6, 0.7], [0.1, 0.05]]))
        >>> scores
        tensor([0.1000, 0.7000, 0.3000, 0.9000])
        >>> auc([0, 1, 0, 1], scores)
        1.0
    """
    check_choice("kind", kind, get_args(Novelty))
    shares = check_probabilities("probabilities", probabilities)
    if shares.ndim != 2 or not shares.shape[1]:
        msg = f"probabilities: expected the shape (N, L), at least one finding, got {tuple(shares.shape)}."
        raise ValueError(msg)
    nothing = shares.isnan().all(1)
    if kind == "max":
        scores = 1 - shares.nan_to_num(0.0).amax(1)
    elif kind == "sum":
        scores = -shares.nansum(1)
    else:
        scores = (torch.special.entr(shares) + torch.special.entr(1 - shares)).nansum(1)
    return torch.where(nothing, torch.nan, scores)


def _with_nan(targets: object) -> Tensor:
    """Targets in a type that has a NaN."""
    if not isinstance(targets, Tensor) or targets.ndim != 2 or targets.is_complex():
        msg = f"targets: expected a real tensor of shape (B, L), got {described(targets)}."
        raise ValueError(msg)
    return targets if targets.is_floating_point() else targets.to(torch.float32)


def _check_source(source: object, count: int, datasets: int) -> None:
    whole = isinstance(source, Tensor) and not source.is_floating_point() and not source.is_complex()
    if not isinstance(source, Tensor) or not whole or source.dtype == torch.bool or source.shape != (count,):
        msg = f"source: expected whole numbers of shape ({count},), got {described(source)}."
        raise ValueError(msg)
    if not torch.compiler.is_compiling() and ((source < 0) | (source >= datasets)).any():
        msg = f"source: expected rows from 0 to {datasets - 1}, got {source.min()} to {source.max()}."
        raise ValueError(msg)


def _checked(weight_vectors: object, trained: object) -> tuple[Tensor, Tensor]:
    if (
        not isinstance(weight_vectors, Tensor)
        or weight_vectors.ndim != 3
        or not weight_vectors.is_floating_point()
    ):
        msg = f"weight_vectors: expected a float tensor of shape (D, L, F), got {described(weight_vectors)}."
        raise ValueError(msg)
    mask, shape = as_tensor(trained), tuple(weight_vectors.shape[:2])
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != shape:
        msg = f"trained: expected bool of shape {shape}, datasets by findings, got {described(mask)}."
        raise ValueError(msg)
    vectors = weight_vectors.to(torch.promote_types(weight_vectors.dtype, torch.float32))
    return vectors, mask.to(vectors.device)


def _checked_features(features: object, count: int) -> Tensor:
    if (
        not isinstance(features, Tensor)
        or not features.is_floating_point()
        or features.ndim != 2
        or len(features) != count
    ):
        msg = f"features: expected floats of shape ({count}, F), got {described(features)}."
        raise ValueError(msg)
    return features
