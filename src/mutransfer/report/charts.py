"""This file is the page's charts: panels with a still picture, a specification and a legend."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mutransfer.report.cards import CLASSES
from mutransfer.report.data import carried_rate, frame_of, lines_of, points_of, tops_of, widths_of
from mutransfer.report.figures import MOST_PANELS
from mutransfer.report.theme import Theme, page_theme
from mutransfer.report.trends import best_losses, best_rates, trend_domain
from mutransfer.report.words import LOSS_TITLE, escaped, group_title, rate_title, width_text

if TYPE_CHECKING:
    from mutransfer.analysis.types import Report

STILL_BYTES = 1_500_000  # of still pictures on a page; beyond it they are left out
STILL_WIDTH = 560  # pixels of a still picture: without scripts it cannot follow the page's width
TOGETHER = 6  # groups in one chart against width; more get one chart each


@dataclass(slots=True)
class Charts:
    """The charts of a page, gathered while it is written.

    Args:
        specs: The specification of each chart, in order.
        still_bytes: Size of the still pictures so far.
    """

    specs: list[dict[str, Any]] = field(default_factory=list)
    still_bytes: int = 0

    def place(self, drawing: dict[str, Any], label: str) -> str:
        """Take in a chart and give the element that it will be drawn in."""
        name = f"chart-{len(self.specs)}"
        self.specs.append(drawing)
        still = ""
        if self.still_bytes < STILL_BYTES:
            still = still_picture(drawing, name)
            self.still_bytes += len(still)
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


def still_picture(drawing: dict[str, Any], name: str) -> str:
    """Draw a chart as SVG for readers without scripts; its ids are its own."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg({**drawing, "width": STILL_WIDTH})
    return re.sub(r"\b(clip|gradient_)(\d+)", rf"{name}-\1\2", svg)


def loss_section(report: Report, charts: Charts) -> str:
    """Draw loss against rate, one panel per group on the same axes, with a legend of widths."""
    from mutransfer.report.draw import loss_chart, spec

    widths, frame = widths_of(report), frame_of(report)
    theme = page_theme(len(widths))
    panels = []
    for name, group in list(report.items())[:MOST_PANELS]:
        drawing = spec(
            loss_chart(
                points_of(group, frame, report=report),
                tops_of(group, frame, report=report),
                lines_of(group, report=report),
                carried=carried_rate(group),
                frame=frame,
                theme=theme,
                x_title=rate_title(report),
                size=("container", 320),
            ),
            theme,
        )
        title = group_title(report, name)
        label = f"{title}: loss against {rate_title(report)}, one line per {report.scale}."
        panels.append(
            f'<figure class="panel {CLASSES[group.verdict]}"><h3>{escaped(title)}'
            f"<span>{group.verdict}</span></h3>"
            f"{charts.place(drawing, f'{label} The table of optima has the numbers.')}</figure>"
        )
    names = [f"{report.scale} {width_text(width)}" for width in widths]
    return legend(names, theme.widths) + _panels(panels, len(report))


def trend_sections(report: Report, charts: Charts) -> str:
    """Draw the best rate and the loss there against width, with a legend of groups."""
    theme = page_theme(len(widths_of(report)))
    names = [group_title(report, name) for name in list(report)[:MOST_PANELS]]
    colours = [theme.groups[k % len(theme.groups)] for k in range(len(names))]
    chosen: list[tuple[int, ...]] = [tuple(range(len(names)))]
    if len(names) > TOGETHER:
        chosen = [(k,) for k in range(len(names))]
    panels = [
        _trend_panel(report, charts, what, members, theme) for members in chosen for what in _BOTH
    ]
    return legend(names, colours) + _panels(panels, len(report))


_BOTH: tuple[Literal["rate", "loss"], ...] = ("rate", "loss")


def _trend_panel(
    report: Report,
    charts: Charts,
    what: Literal["rate", "loss"],
    members: Sequence[int],
    theme: Theme,
) -> str:
    """Draw some groups' best rate or best loss against width."""
    from mutransfer.report.draw import spec, trend_chart

    trends = best_rates(report) if what == "rate" else best_losses(report)
    title = "Best rate" if what == "rate" else "Loss at the best rate"
    if len(members) == 1 < len(report):
        title = f"{group_title(report, list(report)[members[0]])}: {title.lower()}"
    chart = trend_chart(
        [trend for trend in trends if trend.index in members],
        what=what,
        widths=widths_of(report),
        scale=report.scale,
        y_title=f"best {rate_title(report)}" if what == "rate" else LOSS_TITLE,
        domain=trend_domain(trends, what),
        theme=theme,
        size=("container", 260),
    )
    label = f"{title} against {report.scale}. The table of optima has the numbers."
    place = charts.place(spec(chart, theme), label)
    return f'<figure class="panel"><h3>{escaped(title)}</h3>{place}</figure>'


def legend(names: Sequence[str], colours: Sequence[str]) -> str:
    """Write a legend of buttons; without scripts they are only a legend."""
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-pressed="false" disabled>'
        f'<i style="--swatch:{colour}"></i>{escaped(name)}</button>'
        for k, (name, colour) in enumerate(zip(names, colours, strict=True))
    )
    return f'<div class="legend" role="group" aria-label="Single out one line">{buttons}</div>'


def _panels(panels: Sequence[str], groups: int) -> str:
    """Lay panels out; say how many groups are not drawn."""
    more = ""
    if groups > MOST_PANELS:
        more = f'<p class="note">{groups - MOST_PANELS} more groups are in the table only.</p>'
    return f'<div class="panels">{"".join(panels)}</div>{more}'
