"""Vega-Lite charts of a coordinate check: exponents by step, and sizes by width."""

from __future__ import annotations

import altair as alt

from mutransfer.report.figures.drawing.charts import (
    Domain,
    fade,
    index_scale,
    layer_chart,
    legend_chart,
    log2_axis,
    width_axis,
)
from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.exponents import (
    WORST_FIRST,
    CheckFrame,
    CheckPanel,
    check_domain,
)
from mutransfer.report.figures.numbers.sizes import SizePanel
from mutransfer.report.theme import Theme


def check_template(panel: CheckPanel, frame: CheckFrame, theme: Theme, size: Size) -> Spec:
    """Draw one quantity of one role, a line per layer, with the tolerated band; for `check_rows`.

    What is measured once is drawn as points with intervals, from the first layer to the last.
    """
    x = _x_axis(panel, frame)
    y = alt.Y(
        "exponent:Q",
        scale=alt.Scale(domain=list(check_domain(panel, frame, size[1])), nice=False, zero=False),
        axis=alt.Axis(title="exponent of width", tickCount=6, format="~g"),
    )
    outcomes = alt.Scale(domain=list(WORST_FIRST), range=_outcome_colours(theme))
    colour = alt.Color("outcome:N", scale=outcomes, legend=None)
    tooltip = [
        alt.Tooltip("name:N", title="layer"),
        alt.Tooltip("where:N", title="at"),
        alt.Tooltip("text:N", title="exponent"),
        alt.Tooltip("outcome:N", title="outcome"),
    ]
    points = alt.Chart(alt.NamedData("points")).encode(x=x, y=y, color=colour)
    layers = [
        alt.Chart(alt.NamedData("band"))
        .mark_rect(color=theme.states[0], opacity=1)
        .encode(y=alt.Y("low:Q"), y2="high:Q"),
        alt.Chart(alt.NamedData("expected"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(y=y),
        _sp_marks(panel, theme).encode(x=x, y=y),
        _lines(points, panel),
        points.mark_point(filled=True, size=70 if panel.is_single else 26, opacity=1).encode(
            tooltip=tooltip
        ),
        alt.Chart(alt.NamedData("labels"))
        .mark_text(align="right", baseline="middle", fontSize=12, color=theme.outcomes[1])
        .encode(x=alt.value("width"), y=alt.Y("at:Q"), text="label:N"),
    ]
    return layer_chart(layers, size)


def _lines(points: alt.Chart, panel: CheckPanel) -> alt.Chart:
    """Draw lines over steps, or intervals where each layer has a single number."""
    if panel.is_single:
        ends = points.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.5)
        rules: alt.Chart = ends.encode(y=alt.Y("low:Q"), y2="high:Q")
        return rules
    dashes = alt.condition("datum.outcome == 'undetermined'", alt.value([5, 3]), alt.value([1, 0]))
    width = alt.condition("datum.outcome == 'fail'", alt.value(2.5), alt.value(1.5))
    line = points.mark_line()
    lines: alt.Chart = line.encode(detail="name:N", strokeDash=dashes, strokeWidth=width)
    return lines


def _sp_marks(panel: CheckPanel, theme: Theme) -> alt.Chart:
    """Draw SP for comparison, as a dotted line or as hollow points."""
    chart = alt.Chart(alt.NamedData("sp"))
    line = chart.mark_line(strokeDash=[1, 4], strokeWidth=2, strokeCap="round", color=theme.muted)
    point = chart.mark_point(shape="diamond", size=90, color=theme.muted)
    drawn: alt.Chart = point if panel.is_single else line
    return drawn


def _x_axis(panel: CheckPanel, frame: CheckFrame) -> alt.X:
    """Return an axis of steps; of what is measured once, of layers in order without a scale."""
    if not panel.is_single:
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
    panel: SizePanel, num_steps: int, domain: Domain, theme: Theme, size: Size
) -> Spec:
    """Draw sizes against width, one line per step, with the expected slope; for `size_rows`."""
    x = width_axis(panel.widths, "width")
    y = log2_axis(alt.Y, "log2_size", "size", domain, theme)
    colour = alt.Color("index:N", scale=index_scale(theme.ramp[:num_steps]), legend=None)
    tooltip = [
        alt.Tooltip("where:N", title="at"),
        alt.Tooltip("size:N", title="size"),
        alt.Tooltip("fitted:N", title="exponent of width"),
    ]
    sizes = alt.Chart(alt.NamedData("sizes")).encode(x=x, y=y, color=colour, opacity=fade(1.0))
    layers = [
        alt.Chart(alt.NamedData("expected"))
        .mark_line(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=x, y=y),
        sizes.mark_line(strokeWidth=1.5),
        sizes.mark_point(filled=True, size=30).encode(tooltip=tooltip),
    ]
    return layer_chart(layers, size)


def steps_legend(num_steps: int, theme: Theme) -> Spec:
    """Draw a legend of steps."""
    return legend_chart([f"step {k}" for k in range(num_steps)], theme.ramp[:num_steps], theme)


def outcomes_legend(theme: Theme) -> Spec:
    """Draw a legend of outcomes."""
    return legend_chart(WORST_FIRST, _outcome_colours(theme), theme)


def _outcome_colours(theme: Theme) -> list[str]:
    """Return the colours of the outcomes, the worst first; passing lines stay in the background."""
    return [theme.outcomes[1], theme.outcomes[2], theme.muted]
