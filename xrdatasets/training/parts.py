"""Training, step 2: the parts that a recipe and the counts of the data make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from xrdatasets.models import ConditionalHead, Network, backbone, head
from xrdatasets.training.adversarial import HolisticDiscriminator, TaskDiscriminators
from xrdatasets.training.gathering import Counts
from xrdatasets.training.recipe import Recipe
from xrdatasets.transforms import (
    BatchTransform,
    TwoViews,
    cohen_view,
    luo_view,
    weak_and_strong_views,
    weak_view,
)

__all__ = ["Views", "make_discriminators", "make_network", "make_optimisers", "tree_parents"]

# RMSprop as torch has it, alpha 0.99 and eps 1e-8: Luo 2020 gives the learning rate alone
_VIEWS: dict[str, Callable[[], BatchTransform]] = {"flip": luo_view, "cohen": cohen_view, "weak": weak_view}
_MOMENTUM = 0.9  # of "sgd"


def make_network(recipe: Recipe, counts: Counts) -> Network:
    """The network of a recipe, for the findings and datasets of the data.

    Args:
        recipe: its section ``model``.
        counts: of the training images.

    Returns:
        The network with new weights, drawn from torch's own generator.

    Raises:
        ValueError: an option that backbone or head does not take.

    Example:
        >>> import torch
        >>> recipe = Recipe().override({"model.backbone": "mini", "model.backbone_options.width": 4})
        >>> counts = Counts.of([[1.0, 0.0], [0.0, 1.0]], space=["Effusion", "Mass"])
        >>> make_network(recipe, counts)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 2])
    """
    model = recipe.model
    made = backbone(model.backbone, channels=model.channels, **model.backbone_options)
    options: dict[str, Any] = dict(model.head_options)
    if model.head == "conditional":
        options = {"parents": list(tree_parents(recipe, counts))} | options
    if model.head == "per_dataset":
        options = {"datasets": list(counts.datasets), "trained": counts.labelled.tolist()} | options
    return Network(made, head(model.head, made.out_features, len(counts.space), **options))


def make_discriminators(recipe: Recipe, counts: Counts, network: Network) -> TaskDiscriminators | None:
    """The discriminators of a recipe.

    Args:
        recipe: its section ``adversarial``.
        counts: of the training images.
        network: whose features they see.

    Returns:
        None where the recipe has none, or where there is nothing to tell apart: a single dataset, or no
        finding that the internal one shares.

    Example:
        >>> recipe = Recipe.load("luo2020")
        >>> counts = Counts.of([[1.0, 0.0]], space=["Effusion", "Mass"])
        >>> make_discriminators(recipe, counts, make_network(recipe, counts)) is None
        True
    """
    if not recipe.adversarial.strength or len(counts.datasets) < 2:
        return None
    if recipe.adversarial.kind == "holistic":
        return HolisticDiscriminator(network.backbone.out_features)
    common = int(counts.sets.common.sum())
    if not common:
        return None
    return TaskDiscriminators(common, int(network.head.width))  # type: ignore[arg-type]


def make_optimisers(
    recipe: Recipe, network: nn.Module, discriminators: nn.Module | None = None
) -> list[Optimizer]:
    """The optimiser of the network, and that of the discriminators.

    Args:
        recipe: its sections ``optimiser`` and ``adversarial``.
        network: the network.
        discriminators: None for none. Under ``"reversal"`` the network's optimiser has them too, as a group
            with a learning rate of its own.

    Returns:
        One or two.

    Source:
        Luo et al., IEEE TMI 39(11), 2020, for the two: Adam and RMSprop.

    Example:
        >>> layer, other = nn.Linear(2, 2), nn.Linear(2, 1)
        >>> [type(each).__name__ for each in make_optimisers(Recipe.load("luo2020"), layer, other)]
        ['Adam', 'RMSprop']
    """
    plan, rate = recipe.optimiser, recipe.adversarial.learning_rate
    groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
    others: list[Optimizer] = []
    if discriminators is not None and recipe.adversarial.mode == "reversal":
        groups.append({"params": list(discriminators.parameters()), "lr": rate, "weight_decay": 0.0})
    elif discriminators is not None:
        others.append(RMSprop(discriminators.parameters(), lr=rate))
    options: dict[str, Any] = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay}
    if plan.kind == "sgd":
        return [SGD(groups, momentum=_MOMENTUM, **options), *others]
    kind = Adam if plan.kind == "adam" else AdamW
    return [kind(groups, amsgrad=plan.amsgrad, **options), *others]


class Views:
    """What becomes of a batch of training images.

    Args:
        kind: ``batches.view`` of a recipe.

    Example:
        >>> import torch
        >>> view, strong = Views("flip")(torch.zeros(2, 1, 8, 8), torch.tensor([1, 2]), strong=False)
        >>> view.shape, strong
        (torch.Size([2, 1, 8, 8]), None)
    """

    def __init__(self, kind: str) -> None:
        self.one = _VIEWS[kind]() if kind in _VIEWS else None
        self.both: TwoViews | None = weak_and_strong_views() if kind == "weak" else None

    def __call__(self, images: Tensor, seeds: Tensor, *, strong: bool) -> tuple[Tensor, Tensor | None]:
        """The view, and the strong view if there is one and it is wanted.

        Args:
            images: (B, 1, H, W).
            seeds: (B,) of `xrdatasets.transforms.image_seeds`.
            strong: whether the strong view is wanted.

        Returns:
            (B, 1, H, W), and the same or None.
        """
        if strong and self.both is not None:
            first, second = self.both(images, seeds=seeds)
            return first, second
        return (images if self.one is None else self.one(images, seeds=seeds)), None


def tree_parents(recipe: Recipe, counts: Counts) -> tuple[int, ...]:
    """(L,) position of each finding's parent in the recipe's tree, -1 for a root."""
    # the head knows; its number of features does not matter
    return ConditionalHead.for_space(1, counts.space, recipe.conditional.tree).parents
