"""Sections on stability: training curves near the best rate, measures against width, a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutransfer.report.figures.numbers.stability import DRAWN, TrainingCurves
from mutransfer.report.figures.panels import measure_panels, training_panels
from mutransfer.report.format import (
    escape,
    format_group,
    format_number,
    format_percent,
    format_width,
)
from mutransfer.report.page.charts import SMALL, TOGETHER, Charts, group_legend, legend, panel_grid
from mutransfer.report.page.elements import Footnotes, section, table
from mutransfer.report.theme import page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Report
    from mutransfer.analysis.types.stability import WidthStability

IN_TABLE = "The table of stability has measures of them."
NOT_TRIED = "not tried"
SIDES = {0.25: "¼", 0.5: "½", 2.0: "2", 4.0: "4"}  # multiples whose loss the table has


def training_section(
    report: Report, drawn: tuple[TrainingCurves, ...], charts: Charts
) -> list[str]:
    """Return the section of training curves; none where there are no curves."""
    if not drawn:
        return []
    theme = page_theme(len(DRAWN), ramp="step")
    figures = [
        f'<figure class="panel"><h3>{escape(panel.title)}<span>{escape(panel.subtitle)}</span></h3>'
        + charts.add(panel, theme, f"{panel.title}: training loss by step.", numbers=IN_TABLE)
        + "</figure>"
        for panel in training_panels(report, drawn, theme, SMALL)
    ]
    note = (
        "One run per multiple of the best rate, at the tried rate that is nearest to it, each group"
        f" at its largest {escape(report.scale)} with a best rate. Stability is measured to the"
        " right of the dashed line."
    )
    body = legend(list(DRAWN.values()), theme.ramp) + panel_grid(figures, len(figures))
    return [section("Training curves near the best rate", note, body)]


def stability_section(report: Report, charts: Charts) -> list[str]:
    """Return the section of measures against width; none where no group has a best rate."""
    widths = [width for group in report.values() for width in group.stability]
    if all(width.log2_lr is None for width in widths):
        return []
    theme = page_theme()
    figures = [
        f'<figure class="panel"><h3>{escape(panel.title)}</h3>'
        + charts.add(panel, theme, f"{panel.title}, against {report.scale}.", numbers="")
        + "</figure>"
        for panel in (measure_panels(report, theme, SMALL) if len(report) <= TOGETHER else [])
    ]
    has_curves = any(width.at(1.0).roughness is not None for width in widths)
    note = (
        "What rates cost that are too small or too large, and how many of the runs at up to four"
        " times the best rate diverged."
    )
    if has_curves:
        note += (
            " Roughness is the noise of a training curve from step to step, mostly that of its"
            " batches; the paired roughness is without what runs at neighboring rates share."
        )
    if any((width.curve_stride or 1) > 1 for width in widths):
        note += " Some curves are thinned: spikes between stored steps are missed."
    drawn = group_legend(report) + panel_grid(figures, len(figures), css="three") if figures else ""
    numbers = _stability_table(report, has_curves=has_curves)
    body = f'{drawn}<h3 class="apart">Stability in numbers</h3>{numbers}'
    return [section("Stability near the best rate", note, body)]


def _stability_table(report: Report, *, has_curves: bool) -> str:
    """Return every measure, one row per group and width."""
    heads = ["Group", report.scale, *(f"Excess loss at {m} ×" for m in SIDES.values()),
             "Diverged, up to 4 ×"]  # fmt: skip
    if has_curves:
        heads += ["Largest rise", "Roughness", "Paired roughness", "the same at 2 ×"]
    notes = Footnotes()
    rows = [
        _row(format_group(report, name), width, notes, has_curves=has_curves)
        for name, group in report.items()
        for width in group.stability
    ]
    return table(heads, rows, css="numbers") + notes.to_html()


def _row(title: str, width: WidthStability, notes: Footnotes, *, has_curves: bool) -> list[str]:
    """Return one width of one group; cells are HTML."""
    best, double = width.at(1.0), width.at(2.0)
    cells = [_cell(width.at(multiple).excess_loss, notes) for multiple in SIDES]
    diverged = width.diverged
    share = _cell(diverged.share, notes, percent=True)
    cells.append(f"{diverged.count} of {diverged.total}: {share}" if diverged.total else share)
    if has_curves:
        measures = (
            best.largest_rise,
            best.roughness,
            best.paired_roughness,
            double.paired_roughness,
        )
        cells += ["–" if m is None else _cell(m.mean, notes) for m in measures]
    return [escape(title), format_width(width.width), *cells]


def _cell(estimate: Estimate, notes: Footnotes, *, percent: bool = False) -> str:
    """Return a value, its lower bound, 'not tried', or a dash with the reason below."""
    formatter = format_percent if percent else format_number
    if estimate.value is None and (estimate.undetermined or "").startswith(NOT_TRIED):
        return NOT_TRIED
    if estimate.value is None and estimate.low:
        return f"≥ {formatter(estimate.low)}{notes.mark(estimate.undetermined)}"
    return notes.estimate(estimate, formatter)
