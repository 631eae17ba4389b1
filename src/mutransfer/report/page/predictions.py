"""This file is the prediction cards: the rate to use at a width that was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mutransfer.report.format import (
    escaped,
    group_title,
    interval_text,
    loss_text,
    nats_text,
    number,
    power,
    share_text,
    tuned_title,
    width_text,
)
from mutransfer.report.page.footnotes import Footnotes
from mutransfer.report.page.tables import table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Prediction, Report

MOST_CARDS = 6  # more predictions are told in a table
LAWS = {"constant": "the best rate stays", "power": "the best rate moves as a power law"}


def prediction_section(
    report: Report, predictions: Sequence[Prediction], snippets: Mapping[str, str]
) -> str:
    """Write one card per prediction, or a table where they are many, as HTML."""
    if len(predictions) > MOST_CARDS:
        return _table(report, predictions) + _folded(report, predictions, snippets)
    cards = "".join(_card(report, one, snippets.get(one.group, "")) for one in predictions)
    return f'<div class="cards">{cards}</div>'


def _card(report: Report, one: Prediction, snippet: str) -> str:
    """Write one card."""
    notes = Footnotes()
    rate = notes.estimate(one.lr, number)
    rows = [
        ("Expected loss", notes.estimate(one.loss, loss_text), "At the best rate there, in nats."),
        ("Expected regret", _regret(one, notes), "What this rate costs there, with its bound."),
        ("Law", escaped(LAWS[one.law]), _missed(one)),
    ]
    told = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{meaning}</small></dd></div>"
        for name, value, meaning in rows
    )
    again = "" if one.log2_lr.value is None else f'<p class="note">{_power_text(one.log2_lr)}</p>'
    warned = "".join(f"<li>{escaped(warning)}</li>" for warning in one.warnings)
    where = f"{escaped(one.scale)} {width_text(one.width)}"
    title = escaped(group_title(report, one.group))
    return (
        f'<article class="card plain"><h3>{title} at {where}</h3>'
        f'<p class="rate">{escaped(tuned_title(report))} {rate}</p>{again}'
        f"<dl>{told}</dl>{notes.told()}"
        + (f'<ul class="warnings">{warned}</ul>' if warned else "")
        + _snippet(snippet, f"{group_title(report, one.group)} at {where}")
        + "</article>"
    )


def _regret(one: Prediction, notes: Footnotes) -> str:
    """Write the share with its upper bound, and the nats."""
    share, nats = one.regret_share, one.regret
    if share.value is None:
        return notes.estimate(share if share.undetermined else nats, share_text)
    bound = "" if share.high is None else f", at most {share_text(share.high)}"
    beside = "" if nats.value is None else f" ({nats_text(nats.value)} nats)"
    told = f"{share_text(share.value)} of the loss{beside}{bound}"
    return escaped(told) + notes.mark(share.undetermined)


def _missed(one: Prediction) -> str:
    """Say by how much each law missed the largest width when it was left out."""
    known = [(law.name, law.held_out) for law in one.laws if law.held_out.value is not None]
    if not known:
        return "Fewer than three optima: no law could be checked."
    parts = [f"{LAWS[name]}: {number(told.value, 2)} octaves" for name, told in known]
    return escaped(f"Missed the largest {one.scale}, fitted without it, by: {'; '.join(parts)}.")


def _snippet(text: str, what: str) -> str:
    """Write text to copy; the button appears where scripts run."""
    if not text:
        return ""
    return (
        '<div class="snippet"><button type="button" data-copy hidden>Copy</button>'
        f'<pre class="scroll" tabindex="0" role="region" aria-label="what to type for '
        f'{escaped(what)}">{escaped(text)}</pre></div>'
    )


def _table(report: Report, predictions: Sequence[Prediction]) -> str:
    """Write one row per prediction."""
    notes = Footnotes()
    heads = ["Group", predictions[0].scale, tuned_title(report), "as a power of two",
             "Expected loss", "Expected regret", "Law and warnings"]  # fmt: skip
    rows = [
        [
            escaped(group_title(report, one.group)),
            width_text(one.width),
            notes.estimate(one.lr, number),
            _power_text(one.log2_lr),
            notes.estimate(one.loss, loss_text),
            _regret(one, notes),
            escaped("; ".join([LAWS[one.law], *one.warnings])),
        ]
        for one in predictions
    ]
    return table(heads, rows) + notes.told()


def _power_text(log2_lr: Estimate) -> str:
    """Write a rate as a power of two with its interval."""
    if log2_lr.value is None:
        return "–"
    interval = escaped(interval_text(log2_lr, power))
    return f'{power(log2_lr.value)} <span class="interval">{interval}</span>'


def _folded(report: Report, predictions: Sequence[Prediction], snippets: Mapping[str, str]) -> str:
    """Write what to type for each of many groups, folded away."""
    return "".join(
        f"<details><summary>What to type for {escaped(group_title(report, one.group))}</summary>"
        f"{_snippet(snippets[one.group], group_title(report, one.group))}</details>"
        for one in predictions
        if snippets.get(one.group)
    )
