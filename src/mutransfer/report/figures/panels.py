"""Panels of every figure: templates with data, shared by the page and the exported files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mutransfer.report.figures.drawing.specs import (
    Rows,
    Size,
    Spec,
    loss_rows,
    matrix_rows,
    plane_rows,
)
from mutransfer.report.figures.numbers.exponents import CheckPanel, check_frame, check_rows
from mutransfer.report.figures.numbers.loss import is_dense, loss_frame
from mutransfer.report.figures.numbers.planes import (
    SYMBOLS,
    plane_domain,
    plane_points,
    planes_with_points,
)
from mutransfer.report.figures.numbers.regret_matrix import matrix_cells
from mutransfer.report.figures.numbers.scales import (
    ScaleFrame,
    num_colours,
    scale_frame,
    scale_rows,
)
from mutransfer.report.figures.numbers.sizes import SizePanel, num_steps, size_domain, size_rows
from mutransfer.report.figures.numbers.stability import (
    MEASURES,
    TrainingCurves,
    measure_domain,
    measure_trend,
    training_frame,
)
from mutransfer.report.figures.numbers.studies import Quantity, study_domain, study_marks
from mutransfer.report.figures.numbers.trends import What, trend_domain, trend_widths, trends
from mutransfer.report.format import (
    format_group,
    format_interval,
    format_percent,
    format_slope,
    format_width,
    hyperparameter_title,
    loss_title,
    shorten,
)
from mutransfer.report.theme import Theme

if TYPE_CHECKING:
    from mutransfer.analysis import GroupReport, Prediction, Report, ScalesReport

LONGEST_NAME = 24  # characters of a study beside a figure
MOST_PANELS = 24  # in one figure or section; a table has the rest


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with its title; the template is shared by the panels of a figure."""

    title: str
    subtitle: str
    template: Spec
    rows: Rows


def loss_panels(report: Report, theme: Theme, size: Size) -> list[Panel]:
    """Return loss against rate, one panel per group on the same axes."""
    from mutransfer.report.figures.drawing.charts import loss_template

    title, dense = hyperparameter_title(report), is_dense(report)
    template = loss_template(
        loss_frame(report),
        theme,
        title=title,
        loss_title=loss_title(report),
        size=size,
        dense=dense,
    )
    return [
        Panel(format_group(report, name), verdict_line(group), template, loss_rows(group, report))
        for name, group in list(report.items())[:MOST_PANELS]
    ]


def verdict_line(group: GroupReport) -> str:
    """Return the verdict and its numbers in one line."""
    parts: list[str] = [group.verdict]
    if group.regret_share.value is not None:
        parts.append(f"regret {format_percent(group.regret_share.value)}")
    if group.drift.value is not None:
        interval = format_interval(group.drift, format_slope)
        parts.append(f"drift {format_slope(group.drift.value)} {interval}")
    return " · ".join(parts).rstrip()


def trend_panels(
    report: Report,
    what: What,
    predictions: Sequence[Prediction],
    theme: Theme,
    size: Size,
    most_together: int = MOST_PANELS,
) -> list[Panel]:
    """Return the best rate or the best loss against width; more groups get a panel each."""
    from mutransfer.report.figures.drawing.charts import trend_template

    names = group_names(report)
    data = trends(report, what, predictions)
    tuned = hyperparameter_title(report)
    template = trend_template(
        len(names),
        theme,
        what=what,
        widths=trend_widths(report, predictions, what),
        scale=report.scale,
        title=f"best {tuned}" if what == "rate" else loss_title(report),
        domain=trend_domain(data, what),
        size=size,
    )
    title = f"Best {tuned}" if what == "rate" else f"Loss at the best {tuned}"
    members = [(title, tuple(range(len(names))))]
    if len(names) > most_together:
        members = [(f"{name}: {title[0].lower()}{title[1:]}", (k,)) for k, name in enumerate(names)]
    return [Panel(text, "", template, asdict(data.select(groups))) for text, groups in members]


def training_panels(
    report: Report, drawn: Sequence[TrainingCurves], theme: Theme, size: Size
) -> list[Panel]:
    """Return training loss against step near the best rate, one panel per group."""
    from mutransfer.report.figures.drawing.stability import training_template

    frame = training_frame(drawn)
    title = f"training {loss_title(report)}"
    template = training_template(frame, theme, title=title, size=size)
    panels = []
    for curves in drawn:
        seed = f", seed {curves.seed}" if curves.seed else ""
        rates = ", ".join(curves.rates.values())
        subtitle = f"{report.scale} {format_width(curves.width)}{seed}: {rates}"
        rows = {
            "curves": [asdict(point) for point in curves.points],
            "start": [{"step": frame.measured_from}],
        }
        panels.append(Panel(format_group(report, curves.group), subtitle, template, rows))
    return panels


