"""Training: losses, weights and regularisers for partial labels, each for any loop, and a plain one."""

from xrdatasets.training.adversarial import (
    HolisticDiscriminator,
    TaskDiscriminators,
    discriminator_loss,
    frozen,
    gradient_reversal,
    task_adversarial_loss,
)
from xrdatasets.training.assemble import (
    AssembleParts,
    assemble_loss,
    consistency_loss,
    pseudo_label_loss,
    sharpen,
)
from xrdatasets.training.concepts import (
    alignment_penalty,
    class_similarity,
    expand_targets,
    novelty_scores,
)
from xrdatasets.training.conditional import TwoStages, close_upward, conditional_loss, conditional_mask
from xrdatasets.training.ensembling import TemporalEnsemble, certainty_threshold, hard_labels, ute_loss
from xrdatasets.training.fitting import fit, predict_scores
from xrdatasets.training.gathering import Counts, Gathered
from xrdatasets.training.losses import Reduction, asymmetric_loss, masked_bce_with_logits
from xrdatasets.training.plan import Plan
from xrdatasets.training.recipe import Recipe, recipe_names
from xrdatasets.training.run import Trained, train
from xrdatasets.training.samplers import EqualShares
from xrdatasets.training.uncertainty import (
    multiclass_targets,
    multiclass_uncertainty_loss,
    self_trained_targets,
)
from xrdatasets.training.validation import masked_aucs, youden_points
from xrdatasets.training.weights import (
    LabelSets,
    Over,
    label_sets,
    positive_weights,
    task_weights_cohen,
    task_weights_luo,
)

__all__ = [
    "AssembleParts",
    "Counts",
    "EqualShares",
    "Gathered",
    "HolisticDiscriminator",
    "LabelSets",
    "Over",
    "Plan",
    "Recipe",
    "Reduction",
    "TaskDiscriminators",
    "TemporalEnsemble",
    "Trained",
    "TwoStages",
    "alignment_penalty",
    "assemble_loss",
    "asymmetric_loss",
    "certainty_threshold",
    "class_similarity",
    "close_upward",
    "conditional_loss",
    "conditional_mask",
    "consistency_loss",
    "discriminator_loss",
    "expand_targets",
    "fit",
    "frozen",
    "gradient_reversal",
    "hard_labels",
    "label_sets",
    "masked_aucs",
    "masked_bce_with_logits",
    "multiclass_targets",
    "multiclass_uncertainty_loss",
    "novelty_scores",
    "positive_weights",
    "predict_scores",
    "pseudo_label_loss",
    "recipe_names",
    "self_trained_targets",
    "sharpen",
    "task_adversarial_loss",
    "task_weights_cohen",
    "task_weights_luo",
    "train",
    "ute_loss",
    "youden_points",
]
