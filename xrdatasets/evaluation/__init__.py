"""Evaluation: what a model's scores are worth, on any dataset."""

from xrdatasets.evaluation.agreement import Agreement, BlandAltman, bland_altman, cohen_kappa, fleiss_kappa
from xrdatasets.evaluation.bootstrapping import Bootstrap, bootstrap
from xrdatasets.evaluation.calibration import Isotonic, Temperature, operating_point_map
from xrdatasets.evaluation.delong import AucDifference, AucInterval, auc_difference, auc_interval
from xrdatasets.evaluation.grouping import MAJKOWSKA, mean_over
from xrdatasets.evaluation.precision import (
    MacroMean,
    PrecisionRecallCurve,
    RocCurve,
    average_precision,
    macro_mean,
    precision_recall_curve,
    roc_curve,
)
from xrdatasets.evaluation.readers import ReaderPoints, below_curve, reader_points
from xrdatasets.evaluation.reliability import (
    BrierParts,
    ReliabilityCurve,
    brier_parts,
    brier_score,
    calibration_error,
    reliability_curve,
)
from xrdatasets.evaluation.roc import AucCounts, auc, auc_counts
from xrdatasets.evaluation.thresholds import (
    OperatingPoint,
    Performance,
    calls_at,
    performance_at,
    youden_point,
)

__all__ = [
    "MAJKOWSKA",
    "Agreement",
    "AucCounts",
    "AucDifference",
    "AucInterval",
    "BlandAltman",
    "Bootstrap",
    "BrierParts",
    "Isotonic",
    "MacroMean",
    "OperatingPoint",
    "Performance",
    "PrecisionRecallCurve",
    "ReaderPoints",
    "ReliabilityCurve",
    "RocCurve",
    "Temperature",
    "auc",
    "auc_counts",
    "auc_difference",
    "auc_interval",
    "average_precision",
    "below_curve",
    "bland_altman",
    "bootstrap",
    "brier_parts",
    "brier_score",
    "calibration_error",
    "calls_at",
    "cohen_kappa",
    "fleiss_kappa",
    "macro_mean",
    "mean_over",
    "operating_point_map",
    "performance_at",
    "precision_recall_curve",
    "reader_points",
    "reliability_curve",
    "roc_curve",
    "youden_point",
]
