"""The part of the page on an analysis over several scales: headline, question and sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutransfer.report.format import escape, hyperparameter_title, shorten
from mutransfer.report.page.charts import Charts
from mutransfer.report.page.sections.hold_out import hold_out_section
from mutransfer.report.page.sections.scale_tables import (
    cell_section,
    exponent_section,
    figure_section,
    line_section,
    verdict_section,
)

if TYPE_CHECKING:
    from mutransfer.analysis import HoldOut, ScalesReport


def scales_sections(
    report: ScalesReport, hold_outs: Sequence[HoldOut], charts: Charts
) -> tuple[list[str], int]:
    """Return the sections in reading order, and the number of colours of their figures."""
    figures, num_colours = figure_section(report, charts)
    sections = [
        verdict_section(report),
        exponent_section(report),
        figures,
        *hold_out_section(report, hold_outs),
        cell_section(report),
        line_section(report),
    ]
    return sections, num_colours


def scales_question(report: ScalesReport) -> str:
    """Return the question that the page answers."""
    scales = " and ".join(filter(None, [", ".join(report.scales[:-1]), report.scales[-1]]))
    return f"How does the best {hyperparameter_title(report)} scale with {scales}?"


def scales_headline(report: ScalesReport) -> str:
    """Return the verdict along every scale in one sentence, as HTML."""
    clauses = []
    for scale in report.scales:
        counts = Counter[str](
            verdict.verdict
            for group in report.values()
            for verdict in group.verdicts
            if verdict.scale == scale and verdict.ratio is None
        )
        parts = []
        for verdict, num in counts.most_common():
            text = "is undetermined" if verdict == "undetermined" else verdict
            parts.append(f"{text} in {num} of {len(report)} groups" if len(report) > 1 else text)
        clauses.append(f"along <b>{escape(shorten(scale))}</b> it {', '.join(parts)}")
    return f"The best {escape(hyperparameter_title(report))}: {'; '.join(clauses)}."
