"""Drawing of training curves near the best rate."""

from __future__ import annotations

import altair as alt

from mutransfer.report.figures.drawing.charts import fade, index_scale, layer_chart
from mutransfer.report.figures.drawing.specs import Size, Spec
from mutransfer.report.figures.numbers.stability import TrainingFrame
from mutransfer.report.theme import Theme


def training_template(frame: TrainingFrame, theme: Theme, *, title: str, size: Size) -> Spec:
    """Draw training loss against step, one line per multiple of the best rate."""
    x = alt.X(
        "step:Q",
        scale=alt.Scale(domain=[0, frame.last_step], nice=False),
        axis=alt.Axis(title="step", tickMinStep=1, tickCount=6, format="d", grid=False),
    )
    y = alt.Y(
        "loss:Q",
        scale=alt.Scale(domain=[frame.low_loss, frame.high_loss], nice=False, zero=False),
        axis=alt.Axis(title=title, tickCount=6),
    )
    colour = alt.Color("index:N", scale=index_scale(theme.ramp), legend=None)
    layers = [
        alt.Chart(alt.NamedData("start"))
        .mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=theme.muted)
        .encode(x=x),
        alt.Chart(alt.NamedData("curves"))
        .mark_line(clip=True, strokeWidth=1.3)
        .encode(x=x, y=y, color=colour, opacity=fade(1.0)),
    ]
    return layer_chart(layers, size)
