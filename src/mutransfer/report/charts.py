"""This file is the page's charts: panels with a still picture, a specification and a legend."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mutransfer.report.cards import CLASSES
from mutransfer.report.data import frame_of, is_dense, widths_of
from mutransfer.report.figures import MOST_PANELS
from mutransfer.report.specs import Spec, alone, filled, loss_rows, trend_rows
from mutransfer.report.theme import Theme, page_theme
from mutransfer.report.trends import best_losses, best_rates, trend_domain
from mutransfer.report.words import (
    LOSS_TITLE,
    escaped,
    group_title,
    rate_title,
    shortened,
    width_text,
)

if TYPE_CHECKING:
    from mutransfer.analysis import Report

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

    def place(self, drawing: Spec, label: str) -> str:
        """Take in a chart and give the element that it will be drawn in."""
        name = f"chart-{len(self.specs)}"
        self.specs.append(drawing)
        still = f'<p class="note">This figure is drawn by a script. {NUMBERS}</p>'
        rows = sum(len(rows) for rows in drawing["datasets"].values())
        if len(self.specs) <= MOST_STILLS and rows <= MOST_ROWS:
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
    from mutransfer.report.draw import loss_template

    widths = widths_of(report)
    theme = page_theme(len(widths))
    x_title = rate_title(report)
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
    return legend(names, theme.widths) + _panels(panels, len(report))


def trend_section(report: Report, charts: Charts) -> str:
    """Draw the best rate and the loss there against width, with a legend of groups."""
    from mutransfer.report.draw import shapes

    theme = page_theme(0)
    titles = [group_title(report, name) for name in list(report)[:MOST_PANELS]]
    colours = [theme.groups[k % len(theme.groups)] for k in range(len(titles))]
    both = [_trend_panels(report, charts, what, titles, theme) for what in _BOTH]
    panels = [panel for pair in zip(*both, strict=True) for panel in pair]
    return legend(titles, colours, shapes(len(titles))) + _panels(panels, len(report))


_BOTH: tuple[Literal["rate", "loss"], ...] = ("rate", "loss")


def _trend_panels(
    report: Report,
    charts: Charts,
    what: Literal["rate", "loss"],
    titles: Sequence[str],
    theme: Theme,
) -> list[str]:
    """Draw the best rate or the best loss against width: few groups together, many apart."""
    from mutransfer.report.draw import trend_template

    trends = best_rates(report) if what == "rate" else best_losses(report)
    template = trend_template(
        len(titles),
        theme,
        what=what,
        widths=widths_of(report),
        scale=report.scale,
        y_title=f"best {rate_title(report)}" if what == "rate" else LOSS_TITLE,
        domain=trend_domain(trends, what),
        size=("container", 260),
    )
    title = "Best rate" if what == "rate" else "Loss at the best rate"
    members = [(title, tuple(range(len(titles))))]
    if len(titles) > TOGETHER:
        members = [(f"{name}: {title.lower()}", (k,)) for k, name in enumerate(titles)]
    panels = []
    for told, chosen in members:
        rows = trend_rows([trend for trend in trends if trend.index in chosen])
        label = f"{told} against {report.scale}. {NUMBERS}"
        place = '<p class="note">No optimum is known.</p>'
        if rows["trends"]:
            place = charts.place(alone(filled(template, rows), theme), label)
        panels.append(f'<figure class="panel"><h3>{escaped(told)}</h3>{place}</figure>')
    return panels


def legend(names: Sequence[str], colours: Sequence[str], shapes: Sequence[str] = ()) -> str:
    """Write a legend of buttons; without scripts they are only a legend."""
    drawn = shapes or ["circle"] * len(names)
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-pressed="false" disabled>'
        f'<i class="{shape}" style="--swatch:{colour}"></i>{escaped(shortened(name))}</button>'
        for k, (name, colour, shape) in enumerate(zip(names, colours, drawn, strict=True))
    )
    return f'<div class="legend" role="group" aria-label="Single out one line">{buttons}</div>'


def _panels(panels: Sequence[str], groups: int) -> str:
    """Lay panels out; say how many groups are not drawn."""
    more = ""
    if groups > MOST_PANELS:
        more = f'<p class="note">{groups - MOST_PANELS} more groups are in the table only.</p>'
    return f'<div class="panels">{"".join(panels)}</div>{more}'
