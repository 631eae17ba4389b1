"""Vega-Lite charts of the planes of E, κ and R(∞), and of the regret matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from mutransfer.report.figures.drawing.charts import (
    Domain,
    fade,
    group_channels,
    layer_chart,
    ticks,
)
from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.planes import SYMBOLS, Plane, Quantity
from mutransfer.report.figures.numbers.regret_matrix import STATES
from mutransfer.report.theme import Theme

TEN_LABEL = "'1e' + format(datum.value, '.2~f')"
CELL = (96, 58)  # pixels: a share, its bound and its side of the threshold


def plane_template(
    plane: Plane, num_groups: int, theme: Theme, domain: tuple[Domain, Domain], size: Size
) -> Spec:
    """Draw one mark per group in a plane, with reference lines; for `plane_rows`."""
    x = _axis(alt.X, "x", plane[0], domain[0])
    y = _axis(alt.Y, "y", plane[1], domain[1])
    colour, shape = group_channels(num_groups, theme)
    points = alt.Chart(alt.NamedData("plane")).encode(x=x, y=y, color=colour)
    interval = points.mark_rule(strokeWidth=2, strokeCap="round")
    reference_value = alt.Chart(alt.NamedData("references")).mark_rule(
        strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted
    )
    tooltip = [
        alt.Tooltip("where:N", title="group"),
        alt.Tooltip("x_text:N", title=SYMBOLS[plane[0]]),
        alt.Tooltip("y_text:N", title=SYMBOLS[plane[1]]),
    ]
    layers = [
        reference_value.encode(x=x).transform_filter("datum.axis == 0"),
        reference_value.encode(y=y).transform_filter("datum.axis == 1"),
        interval.encode(
            x=alt.X("x_low:Q"), x2="x_high:Q", opacity=fade(0.5, 0.08)
        ).transform_filter("isNumber(datum.x_low)"),
        interval.encode(
            y=alt.Y("y_low:Q"), y2="y_high:Q", opacity=fade(0.5, 0.08)
        ).transform_filter("isNumber(datum.y_low)"),
        points.mark_point(filled=True, size=90).encode(
            shape=shape, opacity=fade(1.0), tooltip=tooltip
        ),
    ]
    return layer_chart(layers, size)


def matrix_template(
    proxies: Sequence[str], targets: Sequence[str], scale: str, theme: Theme
) -> Spec:
    """Draw a regret matrix, whose cells say in words what their colour means; for `matrix_rows`."""
    x = alt.X(
        "target:N",
        scale=alt.Scale(domain=list(targets)),
        axis=alt.Axis(title=f"used at {scale}", labelAngle=0, orient="top", ticks=False),
    )
    y = alt.Y(
        "proxy:N",
        scale=alt.Scale(domain=list(proxies)),
        axis=alt.Axis(title=f"tuned at {scale}", ticks=False),
    )
    states = alt.Scale(domain=list(STATES), range=list(theme.states))
    cells = alt.Chart(alt.NamedData("cells")).encode(x=x, y=y)
    layers = [
        cells.mark_rect(stroke=theme.paper, strokeWidth=3).encode(
            color=alt.Color("state:N", scale=states, legend=None)
        ),
        cells.mark_text(dy=-14, fontSize=13, fontWeight=600, color=theme.ink).encode(
            text="share:N"
        ),
        cells.mark_text(dy=2, fontSize=11, color=theme.ink).encode(text="bound:N"),
        cells.mark_text(dy=17, fontSize=11, color=theme.ink).encode(text="state:N"),
    ]
    return layer_chart(layers, (CELL[0] * max(len(targets), 1), CELL[1] * max(len(proxies), 1)))


def _axis(
    channel: type[alt.X] | type[alt.Y], field: str, quantity: Quantity, domain: Domain
) -> Any:  # noqa: ANN401 - alt.X or alt.Y
    """Return an axis; that of E is logarithmic."""
    axis = alt.Axis(title=SYMBOLS[quantity], tickCount=4 if channel is alt.X else 6)
    if quantity == "E":
        axis = alt.Axis(title=SYMBOLS[quantity], values=ticks(*domain), labelExpr=TEN_LABEL)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    return channel(f"{field}:Q", scale=scale, axis=axis)
