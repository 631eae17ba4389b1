"""Held-out checks as text for the terminal, and as data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mutransfer.analysis.format import (
    format_power,
    format_rate,
    format_share,
    format_size,
    without_rounding_error,
)
from mutransfer.analysis.types.estimates import Estimate, json_data
from mutransfer.analysis.types.hold_out import HeldOutCell, HoldOut, covers_zero
from mutransfer.report.format import Formatter
from mutransfer.report.text.analysis import format_estimate, source_notes

INSIDE = {True: "within the error of both", False: "more than their errors", None: "no interval"}
UNKNOWN = "–"
MOST_CELLS = 20  # of one check; the JSON has all


def hold_out_answer(
    checks: Sequence[HoldOut], notes: Sequence[str] = (), unfinished: int = 0
) -> tuple[str, dict[str, Any]]:
    """Return the checks below the notes of the source, as text and as data for JSON."""
    blocks = [*source_notes(notes, unfinished), *(_check_text(check) for check in checks)]
    rows = [{**json_data(check), "summary": check.summary} for check in checks]
    return "\n\n".join(blocks), {"schema": 1, "notes": list(notes), "hold_out": rows}


def _check_text(check: HoldOut) -> str:
    """Format one check."""
    lines = [f"{check.group}: {check.summary}"]
    if check.kept and check.cells:
        kept = ", ".join(map(format_size, check.kept))
        lines.append(f"  predicted from {check.scale} {kept}")
    if len(check.cells) > 1:
        return "\n".join([*lines, *_table(check)])
    for cell in check.cells:
        lines += _cell_lines(check, cell)
    return "\n".join(lines)


def _table(check: HoldOut) -> list[str]:
    """Format one row for each held-out combination, below the names of the columns."""
    fixed = [name for name in check.cells[0].sizes if name != check.scale]
    heads = [*fixed, f"predicted {check.hyperparameter}", "observed", "off by", "covered", "regret",
             "loss off by"]  # fmt: skip
    rows = [_row(cell, fixed) for cell in check.cells[:MOST_CELLS]]
    # Where the loss falls along some scales only, no prediction of it has a value.
    shown = len(heads) - all(row[-1] == UNKNOWN for row in rows)
    rows = [row[:shown] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "    " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines = [line.rstrip() for line in lines]
    if any(UNKNOWN in row for row in rows):
        lines.append(f"  {UNKNOWN} is undetermined: --json says why")
    if len(check.cells) > MOST_CELLS:
        lines.append(f"  {len(check.cells) - MOST_CELLS} more: --json lists them all")
    units = f"  errors in octaves of {check.hyperparameter}, regret and loss in % of the loss"
    return [units, *lines]


def _row(cell: HeldOutCell, fixed: Sequence[str]) -> list[str]:
    """Format the numbers of one held-out combination."""
    covered = {True: "yes", False: "no", None: UNKNOWN}[cell.is_covered]
    return [
        *(format_size(cell.sizes[name]) for name in fixed),
        format_estimate(cell.prediction.log2_lr, format_power) or UNKNOWN,
        format_estimate(cell.log2_lr, format_power) or UNKNOWN,
        _signed(cell.rate_error),
        covered,
        format_estimate(cell.regret_share.times(100), "{:.2g}".format) or UNKNOWN,
        _signed(cell.loss_error.times(100)),
    ]


def _signed(error: Estimate) -> str:
    """Format an error with its sign."""
    if error.value is None:
        return UNKNOWN
    return f"{round(error.value, 2) + 0.0:+.2f}"


def _cell_lines(check: HoldOut, cell: HeldOutCell) -> list[str]:
    """Format predicted and observed numbers of one held-out combination."""
    lines = []
    if len(cell.sizes) > 1:  # the only combination of several scales that has the largest value
        sizes = ", ".join(f"{name} {format_size(size)}" for name, size in cell.sizes.items())
        lines.append(f"  {sizes}")
    rate_error = loss_error = ""
    if cell.rate_error.value is not None:
        octaves = _off(cell.rate_error.value, lambda error: f"{error:.2g} octaves")
        rate_error = f"; the prediction is {octaves}, {INSIDE[cell.is_covered]}"
    if cell.loss_error.value is not None:
        share = _off(cell.loss_error.value, format_share)
        loss_error = f"; the prediction is {share}, {INSIDE[covers_zero(cell.loss_error)]}"
    predicted, name = cell.prediction, check.hyperparameter
    lines += [
        _line(name, "predicted", _rate_text(predicted.log2_lr)),
        _line("", "observed", _rate_text(cell.log2_lr) + rate_error),
        _line("loss", "predicted", _loss_text(predicted.loss)),
        _line("", "observed", _loss_text(cell.loss) + loss_error),
    ]
    regret = format_estimate(cell.regret_share, format_share)
    text = f"{regret} of the loss" if regret else _reason(cell.regret_share)
    lines.append(_line("regret", "", text))
    return lines


def _line(name: str, origin: str, text: str) -> str:
    """Format one line of numbers."""
    return f"    {name:<8} {origin:<10} {text}"


def _off(error: float, formatter: Formatter) -> str:
    """Format an error as its size and direction.

    Example:
        >>> _off(-0.0123, format_share)
        '1.23 % too low'
    """
    return f"{formatter(abs(without_rounding_error(error)))} too {'low' if error < 0 else 'high'}"


def _rate_text(rate: Estimate) -> str:
    """Format a rate as a power of two and a decimal, with its interval as powers of two."""
    if rate.value is None:
        return _reason(rate)
    interval = format_estimate(rate, format_power).removeprefix(format_power(rate.value))
    return format_rate(rate.value) + interval


def _loss_text(loss: Estimate) -> str:
    """Format a loss with its interval."""
    return format_estimate(loss, "{:.4g}".format) or _reason(loss)


def _reason(estimate: Estimate) -> str:
    """Return why a number is missing."""
    return f"undetermined ({estimate.undetermined})"
