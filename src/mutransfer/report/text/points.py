"""The predicted point of several hyperparameters as text for the terminal."""

from __future__ import annotations

import math

from mutransfer.analysis import PointPrediction, PredictedValue
from mutransfer.analysis.format import format_share
from mutransfer.report.format import unit_suffix
from mutransfer.report.text.analysis import Lines
from mutransfer.report.text.tuning import format_best


def point_text(prediction: PointPrediction) -> str:
    """Format the predicted values, their costs, and loss and regret of the whole point."""
    lines = Lines()
    names = max(len(value.name) for value in prediction.values)
    texts = [format_best(value) for value in prediction.values]
    longest = max(map(len, texts))
    for value, text in zip(prediction.values, texts, strict=True):
        cost = format_cost_alone(value)
        shown = f"  {value.name:<{names}}  {text:<{longest}}  {cost}"
        lines.lines.append(shown.rstrip())
        lines.reason(value.name, value.best)
    lines.estimate("loss there", prediction.loss, unit_suffix(prediction))
    lines.estimate("regret there", prediction.regret, unit_suffix(prediction))
    lines.estimate("  of the loss", prediction.regret_share, formatter=format_share)
    lines.lines += [f"  warning: {warning}" for warning in prediction.warnings]
    size = f"{prediction.scale} {prediction.width:g}"
    head = f"{prediction.group}: {prediction.hyperparameter} at {size}, " + (
        f"{prediction.extrapolation:.3g}x the largest with a best point"
        if math.isfinite(prediction.extrapolation)
        else "without any fitted best point"
    )
    return "\n".join([head, *lines.with_reasons()])


def format_cost_alone(value: PredictedValue) -> str:
    """Format what a value costs if it alone is off; empty where that has no bound."""
    if value.cost.high is None:
        return ""
    return f"costs at most {format_share(value.cost.high)} of the loss by itself"
