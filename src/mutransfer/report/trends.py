"""This file is the numbers of the figures against width: best rates and best losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.data import ranged
from mutransfer.report.words import loss_text, power, width_text

if TYPE_CHECKING:
    from mutransfer.analysis import Optimum, Report


@dataclass(frozen=True, slots=True)
class Trend:
    """One number of one width, with its interval, for the figures against width.

    Args:
        index: Which group: 0 is the first of the report.
        log2_width: log2 of the width, moved a little so that groups do not hide each other.
        where: The width, in words.
        value: log2 of the best rate, or the loss there in nats.
        low: Lower end of the interval; the value itself where there is none.
        high: Upper end of the interval; the value itself where there is none.
        text: The value with its interval, in words.
        kind: 'fitted', or the edge of the tried rates beyond which it lies: 'low' or 'high'.
    """

    index: int
    log2_width: float
    where: str
    value: float
    low: float
    high: float
    text: str
    kind: Literal["fitted", "low", "high"]


def best_rates(report: Report) -> tuple[Trend, ...]:
    """Give log2 of the best rate against width; on an edge, the edge and its side."""
    return tuple(_trends(report, "rate"))


def best_losses(report: Report) -> tuple[Trend, ...]:
    """Give the loss at each width's own best rate."""
    return tuple(_trends(report, "loss"))


def trend_domain(trends: Sequence[Trend], what: Literal["rate", "loss"]) -> tuple[float, float]:
    """Give an axis that holds every interval with some room.

    Example:
        >>> trend_domain([], "rate")
        (0.0, 1.0)
    """
    if not trends:
        return 0.0, 1.0
    low, high = min(trend.low for trend in trends), max(trend.high for trend in trends)
    least = 0.75 if what == "rate" else 1e-3 * max(abs(low), 1e-6)
    room = max(0.1 * (high - low), least)
    return low - room, high + room


def _trends(report: Report, what: Literal["rate", "loss"]) -> Iterator[Trend]:
    """Walk over groups and widths."""
    middle = (len(report) - 1) / 2
    for k, group in enumerate(report.values()):
        for optimum in group.optimum:
            kind, value, low, high = _trend(optimum, what)
            if value is None:
                continue
            if what == "rate":
                text = ranged(power(value), power(low), power(high), low < high)
            else:
                text = ranged(loss_text(value), loss_text(low), loss_text(high), low < high)
            if kind != "fitted":
                text += " at the edge of what was tried"
            yield Trend(
                index=k,
                log2_width=math.log2(optimum.width) + 0.04 * max(-3, min(3, k - middle)),
                where=f"{report.scale} {width_text(optimum.width)}",
                value=value,
                low=low,
                high=high,
                text=text,
                kind=kind,
            )


def _trend(
    optimum: Optimum, what: Literal["rate", "loss"]
) -> tuple[Literal["fitted", "low", "high"], float | None, float, float]:
    """Give the kind, the value and the ends of what is drawn at one width."""
    estimate = optimum.log2_lr if what == "rate" else optimum.loss
    grid = optimum.grid_log2_lr if what == "rate" else optimum.grid_loss
    if estimate.value is not None:
        low = estimate.value if estimate.low is None else estimate.low
        high = estimate.value if estimate.high is None else estimate.high
        return "fitted", estimate.value, low, high
    if grid is None or optimum.edge is None:
        return "fitted", None, 0.0, 0.0
    return optimum.edge, grid, grid, grid
