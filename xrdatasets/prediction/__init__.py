"""Prediction: a classifier over files and folders, to a table."""

from __future__ import annotations

from xrdatasets.prediction.gathering import ImageFiles, find_images
from xrdatasets.prediction.pictures import heatmap_name, overlay
from xrdatasets.prediction.predictor import Predicted, predict_files

__all__ = ["ImageFiles", "Predicted", "find_images", "heatmap_name", "overlay", "predict_files"]
