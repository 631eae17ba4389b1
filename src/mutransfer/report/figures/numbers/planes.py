"""Planes of E, κ and R(∞) as numbers: one mark per group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.format import format_group, format_interval, format_number

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Report

Quantity = Literal["E", "kappa", "R"]
Plane = tuple[Quantity, Quantity]  # what is drawn across, and up
Interval = tuple[float, float]

PLANES: tuple[Plane, ...] = (("E", "kappa"), ("E", "R"), ("R", "kappa"))
SYMBOLS: dict[Quantity, str] = {"E": "E", "kappa": "κ", "R": "R(∞)"}
MIN_E = 1e-12  # smaller errors are drawn here, on a logarithmic axis
# What the authors look for: small E, negative κ, small R(∞). [derived: arXiv:2605.21486]
REFERENCE_VALUES: dict[Quantity, float] = {"E": 0.01, "kappa": 0.0, "R": 0.1}
PADDING = 0.08  # of the length of an axis, at either end


@dataclass(frozen=True, slots=True)
class PlanePoint:
    """One group in one plane; E is a decimal logarithm, an interval needs both ends."""

    index: int  # of the group
    where: str  # its name
    x: float
    x_low: float | None
    x_high: float | None
    y: float
    y_low: float | None
    y_high: float | None
    x_text: str  # the value with its interval
    y_text: str


def planes_with_points(report: Report) -> tuple[Plane, ...]:
    """Return the planes in which some group has a place; R(∞) needs several groups."""
    return tuple(plane for plane in PLANES if plane_points(report, plane))


def plane_points(report: Report, plane: Plane) -> tuple[PlanePoint, ...]:
    """Return the groups that have both values."""
    if "R" in plane and len(report) < 2:
        return ()
    points = []
    for k, (name, group) in enumerate(report.items()):
        estimates = [_estimate(group, quantity) for quantity in plane]
        x, y = (_position(e, quantity) for e, quantity in zip(estimates, plane, strict=True))
        if x is None or y is None:
            continue
        texts = (f"{format_number(e.value)} {format_interval(e)}".rstrip() for e in estimates)
        points.append(PlanePoint(k, format_group(report, name), *x, *y, *texts))
    return tuple(points)


def groups_with_clipped_error(report: Report) -> tuple[str, ...]:
    """Return the groups whose E is too small for its axis."""
    errors = ((name, group.E.value) for name, group in report.items())
    return tuple(name for name, value in errors if value is not None and value < MIN_E)


def missing_reasons(report: Report) -> tuple[str, ...]:
    """Return the reasons, without repetition, why groups have no place in the first plane."""
    reasons = [
        estimate.undetermined
        for group in report.values()
        for estimate in (group.E, group.kappa)
        if estimate.value is None and estimate.undetermined
    ]
    return tuple(dict.fromkeys(reasons))


def plane_domain(points: Sequence[PlanePoint], plane: Plane) -> tuple[Interval, Interval]:
    """Return both axes, padded so that all marks, intervals and the reference lines fit."""
    xs = [x for p in points for x in (p.x, p.x_low, p.x_high) if x is not None]
    ys = [y for p in points for y in (p.y, p.y_low, p.y_high) if y is not None]
    return _axis(xs, plane[0]), _axis(ys, plane[1])


def reference_value(quantity: Quantity) -> float:
    """Return the position of the reference line on its axis."""
    return math.log10(REFERENCE_VALUES[quantity]) if quantity == "E" else REFERENCE_VALUES[quantity]


def _estimate(group: GroupReport, quantity: Quantity) -> Estimate:
    """Return the estimate of one quantity."""
    return {"E": group.E, "kappa": group.kappa, "R": group.R_inf}[quantity]


def _axis(values: Sequence[float], quantity: Quantity) -> Interval:
    """Return a padded axis, never so short that its labels would repeat."""
    low, high = (end([*values, reference_value(quantity)]) for end in (min, max))
    room = max(PADDING * (high - low), 0.25 if quantity == "E" else 0.01)
    return low - room, high + room


def _position(
    estimate: Estimate, quantity: Quantity
) -> tuple[float, float | None, float | None] | None:
    """Return value and interval on the axis."""
    if estimate.value is None:
        return None
    scaled = _log10 if quantity == "E" else float
    if estimate.low is None or estimate.high is None:
        return scaled(estimate.value), None, None
    return scaled(estimate.value), scaled(estimate.low), scaled(estimate.high)


def _log10(error: float) -> float:
    """Return the decimal logarithm of an E, clipped to its axis."""
    return math.log10(max(error, MIN_E))
