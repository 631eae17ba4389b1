"""This file is the verdict cards: one per group, each number with what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from mutransfer.report.figures.numbers.regret_matrix import worst_text
from mutransfer.report.format import (
    escaped,
    group_title,
    interval_text,
    is_whole,
    nats_text,
    number,
    power,
    sentence,
    share_text,
    shortened,
    slope_text,
    tuned_title,
    width_text,
)
from mutransfer.report.page.footnotes import Footnotes
from mutransfer.report.page.tables import table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

MOST_CARDS = 6  # more groups are told in a table, so that the figures are not far down
MARKS = {"transfers": "✓", "does not transfer": "✗", "undetermined": "?"}
COUNTED = (
    ("transfers", "transfer"),
    ("does not transfer", "do not"),
    ("undetermined", "are undetermined"),
)
YES_NO = {True: "yes", False: "no", None: "not known"}
NUMBERS = ("Regret", "Drift", "Sensitivity", "Same best rate on the grid")
CLASSES = {"transfers": "yes", "does not transfer": "no", "undetermined": "open"}


def headline(report: Report) -> str:
    """Say every group's verdict in one sentence, as HTML; of many groups, how many."""
    if not report:
        return "There is no group to judge."
    if len(report) > MOST_CARDS:
        counts = Counter[str](group.verdict for group in report.values())
        parts = [f"<b>{counts[one]}</b> {words}" for one, words in COUNTED if counts[one]]
        return f"Of {len(report)} groups, {', '.join(parts)}."
    if is_whole(report):
        return _whole(report)
    told = [
        f"<b>{escaped(shortened(group_title(report, name)))}</b> {_verdict_words(group)}"
        for name, group in report.items()
    ]
    return "; ".join(told) + "."


def _whole(report: Report) -> str:
    """Say the verdict where there are no groups to name."""
    tuned, verdict = escaped(tuned_title(report)), report["all"].verdict
    if verdict == "undetermined":
        return f"Whether the best {tuned} transfers is <b>undetermined</b>."
    return f"The best {tuned} <b>{verdict}</b>."


def verdicts(report: Report) -> str:
    """Write one card per group, or a table where they are many, as HTML."""
    if len(report) <= MOST_CARDS:
        body = "\n".join(_card(report, name, group) for name, group in report.items())
        return f'<div class="cards">{body}</div>'
    heads = ["Group", "Verdict", "Regret", "Worst pair", "Drift", "Same best on the grid",
             "What is missing"]  # fmt: skip
    rows = [
        [
            escaped(group_title(report, name)),
            f'<span class="verdict {CLASSES[group.verdict]}">{MARKS[group.verdict]} '
            f"{group.verdict}</span>",
            _estimate_text(group.regret_share, share_text),
            escaped(worst_text(group)),
            _estimate_text(group.drift, slope_text),
            YES_NO[group.paper_criterion],
            escaped(group.reason if group.verdict == "undetermined" else ""),
        ]
        for name, group in report.items()
    ]
    return table(heads, rows)


def _verdict_words(group: GroupReport) -> str:
    """Put a verdict into a sentence."""
    return "is undetermined" if group.verdict == "undetermined" else group.verdict


def _card(report: Report, name: str, group: GroupReport) -> str:
    """Write one group's card."""
    title = group_title(report, name)
    code = "" if title == name else f" <code>{escaped(name)}</code>"
    meanings = (
        _regret_meaning(report, group),
        _drift_meaning(report, group),
        "The drift again, leaving out one at a time. A narrow range: no single one decides.",
        "The simple criterion of arXiv:2404.05728: the best of the rates tried is the same at"
        f" every {escaped(report.scale)}.",
    )
    notes = Footnotes()
    texts = (
        _regret(group, notes),
        _drift(group, notes),
        _sensitivity(group, notes),
        _criterion(group),
    )
    rows = [_row(*row) for row in zip(NUMBERS, texts, meanings, strict=True)]
    mark, css = MARKS[group.verdict], CLASSES[group.verdict]
    return (
        f'<article class="card {css}"><h3>{escaped(title)}{code}</h3>'
        f'<p class="verdict"><span aria-hidden="true">{mark}</span> {escaped(group.verdict)}</p>'
        f'<p class="reason">{escaped(sentence(group.reason))}</p>'
        f"{_gauge(report, group)}<dl>{''.join(rows)}</dl>{notes.told()}</article>"
    )


def _row(title: str, value: str, meaning: str) -> str:
    """Write a number with its meaning; the parts are HTML already."""
    return f"<div><dt>{title}</dt><dd>{value}<small>{meaning}</small></dd></div>"


def _lacking(estimate: Estimate, group: GroupReport, notes: Footnotes) -> str:
    """Say that there is no value or no interval; why, the verdict says, or else a footnote."""
    if estimate.undetermined is None:
        return ""
    text = "not known" if estimate.value is None and not estimate.low else "no interval"
    return f'<span class="lacking">{text}</span>{_why(estimate, group, notes)}'


def _why(estimate: Estimate, group: GroupReport, notes: Footnotes) -> str:
    """Refer to the reason, unless the verdict has said it."""
    reason = estimate.undetermined
    return "" if reason is None or reason in group.reason else notes.mark(reason)


def _estimate_text(estimate: Estimate, write: Callable[[float], str], unit: str = "") -> str:
    """Write a value with its interval, or the bound that is known, as HTML."""
    if estimate.value is not None:
        interval = escaped(interval_text(estimate, write))
        told = f' <span class="interval">{interval}</span>' if interval else ""
        return f"<strong>{escaped(write(estimate.value))}</strong>{unit}{told}"
    if estimate.low:
        return f"at least <strong>{escaped(write(estimate.low))}</strong>{unit}"
    return ""


def _drift(group: GroupReport, notes: Footnotes) -> str:
    """Write the drift with its interval, as HTML."""
    return f"{_estimate_text(group.drift, slope_text)} {_lacking(group.drift, group, notes)}"


def _regret(group: GroupReport, notes: Footnotes) -> str:
    """Write the regret in nats and as a share, with its bounds, as HTML."""
    lines = [
        _estimate_text(group.regret, nats_text, " nats"),
        _estimate_text(group.regret_share, share_text, " of the loss"),
        _lacking(group.regret, group, notes),
    ]
    return "<br>".join(line for line in lines if line)


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
    factor = 2.0 ** max(min(group.drift.value, 60.0), -60.0)
    factor_text = f"{factor:.2f}" if 0.1 < factor < 100 else number(factor, 2)
    return (
        f"Doubling the {scale} multiplies the best rate by {factor_text} (2^drift); zero: it stays."
    )


def _sensitivity(group: GroupReport, notes: Footnotes) -> str:
    """Write the range of the drift when one width is left out."""
    estimate = group.sensitivity
    if estimate.low is None or estimate.high is None:
        return f'<span class="lacking">not known</span>{_why(estimate, group, notes)}'
    return f"<strong>{slope_text(estimate.low)} to {slope_text(estimate.high)}</strong>"


def _criterion(group: GroupReport) -> str:
    """Write whether the grid's best rate is the same at every width, and which they are."""
    rates = [o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None]
    told = ", ".join(power(rate) for rate in rates[:8]) + (" …" if len(rates) > 8 else "")
    return f"<strong>{YES_NO[group.paper_criterion]}</strong>" + (f" ({told})" if told else "")


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
