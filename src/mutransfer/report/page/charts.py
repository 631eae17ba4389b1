"""This file is the page's charts: panels with a still picture, a specification and a legend."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mutransfer.report.figures.drawing.specs import (
    Spec,
    alone,
    filled,
    loss_rows,
    plane_rows,
    trend_rows,
)
from mutransfer.report.figures.export import MOST_PANELS
from mutransfer.report.figures.numbers.loss import frame_of, is_dense, widths_of
from mutransfer.report.figures.numbers.planes import SYMBOLS, plane_domain, plane_points, planes_of
from mutransfer.report.figures.numbers.trends import What, trend_domain, trend_widths, trends_of
from mutransfer.report.format import (
    LOSS_TITLE,
    escaped,
    group_title,
    shortened,
    tuned_title,
    width_text,
)
from mutransfer.report.page.cards import CLASSES
from mutransfer.report.theme import page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import Prediction, Report

NUMBERS = "The table of optima has the numbers."
MOST_STILLS = 8  # still pictures on a page: each takes a tenth of a second and up to 200 KB
MOST_ROWS = 2000  # of a chart that gets a still picture
STILL_WIDTH = 290  # pixels of a still picture: it is stretched, and its text must not shrink
TOGETHER = 6  # groups in one chart against width; more get one chart each


@dataclass(slots=True)
class Charts:
    """The charts of a page, gathered while it is written.

    Args:
        specs: The specification of each chart, in order.
    """

    specs: list[Spec] = field(default_factory=list)

    def place(
        self, drawing: Spec, label: str, *, numbers: str = NUMBERS, most: int = MOST_STILLS
    ) -> str:
        """Take in a chart and give the element that it will be drawn in."""
        name = f"chart-{len(self.specs)}"
        self.specs.append(drawing)
        still = f'<p class="note">This figure is drawn by a script. {numbers}</p>'
        rows = sum(len(rows) for rows in drawing["datasets"].values())
        if len(self.specs) <= most and rows <= MOST_ROWS:
            still = still_picture(drawing, name)
        return (
            f'<div class="chart" id="{name}" role="img" aria-label="{escaped(label)}">{still}</div>'
        )

    def scripts(self) -> str:
        """Write the specifications as data that no browser runs."""
        return "\n".join(
            f'<script type="application/json" data-chart="chart-{k}">{inert(drawing)}</script>'
            for k, drawing in enumerate(self.specs)
        )


def inert(data: object) -> str:
    r"""Write JSON that cannot end the element that it stands in.

    Example:
        >>> inert({"name": "</script>"})
        '{"name":"\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def still_picture(drawing: Spec, name: str) -> str:
    """Draw a chart as SVG for readers without scripts; its ids are its own."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg({**drawing, "width": STILL_WIDTH})
    # The converter counts ids on from picture to picture; a page must not depend on that.
    ids = dict.fromkeys(re.findall(r"\bclip\d+\b", svg))
    renamed = {old: f"{name}-clip{k}" for k, old in enumerate(ids)}
    return re.sub(r"\bclip\d+\b", lambda found: renamed[found[0]], svg)


def loss_section(report: Report, charts: Charts) -> str:
    """Draw loss against rate, one panel per group on the same axes, with a legend of widths."""
    from mutransfer.report.figures.drawing.charts import loss_template

    widths = widths_of(report)
    theme = page_theme(len(widths))
    x_title = tuned_title(report)
    template = loss_template(
        frame_of(report), theme, x_title=x_title, size=("container", 320), dense=is_dense(report)
    )
    panels = []
    for name, group in list(report.items())[:MOST_PANELS]:
        drawing = alone(filled(template, loss_rows(group, report=report)), theme)
        title = group_title(report, name)
        label = f"{title}: loss against {x_title}, one line per {report.scale}. {NUMBERS}"
        panels.append(
            f'<figure class="panel {CLASSES[group.verdict]}"><h3>{escaped(title)}'
            f"<span>{group.verdict}</span></h3>{charts.place(drawing, label)}</figure>"
        )
    names = [f"{report.scale} {width_text(width)}" for width in widths]
    return legend(names, theme.ramp) + _panels(panels, len(report))


def trend_section(report: Report, charts: Charts, predictions: Sequence[Prediction] = ()) -> str:
    """Draw the best rate and the loss there against width, with laws, targets and a legend."""
    both = [_trend_panels(report, charts, what, predictions) for what in _BOTH]
    panels = [panel for pair in zip(*both, strict=True) for panel in pair]
    return _group_legend(report) + _panels(panels, len(report))


_BOTH: tuple[What, ...] = ("rate", "loss")


def _trend_panels(
    report: Report, charts: Charts, what: What, predictions: Sequence[Prediction]
) -> list[str]:
    """Draw the best rate or the best loss against width: few groups together, many apart."""
    from mutransfer.report.figures.drawing.charts import trend_template

    titles = _titles(report)
    drawn = trends_of(report, what, predictions)
    theme = page_theme(0)
    template = trend_template(
        len(titles),
        theme,
        what=what,
        widths=trend_widths(report, predictions, what),
        scale=report.scale,
        y_title=f"best {tuned_title(report)}" if what == "rate" else LOSS_TITLE,
        domain=trend_domain(drawn, what),
        size=("container", 260),
    )
    title = "Best rate" if what == "rate" else "Loss at the best rate"
    members = [(title, tuple(range(len(titles))))]
    if len(titles) > TOGETHER:
        members = [(f"{name}: {title.lower()}", (k,)) for k, name in enumerate(titles)]
    panels = []
    for told, chosen in members:
        rows = trend_rows(drawn.only(chosen))
        label = f"{told} against {report.scale}. {NUMBERS}"
        place = '<p class="note">No optimum is known.</p>'
        if rows["trends"]:
            place = charts.place(alone(filled(template, rows), theme), label)
        panels.append(f'<figure class="panel"><h3>{escaped(told)}</h3>{place}</figure>')
    return panels


def plane_section(report: Report, charts: Charts) -> str:
    """Draw the planes of E, κ and R(∞) with a legend; nothing where no group has a place."""
    from mutransfer.report.figures.drawing.scaling import plane_template

    theme = page_theme(0)
    num = len(_titles(report))
    panels = []
    for plane in planes_of(report):
        points = plane_points(report, plane)
        domain = plane_domain(points, plane)
        template = plane_template(plane, num, theme, domain=domain, size=("container", 260))
        told = f"{SYMBOLS[plane[1]]} against {SYMBOLS[plane[0]]}"
        drawing = alone(filled(template, plane_rows(report, plane, most=num)), theme)
        place = charts.place(drawing, f"{told}. The table below has the numbers.")
        panels.append(f'<figure class="panel"><h3>{told}</h3>{place}</figure>')
    return _group_legend(report) + _panels(panels, len(report), "three") if panels else ""


def _titles(report: Report) -> list[str]:
    """Name the groups that are drawn."""
    return [group_title(report, name) for name in list(report)[:MOST_PANELS]]


def _group_legend(report: Report) -> str:
    """Write the legend of groups."""
    from mutransfer.report.figures.drawing.charts import shapes

    titles, theme = _titles(report), page_theme(0)
    colours = [theme.groups[k % len(theme.groups)] for k in range(len(titles))]
    return legend(titles, colours, shapes(len(titles)))


def legend(names: Sequence[str], colours: Sequence[str], shapes: Sequence[str] = ()) -> str:
    """Write a legend of buttons; without scripts they are only a legend."""
    drawn = shapes or ["circle"] * len(names)
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-pressed="false" disabled>'
        f'<i class="{shape}" style="--swatch:{colour}"></i>{escaped(shortened(name))}</button>'
        for k, (name, colour, shape) in enumerate(zip(names, colours, drawn, strict=True))
    )
    return f'<div class="legend" role="group" aria-label="Single out one line">{buttons}</div>'


def _panels(panels: Sequence[str], groups: int, css: str = "") -> str:
    """Lay panels out; say how many groups are not drawn."""
    more = ""
    if groups > MOST_PANELS:
        more = f'<p class="note">{groups - MOST_PANELS} more groups are in the table only.</p>'
    return f'<div class="panels {css}">{"".join(panels)}</div>{more}'
