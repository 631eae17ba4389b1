"""Tables of the page: regret matrices, comparisons, optima, plans, and provenance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mutransfer.analysis.format import format_power, format_rate
from mutransfer.report.figures.numbers.regret_matrix import Cell, matrix_cells
from mutransfer.report.format import (
    Formatter,
    as_sentence,
    escape,
    format_group,
    format_interval,
    format_loss,
    format_number,
    format_percent,
    format_width,
    unit_suffix,
)
from mutransfer.report.page.elements import (
    Footnotes,
    bullets,
    fact,
    interval,
    listed,
    table,
    text_box,
)

if TYPE_CHECKING:
    from mutransfer.analysis import (
        Comparison,
        Curve,
        Estimate,
        Optimum,
        Report,
        ScalesReport,
        TuningReport,
    )
    from mutransfer.analysis.results import Provenance
    from mutransfer.rules import Plan

MOST_MATRICES = 6  # groups; of more, the table of groups has the worst pair
MOST_COMPARED = 50  # groups
MOST_NAMES = 12  # of versions, commits or machines
STATE_MARKS = {"below": "✓", "above": "✗", "undetermined": "?"}
STATE_CLASSES = {"below": "yes", "above": "no", "undetermined": "open"}
STATE_LABELS = {
    "below": "below the threshold",
    "above": "above the threshold",
    "undetermined": "undetermined",
}


def regret_matrices(report: Report) -> str:
    """Return one matrix per group, as HTML; of many groups none."""
    if len(report) > MOST_MATRICES:
        return ""
    blocks = []
    for name, group in report.items():
        body = f'<p class="note">There is only one {escape(report.scale)}.</p>'
        if cells := matrix_cells(group, report.threshold):
            body = _matrix(format_group(report, name), cells)
        blocks.append(
            f'<div class="panel"><h3>{escape(format_group(report, name))}</h3>{body}</div>'
        )
    return f'<div class="panels matrices">{"".join(blocks)}</div>'


def _matrix(title: str, cells: Sequence[Cell]) -> str:
    """Return one group's matrix, with proxies in rows and targets in columns."""
    notes = Footnotes()
    targets = sorted({cell.target for cell in cells})
    by_pair = {(cell.proxy, cell.target): cell for cell in cells}
    head = "".join(f'<th scope="col">{format_width(target)}</th>' for target in targets)
    body = ""
    for proxy in sorted({cell.proxy for cell in cells}):
        row = "".join(_matrix_cell(by_pair.get((proxy, target)), notes) for target in targets)
        body += f'<tr><th scope="row">{format_width(proxy)}</th>{row}</tr>\n'
    return (
        '<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(f"regret matrix of {title}")}"><table class="matrix">'
        f'<thead><tr><td class="corner">tuned ↓ used →</td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes.to_html()}"
    )


def _matrix_cell(cell: Cell | None, notes: Footnotes) -> str:
    """Return one cell: a mark, the share and its bound."""
    if cell is None:
        return "<td></td>"
    label, mark = STATE_LABELS[cell.state], STATE_MARKS[cell.state]
    bound = f"<small>{escape(cell.bound)}</small>" if cell.bound else ""
    return (
        f'<td class="{STATE_CLASSES[cell.state]}"><span role="img" aria-label="{label}">{mark}'
        f"</span> {escape(cell.share)}{notes.mark(cell.reason)}{bound}</td>"
    )


def comparisons(report: Report) -> str:
    """Return which group has the lowest loss at its own optimum; empty with one group."""
    if not report.comparisons:
        return ""
    first = report.comparisons[0]
    best = escape(format_group(report, first.reference))
    at = f"{escape(report.scale)} {format_width(first.width)}"
    lead = f"At {at}, each at its own best rate, <b>{best}</b> has the lowest loss."
    if all(comparison.difference.value is None for comparison in report.comparisons):
        lead = f"At {at} the groups cannot be compared yet."
    items = [_comparison(report, comparison) for comparison in report.comparisons[:MOST_COMPARED]]
    if len(report.comparisons) > len(items):
        items.append(f"{len(report.comparisons) - len(items)} more are not shown")
    note = (
        "Transfer and a low loss are different facts: a parametrization can transfer and still have"
        " a higher loss at its own best rate."
    )
    return f'<p class="lead">{lead}</p>{bullets(items)}<p class="note">{note}</p>'


