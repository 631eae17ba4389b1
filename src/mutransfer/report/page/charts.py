"""Charts of the page: a still picture, a specification for the script, and a legend."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutransfer.report.figures.drawing.specs import Size, Spec, fill_template, standalone
from mutransfer.report.figures.numbers.loss import all_widths
from mutransfer.report.figures.panels import (
    MOST_PANELS,
    Panel,
    group_names,
    loss_panels,
    plane_panels,
    trend_panels,
)
from mutransfer.report.format import escape, format_width, hyperparameter_title, shorten
from mutransfer.report.page.cards import CLASSES
from mutransfer.report.theme import Theme, page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import Prediction, Report

MOST_STILLS = 8  # still pictures on a page: each takes a tenth of a second and up to 200 KB
MOST_ROWS = 2000  # of a chart with a still picture
STILL_WIDTH = 290  # pixels of a still picture: it is stretched, and its text must not shrink
TOGETHER = 6  # groups in one chart against width; more groups get one chart each
SMALL: Size = ("container", 260)
IN_TABLE = "The table of optima has the numbers."


class Charts:
    """The charts of a page, collected while it is written."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []

    def add(
        self,
        panel: Panel,
        theme: Theme,
        label: str,
        *,
        numbers: str = IN_TABLE,
        most: int = MOST_STILLS,
        still_width: int = STILL_WIDTH,
    ) -> str:
        """Add a chart and return the element that it is drawn in.

        Args:
            panel: The chart.
            theme: Its colours.
            label: What it shows, for readers who do not see it.
            numbers: Where its numbers are.
            most: Charts on the page that get a still picture.
            still_width: Width of the still picture without the labels of its axis.
        """
        spec = standalone(fill_template(panel.template, panel.rows), theme)
        name = f"chart-{len(self.specs)}"
        self.specs.append(spec)
        still = f'<p class="note">This figure is drawn by a script. {numbers}</p>'
        num_rows = sum(len(rows) for rows in spec["datasets"].values())
        if len(self.specs) <= most and num_rows <= MOST_ROWS:
            still = _still_picture(spec, name, still_width)
        label = escape(f"{label} {numbers}".strip())
        return f'<div class="chart" id="{name}" role="img" aria-label="{label}">{still}</div>'

    def scripts(self) -> str:
        """Return the specifications as data that no browser runs."""
        return "\n".join(
            f'<script type="application/json" data-chart="chart-{k}">{inert_json(spec)}</script>'
            for k, spec in enumerate(self.specs)
        )


def inert_json(data: object) -> str:
    r"""Return JSON that cannot end the element that it stands in.

    Example:
        >>> inert_json({"name": "</script>"})
        '{"name":"\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _still_picture(spec: Spec, name: str, width: int) -> str:
    """Draw a chart as SVG for readers without scripts."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg({**spec, "width": width})
    # The converter numbers ids over all pictures of a process; a page must not depend on that.
    ids = dict.fromkeys(re.findall(r"\bclip\d+\b", svg))
    renamed = {old: f"{name}-clip{k}" for k, old in enumerate(ids)}
    return re.sub(r"\bclip\d+\b", lambda match: renamed[match[0]], svg)


def loss_section(report: Report, charts: Charts) -> str:
    """Return loss against rate, one panel per group on the same axes, with a legend of widths."""
    widths = all_widths(report)
    theme = page_theme(len(widths))
    tuned = hyperparameter_title(report)
    figures = []
    panels = loss_panels(report, theme, ("container", 320))
    for panel, group in zip(panels, list(report.values())[:MOST_PANELS], strict=True):
        label = f"{panel.title}: loss against {tuned}, one line per {report.scale}."
        figures.append(
            f'<figure class="panel {CLASSES[group.verdict]}"><h3>{escape(panel.title)}'
            f"<span>{group.verdict}</span></h3>{charts.add(panel, theme, label)}</figure>"
        )
    names = [f"{report.scale} {format_width(width)}" for width in widths]
    return legend(names, theme.ramp) + panel_grid(figures, len(report))


def trend_section(report: Report, charts: Charts, predictions: Sequence[Prediction] = ()) -> str:
    """Return best rate and best loss against width, with laws, targets and a legend."""
    theme = page_theme()
    rates, losses = (
        trend_panels(report, what, predictions, theme, SMALL, TOGETHER) for what in ("rate", "loss")
    )
    figures = []
    for panel in (panel for pair in zip(rates, losses, strict=True) for panel in pair):
        chart = '<p class="note">No optimum could be estimated.</p>'
        if panel.rows["marks"]:
            chart = charts.add(panel, theme, f"{panel.title} against {report.scale}.")
        figures.append(f'<figure class="panel"><h3>{escape(panel.title)}</h3>{chart}</figure>')
    return group_legend(report) + panel_grid(figures, len(report))


def plane_section(report: Report, charts: Charts) -> str:
    """Return the planes of E, κ and R(∞) with a legend; empty where no group has a place."""
    theme = page_theme()
    figures = [
        f'<figure class="panel"><h3>{panel.title}</h3>'
        + charts.add(panel, theme, f"{panel.title}.", numbers="The table below has the numbers.")
        + "</figure>"
        for panel in plane_panels(report, theme, SMALL)
    ]
    if not figures:
        return ""
    return group_legend(report) + panel_grid(figures, len(report), css="three")


def group_legend(report: Report) -> str:
    """Return the legend of groups."""
    from mutransfer.report.figures.drawing.charts import group_shapes

    names = group_names(report)
    return legend(names, page_theme().group_colours(len(names)), group_shapes(len(names)))


def legend(names: Sequence[str], colours: Sequence[str], shapes: Sequence[str] = ()) -> str:
    """Return a legend of buttons, which are disabled where scripts do not run."""
    symbols = shapes or ["circle"] * len(names)
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-pressed="false" disabled>'
        f'<i class="{shape}" style="--swatch:{colour}"></i>{escape(shorten(name))}</button>'
        for k, (name, colour, shape) in enumerate(zip(names, colours, symbols, strict=True))
    )
    return f'<div class="legend" role="group" aria-label="Single out one line">{buttons}</div>'


def panel_grid(figures: Sequence[str], num: int, *, css: str = "", what: str = "groups") -> str:
    """Lay panels out in a grid, with the number of those that are not drawn."""
    more = ""
    if num > MOST_PANELS:
        more = f'<p class="note">{num - MOST_PANELS} more {what} are in the table only.</p>'
    return f'<div class="panels {css}">{"".join(figures)}</div>{more}'
