"""This file is the verdict cards: one per group, each number with what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutransfer.report.words import (
    escaped,
    group_title,
    interval_text,
    number,
    power,
    share_text,
    width_text,
)

if TYPE_CHECKING:
    from mutransfer.analysis.types import Estimate, GroupReport, Report

MOST_CARDS = 60  # more are told by the table alone, to keep the page small
MARKS = {"transfers": "✓", "does not transfer": "✗", "undetermined": "?"}
CLASSES = {"transfers": "yes", "does not transfer": "no", "undetermined": "open"}


def headline(report: Report) -> str:
    """Say every group's verdict in one sentence, as HTML."""
    told = [
        f"<b>{escaped(group_title(report, name))}</b> {_verdict_words(group)}"
        for name, group in list(report.items())[:6]
    ]
    if len(report) > len(told):
        told.append(f"and {len(report) - len(told)} more below")
    return "; ".join(told) + "." if told else "There is no group to judge."


def cards(report: Report) -> str:
    """Write one card per group, as HTML."""
    shown = list(report.items())[:MOST_CARDS]
    body = "\n".join(_card(report, name, group) for name, group in shown)
    if len(report) > len(shown):
        body += f'<p class="note">{len(report) - len(shown)} more groups: see the table.</p>'
    return f'<div class="cards">{body}</div>'


def _verdict_words(group: GroupReport) -> str:
    """Put a verdict into a sentence."""
    return "is undetermined" if group.verdict == "undetermined" else group.verdict


def _card(report: Report, name: str, group: GroupReport) -> str:
    """Write one group's card."""
    title = group_title(report, name)
    code = "" if title == name else f" <code>{escaped(name)}</code>"
    rows = [
        _row("Regret", _regret(group), _regret_meaning(report, group)),
        _row("Drift", _estimate(group.drift), _drift_meaning(report, group)),
        _row("Sensitivity", _sensitivity(group), "The drift again, leaving out one width at a time."
             " A narrow range: no single width decides."),
        _row("Same best rate on the grid", _criterion(group), "The simple criterion of"
             " arXiv:2404.05728: the best of the rates tried is the same at every"
             f" {escaped(report.scale)}."),
    ]  # fmt: skip
    mark, css = MARKS[group.verdict], CLASSES[group.verdict]
    return (
        f'<article class="card {css}"><h3>{escaped(title)}{code}</h3>'
        f'<p class="verdict"><span aria-hidden="true">{mark}</span> {escaped(group.verdict)}</p>'
        f'<p class="reason">{escaped(_sentence(group.reason))}</p>'
        f"{_gauge(report, group)}<dl>{''.join(rows)}</dl></article>"
    )


def _row(title: str, value: str, meaning: str) -> str:
    """Write a number with its meaning; the parts are HTML already."""
    return f"<div><dt>{title}</dt><dd>{value}<small>{meaning}</small></dd></div>"


def _sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _estimate(estimate: Estimate, unit: str = "") -> str:
    """Write a value with its interval, or with the reason why there is none."""
    parts = []
    if estimate.value is not None:
        parts.append(f"<strong>{number(estimate.value)}{unit}</strong>")
    if interval := interval_text(estimate):
        parts.append(f'<span class="interval">{interval}</span>')
    if estimate.value is None and not interval:
        parts.append("<strong>not known</strong>")
    if estimate.undetermined:
        parts.append(f'<span class="lacking">{escaped(estimate.undetermined)}</span>')
    return " ".join(parts)


def _regret(group: GroupReport) -> str:
    """Write the regret in nats and as a share."""
    nats, shares = group.regret, group.regret_share
    if nats.value is None and nats.low is not None and nats.high is None:
        text = f"<strong>at least {number(nats.low)} nats</strong>"
        if shares.low is not None:
            text += f" = {share_text(shares.low)} of the loss"
        return f'{text} <span class="lacking">{escaped(nats.undetermined or "")}</span>'
    text = _estimate(nats, " nats")
    if shares.value is None:
        return text
    ends = ""
    if shares.low is not None and shares.high is not None:
        ends = (
            f' <span class="interval">[{share_text(shares.low)}, {share_text(shares.high)}]</span>'
        )
    return f"{text}<br><strong>{share_text(shares.value)}</strong> of the loss{ends}"


def _regret_meaning(report: Report, group: GroupReport) -> str:
    """Say what the regret is, with this group's widths."""
    ends = [width_text(curve.width) for curve in (group.curves[0], group.curves[-1])]
    scale = escaped(report.scale)
    return f"What you pay at {scale} {ends[1]} for using the best rate of {scale} {ends[0]}."


def _drift_meaning(report: Report, group: GroupReport) -> str:
    """Say what the drift is, with this group's number."""
    scale = escaped(report.scale)
    if group.drift.value is None:
        return f"How the best rate moves with {scale}; zero means that it stays."
    factor = number(2.0 ** max(min(group.drift.value, 60.0), -60.0), 2)
    return f"Doubling the {scale} multiplies the best rate by {factor} (2^drift); zero: it stays."


def _sensitivity(group: GroupReport) -> str:
    """Write the range of the drift when one width is left out."""
    estimate = group.sensitivity
    if estimate.low is None or estimate.high is None:
        reason = estimate.undetermined or "not known"
        return f'<span class="lacking">{escaped(reason)}</span>'
    return f"<strong>{number(estimate.low)} to {number(estimate.high)}</strong>"


def _criterion(group: GroupReport) -> str:
    """Write whether the grid's best rate is the same at every width, and which they are."""
    words = {True: "yes", False: "no", None: "not known"}[group.paper_criterion]
    rates = [o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None]
    told = ", ".join(power(rate) for rate in rates[:8]) + (" …" if len(rates) > 8 else "")
    return f"<strong>{words}</strong>" + (f" ({told})" if told else "")


def _gauge(report: Report, group: GroupReport) -> str:
    """Draw the regret's bounds beside the threshold; the text says the same."""
    shares = group.regret_share
    if shares.low is None and shares.value is None:
        return ""
    low = shares.low if shares.low is not None else shares.value or 0.0
    high = shares.high if shares.high is not None else shares.value
    full = max(2 * report.threshold, 1.15 * (high if high is not None else 3 * low))
    ends = [100 * min(x / full, 1.0) for x in (low, full if high is None else high)]
    dot = "" if shares.value is None else f'<i style="left:{100 * shares.value / full:.2f}%"></i>'
    limit = f"{100 * report.threshold / full:.2f}%"
    return (
        f'<div class="gauge" aria-hidden="true"><div class="track"><b style="left:{ends[0]:.2f}%;'
        f'width:{max(ends[1] - ends[0], 0.6):.2f}%"></b>{dot}'
        f'<u style="left:{limit}"></u></div><span style="left:clamp(3.6em,{limit},100% - 3.6em)">'
        f"threshold {share_text(report.threshold)}</span></div>"
    )
