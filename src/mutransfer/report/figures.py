"""This file is the figures that stand alone: PNG and SVG files on white paper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mutransfer.report.data import frame_of, is_dense, widths_of
from mutransfer.report.files import make_folder, write_file
from mutransfer.report.specs import Spec, filled, loss_rows, side_by_side, trend_rows
from mutransfer.report.theme import paper_theme
from mutransfer.report.trends import best_losses, best_rates, trend_domain
from mutransfer.report.words import (
    LOSS_TITLE,
    group_title,
    interval_text,
    rate_title,
    share_text,
    shortened,
    slope_text,
    tuned_title,
    width_text,
)

if TYPE_CHECKING:
    from mutransfer.analysis import GroupReport, Report

MOST_PANELS = 24  # drawn in one figure or page; the table has the rest
COLUMNS = 3
PANEL = (320, 250)


def write_figures(folder: str | os.PathLike[str], report: Report) -> list[Path]:
    """Write every figure as PNG (for slides) and SVG (for papers), on white.

    `loss` shows loss against rate, `best-rate` and `best-loss` show each width's optimum.

    Args:
        folder: Where to; made if there is none.
        report: What `analyze` answered.

    Returns:
        The files that were written.

    Raises:
        ResultsError: Where the folder cannot be made or written.
    """
    import vl_convert

    place = Path(folder)
    make_folder(place)
    written = []
    for name, drawing in figure_specs(report).items():
        svg = vl_convert.vegalite_to_svg(drawing)
        png = vl_convert.vegalite_to_png(drawing, scale=2)
        for suffix, content in ((".svg", svg.encode()), (".png", png)):
            written.append(write_file(place / (name + suffix), content))
    return written


def figure_specs(report: Report) -> dict[str, Spec]:
    """Give each figure's name and its Vega-Lite specification."""
    return {
        "loss": _loss_figure(report),
        "best-rate": _trend_figure(report, "rate"),
        "best-loss": _trend_figure(report, "loss"),
    }


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
    from mutransfer.report.draw import legend_chart, loss_template

    widths = widths_of(report)
    theme = paper_theme(len(widths))
    x_title = f"log2 {rate_title(report)}"
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
    rows[0].append(legend_chart(labels, theme.widths, theme=theme))
    return side_by_side(rows, theme)


def _trend_figure(report: Report, what: Literal["rate", "loss"]) -> Spec:
    """Draw the best rate, or the loss there, against width: one line per group."""
    from mutransfer.report.draw import legend_chart, shapes, trend_template

    widths = widths_of(report)
    theme = paper_theme(len(widths))
    trends = best_rates(report) if what == "rate" else best_losses(report)
    names = [shortened(group_title(report, name)) for name in list(report)[:MOST_PANELS]]
    template = trend_template(
        len(names),
        theme,
        what=what,
        widths=widths,
        scale=report.scale,
        y_title=f"log2 of the best {tuned_title(report)}" if what == "rate" else LOSS_TITLE,
        domain=trend_domain(trends, what),
        size=PANEL,
    )
    drawn = trend_rows([trend for trend in trends if trend.index < len(names)])
    title = "Best rate" if what == "rate" else "Loss at the best rate"
    panel = filled(template, drawn, title=f"{title} against {report.scale}")
    colours = [theme.groups[k % len(theme.groups)] for k in range(len(names))]
    legend = legend_chart(names, colours, theme=theme, shapes=shapes(len(names)))
    return side_by_side([[panel, legend]], theme)
