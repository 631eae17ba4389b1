"""This file is the section on scaling: the planes, and every number of the laws in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mutransfer.report.figures.numbers.planes import clipped, lacking, planes_of
from mutransfer.report.format import (
    escaped,
    group_title,
    loss_text,
    number,
    sentence,
    share_text,
    slope_text,
    width_text,
)
from mutransfer.report.page.footnotes import Footnotes
from mutransfer.report.page.tables import table

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

MOST_REASONS = 3  # why there is no plane

Get = Callable[["GroupReport"], "Estimate | None"]


@dataclass(frozen=True, slots=True)
class Row:
    """One number of every group.

    Args:
        label: What it is.
        get: How it is found in a group; None where the group has none.
        write: How it is written.
    """

    label: str
    get: Get
    write: Callable[[float], str] = number


def planes_note(report: Report) -> str:
    """Say how the planes are read, or why there are none, as HTML."""
    if planes_of(report):
        told = (
            "Down and to the left is better: E is how badly power laws predict the losses, κ how a"
            " wrong rate's cost grows with scale, R(∞) what is lost at infinite scale. Dashed: the"
            " yardsticks of arXiv:2605.21486 (E = 0.01, κ = 0, R = 0.1 nats)."
        )
        small = clipped(report)
        if small:
            names = ", ".join(group_title(report, name) for name in small[:12])
            told += f" E below 10⁻¹² is drawn there: {names}."
        return escaped(told)
    reasons = lacking(report)[:MOST_REASONS]
    if not reasons:
        return "There is no group to place."
    return "No group has both E and κ: " + "; ".join(escaped(reason) for reason in reasons) + "."


def scaling_table(report: Report) -> str:
    """Write every number of the laws, one column per group, as HTML; reasons below, each once."""
    if not report:
        return ""
    notes = Footnotes()
    groups = list(report.values())
    shown: list[list[str]] = []
    unknown: dict[tuple[str, ...], list[str]] = {}
    for row in _rows(report):
        found = [row.get(group) for group in groups]
        if any(one is not None and (one.value, one.low) != (None, None) for one in found):
            cells = ["–" if one is None else notes.estimate(one, row.write) for one in found]
            shown.append([escaped(row.label), *cells])
        else:
            reasons = [one.undetermined or "not known" for one in found if one is not None]
            short = row.label.partition(",")[0].partition(" (")[0]
            unknown.setdefault(tuple(dict.fromkeys(reasons)), []).append(short)
    if any(group.scaling.fast.margin.value is not None for group in groups):
        shown.append(["fast transfer", *(_speed(group, notes) for group in groups)])
    heads = ["", *(group_title(report, name) for name in report)]
    missing = "".join(
        f"<li>Not known: {escaped(', '.join(labels))}. {_because(reasons, notes)}</li>"
        for reasons, labels in unknown.items()
    )
    more = f'<ul class="footnotes">{missing}</ul>' if missing else ""
    return table(heads, shown, css="numbers") + notes.told() + more


def _because(reasons: Sequence[str], notes: Footnotes) -> str:
    """Say reasons, or refer to those that a footnote says."""
    if all(reason in notes.reasons for reason in reasons):
        return "See" + ",".join(f" {notes.mark(reason)}" for reason in reasons) + "."
    return escaped(sentence("; ".join(reasons)))


def _speed(group: GroupReport, notes: Footnotes) -> str:
    """Write whether transfer is fast."""
    fast = group.scaling.fast
    return fast.speed + (notes.mark(fast.margin.undetermined) if fast.speed[0] == "u" else "")


def _rows(report: Report) -> Iterator[Row]:
    """Give the table's rows in the order in which they are read."""
    yield from _LAWS
    if len(report) > 1:
        yield Row(f"R(∞), L∞ above {report.reference} (nats)", lambda g: g.R_inf)
    yield Row("fast transfer: δ", lambda g: g.scaling.fast.delta, slope_text)
    yield Row("fast transfer: δ − α/2", lambda g: g.scaling.fast.margin, slope_text)
    widths = {one.width for group in report.values() for one in group.scaling.lr_sensitivity}
    for width in sorted(widths):
        label = f"sensitivity to the rate at {report.scale} {width_text(width)} (nats)"
        yield Row(label, _sensitivity_at(width))
    yield Row("skew of the curves (octaves)", lambda g: g.scaling.skew)
    yield Row("compute saved by tuning small", lambda g: g.saved, share_text)


def _sensitivity_at(width: float) -> Get:
    """Find the sensitivity at one width."""

    def get(group: GroupReport) -> Estimate | None:
        found = (one.estimate for one in group.scaling.lr_sensitivity if one.width == width)
        return next(found, None)

    return get


_LAWS = (
    Row("L∞, loss at infinite scale (nats)", lambda g: g.laws.loss_inf, loss_text),
    Row("α, exponent of the loss", lambda g: g.laws.alpha, slope_text),
    Row("β, exponent of the best rate", lambda g: g.laws.beta, slope_text),
    Row("γ_log, exponent of the curvature in ln(rate)", lambda g: g.laws.gamma_log, slope_text),
    Row("γ, exponent of the curvature in the rate", lambda g: g.laws.gamma, slope_text),
    Row("κ = α + γ_log, robustness (negative is robust)", lambda g: g.kappa, slope_text),
    Row("κ from the joint fit, a check", lambda g: g.scaling.kappa_joint, slope_text),
    Row("κ without one value, its range", lambda g: g.scaling.kappa_sensitivity, slope_text),
    Row("E, error of the joint fit (nats²)", lambda g: g.E),
    Row("E of noise alone (nats²)", lambda g: g.scaling.errors.noise_floor),
    Row("√E (nats)", lambda g: g.scaling.errors.rmse),
    Row("E relative to the loss", lambda g: g.scaling.errors.relative, share_text),
    Row("E of ln(best rate)", lambda g: g.scaling.errors.lr),
    Row("E at the largest, held out (nats²)", lambda g: g.scaling.errors.held_out),
    Row("E with a parabola in the rate itself (nats²)", lambda g: g.scaling.errors.linear),
)
