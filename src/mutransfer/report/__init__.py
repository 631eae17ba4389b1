"""Reports: figures, and one self-contained HTML page. No torch."""

from mutransfer.report.figures.export import write_figures
from mutransfer.report.page.page import write_report

__all__ = ["write_figures", "write_report"]
