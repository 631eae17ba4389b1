"""Vega-Lite charts of losses and trends, and the axes and legends that all charts share.

Only this package imports Altair. No text of a user enters an expression or a field name:
expressions are constants, and everything else is data or a literal title.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.loss import LossFrame
from mutransfer.report.figures.numbers.trends import What
from mutransfer.report.format import SUPERSCRIPT
from mutransfer.report.theme import Theme

DIGITS = "[" + ",".join(f"'{digit}'" for digit in SUPERSCRIPT) + "]"
_TENS = f"(abs(datum.value) > 9 ? {DIGITS}[floor(abs(datum.value) / 10)] : '')"
# Powers of two with raised exponents; where ticks are finer than octaves, with a caret.
POWER_LABEL = (
    "datum.value == round(datum.value)"
    f" ? '2' + (datum.value < 0 ? '⁻' : '') + {_TENS} + {DIGITS}[abs(datum.value) % 10]"
    " : '2^' + format(datum.value, '.4~g')"
)
EXPONENT_LABEL = "format(datum.value, '.4~g')"
WIDTH_LABEL = "format(pow(2, datum.value), '.9~r')"
# `highlight` is the index of the line that stands out, or -1.
CHOSEN = "highlight < 0 || highlight == datum.index"
CROSS = "M-.8,-.8L.8,.8M.8,-.8L-.8,.8"
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")

Domain = tuple[float, float]


def loss_template(
    frame: LossFrame, theme: Theme, *, title: str, loss_title: str, size: Size, dense: bool = False
) -> Spec:
    """Draw a group's losses against the rate, one line per width; for `loss_rows`."""
    x = log2_axis(alt.X, "rate", title, (frame.low_rate, frame.high_rate), theme)
    y = alt.Y(
        "loss:Q",
        scale=alt.Scale(domain=[frame.low_loss, frame.high_loss], nice=False, zero=False),
        axis=alt.Axis(title=loss_title, tickCount=6, labels=frame.has_loss, grid=frame.has_loss),
    )
    colour = alt.Color("index:N", scale=index_scale(theme.ramp), legend=None)
    points, edge, parabolas, optima = (
        alt.Chart(alt.NamedData(name)).encode(x=x, y=y, color=colour)
        for name in ("points", "edge", "parabolas", "optima")
    )
    edge = edge.encode(y=alt.Y("at:Q"))
    at, rate = alt.Tooltip("where:N", title="at"), alt.Tooltip("rate_text:N", title="rate")
    best_rate = alt.Tooltip("rate_text:N", title="fitted best rate")
    loss = alt.Tooltip("loss:Q", title="loss", format=".4f")
    seeds, event = alt.Tooltip("seeds:N", title="seeds"), alt.Tooltip("text:N", title="what")
    layers = [
        alt.Chart(alt.NamedData("carried"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=x),
        points.mark_line(clip=True, strokeWidth=2).encode(detail="part:N", opacity=fade(1.0)),
        parabolas.mark_line(clip=True, strokeWidth=1).encode(opacity=fade(0.8)),
        points.mark_rule(clip=True, strokeWidth=1.5).encode(
            y=alt.Y("low:Q"), y2="high:Q", opacity=fade(0.9)
        ),
        points.transform_filter("datum.inside")
        .mark_point(filled=True, size=9 if dense else 34)
        .encode(opacity=fade(1.0), tooltip=[at, rate, loss, seeds]),
        edge.transform_filter("datum.kind == 'diverged'")
        .mark_point(shape=CROSS, size=90, strokeWidth=2)
        .encode(opacity=fade(1.0), tooltip=[at, rate, event]),
        edge.transform_filter("datum.kind == 'above'")
        .mark_point(shape="triangle-up", size=46, strokeWidth=1.5)
        .encode(opacity=fade(1.0), tooltip=[at, rate, event]),
        optima.mark_rule(clip=True, strokeWidth=5, strokeCap="round")
        .encode(x=alt.X("low:Q"), x2="high:Q", opacity=fade(0.45, 0.06))
        .transform_filter("datum.low < datum.high"),
        optima.mark_point(
            clip=True, shape="diamond", size=120, filled=True, stroke=theme.paper, strokeWidth=1
        ).encode(opacity=fade(1.0), tooltip=[at, best_rate, loss]),
    ]
    return layer_chart(layers, size)


def trend_template(
    num_groups: int,
    theme: Theme,
    *,
    what: What,
    widths: Sequence[float],
    scale: str,
    title: str,
    domain: Domain,
    size: Size,
    tooltip: str = "",
) -> Spec:
    """Draw a number against width, one line per group; for the data of `Trends`."""
    x = width_axis(widths, scale)
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(domain=list(domain), nice=False, zero=False),
        axis=alt.Axis(title=title, tickCount=6),
    )
    if what == "rate":
        y = log2_axis(alt.Y, "value", title, domain, theme)
    colour, shape = group_channels(num_groups, theme)
    marks, laws, beyond, targets = (
        alt.Chart(alt.NamedData(name)).encode(x=x, y=y, color=colour)
        for name in ("marks", "laws", "beyond", "targets")
    )
    point = {
        "opacity": fade(1.0),
        "tooltip": [alt.Tooltip("where:N", title="at"),
                    alt.Tooltip("text:N", title=tooltip or f"best {what}")],
    }  # fmt: skip
    # An optimum beyond the tried rates is a hollow triangle that points to it.
    edge_shape = alt.condition(
        "datum.kind == 'low'", alt.value("triangle-down"), alt.value("triangle-up")
    )
    layers = [
        *(
            series.mark_area(clip=True)
            .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=fade(0.16, 0.03))
            .transform_filter("isNumber(datum.low) && isNumber(datum.high)")
            for series in (laws, beyond)
        ),
        laws.mark_line(clip=True, strokeWidth=2).encode(opacity=fade(1.0)),
        beyond.mark_line(clip=True, strokeWidth=1.5, strokeDash=[5, 4]).encode(opacity=fade(1.0)),
        marks.mark_line(strokeWidth=2, clip=True)
        .encode(opacity=fade(1.0))
        .transform_filter("!datum.has_law"),
        _interval(marks, 3),
        marks.mark_point(filled=True, size=80)
        .encode(shape=shape, **point)
        .transform_filter("datum.kind == 'fitted'"),
        marks.mark_point(size=90, strokeWidth=2, fill=theme.paper)
        .encode(shape=edge_shape if what == "rate" else shape, **point)
        .transform_filter("datum.kind != 'fitted'"),
        _interval(targets, 2),
        targets.mark_point(clip=True, size=90, strokeWidth=2, fill=theme.paper).encode(
            shape=shape, **point
        ),
    ]
    return layer_chart(layers, size)


