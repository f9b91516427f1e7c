"""Training, recipes, step 2: the sections of a recipe, one for each piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from xrdatasets.training.recipe_values import ranged

__all__ = [
    "UNION",
    "Adversarial",
    "Alignment",
    "Assemble",
    "Batches",
    "Conditional",
    "Data",
    "Ensembling",
    "Loss",
    "Model",
    "Optimiser",
]

UNION = "union"


@dataclass(frozen=True)
class Data:
    """Which findings and images.

    Attributes:
        space: a label space, findings in order, or ``"union"``: what any of the datasets labels.
        size: height and width of the images in pixels.
        views: which views a dataset is opened with; ``*`` for all.
        policy: with which a dataset is opened: the target of "uncertain".
        unmentioned: likewise: whether what a report does not mention is ``"unknown"`` or ``"negative"``.
        validation: share of the patients of each dataset without a validation split of its own.
        internal: number of the dataset that the network is for, from 0.
        joint: train on all datasets; False for the internal one alone.
        min_positives: an output counts as trained from so many positive training images on.
    """

    space: str | tuple[str, ...] = UNION
    size: int = ranged(224, least=1)
    views: tuple[str, ...] = ("PA", "AP")
    policy: str = "U-Ignore"
    unmentioned: Literal["unknown", "negative"] = "unknown"
    validation: float = ranged(0.1, above=0.0, most=0.9)
    internal: int = ranged(0, least=0)
    joint: bool = True
    min_positives: int = ranged(30, least=1)


@dataclass(frozen=True)
class Batches:
    """What a step sees.

    Attributes:
        equal: the same number of images of each dataset.
        size: images of each dataset if `equal`, else of all; of each process.
        accumulate: batches whose gradients make one step.
        view: how training images are changed: ``"none"``, ``"flip"`` (Luo 2020), ``"cohen"`` or ``"weak"``
            (Label-Assemble).
    """

    equal: bool = False
    size: int = ranged(32, least=1)
    accumulate: int = ranged(1, least=1)
    view: Literal["none", "flip", "cohen", "weak"] = "none"


@dataclass(frozen=True)
class Model:
    """The network.

    Attributes:
        backbone: one of `xrdatasets.models.BACKBONES`.
        backbone_options: of `xrdatasets.models.backbone`.
        head: kind of `xrdatasets.models.head`; ``"per_dataset"`` has outputs of its own for each dataset.
        head_options: of `xrdatasets.models.head`, but what follows from the data.
        channels: of the images, 1 or 3.
    """

    backbone: str = "densenet121"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    head: Literal["linear", "branch", "class_query", "conditional", "per_dataset"] = "linear"
    head_options: dict[str, Any] = field(default_factory=dict)
    channels: int = ranged(1, least=1, most=3)


@dataclass(frozen=True)
class Loss:
    """What known targets cost.

    Attributes:
        kind: ``"bce"`` or ``"asymmetric"``.
        reduction: as of `xrdatasets.training.masked_bce_with_logits`.
        task_weight: of findings: ``"none"``, ``"luo"`` or ``"cohen"``.
        common: weight of common findings under ``"luo"``.
        positive_weight: weigh positives by negatives per positive.
    """

    kind: Literal["bce", "asymmetric"] = "bce"
    reduction: Literal["entry", "luo", "cohen", "sum"] = "entry"
    task_weight: Literal["none", "luo", "cohen"] = "none"
    common: float = ranged(3.0, least=0.0)
    positive_weight: bool = False


@dataclass(frozen=True)
class Adversarial:
    """Features that do not tell the dataset (Luo 2020).

    Attributes:
        strength: lambda; 0 switches it off.
        kind: ``"task"``, for each common finding, or ``"holistic"``, for the image's vector.
        mode: ``"alternating"``, two optimisers, or ``"reversal"`` of the gradient, one.
        learning_rate: of the discriminators.
    """

    strength: float = ranged(0.0, least=0.0)
    kind: Literal["task", "holistic"] = "task"
    mode: Literal["alternating", "reversal"] = "alternating"
    learning_rate: float = ranged(1e-4, above=0.0)


@dataclass(frozen=True)
class Ensembling:
    """Earlier predictions as targets where nothing is known (Luo 2020).

    Attributes:
        weight: lambda; 0 switches it off.
        momentum: of the mean over the epochs.
        gate: how the certainty threshold falls; ``"none"`` takes every prediction (temporal ensembling).
        scope: ``"all"`` unknown entries, or those of findings that the internal dataset alone labels.
        hard: take the guesses as labels, 0 or 1, in place of the squared distance.
    """

    weight: float = ranged(0.0, least=0.0)
    momentum: float = ranged(0.9, least=0.0, most=0.999999)
    gate: Literal["entropy", "linear", "none"] = "entropy"
    scope: Literal["all", "internal_only"] = "all"
    hard: bool = False


@dataclass(frozen=True)
class Conditional:
    """Children learned where their parent is present (Pham 2019); for the conditional head.

    Attributes:
        first: epochs of the whole network; from then on the last layer alone; 0 for the whole all the time.
        form: of the loss at first.
        second_form: of the loss from then on.
        kind: which targets the masked form learns from.
        closure: make the parents of a positive finding positive, in training.
        tree: the hierarchy.
    """

    first: int = ranged(5, least=0)
    form: Literal["masked", "plain", "product"] = "masked"
    second_form: Literal["masked", "plain", "product"] = "masked"
    kind: Literal["edge", "any_parent", "all_parents"] = "edge"
    closure: bool = True
    tree: str = "irvin2019"


@dataclass(frozen=True)
class Assemble:
    """Pseudo labels and agreement of two views (Label-Assemble).

    Attributes:
        pseudo: weight of the pseudo labels; 0 switches them off.
        consistency: weight of the agreement; 0 switches it, and the strong view, off.
        warm_up: epochs without both.
        threshold: of the sharpening.
        temperature: of the sharpening; 1 for hard labels, inf for none.
        detach: hold the sharpened constant.
    """

    pseudo: float = ranged(0.0, least=0.0)
    consistency: float = ranged(0.0, least=0.0)
    warm_up: int = ranged(5, least=0)
    threshold: float = ranged(0.5, least=0.0, most=1.0)
    temperature: float = ranged(4.0, least=1.0)
    detach: bool = True


@dataclass(frozen=True)
class Alignment:
    """The datasets' notions of a finding drawn together (Cohen 2020); for the head for each dataset.

    Attributes:
        strength: lambda; 0 switches it off.
        rows: pairs of rows with labels, or all.
    """

    strength: float = ranged(0.0, least=0.0)
    rows: Literal["labelled", "all"] = "labelled"


@dataclass(frozen=True)
class Optimiser:
    """How weights move.

    Attributes:
        kind: ``"adam"``, ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        learning_rate: at the start.
        weight_decay: of the optimiser.
        amsgrad: of Adam.
        clip: largest norm of the gradient; 0 for no limit.
        schedule: ``"constant"``, ``"steps"`` (at the milestones), or ``"plateau"`` (where the validation AUC
            no longer rises).
        milestones: epochs after which the learning rate is multiplied by `factor`.
        factor: see above.
        patience: epochs without a rise, under ``"plateau"``, after which it is.
        stopping: epochs without a rise after which training ends; 0 for never.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = ranged(1e-4, above=0.0)
    weight_decay: float = ranged(0.0, least=0.0)
    amsgrad: bool = False
    clip: float = ranged(0.0, least=0.0)
    schedule: Literal["constant", "steps", "plateau"] = "constant"
    milestones: tuple[int, ...] = ()
    factor: float = ranged(0.1, above=0.0, most=1.0)
    patience: int = ranged(5, least=0)
    stopping: int = ranged(0, least=0)
