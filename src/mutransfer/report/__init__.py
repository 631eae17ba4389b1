"""Reports: figures, and one self-contained HTML page. No torch."""

from mutransfer.report.data import (
    Frame,
    Line,
    Point,
    Top,
    frame_of,
    lines_of,
    points_of,
    tops_of,
)
from mutransfer.report.figures import write_figures
from mutransfer.report.page import write_report
from mutransfer.report.trends import Trend, best_losses, best_rates

__all__ = [
    "Frame",
    "Line",
    "Point",
    "Top",
    "Trend",
    "best_losses",
    "best_rates",
    "frame_of",
    "lines_of",
    "points_of",
    "tops_of",
    "write_figures",
    "write_report",
]
