"""Stability as numbers: training curves near the best rate, and measures against width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mutransfer.analysis.curves.grid import group_names
from mutransfer.analysis.format import format_power
from mutransfer.analysis.training_curves import SKIPPED_SHARE
from mutransfer.report.figures.numbers.trends import TrendMark, Trends, group_offset
from mutransfer.report.format import format_interval, format_number, format_width

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Report
    from mutransfer.analysis.results import Results
    from mutransfer.analysis.types.stability import RateStability, WidthStability

DRAWN = {1.0: "best rate", 2.0: "2 × the best rate", 4.0: "4 × the best rate"}
MOST_CURVES = 8  # groups whose training curves are drawn: each takes 30 KB [assumed]
NEAREST = 0.5  # octaves between a multiple and the tried rate that stands for it
SAME = 1e-6  # relative difference of widths, and of log2 rates, that differ by rounding
MEASURED = 2.0  # multiple of the best rate at which measures are drawn against width

Get = Callable[["RateStability"], "Estimate | None"]


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """The training loss of a run at one step."""

    index: int  # of the multiple of the best rate
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """The training curves of one group at one width, one run per multiple of the best rate."""

    group: str
    width: float
    seed: str
    rates: Mapping[float, str]  # multiple -> the tried rate that was drawn
    points: tuple[TrainingPoint, ...]


@dataclass(frozen=True, slots=True)
class TrainingFrame:
    """The axes of training curves, the same for every group."""

    last_step: int
    measured_from: float  # step
    low_loss: float
    high_loss: float  # higher losses, as at the start and where a run diverges, are cut off


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that is drawn against width."""

    title: str
    get: Get
    has_unit: bool = True


MEASURES = (
    Measure("Loss above the best at 2 × the best rate", lambda rate: rate.excess_loss),
    Measure(
        "Largest rise of the training loss at 2 × the best rate",
        lambda rate: rate.largest_rise.mean if rate.largest_rise else None,
    ),
    Measure(
        "Paired roughness at 2 × the best rate",
        lambda rate: rate.paired_roughness.mean if rate.paired_roughness else None,
    ),
)


def training_curves(results: Results, report: Report) -> tuple[TrainingCurves, ...]:
    """Choose runs near the best rate of every group's largest width that has one.

    Of several seeds the first one is drawn. A group without training curves is left out.
    """
    is_of_report = {report.scale, report.hyperparameter, *report.group_by} <= results.axes.keys()
    if not is_of_report or not any(map(len, results.curves)):
        return ()
    names = group_names(results, report.group_by)
    rows_by_group: dict[str, list[int]] = {}
    for row in np.flatnonzero([len(curve) > 0 for curve in results.curves]).tolist():
        rows_by_group.setdefault(str(names[row]), []).append(row)
    drawn = []
    for name, group in list(report.items())[:MOST_CURVES]:
        fitted = [width for width in group.stability if width.log2_lr is not None]
        rows = rows_by_group.get(name, [])
        if fitted and (curves := _group_curves(name, fitted[-1], rows, results, report)):
            drawn.append(curves)
    return tuple(drawn)


def _group_curves(
    name: str, width: WidthStability, rows: list[int], results: Results, report: Report
) -> TrainingCurves | None:
    """Return the curves of one group; None where it has none at this width."""
    assert width.log2_lr is not None
    widths, rates = results.axes[report.scale], results.axes[report.hyperparameter]
    log2_rates = {
        row: math.log2(float(str(rates[row])))
        for row in rows
        if math.isclose(float(str(widths[row])), width.width, rel_tol=SAME)
    }
    seeds = results.axes.get("seed") or [None] * len(results)
    first = min((seeds[row] for row in log2_rates), key=_in_order, default=None)
    chosen: dict[float, int] = {}
    for multiple in DRAWN:
        target = width.log2_lr + math.log2(multiple)
        near = [row for row in log2_rates if seeds[row] == first and row not in chosen.values()]
        row = min(near, key=lambda row: abs(log2_rates[row] - target), default=None)
        if row is not None and abs(log2_rates[row] - target) <= NEAREST + SAME:
            chosen[multiple] = row
    if not chosen:
        return None
    points = tuple(
        TrainingPoint(index, int(step), float(f"{loss:.5g}"))
        for index, multiple in enumerate(DRAWN)
        if multiple in chosen
        for step, loss in results.curves[chosen[multiple]].tolist()
        if math.isfinite(loss)
    )
    labels = {multiple: format_power(log2_rates[row]) for multiple, row in chosen.items()}
    return TrainingCurves(name, width.width, "" if first is None else str(first), labels, points)


def _in_order(seed: object) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by size, before any text."""
    is_number = isinstance(seed, int | float)
    return not is_number, float(str(seed)) if is_number else 0.0, str(seed)


def training_frame(drawn: Sequence[TrainingCurves]) -> TrainingFrame:
    """Choose axes that show the losses of the measured steps, however high the first ones are."""
    points = [point for curves in drawn for point in curves.points]
    last = max(point.step for point in points)
    start = SKIPPED_SHARE * last
    first = max(point.loss for point in points if point.step == min(p.step for p in points))
    losses = [point.loss for point in points if point.step > start] or [first]
    low, high = min(losses), min(max(losses), max(first, min(losses)))
    room = 0.06 * (high - low) or 0.1
    return TrainingFrame(last, start, low - room, high + room)


def measure_trend(report: Report, measure: Measure) -> Trends:
    """Return a measure at twice the best rate against width, for every group that has it."""
    return Trends(tuple(_marks(report, measure)), (), (), ())


def _marks(report: Report, measure: Measure) -> Iterator[TrendMark]:
    """Yield one mark per group and width."""
    for k, group in enumerate(report.values()):
        for width in group.stability:
            estimate = measure.get(width.at(MEASURED))
            if estimate is None or estimate.value is None:
                continue
            low = estimate.value if estimate.low is None else estimate.low
            high = estimate.value if estimate.high is None else estimate.high
            yield TrendMark(
                index=k,
                log2_width=math.log2(width.width) + group_offset(report, k),
                where=f"{report.scale} {format_width(width.width)}",
                value=estimate.value,
                low=low,
                high=high,
                text=f"{format_number(estimate.value)} {format_interval(estimate)}".rstrip(),
                kind="fitted",
                has_law=False,
            )


def measure_domain(data: Trends) -> tuple[float, float]:
    """Return an axis from zero that holds every interval.

    Example:
        >>> measure_domain(Trends((), (), (), ()))
        (0.0, 1.0)
    """
    highest = max((mark.high for mark in data.marks), default=0.0)
    return 0.0, 1.06 * highest or 1.0