def measure_panels(report: Report, theme: Theme, size: Size) -> list[Panel]:
    """Return measures of stability against width, one panel per measure that there is."""
    from mutransfer.report.figures.drawing.charts import trend_template

    panels = []
    for measure in MEASURES:
        data = measure_trend(report, measure)
        if data.marks:
            template = trend_template(
                len(group_names(report)),
                theme,
                what="loss",
                widths=trend_widths(report, (), "loss"),
                scale=report.scale,
                title=report.loss_unit or "loss",
                domain=measure_domain(data),
                size=size,
                tooltip=measure.title,
            )
            panels.append(Panel(measure.title, "", template, asdict(data)))
    return panels


def matrix_panels(report: Report, theme: Theme) -> list[Panel]:
    """Return the regret matrix of each group, on its own widths."""
    from mutransfer.report.figures.drawing.scaling import matrix_template

    subtitle = f"regret as a share of the loss, threshold {format_percent(report.threshold)}"
    panels = []
    for name, group in list(report.items())[:MOST_PANELS]:
        if cells := matrix_cells(group, report.threshold):
            proxies = [format_width(width) for width in sorted({cell.proxy for cell in cells})]
            targets = [format_width(width) for width in sorted({cell.target for cell in cells})]
            template = matrix_template(proxies, targets, report.scale, theme)
            panels.append(Panel(format_group(report, name), subtitle, template, matrix_rows(cells)))
    return panels


def plane_panels(report: Report, theme: Theme, size: Size) -> list[Panel]:
    """Return the planes of E, κ and R(∞) in which some group has a place."""
    from mutransfer.report.figures.drawing.scaling import plane_template

    num = len(group_names(report))
    panels = []
    for plane in planes_with_points(report):
        domain = plane_domain(plane_points(report, plane), plane)
        template = plane_template(plane, num, theme, domain, size)
        title = f"{SYMBOLS[plane[1]]} against {SYMBOLS[plane[0]]}"
        panels.append(Panel(title, "", template, plane_rows(report, plane, num)))
    return panels


def exponent_panels(checks: Sequence[CheckPanel], theme: Theme, size: Size) -> list[Panel]:
    """Return a coordinate check's exponents by step, one panel per quantity and role."""
    from mutransfer.report.figures.drawing.check import check_template

    frame = check_frame(checks)
    return [
        Panel(
            check.title,
            f"{check.outcome} · {check.expectation}",
            check_template(check, frame, theme, size),
            check_rows(check, frame, size[1]),
        )
        for check in checks[:MOST_PANELS]
    ]


def sizes_panels(sizes: Sequence[SizePanel], theme: Theme, size: Size) -> list[Panel]:
    """Return a coordinate check's sizes by width, one panel per quantity and role."""
    from mutransfer.report.figures.drawing.check import sizes_template

    steps = num_steps(sizes)
    return [
        Panel(
            panel.title,
            panel.exponents,
            sizes_template(panel, steps, size_domain(panel), theme, size),
            size_rows(panel),
        )
        for panel in sizes[:MOST_PANELS]
    ]


def studies_panel(data: Mapping[str, Any], quantity: Quantity, theme: Theme, size: Size) -> Panel:
    """Return the regret or the drift of every study of a comparison, ours and the paper's.

    Args:
        data: A comparison's JSON data.
        quantity: 'regret' or 'drift'.
        theme: Colours.
        size: Size, of which the height is ignored: every study has a line.
    """
    from mutransfer.report.figures.drawing.studies import studies_template

    rows = [{**row, "name": shorten(row["name"], LONGEST_NAME)} for row in data["studies"]]
    marks = study_marks(rows, quantity)
    names = [{"index": k, "name": row["name"]} for k, row in enumerate(rows)]
    limits = [100 * threshold for threshold in data["thresholds"]] if quantity == "regret" else [0]
    longest = max((len(row["name"]) for row in names), default=0)
    domain = study_domain(marks, quantity)
    template = studies_template(len(names), longest, theme, quantity, domain, size)
    drawn = {
        "studies": names,
        "marks": [asdict(mark) for mark in marks],
        "references": [{"at": limit} for limit in limits],
    }
    title = {"regret": "Regret", "drift": "Drift of the best rate"}[quantity]
    return Panel(title, "", template, drawn)


def group_names(report: Report) -> list[str]:
    """Return the titles of the groups that are drawn."""
    return [format_group(report, name) for name in list(report)[:MOST_PANELS]]


def scale_panels(
    report: ScalesReport, scale: str, make_theme: Callable[[int], Theme], size: Size
) -> tuple[ScaleFrame, list[Panel]]:
    """Return the best rate against one of several scales, one panel per group."""
    from mutransfer.report.figures.drawing.scales import scale_template

    frame = scale_frame(report.values(), scale)
    title = f"best {'rate' if report.hyperparameter == 'lr' else report.hyperparameter}"
    template = scale_template(frame, make_theme(num_colours(frame)), title=title, size=size)
    groups = list(report.items())[:MOST_PANELS]
    return frame, [Panel(name, "", template, scale_rows(group, frame)) for name, group in groups]
