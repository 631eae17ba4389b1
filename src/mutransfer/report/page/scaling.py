"""Scaling section: a note on the planes, and a table of every number of the laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mutransfer.report.figures.numbers.planes import (
    groups_with_clipped_error,
    missing_reasons,
    planes_with_points,
)
from mutransfer.report.format import (
    Formatter,
    as_sentence,
    escape,
    format_group,
    format_loss,
    format_number,
    format_percent,
    format_slope,
    format_width,
    unit_suffix,
)
from mutransfer.report.page.elements import Footnotes, bullets, table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

MOST_REASONS = 3  # why there is no plane
MOST_NAMES = 12

Get = Callable[["GroupReport"], "Estimate | None"]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: one estimate of every group."""

    label: str
    get: Get  # None where a group has no such estimate
    formatter: Formatter = format_number
    power: str | None = None  # of the unit of the losses; None for a pure number


def planes_note(report: Report) -> str:
    """Return how the planes are read, or why there are none, as HTML."""
    if planes_with_points(report):
        unit = unit_suffix(report)
        text = (
            "Down and to the left is better. E is the error of the power laws, κ how the cost of a"
            " wrong rate grows with scale, R(∞) the loss that remains above the best group at"
            " infinite scale. Dashed lines are reference values (arXiv:2605.21486): E = 0.01, κ ="
            f" 0, R = 0.1{unit}."
        )
        if clipped := groups_with_clipped_error(report):
            names = ", ".join(format_group(report, name) for name in clipped[:MOST_NAMES])
            text += f" An E below 10⁻¹² is drawn there: {names}."
        return escape(text)
    reasons = missing_reasons(report)[:MOST_REASONS]
    if not reasons:
        return "There is no group to place."
    return f"No group has both E and κ: {'; '.join(escape(reason) for reason in reasons)}."


def scaling_table(report: Report) -> str:
    """Return every number of the laws, one column per group; each missing reason once below."""
    if not report:
        return ""
    notes = Footnotes()
    groups = list(report.values())
    rows: list[list[str]] = []
    missing: dict[tuple[str, ...], list[str]] = {}  # reasons -> labels of rows without a value
    for row in _rows(report):
        estimates = [row.get(group) for group in groups]
        if any(e is not None and (e.value, e.low) != (None, None) for e in estimates):
            cells = ["–" if e is None else notes.estimate(e, row.formatter) for e in estimates]
            rows.append([escape(_label(row, report)), *cells])
        else:
            reasons = [e.undetermined or "no reason was recorded" for e in estimates if e]
            short = row.label.partition(",")[0].partition(" (")[0]
            missing.setdefault(tuple(dict.fromkeys(reasons)), []).append(short)
    if any(group.scaling.fast.margin.value is not None for group in groups):
        rows.append(["fast transfer", *(_speed(group, notes) for group in groups)])
    heads = ["", *(format_group(report, name) for name in report)]
    items = [
        f"Undetermined: {escape(', '.join(labels))}. {_because(reasons, notes)}"
        for reasons, labels in missing.items()
    ]
    return table(heads, rows, css="numbers") + notes.to_html() + bullets(items, "footnotes")


def _label(row: Row, report: Report) -> str:
    """Return the label of a row with the unit of its numbers, where that is known."""
    unit = "" if row.power is None else unit_suffix(report, row.power)
    return f"{row.label} ({unit.strip()})" if unit else row.label


def _because(reasons: Sequence[str], notes: Footnotes) -> str:
    """Return reasons as a sentence, or refer to footnotes that have them."""
    if all(reason in notes.letters for reason in reasons):
        return "See" + ",".join(f" {notes.mark(reason)}" for reason in reasons) + "."
    return escape(as_sentence("; ".join(reasons)))


def _speed(group: GroupReport, notes: Footnotes) -> str:
    """Return whether transfer is fast."""
    fast = group.scaling.fast
    reason = fast.margin.undetermined if fast.speed == "undetermined" else None
    return fast.speed + notes.mark(reason)


def _rows(report: Report) -> Iterator[Row]:
    """Yield the rows of the table in reading order."""
    yield from _LAWS
    if len(report) > 1:
        yield Row(f"R(∞), L∞ above {report.reference}", lambda g: g.R_inf, power="")
    yield Row("fast transfer: δ", lambda g: g.scaling.fast.delta, format_slope)
    yield Row("fast transfer: δ − α/2", lambda g: g.scaling.fast.margin, format_slope)
    widths = {row.width for group in report.values() for row in group.scaling.lr_sensitivity}
    for width in sorted(widths):
        label = f"sensitivity to the rate at {report.scale} {format_width(width)}"
        yield Row(label, _sensitivity_at(width), power="")
    yield Row("skew of the curves (octaves)", lambda g: g.scaling.skew)
    yield Row("compute saved by tuning small", lambda g: g.saved, format_percent)


def _sensitivity_at(width: float) -> Get:
    """Return a function that returns the sensitivity at one width."""

    def get(group: GroupReport) -> Estimate | None:
        rows = (row.estimate for row in group.scaling.lr_sensitivity if row.width == width)
        return next(rows, None)

    return get


_LAWS = (
    Row("L∞, loss at infinite scale", lambda g: g.laws.loss_inf, format_loss, ""),
    Row("α, exponent of the loss", lambda g: g.laws.alpha, format_slope),
    Row("β, exponent of the best rate", lambda g: g.laws.beta, format_slope),
    Row("γ_log, exponent of the curvature in ln(rate)", lambda g: g.laws.gamma_log, format_slope),
    Row("γ, exponent of the curvature in the rate", lambda g: g.laws.gamma, format_slope),
    Row("κ = α + γ_log, robustness (negative is robust)", lambda g: g.kappa, format_slope),
    Row("κ from the joint fit, a check", lambda g: g.scaling.kappa_joint, format_slope),
    Row("κ without one value, its range", lambda g: g.scaling.kappa_sensitivity, format_slope),
    Row("E, error of the joint fit", lambda g: g.E, power="²"),
    Row("E of noise alone", lambda g: g.scaling.errors.noise_floor, power="²"),
    Row("√E", lambda g: g.scaling.errors.rmse, power=""),
    Row("E relative to the loss", lambda g: g.scaling.errors.relative, format_percent),
    Row("E of ln(best rate)", lambda g: g.scaling.errors.lr),
    Row("E at the largest, held out", lambda g: g.scaling.errors.held_out, power="²"),
    Row("E with a parabola in the rate itself", lambda g: g.scaling.errors.linear, power="²"),
)