def _interval(chart: alt.Chart, width: int) -> alt.Chart:
    """Draw the intervals of marks against width."""
    rule = chart.mark_rule(clip=True, strokeWidth=width, strokeCap="round")
    drawn: alt.Chart = rule.encode(
        y=alt.Y("low:Q"), y2="high:Q", opacity=fade(0.5, 0.08)
    ).transform_filter("datum.low < datum.high")
    return drawn


def legend_chart(
    labels: Sequence[str], colours: Sequence[str], theme: Theme, shapes: Sequence[str] = ()
) -> Spec:
    """Draw a legend from data, so that labels are never part of an expression."""
    rows = [{"index": k, "label": label} for k, label in enumerate(labels)]
    chart = alt.Chart(alt.NamedData("legend")).encode(y=alt.Y("index:O", axis=None))
    mark = {"shape": alt.Shape("index:N", scale=index_scale(shapes), legend=None)} if shapes else {}
    dots = chart.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.value(6), color=alt.Color("index:N", scale=index_scale(colours), legend=None), **mark
    )
    names = chart.mark_text(align="left", fontSize=12, color=theme.ink).encode(
        x=alt.value(18), text="label:N"
    )
    size = (110, 20 * max(len(labels), 1))
    return {**layer_chart([dots, names], size), "datasets": {"legend": rows}}


def group_shapes(num: int) -> list[str]:
    """Return a symbol per group; symbol and colour together repeat from the 37th group on.

    Example:
        >>> group_shapes(7)[0], group_shapes(7)[6]
        ('circle', 'square')
    """
    return [SHAPES[(k + k // len(SHAPES)) % len(SHAPES)] for k in range(num)]


def group_channels(num: int, theme: Theme) -> tuple[alt.Color, alt.Shape]:
    """Return the colour and the symbol of groups."""
    colour = alt.Color("index:N", scale=index_scale(theme.group_colours(num)), legend=None)
    return colour, alt.Shape("index:N", scale=index_scale(group_shapes(num)), legend=None)


def layer_chart(layers: Sequence[alt.Chart], size: Size) -> Spec:
    """Join layers into a specification without a configuration of its own."""
    chart = alt.layer(*layers).properties(width=size[0], height=size[1])
    spec: Spec = chart.to_dict(validate=False)  # validating is slow, and every test compiles it
    return {name: part for name, part in spec.items() if name not in ("$schema", "config")}


def index_scale(values: Sequence[str]) -> alt.Scale:
    """Map each index to its colour or symbol."""
    return alt.Scale(domain=list(range(len(values))), range=list(values))


def fade(opacity: float, low: float = 0.12) -> Any:  # noqa: ANN401 - an altair condition
    """Fade everything but the chosen line."""
    return alt.condition(CHOSEN, alt.value(opacity), alt.value(low))


def log2_axis(
    channel: type[alt.X] | type[alt.Y], field: str, title: str, domain: Domain, theme: Theme
) -> Any:  # noqa: ANN401 - alt.X or alt.Y
    """Return an axis of log2 values with ticks at powers of two."""
    raised = theme.has_superscripts
    return channel(
        f"{field}:Q",
        scale=alt.Scale(domain=list(domain), nice=False, zero=False),
        axis=alt.Axis(
            title=title if raised else f"log2 of the {title}",
            values=ticks(*domain),
            labelExpr=POWER_LABEL if raised else EXPONENT_LABEL,
        ),
    )


def width_axis(widths: Sequence[float], title: str) -> alt.X:
    """Return an axis of log2 widths with ticks at the widths."""
    values = [math.log2(width) for width in widths] or [0.0]
    return alt.X(
        "log2_width:Q",
        scale=alt.Scale(domain=[values[0] - 0.3, values[-1] + 0.3], nice=False, zero=False),
        axis=alt.Axis(title=title, values=values, labelExpr=WIDTH_LABEL),
    )


def ticks(low: float, high: float) -> list[float]:
    """Return ticks at whole exponents, fewer on a long axis and finer on a short one.

    Example:
        >>> ticks(-6.3, -2.9)
        [-6.0, -5.0, -4.0, -3.0]
        >>> ticks(-5.3, -4.8)
        [-5.25, -5.0]
    """
    span = high - low
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0) if span / s <= (3 if s < 1 else 12)), 10.0)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
