"""Verdict cards: one per group, each number with its meaning."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mutransfer.analysis.format import format_rate
from mutransfer.report.figures.numbers.regret_matrix import worst_regret_text
from mutransfer.report.format import (
    Formatter,
    as_sentence,
    escape,
    format_cost,
    format_group,
    format_number,
    format_percent,
    format_slope,
    format_width,
    hyperparameter_title,
    is_ungrouped,
    shorten,
    unit_suffix,
)
from mutransfer.report.page.elements import Footnotes, fact, interval, table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

MOST_CARDS = 6  # more groups become a table, so that the figures are not far down
MOST_RATES = 8
MARKS = {"transfers": "✓", "does not transfer": "✗", "undetermined": "?"}
COUNTED = {
    "transfers": "transfer",
    "does not transfer": "do not",
    "undetermined": "are undetermined",
}
YES_NO = {True: "yes", False: "no", None: "undetermined"}
CLASSES = {"transfers": "yes", "does not transfer": "no", "undetermined": "open"}


def headline(report: Report) -> str:
    """Return every group's verdict in one sentence, as HTML; of many groups, their counts."""
    if not report:
        return "There is no group to judge."
    if len(report) > MOST_CARDS:
        counts = Counter[str](group.verdict for group in report.values())
        parts = [f"<b>{counts[name]}</b> {verb}" for name, verb in COUNTED.items() if counts[name]]
        return f"Of {len(report)} groups, {', '.join(parts)}."
    if is_ungrouped(report):
        tuned, verdict = escape(hyperparameter_title(report)), report["all"].verdict
        if verdict == "undetermined":
            return f"Whether the best {tuned} transfers is <b>undetermined</b>."
        return f"The best {tuned} <b>{verdict}</b>."
    clauses = [
        f"<b>{escape(shorten(format_group(report, name)))}</b> "
        + ("is undetermined" if group.verdict == "undetermined" else group.verdict)
        for name, group in report.items()
    ]
    return "; ".join(clauses) + "."


def verdicts(report: Report) -> str:
    """Return one card per group, or a table of many groups, as HTML."""
    if len(report) <= MOST_CARDS:
        body = "\n".join(_card(report, name, group) for name, group in report.items())
        return f'<div class="cards">{body}</div>'
    heads = ["Group", "Verdict", "Regret", "Worst pair", "Drift", "Same best on the grid",
             "What is missing"]  # fmt: skip
    rows = [
        [
            escape(format_group(report, name)),
            f'<span class="verdict {CLASSES[group.verdict]}">{MARKS[group.verdict]} '
            f"{group.verdict}</span>",
            _estimate(group.regret_share, format_percent),
            escape(worst_regret_text(group)),
            _estimate(group.drift, format_slope),
            YES_NO[group.paper_criterion],
            escape(group.reason if group.verdict == "undetermined" else ""),
        ]
        for name, group in report.items()
    ]
    return table(heads, rows)


def _card(report: Report, name: str, group: GroupReport) -> str:
    """Return one group's card."""
    title, scale = format_group(report, name), escape(report.scale)
    code = "" if title == name else f" <code>{escape(name)}</code>"
    small, large = (format_width(group.curves[k].width) for k in (0, -1))
    notes = Footnotes()
    drift = _estimate(group.drift, format_slope)
    facts = [
        fact(
            "Regret",
            _regret(report, group, notes),
            f"What you pay at {scale} {large} for using the best rate of {scale} {small}.",
        ),
        fact(
            "Drift",
            f"{drift} {_missing(group.drift, group, notes)}",
            _drift_meaning(scale, group),
        ),
        fact(
            "Sensitivity",
            _sensitivity(group, notes),
            f"The range of the drift when one {scale} at a time is left out. If it is narrow, no"
            f" single {scale} decides.",
        ),
        fact(
            "Same best rate on the grid",
            _grid_rates(group),
            "The simple criterion of arXiv:2404.05728: the best of the tried rates is the same at"
            f" every {scale}.",
        ),
    ]
    mark, css = MARKS[group.verdict], CLASSES[group.verdict]
    return (
        f'<article class="card {css}"><h3>{escape(title)}{code}</h3>'
        f'<p class="verdict"><span aria-hidden="true">{mark}</span> {escape(group.verdict)}</p>'
        f'<p class="reason">{escape(as_sentence(group.reason))}</p>'
        f"{_gauge(report, group)}<dl>{''.join(facts)}</dl>{notes.to_html()}</article>"
    )


