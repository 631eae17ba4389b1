"""This file is the page's tables: comparisons, optima, plans, and where the numbers are from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mutransfer.report.format import (
    escaped,
    group_title,
    interval_text,
    loss_text,
    number,
    power,
    rate_text,
    sentence,
    share_text,
    width_text,
)

if TYPE_CHECKING:
    from mutransfer.analysis import Comparison, Curve, Estimate, Optimum, Report
    from mutransfer.analysis.results import Provenance
    from mutransfer.rules import Plan

MOST_ROWS = 2000  # of the table of optima; more would make the page too large
MOST_COMPARED = 50  # groups
MOST_NAMES = 12  # of versions, commits or machines


def comparisons(report: Report) -> str:
    """Say which group is better at its own optimum, as HTML; empty with one group."""
    if not report.comparisons:
        return ""
    first = report.comparisons[0]
    best = escaped(group_title(report, first.reference))
    at = f"{escaped(report.scale)} {width_text(first.width)}"
    lead = f"At {at}, each at its own best rate, <b>{best}</b> has the lowest loss."
    if all(one.difference.value is None for one in report.comparisons):
        lead = f"At {at} the groups cannot be compared yet."
    told = [f"<li>{_compared(report, one)}</li>" for one in report.comparisons[:MOST_COMPARED]]
    if len(report.comparisons) > len(told):
        told.append(f"<li>{len(report.comparisons) - len(told)} more are not shown</li>")
    note = (
        "Two different facts: whether the best rate transfers, and how low the loss is at the"
        " best rate. A parametrization can transfer and still be worse at its own optimum."
    )
    return f'<p class="lead">{lead}</p><ul>{"".join(told)}</ul><p class="note">{note}</p>'


def _compared(report: Report, one: Comparison) -> str:
    """Write one comparison."""
    name = escaped(group_title(report, one.group))
    difference = one.difference
    if difference.value is None:
        return f"<b>{name}</b>: not known, {escaped(difference.undetermined or '')}"
    if difference.value == 0 and difference.low == 0 == difference.high:
        return f"<b>{name}</b>: the very same trials"
    text = f"<b>{name}</b>: {number(difference.value)} nats worse {interval_text(difference)}"
    if difference.low is None or difference.high is None:
        return f"{text} ({escaped(difference.undetermined or 'no interval')})"
    if difference.low <= 0:
        return f"{text}: the interval holds zero, so which is better is not known"
    return text + (" (same seeds, compared in pairs)" if one.paired else "")


def optima(report: Report) -> str:
    """Write the table of optima, as HTML: everything that the figures show, in numbers."""
    tuned = report.hyperparameter
    heads = ["Group", report.scale, f"log2 of the best {tuned}, fitted", f"Best {tuned}",
             f"Best {tuned} tried", "Loss at the best", "Notes"]  # fmt: skip
    rows = [
        _optimum_row(group_title(report, name), curve, optimum)
        for name, group in report.items()
        for curve, optimum in zip(group.curves, group.optimum, strict=True)
    ]
    return table(heads, rows)


def _optimum_row(title: str, curve: Curve, optimum: Optimum) -> list[str]:
    """Write one width of one group; cells are HTML."""
    rate, loss = optimum.log2_lr, optimum.loss
    grid = "–"
    if optimum.grid_log2_lr is not None:
        grid = f"{power(optimum.grid_log2_lr)} (loss {loss_text(optimum.grid_loss)})"
    notes = []
    if optimum.edge is not None:
        side = "lowest" if optimum.edge == "low" else "highest"
        notes.append(f"the best rate is the {side} tried: the optimum may lie beyond")
    if diverged := sum(curve.num_diverged):
        notes.append(f"{diverged} diverged")
    notes += [text for text in (rate.undetermined, curve.note) if text]
    return [
        escaped(title),
        width_text(optimum.width),
        _with_interval(rate, rate_text),
        "–" if rate.value is None else number(2.0**rate.value),
        grid,
        _with_interval(loss, loss_text),
        escaped("; ".join(notes)),
    ]


def _with_interval(estimate: Estimate, write: Callable[[float], str]) -> str:
    """Write a value with its interval."""
    text = "–" if estimate.value is None else write(estimate.value)
    interval = interval_text(estimate, write)
    return f'{text} <span class="interval">{interval}</span>' if interval else text


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], css: str = "notes") -> str:
    """Write a table: heads are text, cells are HTML already; of notes the last column is wide."""
    shown = rows[:MOST_ROWS]
    head = "".join(
        f'<th scope="col">{escaped(name)}</th>' if name else "<td></td>" for name in heads
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in shown
    )
    more = ""
    if len(rows) > len(shown):
        more = f'<p class="note">{len(rows) - len(shown)} more rows are not shown.</p>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f'<table class="{css}"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{more}"
    )


def plans(given: Sequence[Plan]) -> str:
    """Write what is done to each kind of parameter, one table per plan."""
    from mutransfer.rules import explain

    blocks = []
    for plan in given:
        head, _, body = explain(plan).partition("\n\n")
        blocks.append(
            f"<h3>{escaped(head)}</h3>"
            '<pre class="scroll" tabindex="0" role="region" aria-label="plan">'
            f"{escaped(body)}</pre>"
        )
    return "".join(blocks)


def provenance(origin: Provenance, report: Report) -> str:
    """Say where the numbers are from and with what they were made, as HTML."""
    counts = f"{origin.trials:,} finished"
    for count, what in (
        (origin.diverged, "diverged"),
        (origin.shared, "shared with an identical trial, not run twice"),
        (origin.unfinished, "unfinished"),
    ):
        counts += f", {count:,} {what}" if count else ""
    facts = {
        "Results": source_name(origin.source),
        "Trials": counts,
        "Training time": _seconds(origin.seconds),
        "Training cost": _cost(origin),
        "Finished": _dates(origin.finished),
        "Machine": _names(origin.hosts),
        "Versions": _names(f"{k} {', '.join(v)}" for k, v in sorted(origin.versions.items())),
        "Commits": _names(commit[:12] for commit in origin.commits),
        "Grouped by": ", ".join(report.group_by) or "nothing: all trials are one group",
        "Threshold": f"{share_text(report.threshold)} of the best loss",
        "Intervals": f"{report.draws:,} draws around the fitted curves, seed {report.seed}; 90 %,"
        " for the regret a one-sided 95 % bound on either side",
    }
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    notes = "".join(f"<li>{escaped(sentence(note))}</li>" for note in report.notes)
    changed = f'<h3 id="notes">What was left out or changed</h3><ul>{notes}</ul>' if notes else ""
    return f'{changed}<dl class="facts">{rows}</dl>'


def source_name(source: str) -> str:
    """Name the source; of an absolute path only its end, for a page may be shown to others.

    Example:
        >>> source_name("'runs/demo'"), source_name("/data/losses.csv")
        ('runs/demo', 'losses.csv')
    """
    plain = source.strip("'")
    return Path(plain).name if os.path.isabs(plain) else plain


def _seconds(seconds: float | None) -> str:
    """Write a duration."""
    if seconds is None:
        return ""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "minutes"), (172800, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"


def _cost(origin: Provenance) -> str:
    """Write operations and tokens."""
    parts = []
    if origin.flops is not None:
        parts.append(f"{origin.flops:.3g} FLOPs")
    if origin.tokens is not None:
        parts.append(f"{origin.tokens:,} tokens")
    return ", ".join(parts)


def _dates(finished: tuple[str, str] | None) -> str:
    """Write the first and the last end of a trial, to the minute."""
    if finished is None:
        return ""
    first, last = (text[:16].replace("T", " ") for text in finished)
    return first if first == last else f"{first} to {last}"


def _names(names: Iterable[str]) -> str:
    """List names, the first few only."""
    every = list(names)
    more = f" and {len(every) - MOST_NAMES} more" if len(every) > MOST_NAMES else ""
    return ", ".join(every[:MOST_NAMES]) + more
