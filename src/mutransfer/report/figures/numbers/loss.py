"""This file is the numbers of the figures: what is drawn where, as pure functions of a report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.format import loss_text, power, width_text

if TYPE_CHECKING:
    from mutransfer.analysis import Curve, GroupReport, Report

MOST_POINTS = 3000  # drawn on one page in all; more cannot be told apart [assumed]
FEWEST_POINTS, MOST_OF_ONE = 16, 160  # drawn of one curve [assumed]
MOST_TOPS = 40  # marks of one curve at the upper edge [assumed]
NEAR = 3.0  # octaves around a curve's best rate that the frame is chosen for [assumed]
REACH = 2.25  # of the median excess there: a parabola shows about that many octaves [assumed]
DENSE = 40  # rates of one curve whose points would touch each other
STEPS = 13  # points that a parabola is drawn with
FEW_SEEDS = 8  # whose losses a tooltip lists one by one


@dataclass(frozen=True, slots=True)
class Frame:
    """What the loss figures show, the same for every group.

    Args:
        low_rate: log2 of the rate at the left edge.
        high_rate: log2 of the rate at the right edge.
        low_loss: Loss at the bottom, in nats.
        high_loss: Loss at the top, in nats; what is above is marked at the edge.
        known: Whether there is any loss; without one the loss axis means nothing.
    """

    low_rate: float
    high_rate: float
    low_loss: float
    high_loss: float
    known: bool = True


@dataclass(frozen=True, slots=True)
class Point:
    """The mean loss at one rate of one width.

    Args:
        index: Which width: 0 is the smallest of the report.
        where: The width, in words.
        rate: log2 of the rate.
        tried: The rate, in words.
        loss: Mean loss over seeds, in nats.
        low: The luckiest seed's loss.
        high: The unluckiest seed's loss.
        seeds: The seeds' losses, in words.
        part: Counts on wherever a diverged rate interrupts the curve.
        inside: Whether it lies inside the frame.
    """

    index: int
    where: str
    rate: float
    tried: str
    loss: float
    low: float
    high: float
    seeds: str
    part: int
    inside: bool


@dataclass(frozen=True, slots=True)
class Top:
    """A mark at the upper edge: a rate that diverged, or whose loss lies above the frame.

    Args:
        index: Which width.
        where: The width, in words.
        rate: log2 of the rate.
        tried: The rate, in words.
        at: Height of the mark on the loss axis; several at one rate hang below each other.
        kind: 'diverged' or 'above'.
        text: What happened, in words.
    """

    index: int
    where: str
    rate: float
    tried: str
    at: float
    kind: Literal["diverged", "above"]
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """The fitted optimum of one width, for the loss figure.

    Args:
        index: Which width.
        where: The width, in words.
        rate: log2 of the fitted best rate.
        low: Lower end of its interval; the rate itself where there is none.
        high: Upper end of its interval; the rate itself where there is none.
        loss: Loss there, in nats.
        tried: The rate with its interval, in words.
    """

    index: int
    where: str
    rate: float
    low: float
    high: float
    loss: float
    tried: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """One point of a fitted parabola, drawn over the rates that it was fitted to.

    Args:
        index: Which width.
        rate: log2 of the rate.
        loss: The parabola's loss there, in nats.
    """

    index: int
    rate: float
    loss: float


def widths_of(report: Report) -> tuple[float, ...]:
    """Give every width of the report, rising.

    Example:
        >>> from mutransfer.report.figures.numbers.loss import widths_of
        >>> from mutransfer.analysis import Report
        >>> widths_of(Report({}, 0.01, "width", "lr", (), (), "", 1.1, (), 1000, 0))
        ()
    """
    return tuple(sorted({curve.width for group in report.values() for curve in group.curves}))


def frame_of(report: Report) -> Frame:
    """Choose the axes so that every curve's minimum can be seen.

    The top is the worst width's best loss plus a few times what rates near the best cost: a
    diverged or huge loss does not flatten the curves.
    """
    curves = [curve for group in report.values() for curve in group.curves]
    rates = [rate for curve in curves for rate in curve.log2_lr]
    optima = [optimum for group in report.values() for optimum in group.optimum]
    rates += [o.log2_lr.value for o in optima if o.log2_lr.value is not None]
    left, right = (min(rates), max(rates)) if rates else (0.0, 0.0)
    side = max(0.04 * (right - left), 0.15)
    bests = [min(finite) for curve in curves if (finite := _finite(curve.loss))]
    if not bests:
        return Frame(left - side, right + side, 0.0, 1.0, known=False)
    lowest = min([*bests, *_optimal_losses(report)])
    excesses = [x for curve in curves for x in _excesses(curve) if x > 0]
    reach = REACH * statistics.median(excesses) if excesses else 0.0
    smallest = 1e-3 * max(abs(lowest), 1e-6)
    reach = max(reach, 1.5 * (max(bests) - min(bests)), smallest)
    highest = max(loss for curve in curves for loss in _finite(curve.loss))
    top = min(max(bests) + reach, max(highest, max(bests) + smallest))
    room = 0.06 * (top - lowest)
    return Frame(left - side, right + side, lowest - room, top + room)


def points_of(group: GroupReport, frame: Frame, *, report: Report) -> tuple[Point, ...]:
    """Give the points of one group's curves; of very many rates, some evenly spaced ones."""
    index = {width: k for k, width in enumerate(widths_of(report))}
    limit = _points_per_curve(report)
    return tuple(
        Point(
            index=index[curve.width],
            where=f"{report.scale} {width_text(curve.width)}",
            rate=round(curve.log2_lr[k], 6),
            tried=power(curve.log2_lr[k]),
            loss=_rounded(curve.loss[k]),
            low=_rounded(min(losses)),
            high=_rounded(max(losses)),
            seeds=_seeds_text(losses),
            part=part,
            inside=frame.low_loss <= curve.loss[k] <= frame.high_loss,
        )
        for curve in group.curves
        for k, part in _thinned(curve, limit)
        for losses in [_finite(curve.seed_losses[k]) or [curve.loss[k]]]
    )


