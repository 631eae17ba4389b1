"""Figures as files: PNG, SVG and PDF on white paper."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutransfer.analysis.tuning.types import TuningReport
from mutransfer.report.figures.drawing.specs import Spec, fill_template, join_panels
from mutransfer.report.figures.numbers.exponents import Check, check_panels
from mutransfer.report.figures.numbers.loss import all_widths
from mutransfer.report.figures.numbers.scales import colour_names, num_colours
from mutransfer.report.figures.numbers.sizes import num_steps, size_panels
from mutransfer.report.figures.numbers.stability import DRAWN, training_curves
from mutransfer.report.figures.numbers.studies import STATES, Quantity
from mutransfer.report.figures.panels import (
    Panel,
    exponent_panels,
    group_names,
    loss_panels,
    matrix_panels,
    measure_panels,
    plane_panels,
    scale_panels,
    sizes_panels,
    studies_panel,
    training_panels,
    trend_panels,
)
from mutransfer.report.figures.slice_panels import slice_panels, width_names
from mutransfer.report.files import make_folder, write_file
from mutransfer.report.format import format_width, hyperparameter_title, shorten
from mutransfer.report.theme import Theme, paper_theme

if TYPE_CHECKING:
    from mutransfer.analysis import Prediction, Report, ScalesReport
    from mutransfer.analysis.results import Results

COLUMNS = 3
PANEL = (320, 250)
CHECK_PANEL = (290, 220)
STUDIES = (460, 0)  # every study has a line


def write_figures(
    folder: str | os.PathLike[str],
    report: Report | TuningReport | None = None,
    predictions: Sequence[Prediction] = (),
    check: Check | None = None,
    results: Results | None = None,
) -> list[Path]:
    """Write every figure as PNG (for slides), SVG (for pages) and PDF (for papers), on white.

    `loss` shows loss against rate, `best-rate` and `best-loss` show each width's optimum with its
    law, `regret-matrix` the cost of every width's best rate at every larger one, `scaling-planes`
    the planes of E, κ and R(∞), `stability` measures of training near the best rate and
    `training-curves` its losses by step, `coordinate-check` the exponents of a coordinate check by
    step, `coordinate-sizes` its sizes by width. All but the first three are written only where they
    have something to show.

    Args:
        folder: Where to write; made if it does not exist.
        report: The result of `analyze`, or None.
        predictions: Targets to extend the laws to.
        check: The result of `coord_check`, or None.
        results: The trials, for their training curves, or None.

    Returns:
        The files that were written.

    Raises:
        ResultsError: The folder cannot be made or written.
    """
    return _write_specs(folder, figure_specs(report, predictions, check, results))


def write_scale_figures(folder: str | os.PathLike[str], report: ScalesReport) -> list[Path]:
    """Write the figures of an analysis over several scales: `best-rate-1` for the first scale.

    Args:
        folder: Where to write; made if it does not exist.
        report: The result of `analyze` with a list of scales.

    Returns:
        The files that were written.

    Raises:
        ResultsError: The folder cannot be made or written.
    """
    from mutransfer.report.figures.drawing.charts import legend_chart

    specs = {}
    for number, scale in enumerate(report.scales, 1):
        frame, panels = scale_panels(report, scale, paper_theme, PANEL)
        names = [shorten(name) for name in colour_names(frame)]
        theme = paper_theme(num_colours(frame))
        legend = legend_chart(names, theme.ramp, theme) if names else None
        title = f"Best {hyperparameter_title(report)} against {scale}"
        specs[f"best-rate-{number}"] = _figure(title, panels, theme, legend=legend)
    return _write_specs(folder, specs)


def _write_specs(folder: str | os.PathLike[str], specs: Mapping[str, Spec]) -> list[Path]:
    """Write figures in three formats."""
    import vl_convert

    parent = Path(folder)
    make_folder(parent)
    files = []
    for name, spec in specs.items():
        svg = vl_convert.vegalite_to_svg(spec)
        png = vl_convert.vegalite_to_png(spec, scale=2)
        pdf = vl_convert.vegalite_to_pdf(spec)
        for suffix, content in ((".svg", svg.encode()), (".png", png), (".pdf", pdf)):
            files.append(write_file(parent / (name + suffix), content))
    return files


def figure_specs(
    report: Report | TuningReport | None = None,
    predictions: Sequence[Prediction] = (),
    check: Check | None = None,
    results: Results | None = None,
) -> dict[str, Spec]:
    """Return the Vega-Lite specification of each figure by its name."""
    if isinstance(report, TuningReport):
        return _slice_specs(report)
    figures = {} if report is None else _report_specs(report, predictions)
    if report is not None and results is not None:
        figures |= _training_specs(results, report)
    return figures if check is None else figures | _check_specs(check)


def _report_specs(report: Report, predictions: Sequence[Prediction]) -> dict[str, Spec]:
    """Return the figures of an analysis."""
    from mutransfer.report.figures.drawing.charts import group_shapes, legend_chart

    tuned, scale = hyperparameter_title(report), report.scale
    theme = paper_theme(len(all_widths(report)))
    widths = [f"{scale} {format_width(width)}" for width in all_widths(report)]
    names = [shorten(name) for name in group_names(report)]
    groups = legend_chart(names, theme.group_colours(len(names)), theme, group_shapes(len(names)))
    (rate,), (loss,) = (
        trend_panels(report, what, predictions, theme, PANEL) for what in ("rate", "loss")
    )
    rate_title, loss_title = (f"{panel.title} against {scale}" for panel in (rate, loss))
    figures = {
        "loss": _figure(
            f"Loss against {tuned}",
            loss_panels(report, theme, PANEL),
            theme,
            legend=legend_chart(widths, theme.ramp, theme),
        ),
        "best-rate": _figure(rate_title, [replace(rate, title="")], theme, legend=groups),
        "best-loss": _figure(loss_title, [replace(loss, title="")], theme, legend=groups),
    }
    if matrices := matrix_panels(report, theme):
        title = "Regret from every proxy to every target"
        figures["regret-matrix"] = _figure(title, matrices, theme, columns=1)
    if planes := plane_panels(report, theme, PANEL):
        title = "Predictability E, robustness κ and asymptotic gap R(∞)"
        figures["scaling-planes"] = _figure(title, planes, theme, legend=groups)
    if measures := measure_panels(report, theme, PANEL):
        figures["stability"] = _figure("Stability", measures, theme, legend=groups)
    return figures


def _slice_specs(report: TuningReport) -> dict[str, Spec]:
    """Return the figure of an analysis of several hyperparameters."""
    from mutransfer.report.figures.drawing.charts import legend_chart

    names = width_names(report)
    theme = paper_theme(len(names))
    panels, legend = slice_panels(report, theme, PANEL), legend_chart(names, theme.ramp, theme)
    return {"slices": _figure("Slices through the best point", panels, theme, legend=legend)}


def _training_specs(results: Results, report: Report) -> dict[str, Spec]:
    """Return the figure of training curves, if there are any."""
    from mutransfer.report.figures.drawing.charts import legend_chart

    theme, drawn = paper_theme(len(DRAWN)), training_curves(results, report)
    if not drawn:
        return {}
    legend = legend_chart(list(DRAWN.values()), theme.ramp, theme)
    panels = training_panels(report, drawn, theme, PANEL)
    title = "Training curves near the best rate"
    return {"training-curves": _figure(title, panels, theme, legend=legend)}


def _check_specs(check: Check) -> dict[str, Spec]:
    """Return the figures of a coordinate check."""
    from mutransfer.report.figures.drawing.check import outcomes_legend, steps_legend

    data = check.to_json()
    figures = {}
    if panels := check_panels(data["findings"]):
        theme = paper_theme()
        figures["coordinate-check"] = _figure(
            "Coordinate check: exponents of width by step",
            exponent_panels(panels, theme, CHECK_PANEL),
            theme,
            legend=outcomes_legend(theme),
        )
    if sizes := size_panels(data):
        steps = num_steps(sizes)
        theme = paper_theme(steps)
        figures["coordinate-sizes"] = _figure(
            "Coordinate check: sizes against width",
            sizes_panels(sizes, theme, CHECK_PANEL),
            theme,
            legend=steps_legend(steps, theme),
        )
    return figures


def comparison_specs(data: Mapping[str, Any]) -> dict[str, Spec]:
    """Return the Vega-Lite specification of each figure of a comparison with a paper.

    Args:
        data: A comparison's JSON data, with its studies in the order of the lines.
    """
    from mutransfer.report.figures.drawing.charts import legend_chart

    theme = paper_theme()
    labels = [f"{state} here" for state in STATES[:-1]]
    colours, shapes = [*theme.outcomes, theme.ink], [*["circle"] * len(labels), "diamond"]
    legend = legend_chart([*labels, "the paper's cells"], colours, theme, shapes)
    quantities: tuple[Quantity, ...] = ("regret", "drift")
    panels = {name: studies_panel(data, name, theme, STUDIES) for name in quantities}
    return {
        name: _figure(panel.title, [replace(panel, title="")], theme, legend=legend)
        for name, panel in panels.items()
    }


def _figure(
    title: str,
    panels: Sequence[Panel],
    theme: Theme,
    *,
    legend: Spec | None = None,
    columns: int = COLUMNS,
) -> Spec:
    """Join panels into one figure with a title."""
    charts = []
    for k, panel in enumerate(panels):
        head = {"text": shorten(panel.title), "subtitle": panel.subtitle}
        titled = {"title": head} if panel.title else {}
        charts.append(fill_template(panel.template, panel.rows, suffix=f"-{k}", **titled))
    rows = [charts[k : k + columns] for k in range(0, len(charts), columns)] or [[]]
    if legend is not None:
        rows[0].append(legend)
    return join_panels(shorten(title, 90), rows, theme)
