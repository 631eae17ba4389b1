"""Drawing of slices: samples, fitted sections and best values along one hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import altair as alt

from mutransfer.report.figures.drawing.charts import (
    CROSS,
    fade,
    index_scale,
    layer_chart,
    log2_axis,
)
from mutransfer.report.figures.drawing.specs import Rows, Size, Spec
from mutransfer.report.figures.numbers.slices import Slice
from mutransfer.report.theme import Theme


def slice_rows(numbers: Slice) -> Rows:
    """Return the data of one panel."""
    return {
        "points": [asdict(point) for point in numbers.points],
        "sections": [asdict(point) for point in numbers.sections],
        "best": [asdict(mark) for mark in numbers.best],
    }


def slice_template(
    numbers: Slice,
    theme: Theme,
    *,
    title: str,
    scale: str,
    loss_title: str,
    limits: Sequence[float],
    size: Size,
) -> Spec:
    """Draw loss against one hyperparameter, one colour per width."""
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=list(numbers.domain), nice=False, zero=False),
        axis=alt.Axis(title=title, tickCount=5),
    )
    if scale == "log":
        x = log2_axis(alt.X, "x", title, numbers.domain, theme)
    y = alt.Y(
        "loss:Q",
        scale=alt.Scale(domain=list(limits), nice=False, zero=False),
        axis=alt.Axis(title=loss_title, tickCount=6),
    )
    colour = alt.Color("index:N", scale=index_scale(theme.ramp), legend=None)
    points, sections, best = (
        alt.Chart(alt.NamedData(name)).encode(x=x, y=y, color=colour)
        for name in ("points", "sections", "best")
    )
    at = alt.Tooltip("where:N", title="at")
    loss, value = alt.Tooltip("text:N", title="loss"), alt.Tooltip("text:N", title="best value")
    layers = [
        sections.mark_area(clip=True)
        .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=fade(0.14, 0.03))
        .transform_filter("datum.low < datum.high"),
        points.transform_filter("datum.kind == 'other'")
        .mark_point(size=16, strokeWidth=1)
        .encode(opacity=fade(0.5), tooltip=[at, loss]),
        points.transform_filter("datum.kind == 'fitted'")
        .mark_point(filled=True, size=26)
        .encode(opacity=fade(0.9), tooltip=[at, loss]),
        points.transform_filter("datum.kind == 'above'")
        .mark_point(shape="triangle-up", size=30, strokeWidth=1)
        .encode(opacity=fade(0.5), tooltip=[at, loss]),
        points.transform_filter("datum.kind == 'diverged'")
        .mark_point(shape=CROSS, size=70, strokeWidth=2)
        .encode(opacity=fade(1.0), tooltip=[at, loss]),
        sections.mark_line(clip=True, strokeWidth=2).encode(opacity=fade(1.0)),
        best.mark_rule(clip=True, strokeWidth=5, strokeCap="round")
        .encode(x=alt.X("low:Q"), x2="high:Q", opacity=fade(0.45, 0.06))
        .transform_filter("datum.low < datum.high"),
        best.mark_point(
            clip=True, shape="diamond", size=120, filled=True, stroke=theme.paper, strokeWidth=1
        ).encode(opacity=fade(1.0), tooltip=[at, value]),
    ]
    return layer_chart(layers, size)
