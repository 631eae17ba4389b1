"""Loss curves as numbers: the axes, points, marks and parabolas of the loss figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.analysis.format import format_power, format_rate
from mutransfer.report.format import format_loss, format_width

if TYPE_CHECKING:
    from mutransfer.analysis import Curve, GroupReport, Report

MOST_POINTS = 3000  # on one page in all; more would only overlap [assumed]
FEWEST_POINTS, MOST_OF_CURVE = 16, 160  # of one curve [assumed]
MOST_EDGE_MARKS = 40  # of one curve [assumed]
NEAR = 3.0  # octaves around a curve's best rate that the axes are chosen for [assumed]
REACH = 2.25  # of the median excess there: a parabola shows about that many octaves [assumed]
DENSE = 40  # rates of one curve whose points would touch each other
NUM_STEPS = 13  # points of a drawn parabola
FEW_SEEDS = 8  # seeds whose losses a tooltip lists one by one


@dataclass(frozen=True, slots=True)
class LossFrame:
    """The axes of the loss figure, the same for every group."""

    low_rate: float  # log2
    high_rate: float
    low_loss: float
    high_loss: float  # a higher loss is marked at the upper edge
    has_loss: bool = True  # without any finite loss the axis means nothing


@dataclass(frozen=True, slots=True)
class LossPoint:
    """The mean loss over seeds at one rate of one width."""

    index: int  # of the width; 0 is the smallest of the report
    where: str  # the width, as text
    rate: float  # log2
    rate_text: str
    loss: float
    low: float  # loss of the best seed
    high: float  # loss of the worst seed
    seeds: str  # losses of the seeds, as text
    part: int  # number of the unbroken line; a diverged rate interrupts a curve
    inside: bool  # whether it lies inside the frame


@dataclass(frozen=True, slots=True)
class EdgeMark:
    """A mark at the upper edge: a rate that diverged, or whose loss lies above the frame."""

    index: int
    where: str
    rate: float
    rate_text: str
    at: float  # height on the loss axis; several marks at one rate hang below each other
    kind: Literal["diverged", "above"]
    text: str


@dataclass(frozen=True, slots=True)
class FittedOptimum:
    """The fitted optimum of one width, with its interval; without one both ends are the rate."""

    index: int
    where: str
    rate: float
    low: float
    high: float
    loss: float
    rate_text: str


@dataclass(frozen=True, slots=True)
class ParabolaPoint:
    """A point of a fitted parabola, within the rates that it was fitted to."""

    index: int
    rate: float
    loss: float


def all_widths(report: Report) -> tuple[float, ...]:
    """Return every width of the report in rising order.

    Example:
        >>> from mutransfer.analysis import Report
        >>> all_widths(Report({}, 0.01, "width", "lr", (), (), "", 1.1, (), 1000, 0))
        ()
    """
    return tuple(sorted({curve.width for group in report.values() for curve in group.curves}))


def loss_frame(report: Report) -> LossFrame:
    """Choose axes that show the minimum of every curve.

    The top is the worst width's best loss plus a few times the excess loss at rates near the best
    one, so that a diverged or huge loss does not flatten the curves.
    """
    curves = [curve for group in report.values() for curve in group.curves]
    optima = [optimum for group in report.values() for optimum in group.optimum]
    rates = [rate for curve in curves for rate in curve.log2_lr]
    rates += [o.log2_lr.value for o in optima if o.log2_lr.value is not None]
    left, right = (min(rates), max(rates)) if rates else (0.0, 0.0)
    margin = max(0.04 * (right - left), 0.15)
    bests = [min(finite) for curve in curves if (finite := _finite(curve.loss))]
    if not bests:
        return LossFrame(left - margin, right + margin, 0.0, 1.0, has_loss=False)
    lowest = min([*bests, *(o.loss.value for o in optima if o.loss.value is not None)])
    excesses = [x for curve in curves for x in _excesses(curve) if x > 0]
    reach = REACH * statistics.median(excesses) if excesses else 0.0
    smallest = 1e-3 * max(abs(lowest), 1e-6)
    reach = max(reach, 1.5 * (max(bests) - min(bests)), smallest)
    highest = max(loss for curve in curves for loss in _finite(curve.loss))
    top = min(max(bests) + reach, max(highest, max(bests) + smallest))
    room = 0.06 * (top - lowest)
    return LossFrame(left - margin, right + margin, lowest - room, top + room)


def loss_points(group: GroupReport, frame: LossFrame, report: Report) -> tuple[LossPoint, ...]:
    """Return the points of one group's curves, thinned where there are very many rates."""
    index = _indices(report)
    limit = _points_per_curve(report)
    return tuple(
        LossPoint(
            index=index[curve.width],
            where=f"{report.scale} {format_width(curve.width)}",
            rate=round(curve.log2_lr[k], 6),
            rate_text=format_rate(curve.log2_lr[k]),
            loss=_round(curve.loss[k]),
            low=_round(min(losses)),
            high=_round(max(losses)),
            seeds=_seeds_text(losses),
            part=part,
            inside=frame.low_loss <= curve.loss[k] <= frame.high_loss,
        )
        for curve in group.curves
        for k, part in _points_to_draw(curve, limit)
        for losses in [_finite(curve.seed_losses[k]) or [curve.loss[k]]]
    )


def is_dense(report: Report) -> bool:
    """Return whether points stand so close that they must be small."""
    return any(len(curve.log2_lr) > DENSE for group in report.values() for curve in group.curves)


