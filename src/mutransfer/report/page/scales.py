"""The HTML report of an analysis over several scales."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mutransfer.report.files import make_parent, write_file
from mutransfer.report.format import as_sentence, escape, hyperparameter_title, shorten
from mutransfer.report.page.charts import Charts
from mutransfer.report.page.document import document
from mutransfer.report.page.elements import section, text_box
from mutransfer.report.page.page import UNNAMED, study_name
from mutransfer.report.page.sections.scales import (
    cell_section,
    exponent_section,
    figure_section,
    line_section,
    verdict_section,
)
from mutransfer.report.page.tables import provenance, source_name

if TYPE_CHECKING:
    from mutransfer.analysis import ScalesReport
    from mutransfer.analysis.results import Results


def write_scales_report(
    path: str | os.PathLike[str],
    *,
    results: Results,
    report: ScalesReport,
    study: str = "",
    title: str = "",
) -> Path:
    """Write an analysis over several scales as one HTML page that works offline.

    Args:
        path: The file; missing folders are made.
        results: The trials, which the page names as its source.
        report: The result of `analyze` with a list of scales.
        study: The study file, shown as it stands.
        title: Heading of the page; by default the question.

    Returns:
        The file.

    Raises:
        ResultsError: The file cannot be written.
    """
    file = Path(path)
    make_parent(file)
    write_file(file, scales_page(results, report, study, title).encode(errors="replace"))
    return file


def scales_page(results: Results, report: ScalesReport, study: str = "", title: str = "") -> str:
    """Return the whole page as text."""
    charts = Charts()
    figures, num_colours = figure_section(report, charts)
    sections = [
        verdict_section(report),
        exponent_section(report),
        figures,
        cell_section(report),
        line_section(report),
    ]
    if study:
        sections.append(section("The study", "", text_box(study, "study")))
    origin = provenance(results.provenance, report)
    sections.append(section("Where these numbers are from", "", origin))
    return document(
        title or _question(report, study, results.provenance.source),
        _headline(report),
        sections,
        charts,
        note=_first_note(report),
        num_widths=num_colours,
    )


def _question(report: ScalesReport, study: str, source: str) -> str:
    """Return the question that the page answers, with the name of the study or of the file."""
    scales = " and ".join(filter(None, [", ".join(report.scales[:-1]), report.scales[-1]]))
    tuned = hyperparameter_title(report)
    text = f"ow does the best {tuned} scale with {scales}?"
    name = shorten(study_name(study) or source_name(source).rpartition("/")[2])
    return f"{name}: h{text}" if name and name != UNNAMED else f"H{text}"


def _headline(report: ScalesReport) -> str:
    """Return the verdict along every scale in one sentence, as HTML."""
    tuned = hyperparameter_title(report)
    clauses = []
    for scale in report.scales:
        counts = Counter[str](
            verdict.verdict
            for group in report.values()
            for verdict in group.verdicts
            if verdict.scale == scale and verdict.ratio is None
        )
        names = {"undetermined": "is undetermined"}
        if len(report) == 1:
            (verdict,) = counts
            text = names.get(verdict, verdict)
        else:
            text = ", ".join(
                f"{names.get(name, name)} in {num} of {len(report)} groups"
                for name, num in counts.most_common()
            )
        clauses.append(f"along <b>{escape(shorten(scale))}</b> it {text}")
    return f"The best {escape(shorten(tuned))}: {'; '.join(clauses)}."


def _first_note(report: ScalesReport) -> str:
    """Return the first note about the data, for the place under the headline."""
    if not report.notes:
        return ""
    more = f" {len(report.notes) - 1} more below." if len(report.notes) > 1 else ""
    text = escape(shorten(as_sentence(report.notes[0]), 300))
    return f'<p class="note">About the data: {text}{more}</p>'
