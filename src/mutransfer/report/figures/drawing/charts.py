"""This file is the drawing half: numbers to Vega-Lite charts. Altair is loaded for drawing only.

No string of a user enters an expression or a field name: expressions are constants of this
file, and everything else is data or a literal title.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt

from mutransfer.report.figures.drawing.specs import Spec
from mutransfer.report.figures.numbers.loss import Frame
from mutransfer.report.format import LOSS_TITLE, SUPERSCRIPT
from mutransfer.report.theme import Theme

DIGITS = "[" + ",".join(f"'{digit}'" for digit in SUPERSCRIPT) + "]"
_TENS = f"(abs(datum.value) > 9 ? {DIGITS}[floor(abs(datum.value) / 10)] : '')"
# Powers of two with raised exponents; where the grid is finer than octaves, with a caret.
POWER_LABEL = (
    "datum.value == round(datum.value)"
    f" ? '2' + (datum.value < 0 ? '⁻' : '') + {_TENS} + {DIGITS}[abs(datum.value) % 10]"
    " : '2^' + format(datum.value, '.4~g')"
)
EXPONENT_LABEL = "format(datum.value, '.4~g')"
WIDTH_LABEL = "format(pow(2, datum.value), '.9~r')"
# `highlight` is the index of the one line that stands out, or -1.
CHOSEN = "highlight < 0 || highlight == datum.index"
CROSS = "M-.8,-.8L.8,.8M.8,-.8L-.8,.8"
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")

Size = tuple[int | Literal["container"], int]


def loss_template(
    frame: Frame,
    theme: Theme,
    *,
    x_title: str,
    size: Size,
    dense: bool = False,
) -> Spec:
    """Draw a group's losses against the rate, one line per width; `loss_rows` fills it in."""
    x = log2_axis(alt.X, "rate", x_title, (frame.low_rate, frame.high_rate), theme)
    y = alt.Y(
        "loss:Q",
        scale=alt.Scale(domain=[frame.low_loss, frame.high_loss], nice=False, zero=False),
        axis=alt.Axis(title=LOSS_TITLE, tickCount=6, labels=frame.known, grid=frame.known),
    )
    colour = alt.Color("index:N", scale=index_scale(theme.ramp), legend=None)
    told = [alt.Tooltip("where:N", title="at"), alt.Tooltip("tried:N", title="rate")]
    drawn = alt.Chart(alt.NamedData("points")).encode(x=x, y=y, color=colour)
    edge = alt.Chart(alt.NamedData("tops")).encode(x=x, y=alt.Y("at:Q"), color=colour)
    fitted = alt.Chart(alt.NamedData("parabolas")).encode(x=x, y=y, color=colour)
    optima = alt.Chart(alt.NamedData("lines")).encode(x=x, y=y, color=colour)
    best = [told[0], alt.Tooltip("tried:N", title="fitted best rate")]
    loss = alt.Tooltip("loss:Q", title="loss", format=".4f")
    hung = [*told, alt.Tooltip("text:N", title="what")]
    layers = [
        alt.Chart(alt.NamedData("carried"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=x),
        drawn.mark_line(clip=True, strokeWidth=2).encode(detail="part:N", opacity=faded(1.0)),
        fitted.mark_line(clip=True, strokeWidth=1).encode(opacity=faded(0.8)),
        drawn.mark_rule(clip=True, strokeWidth=1.5).encode(
            y=alt.Y("low:Q"), y2="high:Q", opacity=faded(0.9)
        ),
        drawn.transform_filter("datum.inside")
        .mark_point(filled=True, size=9 if dense else 34)
        .encode(opacity=faded(1.0), tooltip=[*told, loss, alt.Tooltip("seeds:N", title="seeds")]),
        edge.transform_filter("datum.kind == 'diverged'")
        .mark_point(shape=CROSS, size=90, strokeWidth=2)
        .encode(opacity=faded(1.0), tooltip=hung),
        edge.transform_filter("datum.kind == 'above'")
        .mark_point(shape="triangle-up", size=46, strokeWidth=1.5)
        .encode(opacity=faded(1.0), tooltip=hung),
        optima.mark_rule(clip=True, strokeWidth=5, strokeCap="round")
        .encode(x=alt.X("low:Q"), x2="high:Q", opacity=faded(0.45, 0.06))
        .transform_filter("datum.low < datum.high"),
        optima.mark_point(
            clip=True, shape="diamond", size=120, filled=True, stroke=theme.paper, strokeWidth=1
        ).encode(opacity=faded(1.0), tooltip=[*best, loss]),
    ]
    return plain(alt.layer(*layers).properties(width=size[0], height=size[1]))


def trend_template(
    num_groups: int,
    theme: Theme,
    *,
    what: Literal["rate", "loss"],
    widths: Sequence[float],
    scale: str,
    y_title: str,
    domain: tuple[float, float],
    size: Size,
) -> Spec:
    """Draw a number against width, one line per group; `trend_rows` fills it in."""
    x = width_axis(widths, scale)
    if what == "rate":
        y = log2_axis(alt.Y, "value", y_title, domain, theme)
    else:
        y = alt.Y(
            "value:Q",
            scale=alt.Scale(domain=list(domain), nice=False, zero=False),
            axis=alt.Axis(title=y_title, tickCount=6),
        )
    cycle = [theme.groups[k % len(theme.groups)] for k in range(num_groups)]
    colour = alt.Color("index:N", scale=index_scale(cycle), legend=None)
    shape = alt.Shape("index:N", scale=index_scale(shapes(num_groups)), legend=None)
    tooltip = [
        alt.Tooltip("where:N", title="at"),
        alt.Tooltip("text:N", title="best rate" if what == "rate" else "best loss"),
    ]
    drawn = alt.Chart(alt.NamedData("trends")).encode(x=x, y=y, color=colour)
    hollow = drawn.mark_point(size=90, strokeWidth=2, fill=theme.paper)
    beyond = alt.condition(
        "datum.kind == 'low'", alt.value("triangle-down"), alt.value("triangle-up")
    )
    layers = alt.layer(
        *_law_layers(x, y, colour),
        drawn.mark_line(strokeWidth=2, clip=True)
        .encode(opacity=faded(1.0))
        .transform_filter("!datum.lawful"),
        drawn.mark_rule(strokeWidth=3, strokeCap="round")
        .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=faded(0.5, 0.08))
        .transform_filter("datum.low < datum.high"),
        drawn.mark_point(filled=True, size=80)
        .encode(shape=shape, opacity=faded(1.0), tooltip=tooltip)
        .transform_filter("datum.kind == 'fitted'"),
        hollow.encode(
            shape=beyond if what == "rate" else shape, opacity=faded(1.0), tooltip=tooltip
        ).transform_filter("datum.kind != 'fitted'"),
        *_target_layers(x, y, colour, shape, tooltip, theme),
    )
    return plain(layers.properties(width=size[0], height=size[1]))