def is_dense(report: Report) -> bool:
    """Say whether points stand so close that they must be small."""
    return any(len(curve.log2_lr) > DENSE for group in report.values() for curve in group.curves)


def tops_of(group: GroupReport, frame: Frame, *, report: Report) -> tuple[Top, ...]:
    """Give the marks at the upper edge, at most one per width and rate."""
    index = {width: k for k, width in enumerate(widths_of(report))}
    limit = min(_points_per_curve(report), MOST_TOPS)
    marks: list[Top] = []
    height = frame.high_loss - frame.low_loss
    hanging: dict[float, int] = {}
    for curve in group.curves:
        outside = [k for k, loss in enumerate(curve.loss) if not loss <= frame.high_loss]
        outside = [k for k in outside if curve.num_diverged[k] or math.isfinite(curve.loss[k])]
        for k in _evenly(outside, limit):
            diverged = curve.num_diverged[k]
            ran = diverged + len(_finite(curve.seed_losses[k]))
            rate = round(curve.log2_lr[k], 6)
            depth = hanging.get(rate, 0)
            hanging[rate] = depth + 1
            text = f"loss {loss_text(curve.loss[k])} nats, above the frame"
            marks.append(
                Top(
                    index=index[curve.width],
                    where=f"{report.scale} {width_text(curve.width)}",
                    rate=rate,
                    tried=power(rate),
                    at=frame.high_loss - height * (0.02 + 0.04 * min(depth, 8)),
                    kind="diverged" if diverged else "above",
                    text=f"{diverged} of {ran} diverged" if diverged else text,
                )
            )
    return tuple(marks)


