"""Evaluation: what a model's scores are worth, on any dataset."""

from xrdatasets.evaluation.roc import AucCounts, auc, auc_counts

__all__ = ["AucCounts", "auc", "auc_counts"]
