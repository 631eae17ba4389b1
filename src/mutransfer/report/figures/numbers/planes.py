"""This file is the planes of E, κ and R(∞): one mark per group, as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.format import group_title, interval_text, number

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

Quantity = Literal["E", "kappa", "R"]

PLANES: tuple[tuple[Quantity, Quantity], ...] = (("E", "kappa"), ("E", "R"), ("R", "kappa"))
SYMBOLS: dict[Quantity, str] = {"E": "E", "kappa": "κ", "R": "R(∞)"}
TITLES: dict[Quantity, str] = {"E": "E (nats²)", "kappa": "κ", "R": "R(∞) (nats)"}
LEAST_E = 1e-12  # nats²; below, an error has no place on a logarithmic axis
# What the authors look for: small E, negative κ, small R(∞). [source: arXiv:2605.21486]
YARDSTICKS: dict[Quantity, float] = {"E": 0.01, "kappa": 0.0, "R": 0.1}
ROOM = 0.08  # of an axis, at either end


@dataclass(frozen=True, slots=True)
class PlanePoint:
    """One group in one plane; of E the decimal logarithm.

    Args:
        index: Which group.
        where: Its name.
        x: Value across.
        x_low: Lower end of its interval; None where it has no two ends.
        x_high: Upper end of it.
        y: Value up.
        y_low: Lower end of its interval; None where it has no two ends.
        y_high: Upper end of it.
        x_text: The value across with its interval, in words.
        y_text: The value up with its interval, in words.
    """

    index: int
    where: str
    x: float
    x_low: float | None
    x_high: float | None
    y: float
    y_low: float | None
    y_high: float | None
    x_text: str
    y_text: str


def planes_of(report: Report) -> tuple[tuple[Quantity, Quantity], ...]:
    """Give the planes in which some group has a place; those of R(∞) take several groups."""
    return tuple(plane for plane in PLANES if plane_points(report, plane))


def plane_points(report: Report, plane: tuple[Quantity, Quantity]) -> tuple[PlanePoint, ...]:
    """Give the groups that have both values."""
    if "R" in plane and len(report) < 2:
        return ()
    points = []
    for k, (name, group) in enumerate(report.items()):
        both = [quantity_of(group, which) for which in plane]
        x, y = (_place(each, which) for each, which in zip(both, plane, strict=True))
        if x is None or y is None:
            continue
        x_text, y_text = (f"{number(e.value)} {interval_text(e)}".rstrip() for e in both)
        points.append(PlanePoint(k, group_title(report, name), *x, *y, x_text, y_text))
    return tuple(points)


def quantity_of(group: GroupReport, which: Quantity) -> Estimate:
    """Give one of the three."""
    return {"E": group.E, "kappa": group.kappa, "R": group.R_inf}[which]


def clipped(report: Report) -> tuple[str, ...]:
    """Name the groups whose E is too small for its axis."""
    known = ((name, group.E.value) for name, group in report.items())
    return tuple(name for name, value in known if value is not None and value < LEAST_E)


def lacking(report: Report) -> tuple[str, ...]:
    """Say, each reason once, why groups have no place in the first plane."""
    reasons = [
        estimate.undetermined
        for group in report.values()
        for estimate in (group.E, group.kappa)
        if estimate.value is None and estimate.undetermined
    ]
    return tuple(dict.fromkeys(reasons))


def plane_domain(
    points: Sequence[PlanePoint], plane: tuple[Quantity, Quantity]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give both axes: every mark, every interval and the yardstick, with room."""
    xs = [x for p in points for x in (p.x, p.x_low, p.x_high) if x is not None]
    ys = [y for p in points for y in (p.y, p.y_low, p.y_high) if y is not None]
    return _axis(xs, plane[0]), _axis(ys, plane[1])


def yardstick(which: Quantity) -> float:
    """Place a yardstick on its axis."""
    return math.log10(YARDSTICKS[which]) if which == "E" else YARDSTICKS[which]


def _axis(values: Sequence[float], which: Quantity) -> tuple[float, float]:
    """Give an axis with room, and never so short that its labels would repeat."""
    every = [*values, yardstick(which)]
    low, high = min(every), max(every)
    room = max(ROOM * (high - low), 0.25 if which == "E" else 0.01)
    return low - room, high + room


def _place(estimate: Estimate, which: Quantity) -> tuple[float, float | None, float | None] | None:
    """Give value and interval on the axis; an interval needs both ends."""
    if estimate.value is None:
        return None
    value, low, high = estimate.value, estimate.low, estimate.high
    if low is None or high is None:
        low = high = None
    if which == "E":
        low = None if low is None else _log(low)
        high = None if high is None else _log(high)
        value = _log(value)
    return value, low, high


def _log(error: float) -> float:
    """Give the decimal logarithm of an E, clipped to its axis."""
    return math.log10(max(error, LEAST_E))
