"""Reports: figures, and one self-contained HTML page. No torch."""

from mutransfer.report.figures.export import write_figures
from mutransfer.report.page.page import write_report
from mutransfer.report.page.studies import write_comparison

__all__ = ["write_comparison", "write_figures", "write_report"]
