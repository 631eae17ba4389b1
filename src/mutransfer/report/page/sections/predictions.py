"""Prediction cards: the rate to use at a width that was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mutransfer.analysis.format import format_power, format_rate
from mutransfer.report.format import (
    escape,
    format_cost,
    format_group,
    format_loss,
    format_number,
    format_percent,
    format_width,
    hyperparameter_title,
    unit_suffix,
)
from mutransfer.report.page.elements import Footnotes, bullets, fact, interval, table, text_box
from mutransfer.report.text.analysis import format_cost_share

if TYPE_CHECKING:
    from mutransfer.analysis import PointPrediction, Prediction, Report

MOST_CARDS = 6  # more predictions become a table
LAWS = {
    "constant": "the best rate stays",
    "power": "it moves as a power of the scale",
    "saturating": "it moves and settles",
}


def prediction_section(
    report: Report, predictions: Sequence[Prediction], snippets: Mapping[str, str]
) -> str:
    """Return one card per prediction, or a table of many predictions, as HTML."""
    if len(predictions) <= MOST_CARDS:
        cards = "".join(_card(report, p, snippets.get(p.group, "")) for p in predictions)
        return f'<div class="cards">{cards}</div>'
    folded = "".join(
        f"<details><summary>Code for {escape(format_group(report, p.group))}</summary>"
        f"{format_snippet(snippets[p.group], format_group(report, p.group))}</details>"
        for p in predictions
        if snippets.get(p.group)
    )
    return _table(report, predictions) + folded


def _card(report: Report, prediction: Prediction, snippet: str) -> str:
    """Return one card."""
    notes = Footnotes()
    rate, unit = _rate(prediction, notes), escape(unit_suffix(prediction))
    facts = [
        fact(
            "Expected loss",
            notes.estimate(prediction.loss, format_loss),
            f"At the best rate there{f', in{unit}' if unit else ''}.",
        ),
        fact(
            "Expected regret",
            format_regret(prediction, notes),
            "The excess loss from using this rate there, with its bound.",
        ),
    ]
    target = ", ".join(f"{name} {format_width(value)}" for name, value in prediction.at.items())
    title = escape(f"{format_group(report, prediction.group)} at {target}")
    return (
        f'<article class="card plain"><h3>{title}</h3>'
        f'<p class="rate">{escape(hyperparameter_title(report))} {rate}</p>'
        f"<dl>{''.join(facts)}</dl>{notes.to_html()}{_laws(prediction)}"
        f"{bullets([escape(warning) for warning in prediction.warnings], 'warnings')}"
        f"{format_snippet(snippet, title)}</article>"
    )


def _rate(prediction: Prediction, notes: Footnotes) -> str:
    """Return the rate as a power of two and as a decimal, with the interval as powers of two."""
    rate = prediction.log2_lr
    value = "–" if rate.value is None else format_rate(rate.value)
    mark = notes.mark(rate.undetermined)
    return f"<span>{value}</span>{interval(rate, format_power)}{mark}"


def format_regret(prediction: Prediction | PointPrediction, notes: Footnotes) -> str:
    """Return the share with its upper bound, and the difference of losses."""
    share, cost = prediction.regret_share, prediction.regret
    if share.value is None:
        return notes.estimate(share if share.undetermined else cost, format_percent)
    bound = "" if share.high is None else f", at most {format_percent(share.high)}"
    cost_text = ""
    if cost.value is not None:
        cost_text = f" ({format_cost(cost.value)}{unit_suffix(prediction)})"
    text = f"{format_percent(share.value)} of the loss{cost_text}{bound}"
    return escape(text) + notes.mark(share.undetermined)


def _laws(prediction: Prediction) -> str:
    """Return the laws, then the nearest width, as a list: weight, rate, cost, error."""
    if prediction.log2_lr.low is None:
        return ""
    items = []
    for law in prediction.laws:
        rate, missed = law.log2_lr.value, law.held_out.value
        parts = [
            f"{law.name} law ({LAWS[law.name]}): weight {format_percent(law.weight)}",
            "" if rate is None else format_power(rate),
            format_cost_share(law.regret_share),
            "" if missed is None else f"missed the largest by {format_number(missed, 2)} octaves",
        ]
        items.append(escape(", ".join(filter(None, parts))))
    if (nearest := prediction.nearest) and (cost := format_cost_share(nearest.regret_share)):
        sizes = ", ".join(f"{name} {format_width(size)}" for name, size in nearest.sizes.items())
        items.append(escape(f"that of {sizes}, {format_power(nearest.log2_lr)}, {cost}"))
    return bullets(items, "laws")


def format_snippet(text: str, what: str) -> str:
    """Return code to copy; the button appears where scripts run."""
    if not text:
        return ""
    button = '<button type="button" data-copy hidden>Copy</button>'
    return f'<div class="snippet">{button}{text_box(text, f"code for {what}")}</div>'


def _table(report: Report, predictions: Sequence[Prediction]) -> str:
    """Return one row per prediction."""
    notes = Footnotes()
    heads = ["Group", predictions[0].scale, hyperparameter_title(report), "Expected loss",
             "Expected regret", "Law and warnings"]  # fmt: skip
    rows = [
        [
            escape(format_group(report, prediction.group)),
            format_width(prediction.width),
            _rate(prediction, notes),
            notes.estimate(prediction.loss, format_loss),
            format_regret(prediction, notes),
            escape("; ".join([f"most likely {LAWS[prediction.law]}", *prediction.warnings])),
        ]
        for prediction in predictions
    ]
    return table(heads, rows) + notes.to_html()
