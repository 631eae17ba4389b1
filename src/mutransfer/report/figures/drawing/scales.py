"""Vega-Lite chart of the best rate against one of several scales."""

from __future__ import annotations

import math

import altair as alt

from mutransfer.report.figures.drawing.charts import fade, index_scale, layer_chart, log2_axis
from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.scales import ScaleFrame
from mutransfer.report.theme import Theme

_SIZE = "pow(2, datum.value)"
SIZE_LABEL = f"{_SIZE} < 99999 ? format({_SIZE}, '.5~r') : format({_SIZE}, '.3~g')"


def scale_template(frame: ScaleFrame, theme: Theme, *, title: str, size: Size) -> Spec:
    """Draw the best rate against one scale, one line per value of the others."""
    values = [math.log2(value) for value in frame.sizes]
    x = alt.X(
        "log2_size:Q",
        scale=alt.Scale(domain=[values[0] - 0.2, values[-1] + 0.2], nice=False, zero=False),
        axis=alt.Axis(title=frame.scale, values=values, labelExpr=SIZE_LABEL),
    )
    y = log2_axis(alt.Y, "value", title, (frame.low, frame.high), theme)
    colour = alt.Color("index:N", scale=index_scale(theme.ramp), legend=None)
    marks = alt.Chart(alt.NamedData("marks")).encode(x=x, y=y, color=colour)
    tooltip = [alt.Tooltip("where:N", title="at"), alt.Tooltip("text:N", title="best rate")]
    point = {"opacity": fade(1.0), "tooltip": tooltip}
    # An optimum beyond the tried rates is a hollow triangle that points to it.
    shape = alt.condition(
        "datum.kind == 'below'", alt.value("triangle-down"), alt.value("triangle-up")
    )
    layers = [
        marks.mark_line(clip=True, strokeWidth=1.5).encode(
            detail="line:N", order=alt.Order("log2_size:Q"), opacity=fade(0.6)
        ),
        marks.mark_rule(clip=True, strokeWidth=3, strokeCap="round")
        .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=fade(0.4, 0.06))
        .transform_filter("datum.low < datum.high"),
        marks.mark_point(filled=True, size=45)
        .encode(**point)
        .transform_filter("datum.kind == 'fitted'"),
        marks.mark_point(size=60, strokeWidth=1.5, fill=theme.paper)
        .encode(shape=shape, **point)
        .transform_filter("datum.kind != 'fitted'"),
        alt.Chart(alt.NamedData("law"))
        .mark_line(clip=True, strokeWidth=2, strokeDash=[5, 4], color=theme.ink)
        .encode(x=x, y=y),
    ]
    return layer_chart(layers, size)