def _comparison(report: Report, comparison: Comparison) -> str:
    """Return one comparison."""
    name = escape(format_group(report, comparison.group))
    difference = comparison.difference
    if difference.value is None:
        return f"<b>{name}</b>: undetermined, {escape(difference.undetermined or '')}"
    if difference.value == 0 and difference.low == 0 == difference.high:
        return f"<b>{name}</b>: the very same trials"
    cost = f"{format_number(difference.value)}{escape(unit_suffix(report))}"
    text = f"<b>{name}</b>: loss higher by {cost} {format_interval(difference)}"
    if difference.low is None or difference.high is None:
        return f"{text} ({escape(difference.undetermined or 'no interval')})"
    if difference.low <= 0:
        return f"{text}: the interval includes zero, so which is better is undetermined"
    return text + (" (same seeds, compared in pairs)" if comparison.paired else "")


def optima(report: Report) -> str:
    """Return the table of optima: everything that the figures show, in numbers."""
    tuned = report.hyperparameter
    heads = ["Group", report.scale, f"Best {tuned}, fitted", f"Best {tuned} tried",
             "Loss at the best", "Notes"]  # fmt: skip
    rows = [
        _optimum_row(format_group(report, name), curve, optimum)
        for name, group in report.items()
        for curve, optimum in zip(group.curves, group.optimum, strict=True)
    ]
    return table(heads, rows)


def _optimum_row(title: str, curve: Curve, optimum: Optimum) -> list[str]:
    """Return one width of one group; cells are HTML."""
    rate, loss = optimum.log2_lr, optimum.loss
    grid = "–"
    if optimum.grid_log2_lr is not None:
        grid = f"{format_rate(optimum.grid_log2_lr)}, loss {format_loss(optimum.grid_loss)}"
    notes = []
    if optimum.edge is not None:
        side = "lowest" if optimum.edge == "low" else "highest"
        notes.append(f"the best rate is the {side} tried: the optimum may lie beyond")
    if diverged := sum(curve.num_diverged):
        notes.append(f"{diverged} diverged")
    notes += [text for text in (rate.undetermined, curve.note) if text]
    return [
        escape(title),
        format_width(optimum.width),
        _value(rate, format_rate) + interval(rate, format_power),
        grid,
        _value(loss, format_loss) + interval(loss, format_loss),
        escape("; ".join(notes)),
    ]


def _value(estimate: Estimate, formatter: Formatter) -> str:
    """Return a value, or a dash."""
    return "–" if estimate.value is None else formatter(estimate.value)


def plan_tables(plans: Sequence[Plan]) -> str:
    """Return the factors of each kind of parameter, one table per plan."""
    from mutransfer.rules import explain

    blocks = []
    for plan in plans:
        head, _, body = explain(plan).partition("\n\n")
        blocks.append(f"<h3>{escape(head)}</h3>{text_box(body, 'plan')}")
    return "".join(blocks)


def provenance(origin: Provenance, report: Report | ScalesReport | TuningReport) -> str:
    """Return the source of the numbers and how they were made, as HTML."""
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
        "Training time": _duration(origin.seconds),
        "Training cost": _cost(origin),
        "Finished": _dates(origin.finished),
        "Machine": listed(origin.hosts, MOST_NAMES),
        "Versions": listed(
            [f"{name} {', '.join(v)}" for name, v in sorted(origin.versions.items())], MOST_NAMES
        ),
        "Commits": listed([commit[:12] for commit in origin.commits], MOST_NAMES),
        "Grouped by": ", ".join(report.group_by) or "nothing: all trials are one group",
        "Threshold": f"{format_percent(report.threshold)} of the best loss",
        "Intervals": f"90 %, from {report.draws:,} draws around the fitted curves with seed"
        f" {report.seed}; bounds of the regret are one-sided, 95 % each",
    }
    rows = "".join(fact(name, escape(value)) for name, value in facts.items() if value)
    notes = bullets([escape(as_sentence(note)) for note in report.notes])
    changed = f'<h3 id="notes">What was left out or changed</h3>{notes}' if notes else ""
    return f'{changed}<dl class="facts">{rows}</dl>'


def source_name(source: str) -> str:
    """Return the name of the source; of an absolute path only its end, since pages are shared.

    Example:
        >>> source_name("'runs/demo'"), source_name("/data/losses.csv")
        ('runs/demo', 'losses.csv')
    """
    plain = source.strip("'")
    return Path(plain).name if os.path.isabs(plain) else plain


def _duration(seconds: float | None) -> str:
    """Format a duration."""
    if seconds is None:
        return ""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "minutes"), (172800, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"


def _cost(origin: Provenance) -> str:
    """Format operations and tokens."""
    flops = [] if origin.flops is None else [f"{origin.flops:.3g} FLOPs"]
    return ", ".join(flops + ([] if origin.tokens is None else [f"{origin.tokens:,} tokens"]))


def _dates(finished: tuple[str, str] | None) -> str:
    """Format the first and the last end of a trial, to the minute."""
    if finished is None:
        return ""
    first, last = (text[:16].replace("T", " ") for text in finished)
    return first if first == last else f"{first} to {last}"
