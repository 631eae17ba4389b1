"""Transfer analysis of results: curves, optima, drift, regret, verdict. Needs no torch."""

from mutransfer.analysis.analyze import analyze
from mutransfer.analysis.comparison.compare import compare_groups, compare_studies
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.loading.load import load_results
from mutransfer.analysis.prediction.hold_out import hold_out
from mutransfer.analysis.prediction.predict import predict, predict_groups
from mutransfer.analysis.results import Results
from mutransfer.analysis.tuning.types import TunedGroup, TunedValue, TunedWidth, TuningReport
from mutransfer.analysis.types.estimates import Curve, Estimate, Optimum
from mutransfer.analysis.types.hold_out import HeldOutCell, HoldOut
from mutransfer.analysis.types.points import PointPrediction, PredictedValue
from mutransfer.analysis.types.report import Comparison, GroupReport, MetricDifferences, Report
from mutransfer.analysis.types.scales import ScalesGroupReport, ScalesReport
from mutransfer.analysis.types.scaling import CarriedRegret, Prediction, RateLaw

__all__ = [
    "WINDOW", "CarriedRegret", "Comparison", "Curve", "Estimate", "GroupReport",
    "HeldOutCell", "HoldOut", "MetricDifferences", "Optimum", "PointPrediction", "PredictedValue",
    "Prediction", "RateLaw", "Report", "Results", "ScalesGroupReport", "ScalesReport",
    "TunedGroup", "TunedValue", "TunedWidth", "TuningReport", "analyze", "compare_groups",
    "compare_studies", "hold_out", "load_results", "predict", "predict_groups",
]  # fmt: skip
