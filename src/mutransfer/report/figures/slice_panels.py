"""Panels of slices, shared by the page and the exported files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutransfer.report.figures.drawing.specs import Size
from mutransfer.report.figures.numbers.slices import loss_limits, slice_numbers
from mutransfer.report.figures.panels import MOST_PANELS, Panel
from mutransfer.report.format import format_width
from mutransfer.report.theme import Theme

if TYPE_CHECKING:
    from mutransfer.analysis import TuningReport


def slice_panels(report: TuningReport, theme: Theme, size: Size) -> list[Panel]:
    """Return loss against each hyperparameter, one panel per group and hyperparameter."""
    from mutransfer.report.figures.drawing.slices import slice_rows, slice_template

    panels = []
    loss_title = f"loss ({report.loss_unit})" if report.loss_unit else "loss"
    pairs = [(name, h) for name in report for h in report.hyperparameters]
    for name, hyperparameter in pairs[:MOST_PANELS]:
        group = report[name]
        numbers = slice_numbers(group, report, hyperparameter)
        template = slice_template(
            numbers,
            theme,
            title=hyperparameter,
            scale=group.widths[0][hyperparameter].scale,
            loss_title=loss_title,
            limits=loss_limits(group),
            size=size,
        )
        title = f"{group_title(report, name)}: {hyperparameter}"
        panels.append(Panel(title, "", template, slice_rows(numbers)))
    return panels


def group_title(report: TuningReport, name: str) -> str:
    """Return the name of a group, which is that of all trials where there is only one."""
    return "all trials" if not report.group_by and name == "all" else name


def width_names(report: TuningReport) -> list[str]:
    """Return the labels of a legend of sizes."""
    longest = max(report.values(), key=lambda group: len(group.widths))
    return [f"{report.scale} {format_width(width.width)}" for width in longest.widths]
