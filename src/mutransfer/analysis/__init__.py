"""Transfer analysis from results alone: curves, optima, drift, regret, verdict. No torch."""

from mutransfer.analysis.answers import Comparison, GroupReport, Report
from mutransfer.analysis.fit import WINDOW
from mutransfer.analysis.loading.load import load_results
from mutransfer.analysis.predict import predict, predict_groups
from mutransfer.analysis.quantities import (
    Band,
    CarriedRegret,
    FastTransfer,
    FitErrors,
    Laws,
    Prediction,
    RateLaw,
    Scaling,
    WidthEstimate,
)
from mutransfer.analysis.report import analyze
from mutransfer.analysis.results import Provenance, Results
from mutransfer.analysis.types import Curve, Estimate, Optimum, Quadratic

__all__ = [
    "WINDOW",
    "Band",
    "CarriedRegret",
    "Comparison",
    "Curve",
    "Estimate",
    "FastTransfer",
    "FitErrors",
    "GroupReport",
    "Laws",
    "Optimum",
    "Prediction",
    "Provenance",
    "Quadratic",
    "RateLaw",
    "Report",
    "Results",
    "Scaling",
    "WidthEstimate",
    "analyze",
    "load_results",
    "predict",
    "predict_groups",
]
