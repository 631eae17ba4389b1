"""Section of the page on held-out checks: what would have been predicted, and what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutransfer.analysis.format import format_power, format_rate, format_size
from mutransfer.report.format import (
    as_sentence,
    escape,
    format_group,
    format_loss,
    format_number,
    format_percent,
    hyperparameter_title,
)
from mutransfer.report.page.elements import Footnotes, bullets, interval, section, table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Report, ScalesReport
    from mutransfer.analysis.types.hold_out import HeldOutCell, HoldOut

NOTE = (
    "The largest size is left out, predicted from the others by the same method, and compared with "
    "what was run there. This is the error of the method on these runs, and no promise for larger "
    "ones."
)
INSIDE = {True: "inside", False: "outside", None: "no interval"}


def hold_out_section(report: Report | ScalesReport, checks: Sequence[HoldOut]) -> list[str]:
    """Return the section, or nothing where no check was possible."""
    possible = [check for check in checks if check.cells]
    if not possible:
        return []
    notes = Footnotes()
    summaries = bullets([escape(_summary(report, check)) for check in possible])
    heads = ["Group", "Left out", f"Predicted {hyperparameter_title(report)}", "Observed",
             "Error, octaves", "90 % interval", "Cost of the prediction", "Predicted loss",
             "Observed loss"]  # fmt: skip
    rows = [
        [escape(format_group(report, check.group)), *_cells(cell, notes)]
        for check in possible
        for cell in check.cells
    ]
    body = summaries + table(heads, rows, css="") + notes.to_html()
    return [section("Had the largest not been run", NOTE, body)]


def _summary(report: Report | ScalesReport, check: HoldOut) -> str:
    """Return the summary of a check as a sentence, with its group if there are several."""
    if len(report) < 2:
        return as_sentence(check.summary)
    return f"{format_group(report, check.group)}: {as_sentence(check.summary)}"


def _cells(cell: HeldOutCell, notes: Footnotes) -> list[str]:
    """Return the row of one held-out combination, without its group."""
    sizes = ", ".join(f"{name} {format_size(size)}" for name, size in cell.sizes.items())
    predicted = cell.prediction
    return [
        escape(sizes),
        _rate(predicted.log2_lr, notes),
        _rate(cell.log2_lr, notes),
        notes.estimate(cell.rate_error, lambda error: format_number(error, 2)),
        INSIDE[cell.is_covered],
        _cost(cell.regret_share, notes),
        notes.estimate(predicted.loss, format_loss),
        notes.estimate(cell.loss, format_loss),
    ]


def _rate(rate: Estimate, notes: Footnotes) -> str:
    """Return a rate as a power of two and as a decimal, with its interval as powers of two."""
    value = "–" if rate.value is None else format_rate(rate.value)
    return f"<span>{value}</span>{interval(rate, format_power)}{notes.mark(rate.undetermined)}"


def _cost(share: Estimate, notes: Footnotes) -> str:
    """Return the cost of the predicted rate as a share of the loss, with its upper bound."""
    if share.value is None:
        return notes.estimate(share, format_percent)
    bound = "" if share.high is None else f", at most {format_percent(share.high)}"
    text = f"{format_percent(share.value)} of the loss{bound}"
    return escape(text) + notes.mark(share.undetermined)
