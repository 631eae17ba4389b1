"""Sections of the page on an analysis over several scales: verdicts, exponents, figures, cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutransfer.analysis.format import format_power, format_rate, format_size
from mutransfer.report.figures.numbers.scales import colour_names, num_colours
from mutransfer.report.figures.panels import scale_panels
from mutransfer.report.format import (
    as_sentence,
    escape,
    format_loss,
    format_number,
    format_percent,
    format_slope,
)
from mutransfer.report.page.cards import CLASSES, MARKS
from mutransfer.report.page.charts import Charts, legend, panel_grid
from mutransfer.report.page.elements import Footnotes, section, table
from mutransfer.report.theme import page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import ScalesGroupReport, ScalesReport
    from mutransfer.analysis.types.scales import CellOptimum, Line, PathExponent, ScaleVerdict

HEIGHT = 280  # pixels of a figure
IN_TABLE = "The table of cells has the numbers."


def verdict_section(report: ScalesReport) -> str:
    """Return the verdict along every scale and path, one table per group."""
    threshold = format_percent(report.threshold)
    note = (
        "Along a scale, the best rate of the smallest cell is used at the largest, all other"
        " scales fixed; each combination of these is a line."
        " The rate <b>transfers</b> along a scale if the regret of every line is at most"
        f" {threshold} of the loss with 95 % confidence, and <b>does not</b> if that of one line is"
        " larger, with 95 % confidence over all lines together."
    )
    parts = []
    for name, group in report.items():
        title = f"<h3>{escape(name)}</h3>" if len(report) > 1 else ""
        heads = ["Along", "Verdict", "Lines", "Drift, octaves per octave", "Why"]
        parts.append(title + table(heads, [_verdict_row(v) for v in group.verdicts]))
    return section("Verdict by scale", note, "".join(parts))


def _verdict_row(verdict: ScaleVerdict) -> list[str]:
    """Return the row of one scale or path."""
    along = verdict.scale if verdict.ratio is None else f"{verdict.scale}, {verdict.ratio} fixed"
    return [
        escape(along),
        f'<span class="verdict {CLASSES[verdict.verdict]}">{MARKS[verdict.verdict]} '
        f"{verdict.verdict}</span>",
        str(len(verdict.lines)),
        escape(_drifts(verdict)),
        escape(as_sentence(verdict.reason)),
    ]


def _drifts(verdict: ScaleVerdict) -> str:
    """Return the range of the drifts of the lines."""
    values = [line.drift.value for line in verdict.lines if line.drift.value is not None]
    if not values:
        return "–"
    ends = dict.fromkeys(map(format_slope, (min(values), max(values))))
    return " to ".join(ends)


def exponent_section(report: ScalesReport) -> str:
    """Return the exponents of the best rate and of the best loss, one table per group."""
    note = (
        "Best rate η* ∝ Π s<sup>b</sup>, best loss L* = L∞ + Σ A·s<sup>−α</sup>, fitted to the"
        " optima of all cells. The intervals (90 %) contain the noise of the optima and their"
        " scatter about the law."
    )
    parts = []
    for name, group in report.items():
        notes = Footnotes()
        title = f"<h3>{escape(name)}</h3>" if len(report) > 1 else ""
        rows = [
            [
                escape(scale),
                notes.estimate(group.rate.exponents[scale], format_slope),
                notes.estimate(group.loss.exponents[scale], format_slope),
                notes.estimate(group.loss.amplitudes[scale], format_number),
            ]
            for scale in report.scales
        ]
        paths = {path.scale: path for path in group.loss.paths}
        rows += [_path_row(path, paths.get(path.scale), notes) for path in group.rate.paths]
        heads = ["Scale", "Exponent b of the best rate", "Exponent α of the loss", "A, at size 1"]
        facts = table(["", ""], _facts(group, report, notes), css="numbers")
        parts.append(title + table(heads, rows, css="numbers") + facts + notes.to_html())
    return section("Exponents", note, "".join(parts))


def _path_row(rate: PathExponent, loss: PathExponent | None, notes: Footnotes) -> list[str]:
    """Return the row of scales that vary together."""
    return [
        escape(f"{' and '.join(rate.powers)} together, per {rate.scale}"),
        notes.estimate(rate.exponent, format_slope),
        "–" if loss is None else notes.estimate(loss.exponent, format_slope),
        "–",
    ]


def _facts(group: ScalesGroupReport, report: ScalesReport, notes: Footnotes) -> list[list[str]]:
    """Return the other numbers of the laws."""
    rate, loss, unit = group.rate, group.loss, report.loss_unit or ""
    center = ", ".join(f"{scale} {format_size(size)}" for scale, size in rate.center.items())
    rows = [
        [
            escape(f"best {report.hyperparameter} at {center}" if center else "best rate"),
            notes.estimate(rate.log2_lr, format_rate),
        ],
        ["L∞, the loss where all scales are infinite", notes.estimate(loss.loss_inf, format_loss)],
        ["cells with an optimum", str(rate.num_cells)],
        ["cells that bound the law of the rate from one side", str(rate.num_bounds)],
    ]
    if rate.scatter is not None:
        rows.append(["scatter of the best rates about the law", f"{rate.scatter:.3g} octaves"])
    if loss.scatter is not None:
        text = f"{loss.scatter:.3g} {unit}".strip()
        rows.append(["scatter of the best losses about the law", escape(text)])
    return rows


def figure_section(report: ScalesReport, charts: Charts) -> tuple[str, int]:
    """Return the best rate against every scale, and the number of colours of the figures."""
    note = (
        "One line per value of the other scales; level lines mean that the rate stays. Dashed: the"
        " fitted law, all other scales at their geometric mean. A hollow triangle is a cell whose"
        " optimum lies beyond the rates that were tried."
    )
    body, colours = "", 1
    for scale in report.scales:
        frame, panels = scale_panels(report, scale, page_theme, ("container", HEIGHT))
        theme = page_theme(num_colours(frame))
        colours = max(colours, num_colours(frame))
        figures = []
        for panel in panels:
            label = f"{panel.title}: best {report.hyperparameter} against {scale}."
            chart = charts.add(panel, theme, label, numbers=IN_TABLE)
            title = escape(panel.title if len(report) > 1 else f"against {scale}")
            figures.append(f'<figure class="panel"><h3>{title}</h3>{chart}</figure>')
        names = colour_names(frame)
        body += (legend(names, theme.ramp) if names else "") + panel_grid(figures, len(report))
    return section("The best rate against every scale", note, body), colours


def cell_section(report: ScalesReport) -> str:
    """Return every cell with its optimum."""
    note = (
        "Cells whose best rate is the lowest or highest that was tried are shown with the side on"
        " which their optimum lies, and bound the law from that side."
    )
    parts = []
    for name, group in report.items():
        notes = Footnotes()
        title = f"<h3>{escape(name)}</h3>" if len(report) > 1 else ""
        heads = [*report.scales, f"Best {report.hyperparameter}, 2^", "Loss there", "Off the law"]
        rows = [_cell_row(cell, notes) for cell in group.cells]
        parts.append(title + table(heads, rows, css="numbers") + notes.to_html())
    return section("Cells in numbers", note, "".join(parts))


def _cell_row(cell: CellOptimum, notes: Footnotes) -> list[str]:
    """Return the row of one cell."""
    rate = notes.estimate(cell.log2_lr, lambda x: f"{x:.2f}")
    loss = "–" if cell.loss.value is None else notes.estimate(cell.loss, format_loss)
    if cell.log2_lr.value is None and cell.side is not None and cell.limit is not None:
        # The reason names the cell, so a footnote each would repeat the table.
        rate = escape(f"{cell.side} {format_power(cell.limit)}")
        loss = escape(f"at most {format_loss(cell.grid_loss)}")
    off = "" if cell.residual is None else f"{cell.residual:+.2f} octaves"
    return [*(escape(format_size(size)) for size in cell.sizes.values()), rate, loss, off]


def line_section(report: ScalesReport) -> str:
    """Return every line with its regret."""
    parts = []
    for name, group in report.items():
        title = f"<h3>{escape(name)}</h3>" if len(report) > 1 else ""
        heads = ["Along", "Fixed", "From", "To", "Regret, of the loss", "Verdict"]
        rows = [
            _line_row(verdict.scale, line) for verdict in group.verdicts for line in verdict.lines
        ]
        parts.append(title + table(heads, rows, css="numbers"))
    note = "The regret is that of the smallest cell's best rate at the largest cell of the line."
    return section("Lines in numbers", note, "".join(parts))


def _line_row(scale: str, line: Line) -> list[str]:
    """Return the row of one line."""
    share = line.carried.share
    value = "–" if share.value is None else format_percent(share.value)
    if share.high is not None:
        value += f", at most {format_percent(share.high)}"
    elif share.low:
        value += f", at least {format_percent(share.low)}"
    fixed = ", ".join(f"{name} {format_size(size)}" for name, size in line.fixed.items())
    ends = [format_size(line.carried.proxy), format_size(line.carried.target)]
    return [*map(escape, [scale, fixed, *ends, value]), MARKS[line.verdict]]
