"""Sections of the page of several hyperparameters, in reading order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mutransfer.report.figures.slice_panels import group_title, slice_panels, width_names
from mutransfer.report.format import escape, format_percent
from mutransfer.report.page.charts import SMALL, Charts, legend, panel_grid
from mutransfer.report.page.elements import section
from mutransfer.report.page.tuning.cards import best_points, point_verdicts
from mutransfer.report.page.tuning.predictions import point_predictions
from mutransfer.report.theme import page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import PointPrediction, TuningReport

IN_TABLE = "The table of best points has the numbers."


def tuning_sections(
    report: TuningReport,
    predictions: Sequence[PointPrediction],
    snippets: Mapping[str, str],
    charts: Charts,
) -> list[str]:
    """Return verdicts, predictions, best points and slices."""
    threshold = format_percent(report.threshold)
    criterion = (
        "A group <b>transfers</b> if carrying the whole best point from the smallest to the largest"
        f" {escape(report.scale)} raises the loss by at most {threshold} with 95 % confidence,"
        " <b>does not</b> if it raises it by more with the same confidence, and is"
        " <b>undetermined</b> otherwise."
    )
    points = (
        "The best point is the minimum of a polynomial in all hyperparameters that is fitted to the"
        " samples near it; intervals are 90 %. A bar is the share of the variance of the loss, over"
        " the range tried, that the hyperparameter explains alone; what is missing to 100 % are"
        " pairs."
    )
    tables = "".join(
        f"<h3>{escape(group_title(report, name))}</h3>{best_points(report, group)}"
        for name, group in report.items()
    )
    slices = (
        "Each dot is a sample, and its other hyperparameters differ, so that dots lie above the"
        " line: the fitted loss with all others at their best, with its 90 % band. Filled dots are"
        " those of the fit, triangles at the upper edge lie above it, crosses diverged, and"
        " diamonds are the best values with their intervals."
    )
    ahead = (
        "These are extrapolations, one hyperparameter at a time; the regret is that of all of them"
        " together. Check the point with one run before a large one."
    )
    target = []
    if predictions:
        cards = point_predictions(report, predictions, snippets)
        target = [section("What to use at the target", ahead, cards)]
    return [
        section("Verdict", criterion, point_verdicts(report)),
        *target,
        section("Best points", points, tables),
        section("Slices through the best point", slices, _slices(report, charts)),
    ]


def _slices(report: TuningReport, charts: Charts) -> str:
    """Return one panel per group and hyperparameter, with a legend of sizes."""
    names = width_names(report)
    theme, figures = page_theme(len(names)), []
    for panel in slice_panels(report, theme, SMALL):
        chart = charts.add(panel, theme, f"{panel.title}, one colour per {report.scale}.",
                           numbers=IN_TABLE)  # fmt: skip
        figures.append(f'<figure class="panel"><h3>{escape(panel.title)}</h3>{chart}</figure>')
    num_panels = len(report) * len(report.hyperparameters)
    return legend(names, theme.ramp) + panel_grid(figures, num_panels, what="slices")
