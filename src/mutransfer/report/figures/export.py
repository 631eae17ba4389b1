"""This file is the figures that stand alone: PNG, SVG and PDF files on white paper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mutransfer.report.figures.drawing.specs import (
    Spec,
    filled,
    loss_rows,
    matrix_rows,
    plane_rows,
    side_by_side,
    trend_rows,
)
from mutransfer.report.figures.numbers.check import (
    Check,
    CheckPanel,
    aim_and_tolerance,
    check_rows,
    frame_of_check,
    panels_of,
)
from mutransfer.report.figures.numbers.check_sizes import (
    SizePanel,
    num_steps,
    size_domain,
    size_panels,
    size_rows,
)
from mutransfer.report.figures.numbers.loss import frame_of, is_dense, widths_of
from mutransfer.report.figures.numbers.planes import SYMBOLS, plane_domain, plane_points, planes_of
from mutransfer.report.figures.numbers.regret_matrix import cells_of
from mutransfer.report.figures.numbers.trends import What, trend_domain, trend_widths, trends_of
from mutransfer.report.files import make_folder, write_file
from mutransfer.report.format import (
    LOSS_TITLE,
    group_title,
    interval_text,
    share_text,
    shortened,
    slope_text,
    tuned_title,
    width_text,
)
from mutransfer.report.theme import Theme, paper_theme

if TYPE_CHECKING:
    from mutransfer.analysis import GroupReport, Prediction, Report

MOST_PANELS = 24  # drawn in one figure or page; the table has the rest
COLUMNS = 3
PANEL = (320, 250)
CHECK_PANEL = (290, 220)


def write_figures(
    folder: str | os.PathLike[str],
    report: Report | None = None,
    predictions: Sequence[Prediction] = (),
    check: Check | None = None,
) -> list[Path]:
    """Write every figure as PNG (for slides), SVG (for pages) and PDF (for papers), on white.

    `loss` shows loss against rate, `best-rate` and `best-loss` show each width's optimum with its
    law, `regret-matrix` what every width's best rate costs at every larger one, `scaling-planes`
    the planes of E, κ and R(∞), `coordinate-check` the exponents of a coordinate check by step,
    `coordinate-sizes` its sizes by width. The last four are written only where they have
    something to show.

    Args:
        folder: Where to; made if there is none.
        report: What `analyze` answered, or None.
        predictions: Targets to extend the laws to.
        check: What `coord_check` answered, or None.

    Returns:
        The files that were written.

    Raises:
        ResultsError: Where the folder cannot be made or written.
    """
    import vl_convert

    place = Path(folder)
    make_folder(place)
    written = []
    for name, drawing in figure_specs(report, predictions, check).items():
        svg = vl_convert.vegalite_to_svg(drawing)
        png = vl_convert.vegalite_to_png(drawing, scale=2)
        pdf = vl_convert.vegalite_to_pdf(drawing)
        for suffix, content in ((".svg", svg.encode()), (".png", png), (".pdf", pdf)):
            written.append(write_file(place / (name + suffix), content))
    return written


def figure_specs(
    report: Report | None = None,
    predictions: Sequence[Prediction] = (),
    check: Check | None = None,
) -> dict[str, Spec]:
    """Give each figure's name and its Vega-Lite specification."""
    figures = {} if report is None else _report_specs(report, predictions)
    if check is not None:
        facts = check.to_json()
        if panels := panels_of(facts["findings"]):
            figures["coordinate-check"] = _check_figure(panels)
        if sizes := size_panels(facts):
            figures["coordinate-sizes"] = _sizes_figure(sizes)
    return figures


def _report_specs(report: Report, predictions: Sequence[Prediction]) -> dict[str, Spec]:
    """Draw what an analysis answered."""
    figures = {
        "loss": _loss_figure(report),
        "best-rate": _trend_figure(report, "rate", predictions),
        "best-loss": _trend_figure(report, "loss", predictions),
    }
    if any(group.regret_matrix for group in report.values()):
        figures["regret-matrix"] = _matrix_figure(report)
    if planes_of(report):
        figures["scaling-planes"] = _planes_figure(report)
    return figures


def subtitle(report: Report, group: GroupReport) -> str:
    """Say the verdict and its numbers in one line."""
    parts: list[str] = [group.verdict]
    if group.regret_share.value is not None:
        parts.append(f"regret {share_text(group.regret_share.value)}")
    if group.drift.value is not None:
        parts.append(
            f"drift {slope_text(group.drift.value)} {interval_text(group.drift, slope_text)}"
        )
    return " · ".join(parts).rstrip()


def _loss_figure(report: Report) -> Spec:
    """Draw every group's losses against the rate, side by side on the same axes."""
    from mutransfer.report.figures.drawing.charts import legend_chart, loss_template

    widths = widths_of(report)
    theme = paper_theme(len(widths))
    x_title = f"log2 of the {tuned_title(report)}"
    template = loss_template(
        frame_of(report), theme, x_title=x_title, size=PANEL, dense=is_dense(report)
    )
    panels = [
        filled(
            template,
            loss_rows(group, report=report),
            suffix=f"-{k}",
            title={
                "text": shortened(group_title(report, name)),
                "subtitle": subtitle(report, group),
            },
        )
        for k, (name, group) in enumerate(list(report.items())[:MOST_PANELS])
    ]
    labels = [f"{report.scale} {width_text(width)}" for width in widths]
    rows = [panels[k : k + COLUMNS] for k in range(0, len(panels), COLUMNS)] or [[]]
    rows[0].append(legend_chart(labels, theme.ramp, theme=theme))
    return side_by_side(rows, theme)


