"""Reports: figures, and one self-contained HTML page. No torch."""

from mutransfer.report.figures.export import write_figures, write_scale_figures
from mutransfer.report.page.page import write_report
from mutransfer.report.page.scales import write_scales_report
from mutransfer.report.page.studies import write_comparison

__all__ = [
    "write_comparison",
    "write_figures",
    "write_report",
    "write_scale_figures",
    "write_scales_report",
]
