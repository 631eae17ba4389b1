"""Reports: figures, and one self-contained HTML page. No torch."""

from mutransfer.report.figures.export import write_figures
from mutransfer.report.figures.numbers.loss import (
    Frame,
    Line,
    Point,
    Top,
    frame_of,
    lines_of,
    points_of,
    tops_of,
)
from mutransfer.report.figures.numbers.trends import Trend, best_losses, best_rates
from mutransfer.report.page.page import write_report

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