def _missing(estimate: Estimate, group: GroupReport, notes: Footnotes) -> str:
    """Return which part of an estimate is missing; empty where nothing is."""
    if estimate.undetermined is None:
        return ""
    has_value = estimate.value is not None or estimate.low
    text = "no interval" if has_value else "undetermined"
    return f'<span class="lacking">{text}</span>{_reason_mark(estimate, group, notes)}'


def _reason_mark(estimate: Estimate, group: GroupReport, notes: Footnotes) -> str:
    """Return a footnote's mark, unless the sentence of the verdict has the reason."""
    reason = estimate.undetermined
    return "" if reason is None or reason in group.reason else notes.mark(reason)


def _estimate(estimate: Estimate, formatter: Formatter, unit: str = "") -> str:
    """Return a value with its interval, or its lower bound, as HTML; empty without either."""
    if estimate.value is not None:
        value = escape(formatter(estimate.value))
        return f"<strong>{value}</strong>{unit}{interval(estimate, formatter)}"
    if estimate.low:
        return f"at least <strong>{escape(formatter(estimate.low))}</strong>{unit}"
    return ""


def _regret(report: Report, group: GroupReport, notes: Footnotes) -> str:
    """Return the regret as a difference of losses and as a share, with bounds, as HTML."""
    lines = [
        _estimate(group.regret, format_cost, escape(unit_suffix(report))),
        _estimate(group.regret_share, format_percent, " of the loss"),
        _missing(group.regret, group, notes),
    ]
    return "<br>".join(line for line in lines if line)


def _drift_meaning(scale: str, group: GroupReport) -> str:
    """Return what this group's drift means."""
    if group.drift.value is None:
        return f"How the best rate moves with {scale}; zero means that it stays."
    factor = 2.0 ** max(min(group.drift.value, 60.0), -60.0)
    text = f"{factor:.2f}" if 0.1 < factor < 100 else format_number(factor, 2)
    return f"Doubling the {scale} multiplies the best rate by {text} (2^drift)."


def _sensitivity(group: GroupReport, notes: Footnotes) -> str:
    """Return the range of the drift when one width is left out."""
    estimate = group.sensitivity
    if estimate.low is None or estimate.high is None:
        mark = _reason_mark(estimate, group, notes)
        return f'<span class="lacking">undetermined</span>{mark}'
    return f"<strong>{format_slope(estimate.low)} to {format_slope(estimate.high)}</strong>"


def _grid_rates(group: GroupReport) -> str:
    """Return whether every width has the same best tried rate, and which they are."""
    rates = [o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None]
    shown = rates[: 1 if group.paper_criterion else MOST_RATES]
    text = ", ".join(map(format_rate, shown))
    text += " …" if len(rates) > MOST_RATES and not group.paper_criterion else ""
    return f"<strong>{YES_NO[group.paper_criterion]}</strong>" + (f": {text}" if text else "")


def _gauge(report: Report, group: GroupReport) -> str:
    """Draw the bounds of the regret beside the threshold; the text has the same numbers."""
    share = group.regret_share
    if share.low is None and share.value is None:
        return ""
    low = share.low if share.low is not None else share.value or 0.0
    high = share.high if share.high is not None else share.value
    full = max(2 * report.threshold, 1.15 * (high if high is not None else 3 * low))
    ends = [100 * min(x / full, 1.0) for x in (low, full if high is None else high)]
    dot = "" if share.value is None else f'<i style="left:{100 * share.value / full:.2f}%"></i>'
    limit = f"{100 * report.threshold / full:.2f}%"
    return (
        f'<div class="gauge" aria-hidden="true"><div class="track"><b style="left:{ends[0]:.2f}%;'
        f'width:{max(ends[1] - ends[0], 0.6):.2f}%"></b>{dot}'
        f'<u style="left:{limit}"></u></div><span style="left:clamp(3.6em,{limit},100% - 3.6em)">'
        f"threshold {format_percent(report.threshold)}</span></div>"
    )
