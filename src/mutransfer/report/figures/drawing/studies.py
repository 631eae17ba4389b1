"""Vega-Lite charts of a comparison with a paper: one line per study."""

from __future__ import annotations

import altair as alt

from mutransfer.report.figures.drawing.charts import Domain, index_scale, layer_chart
from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.studies import TICKS_PERCENT, Quantity
from mutransfer.report.theme import Theme

ROW = 22  # pixels of one study
TITLES = {"regret": "regret in %", "drift": "drift"}


def studies_template(
    num_studies: int, longest: int, theme: Theme, quantity: Quantity, domain: Domain, size: Size
) -> Spec:
    """Draw a number of each study with its interval; for the marks of `study_marks`.

    Args:
        num_studies: Number of studies; their names and order are data.
        longest: Characters of the longest name.
        theme: Colours.
        quantity: 'regret' or 'drift'.
        domain: The axis.
        size: Size of the chart, of which the height is that of the studies.
    """
    x = _axis(quantity, domain)
    y = alt.Y(
        "name:N",
        sort=alt.EncodingSortField("index", op="min"),
        # The width of a name depends on the reader's font: a wide one takes 8 pixels a character.
        axis=alt.Axis(
            title=None, ticks=False, grid=False, domain=False, minExtent=8 * longest, labelLimit=240
        ),
    )
    colour = alt.Color("state:N", scale=index_scale([*theme.outcomes, theme.ink]), legend=None)
    marks = alt.Chart(alt.NamedData("marks")).encode(x=x, y=y)
    ours = marks.transform_filter("datum.source == 'ours'").encode(color=colour)
    tooltip = [alt.Tooltip("name:N", title="study"), alt.Tooltip("text:N", title=quantity)]
    ends = {"x": alt.X("low:Q"), "x2": "high:Q"}
    layers = [
        alt.Chart(alt.NamedData("studies")).mark_rule(color=theme.grid).encode(y=y),
        alt.Chart(alt.NamedData("references"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=alt.X("at:Q")),
        ours.mark_rule(clip=True, strokeWidth=4, strokeCap="round", opacity=0.45)
        .encode(**ends)
        .transform_filter("datum.low < datum.high"),
        ours.mark_rule(clip=True, strokeWidth=4, strokeDash=[2, 4], opacity=0.45)
        .encode(x=alt.X("low:Q"), x2=alt.value("width"))
        .transform_filter("datum.is_unbounded"),
        marks.transform_filter("datum.source == 'paper'")
        .mark_point(clip=True, shape="diamond", size=110, strokeWidth=2)
        .encode(color=colour, tooltip=tooltip),
        ours.mark_point(clip=True, filled=True, size=70, opacity=1).encode(tooltip=tooltip),
    ]
    return layer_chart(layers, (size[0], ROW * max(num_studies, 1)))


def _axis(quantity: Quantity, domain: Domain) -> alt.X:
    """Return the axis; that of the regret is linear up to one percent, and then logarithmic."""
    if quantity == "drift":
        scale = alt.Scale(domain=list(domain), nice=False, zero=False)
        return alt.X("value:Q", scale=scale, axis=alt.Axis(title=TITLES[quantity], tickCount=7))
    ticks = [tick for tick in TICKS_PERCENT if tick <= domain[1]]
    return alt.X(
        "value:Q",
        scale=alt.Scale(type="symlog", constant=1, domain=list(domain), nice=False, clamp=True),
        axis=alt.Axis(title=TITLES[quantity], values=ticks, format=".4~g"),
    )
