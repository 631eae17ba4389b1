"""Transfer analysis of results: curves, optima, drift, regret, verdict. Needs no torch."""

from mutransfer.analysis.analyze import analyze
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.loading.load import load_results
from mutransfer.analysis.predict import predict, predict_groups
from mutransfer.analysis.results import Provenance, Results
from mutransfer.analysis.types.estimates import Curve, Estimate, Optimum, Quadratic
from mutransfer.analysis.types.report import Comparison, GroupReport, Report
from mutransfer.analysis.types.scaling import (
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