def _law_layers(x: alt.X, y: alt.Y, colour: alt.Color) -> list[alt.Chart]:
    """Draw laws: a band where it is known, a line over what ran, dashes beyond."""
    law = alt.Chart(alt.NamedData("laws")).encode(x=x, y=y, color=colour)
    further = alt.Chart(alt.NamedData("beyond")).encode(x=x, y=y, color=colour)
    return [
        law.mark_area(clip=True)
        .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=faded(0.16, 0.03))
        .transform_filter("isNumber(datum.low) && isNumber(datum.high)"),
        law.mark_line(clip=True, strokeWidth=2).encode(opacity=faded(1.0)),
        further.mark_line(clip=True, strokeWidth=1.5, strokeDash=[5, 4]).encode(opacity=faded(1.0)),
    ]


def _target_layers(
    x: alt.X,
    y: alt.Y,
    colour: alt.Color,
    shape: alt.Shape,
    tooltip: list[alt.Tooltip],
    theme: Theme,
) -> list[alt.Chart]:
    """Draw predictions: hollow marks with their intervals."""
    target = alt.Chart(alt.NamedData("targets")).encode(x=x, y=y, color=colour)
    return [
        target.mark_rule(clip=True, strokeWidth=2, strokeCap="round")
        .encode(y=alt.Y("low:Q"), y2="high:Q", opacity=faded(0.5, 0.08))
        .transform_filter("datum.low < datum.high"),
        target.mark_point(clip=True, size=90, strokeWidth=2, fill=theme.paper).encode(
            shape=shape, opacity=faded(1.0), tooltip=tooltip
        ),
    ]


