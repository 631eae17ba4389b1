"""This file is the drawing of planes and of the regret matrix: Vega-Lite charts, as in `draw`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from mutransfer.report.figures.drawing.charts import Size, faded, index_scale, plain, shapes, ticks
from mutransfer.report.figures.drawing.specs import Spec
from mutransfer.report.figures.numbers.planes import TITLES, Quantity
from mutransfer.report.figures.numbers.regret_matrix import STATES
from mutransfer.report.theme import Theme

TEN_LABEL = "'1e' + format(datum.value, '.2~f')"
CELL = (96, 58)  # pixels: a share, its bound and its side of the threshold


def plane_template(
    plane: tuple[Quantity, Quantity],
    num_groups: int,
    theme: Theme,
    *,
    domain: tuple[tuple[float, float], tuple[float, float]],
    size: Size,
) -> Spec:
    """Draw one mark per group in a plane, with yardsticks; `plane_rows` fills it in."""
    x = _axis(alt.X, "x", plane[0], domain[0])
    y = _axis(alt.Y, "y", plane[1], domain[1])
    cycle = [theme.groups[k % len(theme.groups)] for k in range(num_groups)]
    colour = alt.Color("index:N", scale=index_scale(cycle), legend=None)
    shape = alt.Shape("index:N", scale=index_scale(shapes(num_groups)), legend=None)
    drawn = alt.Chart(alt.NamedData("plane")).encode(x=x, y=y, color=colour)
    lines = alt.Chart(alt.NamedData("yardsticks"))
    rule = lines.mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
    tooltip = [
        alt.Tooltip("where:N", title="group"),
        alt.Tooltip("x_text:N", title=TITLES[plane[0]]),
        alt.Tooltip("y_text:N", title=TITLES[plane[1]]),
    ]
    layers = alt.layer(
        rule.encode(x=x).transform_filter("datum.axis == 0"),
        rule.encode(y=y).transform_filter("datum.axis == 1"),
        drawn.mark_rule(strokeWidth=2, strokeCap="round")
        .encode(x=alt.X("x_low:Q"), x2="x_high:Q", opacity=faded(0.5, 0.08))
        .transform_filter("isNumber(datum.x_low)"),
        drawn.mark_rule(strokeWidth=2, strokeCap="round")
        .encode(y=alt.Y("y_low:Q"), y2="y_high:Q", opacity=faded(0.5, 0.08))
        .transform_filter("isNumber(datum.y_low)"),
        drawn.mark_point(filled=True, size=90).encode(
            shape=shape, opacity=faded(1.0), tooltip=tooltip
        ),
    )
    return plain(layers.properties(width=size[0], height=size[1]))


def matrix_template(
    proxies: Sequence[str], targets: Sequence[str], scale: str, theme: Theme
) -> Spec:
    """Draw a regret matrix: a cell is a colour and says the same in words."""
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
    sides = alt.Scale(domain=list(STATES), range=list(theme.states))
    cells = alt.Chart(alt.NamedData("cells")).encode(x=x, y=y)
    text = cells.mark_text(color=theme.ink)
    layers = alt.layer(
        cells.mark_rect(stroke=theme.paper, strokeWidth=3).encode(
            color=alt.Color("state:N", scale=sides, legend=None)
        ),
        text.mark_text(dy=-14, fontSize=13, fontWeight=600, color=theme.ink).encode(text="share:N"),
        text.mark_text(dy=2, fontSize=11, color=theme.ink).encode(text="bound:N"),
        text.mark_text(dy=17, fontSize=11, color=theme.ink).encode(text="told:N"),
    )
    width, height = CELL[0] * max(len(targets), 1), CELL[1] * max(len(proxies), 1)
    return plain(layers.properties(width=width, height=height))


def _axis(
    channel: type[alt.X] | type[alt.Y], field: str, which: Quantity, domain: tuple[float, float]
) -> Any:  # noqa: ANN401 - alt.X or alt.Y
    """Give an axis; of E it is logarithmic."""
    axis = alt.Axis(title=TITLES[which], tickCount=4 if channel is alt.X else 6)
    if which == "E":
        axis = alt.Axis(title=TITLES[which], values=ticks(*domain), labelExpr=TEN_LABEL)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    return channel(f"{field}:Q", scale=scale, axis=axis)