def lines_of(group: GroupReport, *, report: Report) -> tuple[Line, ...]:
    """Give the fitted optima of one group, for the loss figure."""
    index = {width: k for k, width in enumerate(widths_of(report))}
    found = []
    for optimum in group.optimum:
        rate, loss = optimum.log2_lr, optimum.loss.value
        if rate.value is None or loss is None:
            continue
        low = rate.value if rate.low is None else rate.low
        high = rate.value if rate.high is None else rate.high
        where = f"{report.scale} {width_text(optimum.width)}"
        text = ranged(power(rate.value), power(low), power(high), low < high)
        found.append(Line(index[optimum.width], where, rate.value, low, high, loss, text))
    return tuple(found)


def parabolas_of(group: GroupReport, *, report: Report) -> tuple[Fitted, ...]:
    """Give the fitted parabolas of one group, for the loss figure."""
    index = {width: k for k, width in enumerate(widths_of(report))}
    found = []
    for curve in group.curves:
        if curve.fit is None or curve.window is None:
            continue
        low = min(curve.window[0], curve.fit.log2_lr)
        step = (max(curve.window[1], curve.fit.log2_lr) - low) / (STEPS - 1)
        for rate in (low + k * step for k in range(STEPS)):
            loss = _rounded(curve.fit.at(rate))
            found.append(Fitted(index[curve.width], _rounded(rate), loss))
    return tuple(found)


def carried_rate(group: GroupReport) -> float | None:
    """Give log2 of the best rate of the smallest width: the rate that a user carries."""
    return group.optimum[0].log2_lr.value if group.optimum else None


def ranged(value: str, low: str, high: str, known: bool) -> str:
    """Write a value with its interval, if it has one."""
    return f"{value} [{low}, {high}]" if known else value


def _finite(values: Sequence[float]) -> list[float]:
    """Keep what is a number."""
    return [value for value in values if math.isfinite(value)]


def _rounded(value: float) -> float:
    """Keep seven digits: more cannot be seen, and would make the page larger."""
    return float(f"{value:.7g}")


def _optimal_losses(report: Report) -> list[float]:
    """Give the fitted losses at the optima."""
    return [o.loss.value for g in report.values() for o in g.optimum if o.loss.value is not None]


def _excesses(curve: Curve) -> list[float]:
    """Give what rates near a curve's best one cost."""
    pairs = [(x, y) for x, y in zip(curve.log2_lr, curve.loss, strict=True) if math.isfinite(y)]
    if not pairs:
        return []
    best_rate, best = min(pairs, key=lambda pair: pair[1])
    return [loss - best for rate, loss in pairs if abs(rate - best_rate) <= NEAR]


def _seeds_text(losses: Sequence[float]) -> str:
    """Write the seeds' losses."""
    if len(losses) > FEW_SEEDS:
        return f"{len(losses)} seeds, {loss_text(min(losses))} to {loss_text(max(losses))}"
    return ", ".join(loss_text(loss) for loss in losses)


def _points_per_curve(report: Report) -> int:
    """Share the points that a page can hold among the curves."""
    curves = sum(len(group.curves) for group in report.values())
    return min(max(FEWEST_POINTS, MOST_POINTS // max(curves, 1)), MOST_OF_ONE)


def _thinned(curve: Curve, limit: int) -> Iterator[tuple[int, int]]:
    """Give the rates that are drawn, with the part of the curve that each belongs to."""
    part, parts = 0, {}
    for k, loss in enumerate(curve.loss):
        if math.isfinite(loss):
            parts[k] = part
        elif curve.num_diverged[k]:
            part += 1
    best = min(parts, key=lambda k: curve.loss[k], default=None)
    for k in _evenly(list(parts), limit, keep=best):
        yield k, parts[k]


def _evenly(values: list[int], limit: int, keep: int | None = None) -> list[int]:
    """Take so many values at even distances, the ends and one more among them."""
    if len(values) <= limit:
        return values
    last = len(values) - 1
    chosen = {values[round(k * last / (limit - 1))] for k in range(limit)}
    return sorted(chosen | ({keep} if keep is not None else set()))
