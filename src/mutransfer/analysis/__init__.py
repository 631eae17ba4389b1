"""Transfer analysis from results alone: curves, optima, drift, regret, verdict. No torch."""

from mutransfer.analysis.report import analyze
from mutransfer.analysis.results import Provenance, Results, load_results
from mutransfer.analysis.types import (
    Comparison,
    Curve,
    Estimate,
    GroupReport,
    Optimum,
    Quadratic,
    Report,
)

__all__ = [
    "Comparison",
    "Curve",
    "Estimate",
    "GroupReport",
    "Optimum",
    "Provenance",
    "Quadratic",
    "Report",
    "Results",
    "analyze",
    "load_results",
]