def _trend_figure(report: Report, what: What, predictions: Sequence[Prediction]) -> Spec:
    """Draw the best rate, or the loss there, against width: one line per group."""
    from mutransfer.report.figures.drawing.charts import trend_template

    theme = paper_theme(0)
    names = _names(report)
    drawn = trends_of(report, what, predictions)
    template = trend_template(
        len(names),
        theme,
        what=what,
        widths=trend_widths(report, predictions, what),
        scale=report.scale,
        y_title=f"log2 of the best {tuned_title(report)}" if what == "rate" else LOSS_TITLE,
        domain=trend_domain(drawn, what),
        size=PANEL,
    )
    rows = trend_rows(drawn.only(range(len(names))))
    title = "Best rate" if what == "rate" else "Loss at the best rate"
    panel = filled(template, rows, title=f"{title} against {report.scale}")
    return side_by_side([[panel, _legend(names, theme)]], theme)


def _matrix_figure(report: Report) -> Spec:
    """Draw every group's regret matrix, each on its own widths."""
    from mutransfer.report.figures.drawing.scaling import matrix_template

    theme = paper_theme(0)
    panels = []
    for k, (name, group) in enumerate(list(report.items())[:MOST_PANELS]):
        cells = cells_of(group, report.threshold)
        if not cells:
            continue
        proxies, targets = (
            [width_text(width) for width in sorted(set(widths))]
            for widths in ((c.proxy for c in cells), (c.target for c in cells))
        )
        template = matrix_template(proxies, targets, report.scale, theme)
        told = f"regret as a share of the loss, threshold {share_text(report.threshold)}"
        title = {"text": shortened(group_title(report, name)), "subtitle": told}
        panels.append(filled(template, matrix_rows(cells), suffix=f"-{k}", title=title))
    return side_by_side([[panel] for panel in panels], theme)


def _planes_figure(report: Report) -> Spec:
    """Draw the planes side by side, with a legend of groups."""
    from mutransfer.report.figures.drawing.scaling import plane_template

    theme = paper_theme(0)
    names = _names(report)
    panels = []
    for k, plane in enumerate(planes_of(report)):
        domain = plane_domain(plane_points(report, plane), plane)
        template = plane_template(plane, len(names), theme, domain=domain, size=PANEL)
        title = f"{SYMBOLS[plane[1]]} against {SYMBOLS[plane[0]]}"
        rows = plane_rows(report, plane, most=len(names))
        panels.append(filled(template, rows, suffix=f"-{k}", title=title))
    return side_by_side([[*panels, _legend(names, theme)]], theme)


def _check_figure(panels: Sequence[CheckPanel]) -> Spec:
    """Draw a coordinate check, one panel per quantity and role, with a legend of outcomes."""
    from mutransfer.report.figures.drawing.check import check_key, check_template

    theme = paper_theme(0)
    frame = frame_of_check(panels)
    drawn = [
        filled(
            check_template(panel, frame, theme, size=CHECK_PANEL),
            check_rows(panel, frame, CHECK_PANEL[1]),
            suffix=f"-{k}",
            title={
                "text": shortened(panel.title),
                "subtitle": f"{panel.outcome} · {aim_and_tolerance(panel)}",
            },
        )
        for k, panel in enumerate(panels[:MOST_PANELS])
    ]
    rows = [drawn[k : k + COLUMNS] for k in range(0, len(drawn), COLUMNS)]
    rows[0].append(check_key(theme))
    return side_by_side(rows, theme)


def _sizes_figure(panels: Sequence[SizePanel]) -> Spec:
    """Draw sizes against width, one panel per quantity and role, with a legend of steps."""
    from mutransfer.report.figures.drawing.check import sizes_template, steps_key

    steps = num_steps(panels)
    theme = paper_theme(steps)
    drawn = [
        filled(
            sizes_template(panel.widths, steps, size_domain(panel), theme, size=CHECK_PANEL),
            size_rows(panel),
            suffix=f"-{k}",
            title={"text": shortened(panel.title), "subtitle": panel.exponents},
        )
        for k, panel in enumerate(panels[:MOST_PANELS])
    ]
    rows = [drawn[k : k + COLUMNS] for k in range(0, len(drawn), COLUMNS)]
    rows[0].append(steps_key(steps, theme))
    return side_by_side(rows, theme)


def _names(report: Report) -> list[str]:
    """Name the groups that are drawn."""
    return [shortened(group_title(report, name)) for name in list(report)[:MOST_PANELS]]


def _legend(names: Sequence[str], theme: Theme) -> Spec:
    """Draw a legend of groups."""
    from mutransfer.report.figures.drawing.charts import legend_chart, shapes

    colours = [theme.groups[k % len(theme.groups)] for k in range(len(names))]
    return legend_chart(names, colours, theme=theme, shapes=shapes(len(names)))
