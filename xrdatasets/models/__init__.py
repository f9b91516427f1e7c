"""Models: networks from images to logits, and classifiers that know what they were trained on."""

from xrdatasets.models.augmented import Augmented, ten_crop, tta
from xrdatasets.models.backbones.base import Backbone
from xrdatasets.models.backbones.densenet import DenseNet
from xrdatasets.models.backbones.making import BACKBONES, backbone
from xrdatasets.models.backbones.mini import Mini
from xrdatasets.models.backbones.published_states import StateReport, fit_state
from xrdatasets.models.backbones.resnet import ResNet
from xrdatasets.models.card import Card
from xrdatasets.models.classifier import Classifier
from xrdatasets.models.ensemble import Ensemble
from xrdatasets.models.heads.base import Head
from xrdatasets.models.heads.branches import BranchHead, BranchOutput
from xrdatasets.models.heads.class_queries import ClassQueryHead
from xrdatasets.models.heads.conditional import ConditionalHead
from xrdatasets.models.heads.linear import LinearHead, MultiClassHead
from xrdatasets.models.heads.making import HEADS, head
from xrdatasets.models.heads.per_dataset import PerDatasetHead
from xrdatasets.models.inference.folding import fold_batch_norm
from xrdatasets.models.inference.onnx_export import export_onnx
from xrdatasets.models.inference.session import Session
from xrdatasets.models.inputs import InputSpec
from xrdatasets.models.network import Network
from xrdatasets.models.operating import apply_operating_points
from xrdatasets.models.predictor import Predictor
from xrdatasets.models.weights.cache import cache_folder
from xrdatasets.models.weights.pickles import read_pickled_state
from xrdatasets.models.weights.points_table import points_of
from xrdatasets.models.weights.registry import list_weights, load
from xrdatasets.models.weights.storage import save

__all__ = [
    "BACKBONES",
    "HEADS",
    "Augmented",
    "Backbone",
    "BranchHead",
    "BranchOutput",
    "Card",
    "ClassQueryHead",
    "Classifier",
    "ConditionalHead",
    "DenseNet",
    "Ensemble",
    "Head",
    "InputSpec",
    "LinearHead",
    "Mini",
    "MultiClassHead",
    "Network",
    "PerDatasetHead",
    "Predictor",
    "ResNet",
    "Session",
    "StateReport",
    "apply_operating_points",
    "backbone",
    "cache_folder",
    "export_onnx",
    "fit_state",
    "fold_batch_norm",
    "head",
    "list_weights",
    "load",
    "points_of",
    "read_pickled_state",
    "save",
    "ten_crop",
    "tta",
]