def edge_marks(group: GroupReport, frame: LossFrame, report: Report) -> tuple[EdgeMark, ...]:
    """Return the marks at the upper edge, at most one per width and rate."""
    index = _indices(report)
    limit = min(_points_per_curve(report), MOST_EDGE_MARKS)
    height = frame.high_loss - frame.low_loss
    marks: list[EdgeMark] = []
    num_at: dict[float, int] = {}
    for curve in group.curves:
        outside = [k for k, loss in enumerate(curve.loss) if not loss <= frame.high_loss]
        outside = [k for k in outside if curve.num_diverged[k] or math.isfinite(curve.loss[k])]
        for k in _evenly_spaced(outside, limit):
            diverged = curve.num_diverged[k]
            num_seeds = diverged + len(_finite(curve.seed_losses[k]))
            rate = round(curve.log2_lr[k], 6)
            depth = num_at.get(rate, 0)
            num_at[rate] = depth + 1
            above = f"loss {format_loss(curve.loss[k])}, above the frame"
            marks.append(
                EdgeMark(
                    index=index[curve.width],
                    where=f"{report.scale} {format_width(curve.width)}",
                    rate=rate,
                    rate_text=format_rate(rate),
                    at=frame.high_loss - height * (0.02 + 0.04 * min(depth, 8)),
                    kind="diverged" if diverged else "above",
                    text=f"{diverged} of {num_seeds} diverged" if diverged else above,
                )
            )
    return tuple(marks)


def fitted_optima(group: GroupReport, report: Report) -> tuple[FittedOptimum, ...]:
    """Return the fitted optima of one group."""
    index = _indices(report)
    optima = []
    for optimum in group.optimum:
        rate, loss = optimum.log2_lr, optimum.loss.value
        if rate.value is None or loss is None:
            continue
        low = rate.value if rate.low is None else rate.low
        high = rate.value if rate.high is None else rate.high
        where = f"{report.scale} {format_width(optimum.width)}"
        text = rate_with_interval(rate.value, low, high)
        optima.append(FittedOptimum(index[optimum.width], where, rate.value, low, high, loss, text))
    return tuple(optima)


def parabolas(group: GroupReport, report: Report) -> tuple[ParabolaPoint, ...]:
    """Return the fitted parabolas of one group."""
    index = _indices(report)
    points = []
    for curve in group.curves:
        if curve.fit is None or curve.window is None:
            continue
        low = min(curve.window[0], curve.fit.log2_lr)
        step = (max(curve.window[1], curve.fit.log2_lr) - low) / (NUM_STEPS - 1)
        for rate in (low + k * step for k in range(NUM_STEPS)):
            loss = _round(curve.fit.at(rate))
            points.append(ParabolaPoint(index[curve.width], _round(rate), loss))
    return tuple(points)


def carried_rate(group: GroupReport) -> float | None:
    """Return log2 of the best rate of the smallest width: the rate that a user carries."""
    return group.optimum[0].log2_lr.value if group.optimum else None


def rate_with_interval(value: float, low: float, high: float) -> str:
    """Format a rate with its interval, if it has one."""
    interval = f" [{format_power(low)}, {format_power(high)}]" if low < high else ""
    return format_rate(value) + interval


def _indices(report: Report) -> dict[float, int]:
    """Number the widths of a report."""
    return {width: k for k, width in enumerate(all_widths(report))}


def _finite(values: Sequence[float]) -> list[float]:
    """Return the finite values."""
    return [value for value in values if math.isfinite(value)]


def _round(value: float) -> float:
    """Round to seven digits: more are invisible and would make the page larger."""
    return float(f"{value:.7g}")


def _excesses(curve: Curve) -> list[float]:
    """Return the excess losses at rates near a curve's best one."""
    pairs = [(x, y) for x, y in zip(curve.log2_lr, curve.loss, strict=True) if math.isfinite(y)]
    if not pairs:
        return []
    best_rate, best = min(pairs, key=lambda pair: pair[1])
    return [loss - best for rate, loss in pairs if abs(rate - best_rate) <= NEAR]


def _seeds_text(losses: Sequence[float]) -> str:
    """Format the losses of the seeds."""
    if len(losses) > FEW_SEEDS:
        return f"{len(losses)} seeds, {format_loss(min(losses))} to {format_loss(max(losses))}"
    return ", ".join(format_loss(loss) for loss in losses)


def _points_per_curve(report: Report) -> int:
    """Divide the points that a page can hold among the curves."""
    num_curves = sum(len(group.curves) for group in report.values())
    return min(max(FEWEST_POINTS, MOST_POINTS // max(num_curves, 1)), MOST_OF_CURVE)


def _points_to_draw(curve: Curve, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the drawn rates, each with the number of its unbroken line."""
    part, parts = 0, {}
    for k, loss in enumerate(curve.loss):
        if math.isfinite(loss):
            parts[k] = part
        elif curve.num_diverged[k]:
            part += 1
    best = min(parts, key=lambda k: curve.loss[k], default=None)
    for k in _evenly_spaced(list(parts), limit, include=best):
        yield k, parts[k]


def _evenly_spaced(values: list[int], limit: int, include: int | None = None) -> list[int]:
    """Return that many evenly spaced values, with both ends and one more."""
    if len(values) <= limit:
        return values
    last = len(values) - 1
    chosen = {values[round(k * last / (limit - 1))] for k in range(limit)}
    return sorted(chosen | ({include} if include is not None else set()))