def legend_chart(
    labels: Sequence[str],
    colours: Sequence[str],
    *,
    theme: Theme,
    shapes: Sequence[str] = (),
) -> Spec:
    """Draw a legend from data, so that labels are never part of an expression."""
    rows = [{"index": k, "label": label} for k, label in enumerate(labels)]
    y = alt.Y("index:O", axis=None)
    drawn = alt.Chart(alt.NamedData("legend")).encode(y=y)
    mark = {"shape": alt.Shape("index:N", scale=index_scale(shapes), legend=None)} if shapes else {}
    dots = drawn.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.value(6), color=alt.Color("index:N", scale=index_scale(colours), legend=None), **mark
    )
    names = drawn.mark_text(align="left", fontSize=12, color=theme.ink)
    both = alt.layer(dots, names.encode(x=alt.value(18), text="label:N"))
    drawing = both.properties(width=110, height=20 * max(len(labels), 1))
    return {**plain(drawing), "datasets": {"legend": rows}}


def shapes(num: int) -> list[str]:
    """Give each group its symbol; with its colour, no other group's before the 37th.

    Example:
        >>> shapes(7)[0], shapes(7)[6]
        ('circle', 'square')
    """
    return [SHAPES[(k + k // len(SHAPES)) % len(SHAPES)] for k in range(num)]


def plain(drawing: alt.LayerChart | alt.FacetChart) -> Spec:
    """Write a drawing as a specification without a look of its own."""
    written: Spec = drawing.to_dict(validate=False)  # every test compiles it; validating is slow
    return {name: part for name, part in written.items() if name not in ("$schema", "config")}


def index_scale(colours: Sequence[str]) -> alt.Scale:
    """Give each index its colour."""
    return alt.Scale(domain=list(range(len(colours))), range=list(colours))


def faded(opacity: float, low: float = 0.12) -> Any:  # noqa: ANN401 - an altair condition
    """Let everything but the chosen line fade."""
    return alt.condition(CHOSEN, alt.value(opacity), alt.value(low))


def log2_axis(
    channel: type[alt.X] | type[alt.Y],
    field: str,
    title: str,
    domain: tuple[float, float],
    theme: Theme,
) -> Any:  # noqa: ANN401 - alt.X or alt.Y
    """Give an axis of log2 values, ticked at powers of two."""
    return channel(
        f"{field}:Q",
        scale=alt.Scale(domain=list(domain), nice=False, zero=False),
        axis=alt.Axis(
            title=title,
            values=ticks(*domain),
            labelExpr=POWER_LABEL if theme.has_superscripts else EXPONENT_LABEL,
        ),
    )


def width_axis(widths: Sequence[float], title: str) -> alt.X:
    """Give an axis of log2 widths, ticked at the widths."""
    places = [math.log2(width) for width in widths] or [0.0]
    domain = [places[0] - 0.3, places[-1] + 0.3]
    return alt.X(
        "log2_width:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(title=title, values=places, labelExpr=WIDTH_LABEL),
    )


def ticks(low: float, high: float) -> list[float]:
    """Place ticks at whole exponents, fewer on a long axis and finer on a short one.

    Example:
        >>> ticks(-6.3, -2.9)
        [-6.0, -5.0, -4.0, -3.0]
        >>> ticks(-5.3, -4.8)
        [-5.25, -5.0]
    """
    span = high - low
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0) if span / s <= (3 if s < 1 else 12)), 10.0)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]
