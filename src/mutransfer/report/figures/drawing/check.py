"""This file is the drawing half of a coordinate check: sizes by width, and exponents by step."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from mutransfer.report.figures.drawing.charts import (
    Size,
    faded,
    index_scale,
    legend_chart,
    log2_axis,
    plain,
    width_axis,
)
from mutransfer.report.figures.drawing.specs import Spec
from mutransfer.report.figures.numbers.check import WORST_FIRST, CheckFrame, CheckPanel, domain
from mutransfer.report.theme import Theme


def check_template(panel: CheckPanel, frame: CheckFrame, theme: Theme, *, size: Size) -> Spec:
    """Draw one quantity of one role: the band that is right, and a line per layer.

    What is measured once is drawn as points with intervals, from the first layer to the last.
    """
    low, high = domain(panel, frame, size[1])
    y = alt.Y(
        "exponent:Q",
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(title="exponent of width", tickCount=6, format="~g"),
    )
    x = _x_axis(panel, frame)
    sides = alt.Scale(
        domain=list(WORST_FIRST), range=[theme.outcomes[1], theme.outcomes[2], theme.muted]
    )
    colour = alt.Color("outcome:N", scale=sides, legend=None)
    told = [
        alt.Tooltip("name:N", title="layer"),
        alt.Tooltip("where:N", title="at"),
        alt.Tooltip("told:N", title="exponent"),
        alt.Tooltip("outcome:N", title="outcome"),
    ]
    drawn = alt.Chart(alt.NamedData("points")).encode(x=x, y=y, color=colour)
    layers = [
        alt.Chart(alt.NamedData("band"))
        .mark_rect(color=theme.states[0], opacity=1)
        .encode(y=alt.Y("low:Q"), y2="high:Q"),
        alt.Chart(alt.NamedData("aim"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(y=y),
        _beside(panel, theme).encode(x=x, y=y),
        *(_marks(drawn, panel, theme)),
        drawn.mark_point(filled=True, size=70 if panel.once else 26, opacity=1).encode(
            tooltip=told
        ),
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="right", baseline="middle", fontSize=12, color=theme.outcomes[1])
        .encode(x=alt.value("width"), y=alt.Y("at:Q"), text="label:N"),
    ]
    return plain(alt.layer(*layers).properties(width=size[0], height=size[1]))


def _marks(drawn: alt.Chart, panel: CheckPanel, theme: Theme) -> list[alt.Chart]:
    """Draw lines over steps, or intervals where there is one number each."""
    if panel.once:
        ends = drawn.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.5)
        return [ends.encode(y=alt.Y("low:Q"), y2="high:Q")]
    dashes = alt.condition("datum.outcome == 'undetermined'", alt.value([5, 3]), alt.value([1, 0]))
    wide = alt.condition("datum.outcome == 'fail'", alt.value(2.5), alt.value(1.5))
    return [drawn.mark_line().encode(detail="name:N", strokeDash=dashes, strokeWidth=wide)]


def _beside(panel: CheckPanel, theme: Theme) -> alt.Chart:
    """Draw what SP does, without a claim: a dotted line, or hollow points."""
    beside = alt.Chart(alt.NamedData("beside"))
    line = beside.mark_line(strokeDash=[1, 4], strokeWidth=2, strokeCap="round", color=theme.muted)
    point = beside.mark_point(shape="diamond", size=90, color=theme.muted)
    drawn: alt.Chart = point if panel.once else line
    return drawn


def _x_axis(panel: CheckPanel, frame: CheckFrame) -> alt.X:
    """Give an axis of steps; of what is measured once, of layers in order, which have no scale."""
    if not panel.once:
        return alt.X(
            "x:Q",
            scale=alt.Scale(domain=[0, frame.last], nice=False),
            axis=alt.Axis(title="step", tickMinStep=1, tickCount=6, format="d", grid=False),
        )
    return alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-0.5, len(panel.lines) - 0.5], nice=False, zero=False),
        axis=alt.Axis(title="layers in order", labels=False, ticks=False, grid=False),
    )


def sizes_template(
    widths: Sequence[float], steps: int, domain: tuple[float, float], theme: Theme, *, size: Size
) -> Spec:
    """Draw sizes against width, one line per step, beside the slope that is right."""
    x = width_axis(widths, "width")
    y = log2_axis(
        alt.Y, "log2_size", "size" if theme.has_superscripts else "log2 of the size", domain, theme
    )
    colour = alt.Color("index:N", scale=index_scale(theme.ramp[:steps]), legend=None)
    told = [
        alt.Tooltip("where:N", title="at"),
        alt.Tooltip("told:N", title="size"),
        alt.Tooltip("fitted:N", title="exponent of width"),
    ]
    drawn = alt.Chart(alt.NamedData("sizes")).encode(x=x, y=y, color=colour, opacity=faded(1.0))
    layers = alt.layer(
        alt.Chart(alt.NamedData("aim"))
        .mark_line(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=x, y=y),
        drawn.mark_line(strokeWidth=1.5),
        drawn.mark_point(filled=True, size=30).encode(tooltip=told),
    )
    return plain(layers.properties(width=size[0], height=size[1]))


def steps_key(steps: int, theme: Theme) -> Spec:
    """Draw a legend of steps."""
    return legend_chart([f"step {k}" for k in range(steps)], theme.ramp[:steps], theme=theme)


def check_key(theme: Theme) -> Spec:
    """Draw a legend of outcomes."""
    colours = [theme.outcomes[1], theme.outcomes[2], theme.muted]
    return legend_chart(WORST_FIRST, colours, theme=theme)
